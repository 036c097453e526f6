"""How callers talk on the screening leg, on a real Asterisk with real sound; it costs nobody a call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.pbx import sound
from tests.pbx.faults import Ear, Line, brief, somebody
from tests.pbx.house import House

if TYPE_CHECKING:
    from screener.ledger import CallRecord
    from tests.pbx.ua import Dialog

QUICK = {"globals_": "SCREENER_KEY_WAIT_S=2\nSCREENER_SILENCE_S=2"}
RECORDING = (
    "Hello, this is an important message about your car insurance, which has expired today and must be "
    "renewed at once, so stay on the line and press one now to speak to one of our agents, or press two if "
    "you do not want to hear from us again, "
)


def impossible() -> str:
    """A number that cannot exist, and has not called before: challenged."""
    return somebody("+99912")


def plays(call: Dialog, seconds: float) -> None:
    """Speak for so long without a pause, whatever is heard; returns at once."""
    spoken = sound.speech(RECORDING).strip(b"\xff\x7f")
    long = (spoken * (1 + int(seconds * sound.RATE / len(spoken))))[: int(seconds * sound.RATE)]
    call.rtp.queue += [long[at : at + 160].ljust(160, b"\xff") for at in range(0, len(long), 160)]


def row(record: CallRecord, kind: str) -> dict[str, Any]:
    return next((dict(one.body) for one in record.rows if one.kind == kind), {})


def symbols(record: CallRecord) -> set[str]:
    return {hit["symbol"] for hit in row(record, "challenge")["verdict"]["hits"]}


async def judged(house: House, did: str) -> CallRecord:
    return await house.service.record(lambda one: one.call.get("did") == did and row(one, "challenge"), 40)


async def test_challenge__person_mute_robot_and_recording__are_told_apart_and_only_the_person_rings() -> None:
    debug = {"format": "json", "level": "debug"}
    async with House.open(pbx=QUICK, log=debug) as house, Ear.open(house.pbx, user="screener") as ear:
        # Asterisk's first word of anybody's speech tells that such events come at all.
        person = await house.call(impossible(), to="101")
        await asyncio.wait_for(person.answered.wait(), 5)
        await person.say(sound.speech("Hello?"))
        await house.obeys(person)
        ringing = await house.answered(within=10)
        assert [one["Event"] for one in ear.events].count("ChannelTalkingStart") == 1
        await person.say(sound.speech("It is me, and nobody listens."))
        asked = await judged(house, "101")
        assert (asked.end or {}).get("action", "allow") == "allow"
        assert {"CHALLENGE_PASSED"} <= symbols(asked)
        assert not symbols(asked) & {"PLAYS_ON", "DEAD_AIR"}
        ringing.hangup()
        await house.ended(did="101")
        assert [one["Event"] for one in ear.events].count("ChannelTalkingStart") == 1
        number = impossible()
        mute, robot = await house.call(impossible(), to="102"), await house.call(number, to="103")
        await asyncio.wait_for(robot.answered.wait(), 5)
        plays(robot, 60)
        silent, loud = await asyncio.gather(judged(house, "102"), judged(house, "103"))
        assert symbols(silent) & {"DEAD_AIR", "PLAYS_ON"} == {"DEAD_AIR"}
        assert symbols(loud) & {"DEAD_AIR", "PLAYS_ON"} == {"PLAYS_ON"}
        assert {one.verdict["action"] for one in (silent, loud)} == {"voicemail"}
        await house.service.logged("learned", from_event=f"talk-{loud.call_id}")
        await asyncio.gather(house.hears(mute, "greeting", 40), house.hears(robot, "greeting", 40))
        mute.hangup()
        robot.hangup()
        told = row(await house.ended(did="103"), "talk")
        assert (told["leg"], told["talk.over_share"] > 0.9) == ("voicemail", True)
        assert row(await house.ended(did="102"), "talk")["talk.over_share"] == 0
        again = await house.call(number, to="104")
        await house.hears(again, "notice")
        again.hangup()
        assert (await house.ended(did="104")).setup["action"] == "voicemail"
        assert house.silent
        assert "TALK_DETECT" not in house.pbx.log()


async def test_ordinary_call__causes__as_many_events_as_before_and_nobody_listens() -> None:
    async with House.open() as house, Ear.open(house.pbx, user="screener") as ear:
        call = await house.call(number := somebody())
        ours = await house.answered()
        await call.say(sound.speech("Hello, it is me."))
        ours.hangup()
        await ear.ended(number)
        assert [one.get("UserEvent") for one in ear.events] == ["ScreenerAsk", "ScreenerEnd"]


async def test_challenge__connection_lost_in_the_middle__talk_is_unknown_and_the_verdict_as_ever() -> None:
    async with House.open(screener=False, pbx=QUICK) as house, Line.open(house.pbx) as line:
        house.service.settings["ami"]["port"] = line.port
        await house.service.start()
        robot = await house.call(impossible())
        await asyncio.wait_for(robot.answered.wait(), 5)
        plays(robot, 40)
        await house.hears(robot, "press")
        line.cut()
        asked = await judged(house, "100")
        assert not [name for name in row(asked, "challenge")["facts"] if name.startswith("talk.")]
        assert {skip["symbol"] for skip in row(asked, "challenge")["verdict"]["skipped"]} >= {"PLAYS_ON"}
        assert asked.verdict["action"] == "voicemail"
        robot.hangup()


async def test_caller__renames_himself_in_mid_call_with_line_breaks__forges_nothing() -> None:
    forged = b"1\r\n\r\nEvent: UserEvent\r\nUserEvent: ScreenerDialled\r\nVersion: 1"
    async with House.open(pbx=QUICK) as house, Ear.open(house.pbx, user="screener") as ear:
        brief(house.pbx, "press")
        call = await house.call(impossible())
        await house.hears(call, "press")
        call.rename(b"".join(b"%%%02x" % byte for byte in forged))
        plays(call, 1)
        await house.service.logged("dropped: a caller forged it")
        assert any(one["UserEvent"] == "ScreenerDialled" for one in ear.events if "UserEvent" in one)
        call.hangup()
        # The next caller is screened, and nobody was learned as dialled.
        other = await house.call(number := somebody())
        await house.answered()
        other.hangup()
        await house.ended(number=number)
        assert not [one for call in house.service.calls() for one in call.rows if one.kind == "dialled"]


@pytest.mark.parametrize("forged", [b"1\r\n\r\nEvent: Hangup", b"1\r\n\r\nResponse: Success"])
async def test_caller__tears_his_events_in_mid_call__loses_no_question_of_the_next_one(forged: bytes) -> None:
    async with House.open(pbx=QUICK) as house:
        brief(house.pbx, "press")
        call = await house.call(impossible())
        await house.hears(call, "press")
        call.rename(b"".join(b"%%%02x" % byte for byte in forged))
        plays(call, 1)
        await house.service.logged("dropped: a caller forged it")
        other = await house.call(number := somebody())
        await house.answered()
        other.hangup()
        record = await house.ended(number=number)
        assert record.setup["action"] == "allow"
        assert row(record, "end")["missed"] == ""
        call.hangup()
