"""Every command as a newcomer meets it: right, mistyped, without its service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from screener import dialplan
from screener.ledger import Ledger, Row
from tests.commandline import typed
from tests.users import OTHER, as_user, needs_root, reachable

if TYPE_CHECKING:
    from tests.commandline import Command

HOSTILE = "\x1b[31m[red]\r\n=cmd()\u202e"


def site_in(folder: Path) -> Path:
    directory = folder / "site"
    directory.mkdir()
    settings = {
        "ami": {"secret": "s3cret"},
        "state_dir": str(folder / "s"),
        "own_numbers": ["+861055550100"],
    }
    (directory / "screener.yaml").write_text(json.dumps(settings))
    return directory


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return site_in(tmp_path)


@pytest.fixture
def run(site: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("SCREENER_CONFIG", str(site))
    return command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], "explain"),
        (["version"], "screener 0"),
        (["--version"], "screener 0"),
        (["check"], "good"),
        (["facts"], "caller.e164"),
        (["facts", "--json"], '"name": "caller.e164"'),
        (["config", "show"], "screener.ami.port = 5038"),
        (["config", "show", "--origin"], "screener.yaml:"),
        (["explain", "+8613912345678"], "allow"),
        (["explain", "anonymous"], "WITHHELD"),
        (["explain", "anonymous", "--json"], '"action": "challenge"'),
        (["explain", "anonymous", "--challenge", "failed"], "voicemail"),
        (["explain", HOSTILE], "INVALID"),
        (["feed", "refresh"], "no feed is switched on: set feeds.NAME.enabled in feeds.yaml"),
        (["config", "schema"], '"rules/*.yaml"'),
        (["config", "schema", "profiles"], '"hours"'),
    ],
)
def test_command__used_rightly__prints_and_exits_0(run: Command, arguments: list[str], words: str) -> None:
    ended = run(*arguments)
    assert ended.code == 0, ended.err
    assert words in ended.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["chekc"], 2, "No such command 'chekc'"),
        (["check", "--config", "/no/such"], 2, "/no/such:1:1"),
        (["check", "--dialplan", "/no/such"], 2, "screener.conf:1:1"),
        (["explain", "1", "--at", "yesterday"], 2, "--at"),
        (["explain", "1", "--challenge", "perhaps"], 2, "neither passed nor failed"),
        (["calls"], 6, "no ledger here"),
        (["status"], 7, "no screener is running"),
        (["reload"], 7, "no screener is running"),
        (["status", "--config", "/no/such"], 2, "/no/such:1:1"),
        (["reload", "--config", "/no/such"], 2, "/no/such:1:1"),
        (["top", "--once", "--config", "/no/such"], 2, "/no/such:1:1"),
        (["doctor", "--pbx", "paris", "--only", "manager.login"], 2, "there is no 'paris' in pbxs, but none"),
        (["doctor", "--asterisk-etc", "/no/such", "--only", "asterisk.version"], 2, "/no/such"),
        (["config", "schema", "feedz"], 2, "feedz"),
        (["calls", "--last", "3x"], 2, "90m, 12h or 30d"),
        (["calls", "--last", "999999d"], 2, "90m, 12h or 30d"),
        (["list", "add", "block", "17712345678", "--expires", "999999d"], 2, "90m, 12h or 30d"),
        (["calls", "--limit", "0"], 2, "--limit"),
        (["list", "add", "block", "0"], 2, "0"),
        (["list", "add", "block", "+861055550100"], 2, "own"),
        (["list", "add", "friends", "1"], 2, "friends"),
        (["list", "add", "block", "110"], 2, "110"),
        (["list", "import", "/no/such"], 2, "/no/such"),
        (["list", "add", "block", "86"], 2, "anybody may present; --force if you mean it"),
        (["feed", "show", "phoneblock"], 2, "'phoneblock' is no number that could call"),
        (["ledger", "copy", "--to", "postgresql://u@h/d"], 2, "by ledger.url, and --from FILE copies there"),
        (
            ["ledger", "copy", "--from", "postgresql://u@h/d"],
            2,
            "by ledger.url, and --from FILE copies there",
        ),
        (["config", "schema", "--to", "/proc/no"], 1, "/proc/no: No such file or directory\n"),
        (["ledger", "verify", "--key", "/etc/hostname"], 6, "no public key; `screener ledger key`"),
        (["list", "remove", "block", "+8617712345678"], 1, "no such entry"),
    ],
)
def test_command__used_wrongly__says_what_to_do(
    run: Command, arguments: list[str], code: int, words: str
) -> None:
    ended = run(*arguments)
    assert ended.code == code
    assert words in ended.out + ended.err
    assert "[Errno" not in ended.err


def test_explain__trunk_of_another_country__reads_the_caller_as_it_writes_numbers(
    run: Command, site: Path
) -> None:
    settings = json.loads((site / "screener.yaml").read_text())
    settings["trunks"] = {"PJSIP/us*": {"region": "US"}}
    (site / "screener.yaml").write_text(json.dumps(settings))
    there = run("explain", "0118617712345678", "--trunk", "PJSIP/us2")
    assert there.out.startswith("+8617712345678 ")
    assert "FOREIGN_TRUNK" in there.out
    assert run("explain", "2125550100", "--trunk", "PJSIP/us2").out.startswith("+12125550100 ")
    assert not run("explain", "2125550100").out.startswith("+12125550100 ")


@pytest.mark.parametrize("arguments", [["explain", "1"], ["replay", "calls.csv"]], ids=str)
def test_command__directory_of_the_store_lies_below_a_file__is_told(
    run: Command, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    (tmp_path / "calls.csv").write_text("")
    (site / "screener.yaml").write_text(f"state_dir: {tmp_path}/calls.csv/s")
    monkeypatch.chdir(tmp_path)
    ended = run(*arguments)
    assert (ended.code, "calls.csv/s/store cannot be used: Not a directory" in ended.err) == (5, True), ended


def test_explain__profile_in_force__is_named_and_decides(run: Command, site: Path) -> None:
    profile = {"description": "-", "did": ["100"], "hours": ["22:00-06:00"], "actions": {"challenge": 5}}
    (site / "profiles.yaml").write_text(json.dumps({"profiles": {"night": profile}}))
    night = run("explain", "anonymous", "--did", "100", "--at", "2026-10-01T23:00:00")
    assert "allow, score 4, profile night, policy" in night.out
    day = run("explain", "anonymous", "--did", "100", "--at", "2026-10-01T12:00:00")
    assert "challenge, score 4, policy" in day.out
    assert "profiles, the first that holds is in force: night no" in day.out


def test_config_schema__into_a_directory__is_written_there(run: Command, tmp_path: Path) -> None:
    ended = run("config", "schema", "--to", str(tmp_path / "schemas"))
    assert "yaml-language-server" in ended.out
    assert json.loads((tmp_path / "schemas/policy.schema.json").read_text())["title"] == "policy.yaml"


def test_status__configuration_has_a_mistake__still_finds_where_the_service_is(
    run: Command, site: Path
) -> None:
    (site / "policy.yaml").write_text("actions: [")
    assert run("status").code == 7


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("screener.yml", "state_dir: /srv/s", "screener.yml:1:1: file: is not read; name it screener.yaml"),
        ("screenr.yaml", "state_dir: /srv/s", "screenr.yaml:1:1: file: is not read; did you mean"),
        ("screener.yaml", "state_dri: /srv/s", "screener.yaml:1:1: state_dri: unknown key; did you mean"),
        ("screener.yaml", "ami:\n  state_dir: /srv/s", "screener.yaml:2:3: ami.state_dir: unknown key"),
        ("screener.yaml", "state_dir: [/srv/s]", "screener.yaml:1:12: state_dir: expected a path that beg"),
    ],
)
@pytest.mark.parametrize("asked", [["status"], ["reload"], ["top", "--once"]], ids=str)
def test_service__settings_misnamed_or_mistyped__is_not_sought_at_the_usual_place(
    run: Command, tmp_path: Path, asked: list[str], name: str, content: str, problem: str
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / name).write_text(content)
    ended = run(*asked, "--config", tmp_path / "other")
    assert ended.code == 2
    assert ended.err.startswith(f"{tmp_path}/other/{problem}")


def test_service__directory_of_settings_is_a_file__says_so(run: Command, site: Path) -> None:
    ended = run("status", "--config", site / "screener.yaml")
    assert ended.code == 2
    assert f"directory: cannot be read: Not a directory; name the directory, {site}" in ended.err


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["facts"], ["check"], ["config", "show"], ["--help"]], ids=str)
def test_command__where_its_output_goes_is_full__says_so(
    site: Path, arguments: list[str], unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with Path("/dev/full").open("w") as full:
        ended = _as_program(site, arguments, stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 1
    assert ended.stderr == "the output cannot be written: No space left on device; make room where it goes\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_command__standard_files_are_closed__works(site: Path, closed: str) -> None:
    script = f'"$@" {closed}; test $? -eq 0 && echo good'
    ended = _as_program(site, ["check"], under=("sh", "-c", script, "-"), capture_output=True)
    assert ended.stdout.endswith("good\n"), ended


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [(["explain", "anonymous"], 0, "\\u2192 challenge"), (["packs", "list"], 0, ""), (["list", "é"], 2, "")],
    ids=str,
)
def test_command__terminal_that_has_no_unicode__shows_what_it_can(
    site: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, words: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    ended = _as_program(site, arguments, capture_output=True)
    assert (ended.returncode, "Error: " in ended.stderr, "Traceback" in ended.stderr) == (
        code,
        code == 2,
        False,
    )
    assert words in ended.stdout


@pytest.mark.parametrize("width", ["", "wide", "0", "-5"])
def test_command__strange_width_of_the_terminal__is_the_usual_one(
    run: Command, monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    assert "us-tcpa" in run("packs", "list").out


def _as_program(
    site: Path, arguments: list[str], under: tuple[str, ...] = (), **about: Any
) -> subprocess.CompletedProcess[str]:
    whole = [*under, sys.executable, "-m", "screener", *arguments]
    environ = {**os.environ, "SCREENER_CONFIG": str(site)}
    return subprocess.run(whole, env=environ, text=True, check=False, **about)


def test_status__a_copy_beside_the_settings__still_finds_where_the_service_is(
    run: Command, site: Path
) -> None:
    (site / "screener.yml").write_text("state_dir: /srv/s")
    assert run("status").code == 7


def test_check__several_mistakes__names_file_line_and_key_of_each(run: Command, site: Path) -> None:
    (site / "policy.yaml").write_text("actions:\n  challenge: many\n")
    (site / "rules").mkdir()
    (site / "rules/velocity.yaml").write_text("rules:\n  BURST:\n    when: caller.calls_1x > 1\n")
    ended = run("check")
    assert ended.code == 2
    assert "policy.yaml:2:14: actions.challenge" in ended.err
    assert "rules/velocity.yaml:3:11: rules.BURST.when" in ended.err


def test_list__a_life_of_an_entry__is_found_exported_and_gone(run: Command, tmp_path: Path) -> None:
    assert run("list", "add", "block", "17712345678", "--reason", HOSTILE, "--expires", "30d").code == 0
    found = run("list", "find", "+8617712345678")
    assert "+8617712345678" in found.out
    assert "\x1b" not in found.out
    exported = tmp_path / "out.csv"
    exported.write_text(run("list", "export").out)
    assert run("list", "remove", "block", "17712345678").code == 0
    assert run("list", "find", "17712345678").code == 1
    assert run("list", "import", str(exported)).code == 0
    assert "+8617712345678" in run("list", "show").out
    assert "BLOCKLISTED" in run("explain", "017712345678").out


def test_list_import__for_the_allow_list__friends_are_not_blocked(run: Command, tmp_path: Path) -> None:
    file = tmp_path / "friends.txt"
    file.write_text("+8613912345678\n")
    assert run("list", "import", str(file), "--kind", "allow").code == 0
    assert run("list", "find", "+8613912345678").out.splitlines()[1].startswith("allow")


def test_list_import__bad_rows__are_told_with_their_line_and_skipped(run: Command, tmp_path: Path) -> None:
    file = tmp_path / "feed.txt"
    file.write_text("+8617712345678\n0\nFLOWERS\n+8617712345679\n")
    ended = run("list", "import", str(file))
    assert ended.code == 1
    assert "2 entries added, 2 lines refused" in ended.out
    assert f"{file}:2: " in ended.err
    assert f"{file}:3: " in ended.err


def test_calls__of_a_hostile_caller__prints_no_control_character(run: Command, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "s" / "ledger.db") as ledger:
        verdict = {"action": "allow", "score": 0, "hits": []}
        body = {"call": {"number": HOSTILE, "shown": HOSTILE, "did": HOSTILE}, "verdict": verdict}
        ledger.append(Row("1.1", "setup", datetime(2026, 1, 1, tzinfo=UTC), body))
    for arguments in (["calls"], ["calls", "--json"]):
        ended = run(*arguments)
        assert ended.code == 0
        assert ended.out.replace("\n", "").isprintable()
    assert "[red]" in run("calls").out


@pytest.mark.parametrize("missing", ["reject.conf", "voicemail.conf"])
def test_check__dialplan_without_an_action__names_the_file(
    run: Command, tmp_path: Path, missing: str
) -> None:
    shutil.copytree(dialplan.shipped_dir(), tmp_path / "plan")
    (tmp_path / "plan/actions" / missing).unlink()
    (tmp_path / "plan/actions/tarpit.conf").write_text("[screener-action-tarpit]\n")
    ended = run("check", "--dialplan", str(tmp_path / "plan"))
    assert ended.code == 2
    assert f"actions/{missing}:1:1" in ended.err
    assert "tarpit" in ended.err


@pytest.mark.parametrize("file", ["screener.conf", "codes.conf"])
def test_check__dialplan_of_another_version__says_so(run: Command, tmp_path: Path, file: str) -> None:
    shutil.copytree(dialplan.shipped_dir(), tmp_path / "plan")
    main = tmp_path / "plan" / file
    main.write_text(main.read_text().replace("Version: 1", "Version: 0"))
    ended = run("check", "--dialplan", str(tmp_path / "plan"))
    assert ended.code == 2
    assert f"{file}:1:1: version" in ended.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what the service's user could not use")
def test_list__as_root_in_the_directory_of_the_service__is_told_whose_command_it_is(
    run: Command, tmp_path: Path
) -> None:
    (tmp_path / "s").mkdir()
    os.chown(tmp_path / "s", 65534, -1)
    ended = run("list", "add", "block", "17712345678")
    assert ended.code == 5
    assert "sudo -u nobody" in ended.err
    assert not list((tmp_path / "s").iterdir())


@pytest.fixture(scope="module")
def all_loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What Python loads only when it is used, which may be closed to other users."""
    site = site_in(tmp_path_factory.mktemp("loaded"))
    typed("list", "show", "--config", site)
    typed("explain", "17712345678", "--config", site)


@needs_root
@pytest.mark.usefixtures("all_loaded")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["list", "find", "17712345678"], 5),
        (["explain", "17712345678"], 5),
        (["trust", "show", "17712345678"], 5),
        (["replay", "MASTER"], 5),
        (["calls"], 6),
        (["run"], 6),
        (["status"], 7),
    ],
    ids=str,
)
def test_command__of_another_user_than_the_service__is_told_whose_it_is(
    run: Command, site: Path, tmp_path: Path, arguments: list[str], code: int
) -> None:
    (tmp_path / "s").mkdir(mode=0o700)
    (tmp_path / "master.csv").write_text("")
    reachable(site)
    arguments = [one.replace("MASTER", str(tmp_path / "master.csv")) for one in arguments]
    ended = as_user(OTHER, lambda: run(*arguments))
    assert ended.code == code
    assert "Permission denied" in ended.err
    assert any(words in ended.err for words in ("who runs this", "run this as root")), ended.err


def test_list_purge__an_expired_entry__is_forgotten(run: Command, tmp_path: Path) -> None:
    file = tmp_path / "old.csv"
    file.write_text("number,expires\n+8617712345678,2020-01-01\n+8617712345679,\n")
    assert run("list", "import", str(file)).code == 0
    assert "1 expired entries forgotten" in run("list", "purge").out
    shown = run("list", "show").out
    assert "+8617712345678" not in shown
    assert "+8617712345679" in shown


def test_config_show__notifications__shows_no_more_of_a_url_than_its_scheme(run: Command, site: Path) -> None:
    settings = json.loads((site / "screener.yaml").read_text())
    settings["notify"] = {"urls": ["tgram://123:t0ken/chat", "mailto://me:t0ken@example.org"]}
    (site / "screener.yaml").write_text(json.dumps(settings))
    shown = run("config", "show").out
    assert "tgram://********" in shown
    assert "t0ken" not in shown


def test_list_add__a_user_without_a_name_as_in_a_container__is_recorded_by_his_number(
    run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert run("list", "add", "block", "+8613700137000", "--reason", "calls at night").code == 0
    assert "#54321" in run("list", "export").out
