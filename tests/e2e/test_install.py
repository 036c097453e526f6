"""`screener install` and `uninstall` beside an Asterisk that somebody uses, with real calls on it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pbx import sound
from tests.pbx.asterisk import find_binary
from tests.pbx.bare import bare, needs_debian, parts, settled, tree
from tests.pbx.house import FRIEND, STRANGER
from tests.users import ASTERISK, as_user, needs_root

if TYPE_CHECKING:
    from tests.pbx.house import House

pytestmark = [needs_root, needs_debian, pytest.mark.timeout(180)]
KINDS = [("debian", None), ("freepbx", None), ("freepbx", ASTERISK)]


def changed(before: dict[str, str], after: dict[str, str], below: Path) -> set[str]:
    """What was there before and is not as it was."""
    return {str(Path(path).relative_to(below)) for path in before if after.get(path) != before[path]}


async def rings(house: House, number: str = FRIEND) -> None:
    """A call from outside reaches our telephone, and both hang up."""
    call = await house.call(number)
    await house.answered()
    call.hangup()
    await settled(house)


async def is_recorded(house: House, number: str = STRANGER) -> None:
    """A blocked caller hears the notice, speaks, and is recorded into the directory that was installed."""
    call = await house.call(number)
    await house.hears(call, "greeting")
    await call.say(sound.tone(1.5))
    call.hangup()
    record = await house.service.record(lambda one: len(one.recordings) == 2)
    assert Path(record.recordings[0]["path"]).is_relative_to(house.directory / "pbx/spool/screener")
    assert house.silent


@pytest.mark.parametrize(("kind", "user"), KINDS)
async def test_install__and_uninstall__screen_calls_and_leave_every_file_as_it_was(
    kind: str, user: int | None
) -> None:
    try:
        as_user(user or 0, partial(os.listdir, find_binary().modules))
    except OSError as error:
        pytest.skip(f"Asterisk cannot be run by another user here: {error}")
    async with bare(kind, user=user) as house:
        service, etc = parts(house)
        if (
            kind == "freepbx"
        ):  # there, its own files are links to its modules, and all belongs to Asterisk's user
            shutil.move(etc / "extensions.conf", house.directory / "core.conf")
            (etc / "extensions.conf").symlink_to(house.directory / "core.conf")
            os.chown(etc / "extensions.conf", user or 0, user or 0, follow_symlinks=False)
        await rings(house)
        before = tree(house.directory / "pbx/etc")
        sounds = tree(house.directory / "pbx/data/sounds")

        code, said = await service.install("--trunk", "trunk")
        assert code == 0, said
        touched = {"debian": {"extensions.conf", "pjsip.conf"}}.get(
            kind, {"extensions_custom.conf", "manager_custom.conf", "pjsip.endpoint_custom_post.conf"}
        )
        assert changed(before, tree(etc), etc) - {"manager.d"} == touched
        # Asterisk's user reads what he must and may write nothing of it; others read no secret.
        secret = service.site / "ami.secret"
        assert as_user(user or 0, secret.read_text).strip() in (etc / "screener/manager.conf").read_text()
        for path in (secret, etc / "screener/manager.conf"):
            assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (0o640, 0)
        assert stat.S_IMODE((house.directory / "pbx/spool/screener").stat().st_mode) == 0o750

        await rings(house)  # nobody screens yet
        if user:  # whom the screener would run as, had this user a Python here
            assert (service.state.stat().st_uid, service.state.stat().st_mode & 0o777) == (user, 0o750)
            os.chown(service.state, 0, 0)
        await service.start()
        await service.command("list", "add", "block", STRANGER, "--reason", "robocalls")
        await rings(house)
        assert (await house.ended(number=FRIEND)).verdict["action"] == "allow"
        await is_recorded(house)
        for nobody in ("nobody-of-us", "100%2C2"):
            unknown = await house.call(FRIEND, to=nobody)
            await asyncio.wait_for(unknown.ended.wait(), 20)
            assert unknown.status == 404

        code, said = await service.install()
        assert (code, "nothing to do" in said) == (0, True), said

        await settled(house)
        code, said = await service.command("uninstall")
        assert code == 0, said
        assert tree(etc) == before
        assert tree(house.directory / "pbx/data/sounds") == sounds
        assert "0 results found" in await house.pbx.cli("database show screener")
        assert "recordings" not in said.partition("kept, for")[0]
        assert f"{house.directory}/pbx/spool/screener: kept" in said
        await service.stop()
        await rings(house)
        await rings(house, STRANGER)


async def test_install__dry_run__shows_the_line_and_changes_nothing() -> None:
    async with bare() as house:
        service, etc = parts(house)
        folders = [house.directory / "pbx" / name for name in ("etc", "data", "spool")]
        before = [tree(folder) for folder in folders]
        code, said = await service.install("--dry-run", "--trunk", "trunk")
        assert code == 0, said
        added = re.findall(r"^\+#include (.*)$", said, re.MULTILINE)
        assert added[-3:] == ["screener/manager.conf", "screener/site.conf", "screener/pjsip.conf"]
        assert "+region: CN" in said
        assert "+secret = (hidden)" in said
        assert [tree(folder) for folder in folders] == before
        assert not service.site.exists()
        assert not (etc / "screener").exists()


async def test_install__without_a_trunk__screens_nobody_and_says_how() -> None:
    async with bare() as house:
        service, _ = parts(house)
        code, said = await service.install()
        assert code == 0, said
        assert "NO CALL IS SCREENED YET" in said
        assert "which may be a trunk: trunk" in said
        code, said = await service.install("--trunk", "trunk")
        assert (code, "NO CALL" in said) == (0, False)
        code, said = await service.install("--trunk", "no-such")
        assert (code, "no such PJSIP endpoint" in said) == (1, True), said


async def test_install__newer_version__replaces_its_files_and_keeps_the_secret_and_what_is_yours() -> None:
    async with bare() as house:
        service, etc = parts(house)
        assert (await service.install("--trunk", "trunk"))[0] == 0
        secret = (service.site / "ami.secret").read_text()
        # As an older version had written it, and one that the administrator has changed.
        older, mine = etc / "screener/actions/reject.conf", etc / "screener/actions/voicemail.conf"
        older.write_text("; of an older version\n[screener-action-reject]\nexten => s,1,Hangup()\n")
        record = json.loads((service.site / "installed.json").read_text())
        record["files"][str(older)] = [hashlib.sha256(older.read_bytes()).hexdigest()]
        (service.site / "installed.json").write_text(json.dumps(record))
        mine.write_text(mine.read_text() + "; mine\n")
        (service.site / "screener.yaml").write_text(
            (service.site / "screener.yaml").read_text() + "city: true\n"
        )

        code, said = await service.install()
        assert code == 0, said
        assert "-; of an older version" in said
        assert f"{mine}: changed by somebody since it was written: left as it is" in said
        assert "Hangup(21)" in older.read_text()
        assert mine.read_text().endswith("; mine\n")
        assert (service.site / "screener.yaml").read_text().endswith("city: true\n")
        assert (service.site / "ami.secret").read_text() == secret
        await service.start()
        await service.stop()

        code, said = await service.install("--force")
        assert (code, mine.read_text().endswith("; mine\n")) == (0, False), said
        assert (etc / "screener/actions/voicemail.conf.before").read_text().endswith("; mine\n")
        mine.write_text("; mine again\n")
        code, said = await service.command("uninstall")
        assert (code, mine.read_text()) == (0, "; mine again\n"), said
        assert f"{mine}: changed by somebody" in said


async def test_install__dialplan_that_asterisk_cannot_load__leaves_all_as_it_was() -> None:
    async with bare() as house:
        service, etc = parts(house)
        # A line that waits for the next reload, and will break it.
        with (etc / "extensions.conf").open("a") as plan:
            plan.write("#include nowhere.conf\n")
        before = tree(etc)
        code, said = await service.install("--trunk", "trunk", within=90)
        assert (code, "did not load" in said) == (4, True), said
        assert tree(etc) == before
        assert not service.site.exists()
        assert "context" in await house.pbx.cli("pjsip show endpoint trunk")
        await rings(house)


async def test_install__trunk_that_does_not_take_a_context__leaves_all_as_it_was() -> None:
    async with bare("freepbx") as house:
        service, etc = parts(house)
        # Set once more by something behind our include, as a wizard or a database would.
        with (etc / "pjsip.identify.conf").open("a") as late:
            late.write("[trunk](+type=endpoint)\ncontext=from-trunk\n")
        before = tree(etc)
        code, said = await service.install("--trunk", "trunk", within=90)
        assert code == 4, said
        assert tree(etc) == before


async def test_uninstall__while_a_caller_is_recorded__waits_for_him_and_lets_others_ring() -> None:
    async with bare() as house:
        service, etc = parts(house)
        before = tree(etc)
        assert (await service.install("--trunk", "trunk"))[0] == 0
        await service.start()
        await service.command("list", "add", "block", STRANGER, "--reason", "robocalls")
        friend = await house.call(FRIEND)
        await house.answered()
        recorded = await house.call(STRANGER)
        await house.hears(recorded, "greeting")
        speaking = asyncio.create_task(recorded.say(sound.tone(60)))
        leaving = asyncio.create_task(service.command("uninstall", within=60))
        async with asyncio.timeout(30):
            while re.search(r"=> +1\. ", await house.pbx.cli("dialplan show s@screener")):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
        other = await house.call("+8613900000001")
        await house.answered()
        other.hangup()
        assert not leaving.done()
        speaking.cancel()
        recorded.hangup()
        code, said = await leaving
        assert (code, "waiting for calls" in said) == (0, True), said
        assert tree(etc) == before
        record = await house.service.record(lambda one: len(one.recordings) == 2)
        assert record.call["number"] == STRANGER
        assert not friend.ended.is_set()
        friend.hangup()
        await service.stop()


async def test_install__by_hand__touches_no_file_of_the_administrator() -> None:
    async with bare() as house:
        service, etc = parts(house)
        before = tree(etc)
        code, said = await service.install("--by-hand", "--context", "from-trunk")
        assert code == 0, said
        assert not changed(before, tree(etc), etc)
        assert f"{etc}/extensions.conf: #include screener/site.conf" in said
        assert "set its context to screened-from-trunk" in said
        code, said = await service.command("uninstall")
        assert (code, tree(etc) == before) == (0, True), said


async def test_install__asterisk_down__is_loaded_at_its_start() -> None:
    async with bare() as house:
        service, etc = parts(house)
        before = tree(etc)
        await house.pbx.stop()
        code, said = await service.install()
        assert (code, "Asterisk has not loaded it yet" in said) == (0, True), said
        house.pbx.spawn()
        await house.pbx.ready()
        assert "screener-installed" in await house.pbx.cli("dialplan show screener-installed")
        await house.pbx.stop()
        code, said = await service.command("uninstall", "--purge")
        assert (code, tree(etc) == before) == (0, True), said
        assert not (house.directory / "pbx/spool/screener").exists()
        assert not service.state.exists()
        assert not service.site.exists()


async def test_install__trunk_that_is_taken_out_later__takes_no_other_with_it() -> None:
    async with bare() as house:
        service, etc = parts(house)
        assert (await service.install("--trunk", "trunk"))[0] == 0
        pjsip = (etc / "pjsip.conf").read_text()
        (etc / "pjsip.conf").write_text(re.sub(r"\[(trunk|away)\]\n(?=type=endpoint)", r"[\1-new]\n", pjsip))
        await house.pbx.stop()
        house.pbx.spawn()
        await house.pbx.ready()
        endpoints = await house.pbx.cli("pjsip show endpoints")
        assert re.findall(r"^ Endpoint: +(\S+) ", endpoints, re.MULTILINE)[1:] == [
            "away-new", "dead", "other", "phone", "trunk-new"
        ]  # fmt: skip
        assert (await service.install())[0] == 0
