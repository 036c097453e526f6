"""Star codes on our own telephone: who is meant, what is heard, and what it does to the next call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.pbx.faults import Ear, brief, stopped, store_pid
from tests.pbx.house import COLLECTOR, FRIEND, STRANGER, House

if TYPE_CHECKING:
    from tests.pbx.ua import Dialog

BLOCK, ALLOW = "*58", "*59"
EXTRA = """
exten => 300,1,Gosub(screener,s,1(${EXTEN}))
 same => n,Dial(PJSIP/other,30)
exten => 301,1,Gosub(screener,s,1(${EXTEN}))
 same => n,Goto(from-phone,*58,1)
include => screener-codes
[from-phone]
include => screener-codes
#include screener/codes.conf
"""
PBX: dict[str, Any] = {"extra": EXTRA}
OTHERS = "300"
"""A number of ours at which another telephone rings."""


async def calls(house: House, number: str, to: str = "100") -> None:
    """Somebody calls, is answered, and hangs up; the ledger knows it."""
    call = await house.call(number, to)
    await house.answered()
    call.hangup()
    await house.ended(number=number, did=to)


async def gives_up(house: House, number: str) -> None:
    """Somebody calls and hangs up before anybody answers."""
    house.phone.answer_after = None
    call = await house.call(number)
    await house.rings()
    call.hangup()
    await house.ended(number=number)
    house.phone.answer_after = 0.0


async def reads_back(house: House, dialled: Dialog, number: str, question: str) -> None:
    """The number is heard digit by digit, in order, then the question."""
    brief(house.pbx, "code-last")
    await house.hears(dialled, "code-last")
    for name in ("code-plus", *(f"digit-{digit}" for digit in number[1:]), question):
        heard = len(dialled.rtp.heard)
        await house.hears(dialled, name, after=max(0, heard - 8000))


async def orders(house: House, code: str, result: str) -> None:
    """Dial a code, press 1 at once, hear the result."""
    dialled = await house.dial(code)
    await house.hears(dialled, "code-last")
    dialled.press("1")
    await house.hears(dialled, result)
    await asyncio.wait_for(dialled.ended.wait(), 10)


async def is_told(house: House, code: str, prompt: str) -> None:
    """Dial a code and hear only this."""
    dialled = await house.dial(code)
    await house.hears(dialled, prompt)
    await asyncio.wait_for(dialled.ended.wait(), 10)


async def entries(house: House) -> list[list[str]]:
    """The lists as `export` gives them, without their times."""
    _, text = await house.service.command("list", "export")
    return [line.split(",")[:5] for line in text.splitlines()[1:]]


async def test_codes__block_then_allow__the_next_call_is_recorded_then_rings() -> None:
    async with House.open(pbx=PBX) as house:
        await calls(house, STRANGER)
        dialled = await house.dial(BLOCK)
        await reads_back(house, dialled, STRANGER, "code-block")
        dialled.press("1")
        await house.hears(dialled, "code-blocked")
        assert await entries(house) == [["block", STRANGER, "by star code", "handset", "PJSIP/phone"]]
        blocked = await house.call(STRANGER)
        await house.hears(blocked, "notice")
        await house.hears(blocked, "greeting")
        blocked.hangup()
        await house.ended(number=STRANGER, action="voicemail")
        assert house.silent
        await orders(house, ALLOW, "code-allowed")
        assert await entries(house) == [["allow", STRANGER, "by star code", "handset", "PJSIP/phone"]]
        await calls(house, STRANGER)


async def test_codes__a_call_comes_in_after_the_read_back__who_was_read_back_is_blocked() -> None:
    async with House.open(pbx=PBX) as house:
        await calls(house, STRANGER)
        dialled = await house.dial(BLOCK)
        await house.hears(dialled, "code-last")
        await gives_up(house, FRIEND)
        dialled.press("1")
        await house.hears(dialled, "code-blocked")
        assert [entry[1] for entry in await entries(house)] == [STRANGER]


async def test_codes__another_telephone_answered_last__who_called_this_one_is_meant() -> None:
    async with House.open(pbx=PBX) as house:
        await calls(house, STRANGER)
        await calls(house, FRIEND, OTHERS)
        await orders(house, BLOCK, "code-blocked")
        assert [entry[1] for entry in await entries(house)] == [STRANGER]


async def test_codes__nobody_answered_the_last_call__it_is_meant_also_after_a_restart() -> None:
    async with House.open(pbx=PBX) as house:
        await calls(house, STRANGER)
        await gives_up(house, COLLECTOR)
        await house.service.kill()
        await house.service.start()
        await orders(house, BLOCK, "code-blocked")
        assert [entry[1] for entry in await entries(house)] == [COLLECTOR]


async def test_codes__no_confirmation__nothing_is_changed() -> None:
    async with House.open(pbx=PBX) as house:
        await calls(house, STRANGER)
        dialled = await house.dial(BLOCK)
        for _ in range(2):
            await house.hears(dialled, "code-last", after=max(0, len(dialled.rtp.heard) - 160))
            dialled.press("2")
        await house.hears(dialled, "code-unchanged")
        assert await entries(house) == []


async def test_codes__nothing_that_can_be_listed__the_reason_is_heard() -> None:
    async with House.open(pbx=PBX, own_numbers=[STRANGER]) as house:
        await is_told(house, BLOCK, "code-nobody")
        await calls(house, STRANGER)
        await orders(house, BLOCK, "code-refused")
        call = await house.withheld()
        await house.hears(call, "press")
        call.hangup()
        await house.service.record(lambda one: one.end and one.call["shown"] == "withheld")
        await is_told(house, ALLOW, "code-withheld")
        assert await entries(house) == []


async def test_codes__screener_or_store_away__the_person_is_told() -> None:
    async with House.open(pbx=PBX | {"globals_": "SCREENER_CODE_DEADLINE_MS=700"}) as house:
        await calls(house, STRANGER)
        assert house.service.process is not None
        dialled = await house.dial(BLOCK)
        await house.hears(dialled, "code-last")
        with stopped(store_pid(house.service)):
            dialled.press("1")
            await house.hears(dialled, "code-away")
        with stopped(house.service.process.pid):
            await is_told(house, BLOCK, "code-away")
        await house.service.kill()
        await is_told(house, BLOCK, "code-away")


@pytest.mark.parametrize("to", ["301", BLOCK])
async def test_codes__dialled_from_outside__nothing_is_told_or_done(to: str) -> None:
    async with House.open(pbx=PBX) as house, Ear.open(house.pbx) as ear:
        await calls(house, STRANGER)
        call = await house.call(FRIEND, to)
        if to == BLOCK:  # the context was included by mistake
            await house.hears(call, "code-nobody")
            await house.service.logged("a star code came from where calls from outside arrive")
        await asyncio.wait_for(call.ended.wait(), 10)
        if to != BLOCK:
            assert "a star code was dialled by a call from outside" in house.pbx.log()
            assert not [event for event in ear.events if event["UserEvent"] == "ScreenerCode"]
        assert await entries(house) == []
