"""The doctor's own parts: what Asterisk says is understood, and nothing that hangs or fails hangs it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from screener.ami import Account, Ami
from screener.doctor import CHECKS, Check, Level, Patient, configuration, made, recordings, store
from screener.doctor.checkup import fine
from screener.doctor.console import Loaded, applications, functions, sections_of
from screener.doctor.manager import allowed
from screener.doctor.rights import Who
from screener.errors import AmiError, NotChecked
from screener.state import place
from tests.users import OTHER, as_user, needs_root, reachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from screener.doctor import Finding
    from screener.doctor.checkup import Look

SCREENER = Path(__file__).resolve().parents[2] / "screener"
DIALPLAN = """
[ Context 'from-trunk' created by 'pbx_config' ]
  '_[+0-9].' =>     1. ExecIf(${DIALPLAN_EXISTS(screener,s,1)}?Gosub(screener,s,1(${EXTEN}))) [some.conf:24]
                    2. Dial(PJSIP/phone,30)                       [extensions.conf:25]
  Include =>        'afterwards'                                  [pbx_config]

[ Context 'afterwards' created by 'pbx_config' ]
  's' =>            1. Goto(from-trunk,s,1)                       [extensions.conf:30]
     [here]         2. Set(GROUP(a)=${LEN(${FILTER(0-9,${x})})}) [extensions.conf:31]
                    3. UserEvent(Cut,At: ${STRFTIME(,,%s [extensions.conf:32]
"""


def patient(site: Path | None = None) -> Patient:
    return Patient(site, None)


def blocks(_: Patient) -> Iterator[Finding]:
    threading.Event().wait(30)
    yield fine("never")


async def hangs(_: Patient) -> AsyncIterator[Finding]:
    yield fine("seen before")
    await asyncio.sleep(30)


async def raises(_: Patient) -> AsyncIterator[Finding]:
    yield fine("seen before")
    raise KeyError("no such thing")


def declines(_: Patient) -> Iterator[Finding]:
    yield fine("seen before")
    raise NotChecked("it is\non another machine")


@pytest.mark.parametrize(
    ("look", "why"),
    [
        (blocks, "no answer within 0.1 s"),
        (hangs, "no answer within 0.1 s"),
        (raises, "the check itself failed, please report it: KeyError: 'no such thing'"),
        (declines, "it is on another machine"),
    ],
)
async def test_check__it_hangs_or_cannot_look__not_checked_and_why(look: Look, why: str) -> None:
    ended = await made(Check(look), patient(), 0.1)
    assert ended.level is Level.UNCHECKED
    assert ended.findings[-1].what == why


async def test_doctor__asterisk_takes_the_connection_and_is_silent__ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ami = Ami(Account("127.0.0.1", silent.getsockname()[1], "screener", "secret"))
        async with asyncio.timeout(8):
            with pytest.raises(AmiError, match="did not answer Login within"):
                async with ami.visit():
                    pass


async def test_patient__what_cannot_be_had__is_tried_once() -> None:
    tries = []

    async def fail() -> str:
        tries.append(1)
        raise OSError("away")

    here = patient()
    for _ in range(3):
        with pytest.raises(NotChecked, match="away"):
            await here.once("a thing", fail)
    assert len(tries) == 1


async def test_patient__asterisk_is_elsewhere__its_files_are_not_those_here(
    tmp_path: Path,
) -> None:
    (tmp_path / "screener.yaml").write_text("ami: {host: pbx.example, secret: s}")
    here = patient(tmp_path)
    for look in (here.console("core show settings"), here.sections("manager.conf"), here.dialplan()):
        with pytest.raises(NotChecked, match=r"Asterisk is on pbx\.example: run this there"):
            await look


def test_dialplan__as_asterisk_prints_it__its_steps_includes_and_ways_are_known() -> None:
    loaded = Loaded.read(DIALPLAN)
    steps = [one for rows in loaded.steps.values() for one in rows]
    assert loaded.callers_of("screener") == ["from-trunk"]
    assert loaded.reached_from(["afterwards"]) == {"afterwards", "from-trunk"}
    assert loaded.includes["from-trunk"] == ["afterwards"]
    assert applications(steps) == {"ExecIf", "Gosub", "Dial", "Goto", "Set", "UserEvent"}
    assert functions(steps) == {"DIALPLAN_EXISTS", "GROUP", "LEN", "FILTER", "STRFTIME"}


def test_sections__files_that_include_others_and_themselves__are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "manager.conf").write_text(
        "[general]\nenabled = yes ; no\n#include more/*.conf\n#tryinclude none.conf\n#include manager.conf\n"
    )
    (tmp_path / "more" / "a.conf").write_text("[screener](+)\nread => user,call\neventfilter = a\\;b\n")
    found = sections_of(tmp_path / "manager.conf")
    assert [(one.key, one.value) for one in found["screener"]][:2] == [
        ("read", "user,call"),
        ("eventfilter", "a\\;b"),
    ]
    assert found["general"][0].place == f"{tmp_path / 'manager.conf'}:2"
    with pytest.raises(NotChecked, match="run this as root"):
        sections_of(tmp_path / "absent.conf")


@pytest.mark.parametrize(
    ("rules", "lets_in"),
    [
        ((), True),
        (("deny - 0.0.0.0/0.0.0.0", "allow - 127.0.0.1/255.255.255.255"), True),
        (("allow - 127.0.0.1/255.255.255.255", "deny - 0.0.0.0/0.0.0.0"), False),
        (("deny - ::/::",), True),
        (("deny - 127.0.0.0/255.0.0.0", "allow - 10.0.0.0/255.0.0.0"), False),
    ],
)
def test_acl__rules_in_order__the_last_that_fits_counts(rules: tuple[str, ...], *, lets_in: bool) -> None:
    shown = "".join(f"  {number}: {rule}\n" for number, rule in enumerate(rules))
    assert allowed(shown, "127.0.0.1") is lets_in


def test_rights__the_way_and_the_place__are_looked_at(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    for path in (place, *place.parents):
        if path != Path(tempfile.gettempdir()) and path.is_relative_to(tempfile.gettempdir()):
            path.chmod(0o755)
    somebody = Who(54321, (54321,))
    assert somebody.lacks(place, 4) == ""
    assert somebody.lacks(place, 2) == f"{place}: #54321 may not write there"
    place.parent.chmod(0o750)
    assert somebody.lacks(place, 4) == f"{place.parent}: #54321 may not go through there"


def test_commands_of_the_store__all_that_scripts_call__are_tried() -> None:
    sources = [*SCREENER.rglob("*.lua"), *SCREENER.rglob("*.py")]
    called = {
        name
        for path in sources
        if path.parent.name != "doctor"
        for name in re.findall(r"redis\.p?call\(['\"]([A-Z]+)", path.read_text())
    }
    tried = {words[0] for words in json.loads(store._COMMANDS)} | {"DEL", "TIME"}
    assert called <= tried, called - tried


@needs_root
@pytest.mark.parametrize("closed", ["screener.yaml", "secret"])
def test_configuration__closed_to_who_asks__says_who_must_be_able_to_read_it(
    tmp_path: Path, closed: str
) -> None:
    reachable(tmp_path)
    (tmp_path / "secret").write_text("hush")
    (tmp_path / "screener.yaml").write_text(f"ami: {{secret_file: {tmp_path / 'secret'}}}")
    assert [one.level for one in configuration.loads(patient(tmp_path))] == [Level.OK]
    (tmp_path / closed).chmod(0o600)
    (found,) = as_user(OTHER, lambda: list(configuration.loads(patient(tmp_path))))
    assert re.search(
        f"{closed}.*: Permission denied; the screener's own user .* run this as root", found.what
    )
    assert found.mend.startswith("give it to the screener's user")


@pytest.mark.parametrize(
    "settings",
    [
        "pbxs: {a: {secret: hush}}",
        "ami: {secret_file: FILE}",
        "pbxs: {a: {secret_file: FILE}}",
        "ledger: {url: 'postgresql://u:hush@h/d'}",
        "redis: {url: 'redis://u:hush@h'}",
    ],
)
def test_doctor__others_may_read_a_secret__says_of_which_file(tmp_path: Path, settings: str) -> None:
    site, secret = tmp_path / "site", tmp_path / "secret"
    site.mkdir()
    secret.write_text("hush")
    readable = secret if "FILE" in settings else site / "screener.yaml"
    (site / "screener.yaml").write_text(settings.replace("FILE", str(secret)))
    for path in (secret, site / "screener.yaml"):
        path.chmod(0o644 if path == readable else 0o640)
    (found,) = configuration.modes(patient(site))
    assert found.level is Level.FAIL
    assert found.what.startswith(f"{readable}: every user of this machine has the rights r")


@pytest.mark.parametrize("left", ["lock", "lock and socket"])
async def test_store__embedded_and_left_by_a_service_that_is_gone__names_no_setting_of_another(
    tmp_path: Path, left: str
) -> None:
    directory = tmp_path / "s" / "store"
    directory.mkdir(parents=True)
    path = directory / place.SOCKET
    (directory / place.LOCK).write_text(f"1\n{path}\n")
    if left != "lock":
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(path))
    (tmp_path / "screener.yaml").write_text(f"state_dir: {tmp_path}/s")
    checks = [one for one in CHECKS if one.group == "store" and one.name != "store.feeds_fresh"]
    async with patient(tmp_path) as there:
        found = [finding for one in checks for finding in (await made(one, there)).findings]
    assert found
    for one in found:
        assert one.level is Level.UNCHECKED
        assert "redis.url" not in one.what
        assert one.what.endswith(("see service.running", "see store.reachable")), one.what


@pytest.mark.parametrize("key", ["state_dir", "recordings_dir"])
def test_disk__directory_below_a_file__cannot_be_made(tmp_path: Path, key: str) -> None:
    (tmp_path / "file").write_text("")
    settings = {"state_dir": f"{tmp_path}/s", "recordings_dir": f"{tmp_path}/r", key: f"{tmp_path}/file/d"}
    (tmp_path / "screener.yaml").write_text(json.dumps(settings))
    found = [one for one in recordings.disk(patient(tmp_path)) if one.level is not Level.OK]
    assert [one.level for one in found] == [Level.FAIL]
    assert found[0].what == f"{tmp_path}/file/d cannot be made: {tmp_path}/file is no directory"
    assert found[0].mend == f"another {key} in screener.yaml, or move {tmp_path}/file away"
