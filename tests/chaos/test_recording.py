"""Callers hang up, the disk is full, the screener dies: what was said until then is kept and filed."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from screener.spool import delete, secure
from tests.pbx import sound
from tests.pbx.asterisk import CACHE, find_binary
from tests.pbx.faults import (
    AGAIN_S,
    AT_ONCE_S,
    Ear,
    Line,
    brief,
    fill,
    reaches_us,
    screened_again,
    small_disk,
    somebody,
    stopped,
)
from tests.pbx.house import House
from tests.users import ASTERISK, OTHER, OURS, as_user, needs_root

if TYPE_CHECKING:
    from screener.ledger import CallRecord

ROBOTS = "+86137"
TONE_S = 1.0
TONE_LEFT_S = 0.5
"""Of a tone that was spoken, at least this must be found; the rest may be on its way at the hangup."""
DISK_KIB = 32
"""Room for one second of both legs, 16 kB/s each."""
ALARM_S = 12.0
"""The screener waits SETTLE_S, 10 s, for files that may still come."""


async def block_robots(house: House) -> None:
    code, output = await house.service.command("list", "add", "block", f"{ROBOTS}*", "--reason", "robots")
    assert code == 0, output


async def filed(house: House, call_id: str, within: float = 15) -> CallRecord:
    return await house.service.record(lambda one: one.call_id == call_id and len(one.recordings) == 2, within)


def tone_s(path: str | Path) -> float:
    """Seconds of the tone of 440 Hz in a recording."""
    samples, step = sound.read_wav(Path(path)), sound.RATE // 20
    pieces = [samples[at : at + step] for at in range(0, len(samples) - step, step)]
    return sum(sound.strength(piece, 440) > 0.5 for piece in pieces) / 20


def caller_leg(record: CallRecord) -> dict[str, object]:
    return next(one for one in record.recordings if one["leg"] == "caller")


async def test_caller__hangs_up_in_challenge_and_voicemail__keeps_what_was_said() -> None:
    async with House.open() as house, Ear.open(house.pbx) as ear:
        brief(house.pbx, "press", "notice")
        await block_robots(house)
        hidden, robot = await asyncio.gather(house.withheld(), house.call(number := somebody(ROBOTS)))
        await house.hears_key(hidden)
        hidden.hangup()
        assert (await ear.ended("anonymous"))["Challenge"] == ""
        assert (await house.ended(number="anonymous")).disposition == "abandoned"
        await house.hears(robot, "greeting")
        await robot.say(sound.tone(TONE_S))
        robot.hangup()
        record = await filed(house, (await ear.ended(number))["Uniqueid"])
        assert record.end["recording"]
        assert caller_leg(record)["complete"]
        assert tone_s(str(caller_leg(record)["path"])) >= TONE_LEFT_S
        assert house.silent
        assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == ""


async def test_disk__full__caller_hears_the_voicemail_and_what_fits_is_filed() -> None:
    later = sound.ulaw(sound.prompt("greeting")[3 * sound.RATE :][:480])
    async with House.open(screener=False) as house, Ear.open(house.pbx) as ear:
        brief(house.pbx, "notice")
        with small_disk(house.pbx.spool, DISK_KIB + 4):
            old = house.pbx.spool / "2000-01-01"
            old.mkdir()
            (old / "1-caller.wav").write_bytes(kept := b"an earlier recording")
            await house.service.start()
            await house.service.logged("little space left for recordings", level="error")
            await block_robots(house)
            call = await house.call(number := somebody(ROBOTS))
            await call.hear({"the greeting goes on": later})
            call.hangup()
            record = await filed(house, (await ear.ended(number))["Uniqueid"])
            assert sum(one["bytes"] for one in record.recordings) > DISK_KIB * 1024 * 0.8
            for leg in record.recordings:
                assert leg["complete"] is (len(sound.read_wav(Path(leg["path"]))) > 0)
                assert abs(leg["seconds"] - len(sound.read_wav(Path(leg["path"]))) / sound.RATE) < 0.001
            assert (old / "1-caller.wav").read_bytes() == kept
            (old / "1-caller.wav").unlink()
            assert "NOT in order: little space left" in (await house.service.command("status"))[1]
            fill(house.pbx.spool)
            call = await house.call(number := somebody(ROBOTS))
            await house.hears(call, "greeting")
            call.hangup()
            await ear.ended(number)
            await house.service.kill()  # it would wait for the sound of the last call


async def test_recordings__cannot_be_written__caller_hears_the_voicemail_and_an_alarm_is_raised() -> None:
    async with House.open() as house, Ear.open(house.pbx) as ear:
        brief(house.pbx, "notice")
        house.pbx.spool.write_text("a file where the directory should be")
        await block_robots(house)
        call = await house.call(number := somebody(ROBOTS))
        await house.hears(call, "greeting")
        call.hangup()
        end = await ear.ended(number)
        await house.service.logged(
            "a recording cannot be filed", ALARM_S, call=end["Uniqueid"], level="error"
        )
        assert "NOT in order: a recording cannot be filed" in (await house.service.command("status"))[1]
        assert (await house.ended(number=number)).verdict["action"] == "voicemail"


async def test_recordings__too_many_at_once__next_caller_hears_the_same_and_an_alarm_stands() -> None:
    async with House.open(pbx={"globals_": "SCREENER_RECORDINGS_MAX=1"}) as house, Ear.open(house.pbx) as ear:
        brief(house.pbx, "notice")
        await block_robots(house)
        first = await house.call(one := somebody(ROBOTS))
        await house.hears(first, "greeting")
        second = await house.call(other := somebody(ROBOTS))
        await house.hears(second, "greeting")
        second.hangup()
        end = await ear.ended(other)
        assert (end["Recording"], end["Unrecorded"]) == ("", "full")
        await house.service.logged("a call was not recorded, too many", call=end["Uniqueid"], level="error")
        assert "NOT in order: a call was not recorded" in (await house.service.command("status"))[1]
        first.hangup()
        await filed(house, (await ear.ended(one))["Uniqueid"])
        told = (await house.service.command("status"))[1]
        assert "recordings: 2 filed, 0 lost, 1 not made" in told
        assert "NOT in order" not in told


@needs_root
async def test_recording__asterisk_is_another_user_and_lets_nobody_read__we_read_and_delete_it() -> None:
    try:
        for needed in (find_binary().modules, CACHE / "sounds"):
            as_user(ASTERISK, partial(os.listdir, needed))
    except OSError as error:
        pytest.skip(f"Asterisk cannot be run by another user here: {error}")
    pbx = {"user": ASTERISK, "umask": 0o077}
    async with House.open(screener=False, pbx=pbx) as house, Ear.open(house.pbx) as ear:
        brief(house.pbx, "notice")
        spool = house.pbx.spool
        spool.mkdir()
        os.chown(spool, OURS, ASTERISK)
        spool.chmod(0o2770)
        assert as_user(OURS, partial(secure, spool)) == ""
        await house.service.start()
        await block_robots(house)
        call = await house.call(number := somebody(ROBOTS))
        await house.hears(call, "greeting")
        call.hangup()
        record = await filed(house, (await ear.ended(number))["Uniqueid"])
        path = Path(str(caller_leg(record)["path"]))
        assert os.stat(path).st_uid == ASTERISK  # noqa: PTH116 - of a test
        with pytest.raises(PermissionError):
            as_user(OTHER, path.read_bytes)
        assert as_user(OURS, path.read_bytes)
        assert as_user(OURS, partial(delete, spool, [path])) == [path]


async def test_screener__killed_during_challenges__person_rings_and_robot_is_recorded_and_filed() -> None:
    async with House.open() as house, Ear.open(house.pbx) as ear:
        brief(house.pbx, "press", "again", "thanks", "notice")
        person, robot = await house.withheld("100"), await house.withheld("101")
        keys, _ = await asyncio.gather(house.hears_keys(person), house.hears_keys(robot))
        asked = {event["Did"]: event["Uniqueid"] for event in ear.events if "Did" in event}
        await house.service.record(lambda one: one.call_id == asked["101"])
        with stopped(house.service.process.pid):  # type: ignore[union-attr]
            house.service.signal(signal.SIGKILL)
        await house.service.kill()
        for right in keys:
            person.press(right)
            robot.press("*")
        await house.hears(robot, "again")
        await house.obeys(robot, instead="**")
        await house.rings(10)
        await house.hears(robot, "greeting")
        await robot.say(sound.tone(TONE_S))
        robot.hangup()
        end = await ear.heard("ScreenerEnd", Uniqueid=asked["101"])
        assert (end["Challenge"], end["Missed"]) == ("failed", "away")
        assert house.silent
        await house.service.start()
        record = await filed(house, asked["101"])
        assert record.setup["action"] == "challenge"
        assert caller_leg(record)["complete"]
        assert tone_s(str(caller_leg(record)["path"])) >= TONE_LEFT_S
        person.hangup()


async def test_screener__killed_during_a_voicemail__recording_is_filed_at_the_next_start() -> None:
    async with House.open() as house, Ear.open(house.pbx) as ear:
        brief(house.pbx, "notice")
        await block_robots(house)
        call = await house.call(number := somebody(ROBOTS))
        await house.hears(call, "greeting")
        await house.service.record(lambda one: one.call["number"] == number)
        await house.service.kill()
        await call.say(sound.tone(TONE_S))
        call.hangup()
        end = await ear.ended(number)
        await house.service.start()
        record = await filed(house, end["Uniqueid"])
        assert record.call["number"] == number
        assert record.disposition == "recorded"
        leg = caller_leg(record)
        assert leg["complete"]
        assert str(leg["path"]).startswith(unquote(end["Recording"]))
        assert tone_s(str(leg["path"])) >= TONE_LEFT_S
        await screened_again(house, ear, AGAIN_S)


async def test_line__cut_when_a_recorded_caller_hangs_up__recording_is_filed_on_reconnect() -> None:
    async with House.open(screener=False) as house, Ear.open(house.pbx) as ear, Line.open(house.pbx) as line:
        house.service.settings["ami"]["port"] = line.port
        await house.service.start()
        brief(house.pbx, "notice")
        await block_robots(house)
        call = await house.call(number := somebody(ROBOTS))
        await house.hears(call, "greeting")
        line.cut()
        line.hold()  # the new connection gets no further than its login while this holds
        await call.say(sound.tone(TONE_S))
        call.hangup()
        end = await ear.ended(number)
        line.release()
        record = await filed(house, end["Uniqueid"])
        assert record.disposition == "recorded"
        assert tone_s(str(caller_leg(record)["path"])) >= TONE_LEFT_S
        # The call is dated when it was, not when it was found.
        assert (record.rows[-1].at - record.at).total_seconds() < 60
