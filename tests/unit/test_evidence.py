"""Cases by command, and the bundles they become: reproducible, harmless to open, and any change is named."""

from __future__ import annotations

import csv
import getpass
import hashlib
import io
import json
import os
import re
import shutil
import stat
import subprocess
import zipfile
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from screener.errors import ScreenerError
from screener.evidence import sealing, verify
from screener.evidence.pages import safe_cell
from screener.evidence.sealing import blocks, seal
from screener.ledger import Row, append
from screener.signing import Signer
from tests import collector
from tests.commandline import typed
from tests.users import needs_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.commandline import Command

HOSTILE = "=cmd|'/c calc'!A0<script>alert(1)</script>\"'>\x1b[31m\r\n\u202e"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose ledger holds the collector's calls, as `home`; copies of it before and after a case of it.

    The case: suggested, confirmed, with a visit and its photograph. Made once: its commands take a second.
    """
    root = tmp_path_factory.mktemp("evidence")
    home = root / "home"
    (home / "site").mkdir(parents=True)
    values = {
        "ami": {"secret": "s3cret"},
        "state_dir": str(home / "state"),
        "recordings_dir": str(home / "spool"),
        "packs": ["cn-collection"],
    }
    (home / "site" / "screener.yaml").write_text(json.dumps(values))
    collector.write_ledger(home / "state" / "ledger.db", collector.eight_calls(home / "spool"))
    shutil.copytree(home, root / "before")
    photograph = home / "door.jpg"
    photograph.write_bytes(b"\xff\xd8 a photograph")
    visit = ("--kind", "visit", "--at", "2026-03-02 22:30", "--text", "两人上门", "--file", photograph)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCREENER_CONFIG", str(home / "site"))
        company = f"company:{collector.COMPANY}"
        typed("case", "open", collector.COMPANY, "--suggested", company, "--debtor")
        typed("case", "confirm", 1)
        typed("case", "note", 1, *visit)
    shutil.copytree(home, root / "after")
    return home


@pytest.fixture
def tmp_path(home: Path) -> Path:
    """The site, empty until a fixture below fills it."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    return home


@pytest.fixture
def run(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Commands of a site whose ledger holds the collector's calls."""
    shutil.copytree(tmp_path.parent / "before", tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("SCREENER_CONFIG", str(tmp_path / "site"))
    return command


@pytest.fixture
def case(run: Command, tmp_path: Path) -> Command:
    """The same, and a case of it."""
    shutil.rmtree(tmp_path / "state")
    shutil.copytree(tmp_path.parent / "after", tmp_path, dirs_exist_ok=True)
    return run


def export(run: Command, to: Path, *more: str) -> Path:
    ended = run("evidence", "export", 1, to, *more)
    assert ended.code == 0, ended
    return to


def data_of(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "calls.json").read_bytes())
    return read


# ---------------------------------------------------------------- cases


def test_suggestion__robot_and_person_over_three_numbers__are_one_case(run: Command) -> None:
    (found,) = json.loads(run("case", "suggest", "--last", "3650d", "--json").out)
    assert f"company:{collector.COMPANY}" in found["keys"]
    assert "campaign:7" in found["keys"]
    assert found["numbers"] == sorted(collector.NUMBERS)
    assert len(found["calls"]) == 8
    assert found["case"] is None


def test_suggestion__all_in_a_case__is_made_no_more(case: Command) -> None:
    assert json.loads(case("case", "suggest", "--last", "3650d", "--json").out) == []


def test_suggestion__a_new_number_says_the_same__belongs_to_the_case(case: Command, tmp_path: Path) -> None:
    later = collector.call_rows("2.1", collector.NOON.replace(day=9), "+8613900001111", said=collector.SAID)
    append(tmp_path / "state" / "ledger.db", later)
    (found,) = json.loads(case("case", "suggest", "--last", "3650d", "--json").out)
    assert found["case"] == 1
    assert "+8613900001111" in found["numbers"]


def test_case__of_a_collector__has_the_incidents_with_their_proof(case: Command) -> None:
    found = json.loads(case("case", "incidents", 1, "--json").out)
    by_rule = {(one["rule"], one["decided"]): one for one in found}
    robots = by_rule["INFORMING_CALLS_A_DAY", True]
    assert robots["proof"] == [1, 2, 3, 4, 5]
    assert by_rule["NIGHT", True]["proof"] == [9]  # the visit
    # What a person remembers of a visit is not what was said.
    assert ("THREAT", True) not in by_rule
    assert by_rule["PRIVATE_MOBILE", True]["clause"].startswith("GB/T 45251-2025")


def test_case__corrected_by_a_person__follows_what_he_said(case: Command) -> None:
    def calls() -> set[str]:
        shown = json.loads(case("case", "show", 1, "--json").out)
        return {one["id"] for one in shown["entries"] if one["kind"] == "call"}

    assert calls() == {f"1.{n}" for n in range(8)}
    assert case("case", "remove", 1, "--call", "1.3").code == 0
    assert calls() == {f"1.{n}" for n in range(8)} - {"1.3"}
    assert case("case", "add", 1, "--number", collector.STRANGER, "--call", "1.3").code == 0
    assert calls() == {f"1.{n}" for n in range(8)} | {"9.9"}
    assert case("case", "remove", 1, "--number", collector.STRANGER).code == 0
    assert case("case", "add", 1, "--number", "+861380013*").code == 0
    assert calls() == {f"1.{n}" for n in range(8)} | {"9.9"}


def test_case__a_person_says_who_spoke__counts(case: Command) -> None:
    for call in ("1.0", "1.1"):
        ended = case("case", "note", 1, "--kind", "remark", "--text", "x", "--call", call, "--by", "person")
        assert ended.code == 0, ended
    found = json.loads(case("case", "incidents", 1, "--json").out)
    assert not [one for one in found if one["rule"] == "INFORMING_CALLS_A_DAY" and one["decided"]]


def test_case__a_message_from_one_of_its_numbers__is_a_contact(case: Command, tmp_path: Path) -> None:
    at, number = collector.NOON.replace(hour=15), collector.NUMBERS[0]  # 23:00 in Shanghai
    call = {
        "number": number,
        "e164": number,
        "did": "100",
        "to": "PJSIP/phone",
        "text": "请尽快还款3000元" + HOSTILE,
    }
    body = {"call": call, "wording": collector.SAID, "verdict": {"action": "voicemail", "hits": []}}
    rows = [Row("m-1", "message", at, body), Row("m-1", "message-end", at, {"status": "held", "missed": ""})]
    append(tmp_path / "state" / "ledger.db", rows)
    data = data_of(export(case, tmp_path / "bundle"))
    (message,) = [one for one in data["entries"] if one["kind"] == "message"]
    assert (message["ended"], message["number"]) == ("held", number)
    assert message["text"].startswith("请尽快还款3000元")
    assert data["calls"] == 8
    (night,) = [one for one in data["incidents"] if one["rule"] == "NIGHT" and message["n"] in one["proof"]]
    assert night["decided"]
    assert verify(tmp_path / "bundle") == []


def test_case__closed__takes_no_later_calls(case: Command, tmp_path: Path) -> None:
    assert case("case", "close", 1).code == 0
    later = collector.call_rows("2.1", collector.NOON.replace(year=2099), collector.NUMBERS[0])
    append(tmp_path / "state" / "ledger.db", later)
    assert len(json.loads(case("case", "show", 1, "--json").out)["entries"]) == 9


def test_case__reopened__has_the_calls_since(case: Command, tmp_path: Path) -> None:
    case("case", "close", 1)
    later = collector.call_rows("2.1", datetime.now(UTC) + timedelta(seconds=1), collector.NUMBERS[0])
    append(tmp_path / "state" / "ledger.db", later)
    ended = case("case", "reopen", 1)
    assert (ended.code, ended.out) == (0, "case 1 is open again with 9 calls\n")
    assert "case 1 is open" in " ".join(case("case", "reopen", 1).err.replace("│", " ").split())


def test_note__withdrawn__is_shown_as_such_and_counts_no_more(case: Command, tmp_path: Path) -> None:
    def night() -> list[Any]:
        found = json.loads(case("case", "incidents", 1, "--json").out)
        return [one for one in found if one["rule"] == "NIGHT"]

    assert len(night()) == 1
    (visit,) = [one["id"] for one in json.loads(case("case", "show", 1, "--json").out)["entries"][-1:]]
    assert case("case", "withdraw", 1, visit, "--because", "not that day" + HOSTILE).code == 0
    assert night() == []
    folder = export(case, tmp_path / "bundle")
    entry = data_of(folder)["entries"][-1]
    assert (entry["kind"], entry["text"], entry["files"]) == ("withdrawn", "两人上门", [])
    assert entry["withdrawn"]["by"] == getpass.getuser()
    assert entry["withdrawn"]["because"].startswith("not that day")
    for lang in ("en", "zh"):
        assert "0 visits" in (folder / "summary.en.html").read_text()
        export(case, tmp_path / lang, "--lang", lang)
        assert "两人上门" in (page := (tmp_path / lang / "index.html").read_text())
        assert "not that day" in page
        assert "<script" not in page
    ended = case("case", "withdraw", 1, visit, "--because", "again")
    assert (ended.code, "withdrawn already" in ended.err) == (2, True)


def test_note__corrected__stands_in_place_of_the_first(case: Command, tmp_path: Path) -> None:
    told = case("case", "note", 1, "--kind", "remark", "--text", "wrong").out
    first = told.partition(":")[0]
    ended = case("case", "note", 1, "--kind", "letter", "--text", "right", "--instead", first)
    assert ended.out.endswith("case 1 has 2 notes\n")
    entries = {one["text"]: one for one in json.loads(case("case", "show", 1, "--json").out)["entries"]}
    assert (entries["wrong"]["kind"], entries["right"]["kind"]) == ("withdrawn", "letter")
    assert entries["right"]["id"] in entries["wrong"]["withdrawn"]["because"]


def test_case__number_or_call_removed__is_held_no_longer(case: Command) -> None:
    before = json.loads(case("ledger", "holds", "--json").out)
    assert case("case", "add", 1, "--number", collector.STRANGER).code == 0
    case("case", "hold", 1)
    assert len(json.loads(case("ledger", "holds", "--json").out)) == len(before) + 2
    ended = case("case", "remove", 1, "--number", collector.STRANGER)
    assert "2 holds of this case ended" in ended.out
    assert json.loads(case("ledger", "holds", "--json").out) == before
    assert case("ledger", "erase", "--caller", collector.STRANGER, "--because", "asked to").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", 2), "there is no case 2"),
        (("withdraw", 1, "note-9", "--because", "x"), "there is no 'note-9' in case 1"),
        (("note", 1, "--kind", "letter", "--text", "x", "--instead", "note-9"), "there is no 'note-9'"),
        (("add", 1, "--number", "hello"), "neither a number"),
        (("add", 1, "--call", "7.7"), "no call '7.7'"),
        (("open", "x", "--suggested", "company:nobody"), "nothing is suggested"),
        (("open", ""), "a name has letters"),
        (("name", 1), "give a name, --debtor or --not-debtor"),
        (("add", 1), "give a --number, a --campaign or a --call"),
        (("remove", 1), "give a --number, a --campaign or a --call"),
        (("withdraw", 1, "note-9", "--because", " "), "say why"),
        (("erase", 1, "--because", ""), "say why"),
        (("open", " \u200b\n"), "a name has letters"),
        (("note", 1, "--kind", "visit", "--text", "x", "--at", "yesterday"), "no time"),
        (("note", 1, "--kind", "visit", "--text", "x", "--at", "0026-03-05"), "no time"),
        (("note", 1, "--kind", "visit", "--text", "x", "--by", "robot"), "remark"),
        (("note", 1, "--kind", "visit", "--text", "x", "--file", "/dev/null"), "cannot be added"),
    ],
)
def test_case__mistyped__says_what_is_wrong(case: Command, arguments: tuple[Any, ...], words: str) -> None:
    ended = case("case", *arguments)
    assert ended.code != 0
    assert words in " ".join(ended.err.replace("│", " ").split())


# ---------------------------------------------------------------- the bundle


def test_export__twice__gives_the_same_bytes(case: Command, tmp_path: Path) -> None:
    one, two = export(case, tmp_path / "one.zip"), export(case, tmp_path / "two.zip")
    assert one.read_bytes() == two.read_bytes()
    export(case, tmp_path / "folder")
    with zipfile.ZipFile(one) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            place.relative_to(tmp_path / "folder").as_posix(): place.read_bytes()
            for place in (tmp_path / "folder").rglob("*")
            if place.is_file()
        }


def test_export__is_checked_by_sha256sum_and_openssl_alone(case: Command, tmp_path: Path) -> None:
    folder = export(case, tmp_path / "bundle")
    summed = subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert summed.returncode == 0, summed
    listed = {line.rpartition(": ")[0] for line in summed.stdout.splitlines()}
    there = {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()}
    assert listed == there - {"SHA256SUMS", "SHA256SUMS.sig"}
    printed = next(line for line in (folder / "README.txt").read_text().splitlines() if "openssl" in line)
    signed = subprocess.run(printed.split(), cwd=folder, capture_output=True, text=True, check=False)
    assert signed.returncode == 0, signed
    assert (folder / "public-key.pem").read_text() == str(Signer.of(tmp_path / "state").public)
    (folder / "SHA256SUMS").write_text((folder / "SHA256SUMS").read_text().replace("a", "b", 1))
    assert subprocess.run(printed.split(), cwd=folder, capture_output=True, check=False).returncode != 0


def test_export__holds_what_a_complaint_asks_for(case: Command, tmp_path: Path) -> None:
    folder = export(case, tmp_path / "bundle", "--lang", "zh")
    for lang, place in (("zh", "国家金融监督管理总局"), ("en", "National Financial Regulatory")):
        summary = (folder / f"summary.{lang}.html").read_text()
        for wanted in (
            collector.COMPANY,
            "secondary sources",
            "3000 CNY",
            "GB/T 45251-2025",
            "12378",
            place,
            *collector.NUMBERS,
        ):
            assert wanted in summary
    data = data_of(folder)
    assert len(data["entries"]) == 9
    assert {one["as_filed"] for entry in data["entries"] for one in entry["files"] if "seconds" in one} == {
        True
    }
    for entry in data["entries"]:
        for one in entry["files"]:
            assert (folder / one["file"]).exists()
            assert f'href="{one["file"]}"' in (folder / "index.html").read_text()


def test_export__files_are_for_their_owner_alone(case: Command, tmp_path: Path) -> None:
    folder, packed = export(case, tmp_path / "bundle"), export(case, tmp_path / "b.zip")
    kept = next((tmp_path / "state" / "evidence").iterdir())
    for place in (*folder.rglob("*"), folder, packed, kept, kept.parent):
        assert stat.S_IMODE(place.stat().st_mode) & 0o077 == 0


def test_export__to_a_place_that_is_taken__is_refused(case: Command, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    assert case("evidence", "export", 1, taken).code == 1
    assert list(taken.iterdir()) == []


def test_export__into_a_directory_that_is_not_there__says_so(case: Command, tmp_path: Path) -> None:
    ended = case("evidence", "export", 1, tmp_path / "no" / "bundle")
    assert ended.code == 1
    assert f"there is no directory {tmp_path}/no; make it first" in ended.err


def test_export__recording_changed_or_missing__says_so_and_goes_on(case: Command, tmp_path: Path) -> None:
    one, two = sorted((tmp_path / "spool").rglob("*.wav"))[:2]
    one.write_bytes(one.read_bytes()[:-1] + b"x")
    two.unlink()
    ended = case("evidence", "export", 1, tmp_path / "bundle")
    assert ended.code == 0
    assert "not as it was filed" in ended.out
    assert "missing" in ended.out
    assert "missing" in (tmp_path / "bundle" / "README.txt").read_text()
    assert verify(tmp_path / "bundle") == []


def test_export__recording_changed_while_it_is_copied__says_what_is_in_the_bundle(
    case: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed_once_read(content: bytes | Path) -> Iterator[bytes]:
        yield from blocks(content)
        if isinstance(content, Path) and content.suffix == ".wav":
            content.write_bytes(b"forged")

    monkeypatch.setattr(sealing, "blocks", changed_once_read)
    folder = export(case, tmp_path / "bundle")
    files = [one for entry in data_of(folder)["entries"] for one in entry["files"]]
    assert len(files) == 9
    for one in files:
        copied = hashlib.sha256((folder / one["file"]).read_bytes()).hexdigest()
        assert (one["as_filed"], copied) == (True, one["sha256"])


def test_export__ledger_points_elsewhere__takes_no_such_file(case: Command, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    about = {"path": str(secret), "leg": "caller", "sha256": "0" * 64}
    rows = collector.call_rows("3.1", collector.NOON, collector.NUMBERS[0], recordings=[about])
    append(tmp_path / "state" / "ledger.db", rows)
    folder = export(case, tmp_path / "bundle")
    assert not [one for one in folder.rglob("*") if one.is_file() and b"s3cret" in one.read_bytes()]


@needs_root
@pytest.mark.parametrize(("owner", "taken"), [(0, True), (12345, False)])
def test_export__by_root_where_recordings_dir_is_a_link__follows_roots_own_alone(
    case: Command, tmp_path: Path, owner: int, *, taken: bool
) -> None:
    (tmp_path / "spool").rename(tmp_path / "elsewhere")
    (tmp_path / "spool").symlink_to(tmp_path / "elsewhere")
    os.chown(tmp_path / "spool", owner, owner, follow_symlinks=False)
    assert bool(list(export(case, tmp_path / "bundle").rglob("*.wav"))) == taken


@needs_root
def test_export__by_root_where_the_services_user_put_a_link__takes_nothing_from_there(
    case: Command, tmp_path: Path
) -> None:
    (tmp_path / "state" / "evidence").rename(tmp_path / "elsewhere")
    (tmp_path / "state" / "evidence").symlink_to(tmp_path / "elsewhere")
    os.chown(tmp_path / "state" / "evidence", 12345, 12345, follow_symlinks=False)
    assert not (export(case, tmp_path / "bundle") / "attachments").exists()


def test_blocks__a_link_put_in_place_of_a_directory_on_the_way__is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    (tmp_path / "day" / "1-mix.wav").write_bytes(b"sound")
    assert list(blocks(tmp_path / "day" / "1-mix.wav")) == [b"sound"]
    (tmp_path / "day").rename(tmp_path / "elsewhere")
    (tmp_path / "day").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError):
        list(blocks(tmp_path / "day" / "1-mix.wav"))


@pytest.mark.parametrize("relative", ["bundle", "./bundle", "link/bundle"])
def test_verify__named_by_a_relative_path_or_a_link__is_whole(
    case: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: str
) -> None:
    export(case, tmp_path / "bundle")
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert verify(Path(relative)) == []


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_export__hostile_names__run_nowhere(case: Command, tmp_path: Path) -> None:
    said = [{"kind": "company", "name": "X", "value": HOSTILE, "quote": HOSTILE}]
    rows = collector.call_rows("4.1", collector.NOON, collector.NUMBERS[0], said=said, name=HOSTILE)
    append(tmp_path / "state" / "ledger.db", rows)
    page = tmp_path / "x.html"
    page.write_text("<script>alert(1)</script>")
    assert case("case", "name", 1, HOSTILE).code == 0
    noted = ("--kind", "letter", "--text", HOSTILE, "--file", page, "--from", "=1+1")
    assert case("case", "note", 1, *noted).code == 0
    folder = export(case, tmp_path / "bundle")
    for name in ("index.html", "summary.en.html", "summary.zh.html"):
        parsed = _Tags()
        parsed.feed((folder / name).read_text())
        assert not parsed.tags & {"script", "img", "iframe", "object", "svg", "link", "form"}
        assert not {one for one in parsed.attributes if one.startswith("on")}
        assert "default-src 'none'" in (folder / name).read_text().replace("&#x27;", "'")
    assert not list(folder.rglob("attachments/*.html"))
    text = (folder / "timeline.csv").read_text(encoding="utf-8-sig")
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert not [cell for cell in cells if cell.lstrip().startswith(("=", "+", "-", "@"))]
    assert "\x1b" not in (folder / "README.txt").read_text() + text
    assert "\u202e" not in (folder / "index.html").read_text()


@given(st.text() | st.text(';\t" =+x'))
@example("\x1f=1")
@example('pay;"=1+1;x')
def test_cell__of_any_text__is_no_formula(text: str) -> None:
    made = safe_cell(text)
    assert made.replace("'", "") == text.replace("'", "")
    # Excel of some countries begins a cell at each semicolon.
    for part in (made, *(one.strip().lstrip('" ') for one in re.split(r"[;\t\r\n]", made)[1:])):
        assert not part.strip().startswith(("=", "+", "-", "@", "|", "%"))


def test_export__third_parties_blanked__are_nowhere_in_writing(case: Command, tmp_path: Path) -> None:
    noted = ("--kind", "letter", "--text", "他们给张三打了电话, in room 1000")
    assert case("case", "note", 1, *noted).code == 0
    folder = export(case, tmp_path / "bundle", "--blank-third-parties", "--third", "张三")
    for place in folder.rglob("*"):
        if place.suffix in {".html", ".json", ".jsonl", ".csv", ".txt"}:
            assert "张三" not in place.read_text()
            assert "\\u5f20\\u4e09" not in place.read_text()
    assert {one.get("called") for one in data_of(folder)["entries"] if one["kind"] == "call"} == {"■■■"}
    assert "1000" in data_of(folder)["entries"][-1]["text"]
    assert '"body"' not in "".join(
        line for line in (folder / "ledger.jsonl").read_text().splitlines() if '"checkpoint"' not in line
    )
    assert verify(folder) == []


def test_export__message_of_a_name__shows_the_name(case: Command, tmp_path: Path) -> None:
    call = {"number": "<sip:BANK@h>", "e164": None, "shown": "BANK", "did": "100", "text": "欠款3000元"}
    body = {"call": call, "wording": collector.SAID}
    rows = [
        Row("m1", "message", collector.NOON, body),
        Row("m1", "message-end", collector.NOON, {"status": "held"}),
    ]
    append(tmp_path / "state" / "ledger.db", rows)
    assert case("case", "add", 1, "--call", "m1").code == 0
    found = next(one for one in data_of(export(case, tmp_path / "bundle"))["entries"] if one["id"] == "m1")
    assert [found[name] for name in ("kind", "number", "name", "text", "ended")] == [
        "message", "", "BANK", "欠款3000元", "held",
    ]  # fmt: skip


# ---------------------------------------------------------------- verifying


def test_verify__untouched__is_whole_by_the_right_key_only(case: Command, tmp_path: Path) -> None:
    key, other = tmp_path / "key.pem", tmp_path / "other.pem"
    key.write_text(str(Signer.of(tmp_path / "state").public))
    other.write_text(str(Signer.of(tmp_path / "elsewhere").public))
    for bundle in (export(case, tmp_path / "bundle"), export(case, tmp_path / "bundle.zip")):
        assert case("evidence", "verify", bundle).code == 0
        assert case("evidence", "verify", bundle, "--key", key).code == 0
        ended = case("evidence", "verify", bundle, "--key", other)
        assert ended.code == 8
        assert "SHA256SUMS.sig" in ended.err


def test_verify__remade_with_another_key__is_exposed_by_the_key_kept_elsewhere(
    case: Command, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    key.write_text(str(Signer.of(tmp_path / "state").public))
    (tmp_path / "state" / "signing.key").unlink()
    forged = export(case, tmp_path / "forged")
    assert verify(forged) == []
    assert any("SHA256SUMS.sig" in one for one in verify(forged, key))


def test_verify__hostile_name_in_a_folder__commands_no_terminal(case: Command, tmp_path: Path) -> None:
    folder = export(case, tmp_path / "bundle")
    (folder / "a\x1b[2J\nnothing was changed").touch()
    ended = case("evidence", "verify", folder)
    assert (ended.code, ended.err.splitlines()) == (8, ["a\\x1b[2J\\nnothing was changed: was added"])


def test_verify__rows_nested_without_end__are_no_rows(tmp_path: Path) -> None:
    row = b'{"seq": 1, "before": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    seal(tmp_path / "bundle", {"ledger.jsonl": row}, Signer.of(tmp_path / "elsewhere"))
    assert verify(tmp_path / "bundle") == ["ledger.jsonl: line 1: no row of a ledger"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_note__by_root_where_the_services_user_put_a_link__gives_nothing_away(
    case: Command, tmp_path: Path
) -> None:
    state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    shutil.rmtree(state / "evidence")
    elsewhere.mkdir()
    (state / "evidence").symlink_to(elsewhere)
    os.chown(state, 12345, 12345)
    noted = case(
        "case", "note", 1, "--kind", "letter", "--text", "x", "--file", tmp_path / "site" / "screener.yaml"
    )
    assert (noted.code, list(elsewhere.iterdir()), elsewhere.stat().st_uid) == (1, [], 0)
    assert "it cannot be added to the case" in noted.err


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_verify__any_byte_of_any_file_flipped__names_the_file(
    data: st.DataObject, case: Command, tmp_path: Path
) -> None:
    whole = tmp_path / "bundle"
    if not whole.exists():
        export(case, whole)
    names = sorted(one.relative_to(whole).as_posix() for one in whole.rglob("*") if one.is_file())
    name = data.draw(st.sampled_from(names))
    content = (whole / name).read_bytes()
    at, bits = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    (whole / name).write_bytes(content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :])
    try:
        problems = verify(whole)
        # A name in the list that was changed is a file that is missing, and one that was added.
        assert any(one.startswith(name) for one in problems) or name == "SHA256SUMS"
        assert problems
        assert len(problems) <= 4
    finally:
        (whole / name).write_bytes(content)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_verify__any_byte_of_a_zip_flipped__is_noticed(
    data: st.DataObject, case: Command, tmp_path: Path
) -> None:
    whole = tmp_path / "bundle.zip"
    if not whole.exists():
        export(case, whole)
    content = whole.read_bytes()
    at, bits = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    changed = tmp_path / "changed.zip"
    changed.write_bytes(content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :])
    try:
        assert verify(changed)
    except ScreenerError as error:
        assert "changed.zip" in str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda row: row | {"body": row["body"].replace("voicemail", "allow")},
            "its body is not what was filed",
        ),
        (lambda row: row | {"at_us": row["at_us"] + 1}, "does not follow"),
        (lambda _: {"seq": []}, "no row of a ledger"),
        (lambda _: [], "no row of a ledger"),
    ],
)
def test_verify__row_of_the_ledger_forged_and_all_signed_anew__is_named(
    case: Command, tmp_path: Path, change: Any, words: str
) -> None:
    folder = export(case, tmp_path / "bundle")
    lines = (folder / "ledger.jsonl").read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if "voicemail" in line)
    lines[at] = json.dumps(change(json.loads(lines[at])))
    (folder / "ledger.jsonl").write_text("\n".join(lines))
    for name in ("SHA256SUMS", "SHA256SUMS.sig", "public-key.pem"):
        (folder / name).unlink()
    content = {one.relative_to(folder).as_posix(): one for one in folder.rglob("*") if one.is_file()}
    seal(tmp_path / "forged", content, Signer.of(tmp_path / "state"))
    problems = verify(tmp_path / "forged")
    assert problems[0].startswith(f"ledger.jsonl: line {at + 1}: ")
    assert words in problems[0]


def test_export__rows_of_others__are_told_by_their_links_alone(case: Command, tmp_path: Path) -> None:
    folder = export(case, tmp_path / "bundle")
    rows = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    assert [row["seq"] for row in rows] == list(range(rows[0]["seq"], rows[-1]["seq"] + 1))
    assert rows[-1]["kind"] == "checkpoint"
    assert {"body" in row for row in rows if row["call_id"] == "9.9"} == {False}
    assert {"body" in row for row in rows if row["call_id"] == "1.4"} == {True}
    assert collector.STRANGER not in (folder / "ledger.jsonl").read_text()


def test_case__held__is_spared_until_it_is_released(case: Command, tmp_path: Path) -> None:
    refused = case("ledger", "erase", "--call", "1.2", "--because", "x")
    assert refused.code == 6
    assert "case 1" in refused.err
    assert case("case", "hold", 1).out.startswith("case 1 is held: 0 calls and 0")
    assert case("case", "release", 1).code == 0
    assert case("ledger", "erase", "--call", "1.2", "--because", "x").code == 0
    folder = export(case, tmp_path / "bundle")
    assert "1.2" not in {one["id"] for one in data_of(folder)["entries"]}
    assert verify(folder) == []


def test_case__calls_that_nobody_holds__says_what_was_erased_and_what_goes_when(
    case: Command, tmp_path: Path
) -> None:
    soon = datetime.now(UTC).replace(hour=12) - timedelta(days=3)
    written = {"call": {"number": collector.NUMBERS[1], "text": "还钱"}}
    append(
        tmp_path / "state" / "ledger.db",
        [
            *collector.call_rows("5.1", soon, collector.NUMBERS[0]),
            Row("m5", "message", datetime.now(UTC) - timedelta(days=40), written),
        ],
    )
    assert case("case", "release", 1).code == 0
    told = case("case", "show", 1).out
    assert "not held: 9 calls and 1 message, erased from 2026-04-01 to " in told
    assert "to keep them: screener case hold 1" in told
    (listed,) = json.loads(case("case", "list", "--json").out)
    assert (listed["calls"], listed["messages"], listed["erased_calls"]) == (9, 1, 0)
    assert (
        f"{tmp_path / 'b'}: case 1 with 9 calls and 1 message, signed"
        in case("evidence", "export", 1, tmp_path / "b").out
    )
    assert "erased: 9 calls and 1 message (" in case("ledger", "expire").out
    told = case("case", "show", 1).out
    assert "erased, and not to be had again: 8 calls and 1 message" in told
    assert f"not held: 1 call, erased on {soon + timedelta(days=30):%Y-%m-%d}" in told
    assert "8 calls and 1 message" in case("case", "list").out
    assert "1 call " in case("case", "hold", 1).out
    told = case("case", "show", 1).out
    assert ("8 calls and 1 message" in told, "not held" in told) == (True, False)


def test_case__recordings_are_kept_for_less_than_calls__says_from_when_they_go(
    case: Command, tmp_path: Path
) -> None:
    site = tmp_path / "site" / "screener.yaml"
    kept = {"retention": {"ledger_days": 0, "recordings_days": 1}}
    site.write_text(json.dumps(json.loads(site.read_text()) | kept))
    case("case", "release", 1)
    assert "not held: recordings of 8 calls, deleted from 2026-03-03 on" in case("case", "show", 1).out
    case("ledger", "expire")
    told = case("case", "show", 1).out
    assert "erased, and not to be had again: 8 recordings of what is left" in told
    assert "not held: recordings" not in told


def test_export__of_calls_that_one_of_several_asterisks_recorded__has_their_recordings(
    case: Command, tmp_path: Path
) -> None:
    kept = sorted(one.name for one in (export(case, tmp_path / "alone") / "recordings").iterdir())
    site = tmp_path / "site" / "screener.yaml"
    several = json.loads(site.read_text()) | {
        "recordings_dir": str(tmp_path / "elsewhere"),
        "pbxs": {"berlin": {"host": "10.0.0.5", "recordings_dir": str(tmp_path / "spool")}},
    }
    site.write_text(json.dumps(several))
    assert kept
    found = export(case, tmp_path / "several") / "recordings"
    assert sorted(one.name for one in found.iterdir()) == kept
    # One that was still growing when it was filed is deleted with its call all the same.
    next((tmp_path / "spool").rglob("*.wav")).write_bytes(b"more")
    case("case", "release", 1)
    case("ledger", "erase", "--caller", collector.NUMBERS[0], "--because", "asked")
    case("ledger", "expire")
    assert not list((tmp_path / "spool").rglob("*.wav"))


def left_of(site: Path) -> bytes:
    """All bytes of the ledger, its log, and whatever else the screener keeps."""
    return b"".join(one.read_bytes() for one in sorted(site.rglob("*")) if one.is_file())


def test_case__erased__leaves_nothing_of_it_and_the_numbers_of_others(case: Command, tmp_path: Path) -> None:
    assert case("case", "open", "Another", "--number", collector.STRANGER).code == 0
    refused = case("case", "erase", 1, "--because", "settled")
    assert (refused.code, "screener case release 1" in refused.err) == (6, True)
    case("case", "release", 1)
    would = case("case", "erase", 1, "--because", "settled", "--dry-run")
    assert (would.code, would.out.startswith("would be erased: 8 calls of case 1; 8 recordings")) == (0, True)
    assert "1 notes, 1 attached files" in would.out
    assert len(data_of(export(case, tmp_path / "whole"))["entries"]) == 9
    shutil.rmtree(tmp_path / "whole")
    assert case("case", "erase", 1, "--because", "settled").code == 0
    (tmp_path / "door.jpg").unlink()
    left = left_of(tmp_path)
    for gone in (
        collector.COMPANY.encode(),
        b"\\u4e24\\u4eba",
        b" a photograph",
        collector.NUMBERS[0].encode(),
    ):
        assert gone not in left
    assert case("ledger", "verify").code == 0
    assert "case 1 was erased" in " ".join(case("case", "show", 1).err.replace("│", " ").split())
    assert json.loads(case("case", "show", 2, "--json").out)["name"] == "Another"
    assert "case 3 is open" in case("case", "open", "Third").out
    states = [line.split()[:2] for line in case("case", "list").out.splitlines()]
    assert ["1", "erased"] in states


def test_case__erased__spares_what_another_case_has_or_somebody_holds(case: Command, tmp_path: Path) -> None:
    site = tmp_path / "site" / "door.jpg"
    site.write_bytes((tmp_path / "door.jpg").read_bytes())
    case("case", "open", "Another", "--call", "1.1")
    case("case", "note", 2, "--kind", "letter", "--text", "x", "--file", site)
    case("ledger", "hold", "--call", "1.2", "--because", "court")
    case("case", "release", 1)
    ended = case("case", "erase", 1, "--because", "settled")
    assert ended.code == 0
    assert "another case has them too: 1 call" in ended.out
    assert "but 1 that are held otherwise" in ended.out
    left = {one["call_id"] for one in json.loads(case("calls", "--json").out)}
    assert left == {"1.1", "1.2", "9.9"}
    assert len(list((tmp_path / "state" / "evidence").iterdir())) == 1


def test_erase__a_caller__takes_what_cases_know_of_him(case: Command, tmp_path: Path) -> None:
    letter = tmp_path / "site" / "letter.txt"
    letter.write_text("from him alone")
    who, other = collector.STRANGER, "+8613900001111"
    assert case("case", "open", "x", "--number", who, "--number", other).code == 0
    sent = ("--kind", "sms", "--text", "his words", "--from", who, "--file", letter)
    name = case("case", "note", 2, *sent).out.partition(":")[0]
    case("case", "withdraw", 2, name, "--because", "of his daughter")
    case("case", "note", 2, "--kind", "remark", "--text", "ours")
    case("case", "remove", 2, "--call", "1.1")
    assert case("ledger", "erase", "--caller", who, "--because", "asked to").code == 0
    letter.unlink()
    left = left_of(tmp_path)
    for gone in (who, "from him alone", "his words", "of his daughter"):
        assert gone.encode() not in left
    shown = json.loads(case("case", "show", 2, "--json").out)
    assert [one["text"] for one in shown["entries"]] == ["ours"]
    listed = json.loads(case("case", "list", "--json").out)
    assert (listed[1]["numbers"], case("ledger", "verify").code) == ([other], 0)


def test_verify__missing_added_or_replaced__is_named(case: Command, tmp_path: Path) -> None:
    whole = export(case, tmp_path / "bundle")

    def changed(name: str) -> Path:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        return Path(shutil.copytree(whole, tmp_path / "copy")) / name

    wav = next(whole.rglob("*.wav")).relative_to(whole).as_posix()
    changed(wav).unlink()
    assert verify(tmp_path / "copy") == [f"{wav}: missing"]
    changed("recordings/more.wav").write_bytes(b"")
    assert verify(tmp_path / "copy") == ["recordings/more.wav: was added"]
    changed("empty").mkdir()
    assert verify(tmp_path / "copy") == ["empty/: was added: an empty folder"]
    changed("SHA256SUMS.sig").unlink()
    assert [one.partition(":")[0] for one in verify(tmp_path / "copy")] == ["SHA256SUMS.sig"] * 2
    link = changed(wav)
    link.unlink()
    link.symlink_to(whole / wav)
    assert verify(tmp_path / "copy") == [f"{wav}: is no file; refused"]
    os.mkfifo(changed("fifo"))
    assert any(one.startswith("fifo: ") for one in verify(tmp_path / "copy"))


def zipped(path: Path, *entries: tuple[zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for info, content in entries:
            archive.writestr(info, content)
    return path


def entry(name: str, mode: int = stat.S_IFREG | 0o600, how: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.compress_type = mode << 16, how
    return info


@pytest.mark.parametrize(
    ("info", "content"),
    [
        (entry("../out"), b"x"),
        (entry("/tmp/out"), b"x"),  # noqa: S108 - what a hostile archive has
        (entry("a/../../out"), b"x"),
        (entry("a\\..\\out"), b"x"),
        (entry("C:out"), b"x"),
        (entry("x\n"), b"x"),
        (entry("link", stat.S_IFLNK | 0o777), b"/etc/passwd"),
        (entry("bomb", how=zipfile.ZIP_DEFLATED), b"\0" * 5_000_000),
        (entry("folder/", stat.S_IFDIR | 0o700), b""),
    ],
    ids=lambda one: one.filename if isinstance(one, zipfile.ZipInfo) else "",
)
def test_verify__hostile_archive__is_refused_and_writes_nothing(
    info: zipfile.ZipInfo, content: bytes, tmp_path: Path
) -> None:
    bundle = zipped(tmp_path / "b.zip", (entry("SHA256SUMS"), b""), (info, content))
    problems = verify(bundle)
    assert problems
    assert all("refused" in one for one in problems)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["b.zip"]


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", b"PK\5\6" + bytes(18)])
def test_verify__no_bundle__is_said_plainly(content: bytes, tmp_path: Path, command: Command) -> None:
    (tmp_path / "b.zip").write_bytes(content)
    ended = command("evidence", "verify", tmp_path / "b.zip")
    assert ended.code in {1, 8}
    assert ended.err
