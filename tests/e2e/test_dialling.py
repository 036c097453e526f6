"""How callers dial, on a real Asterisk: a call is up until the hang-up, what rang shortly is remembered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.pbx import sound
from tests.pbx.house import STRANGER, House

if TYPE_CHECKING:
    from tests.pbx.ua import Dialog


async def gives_up(house: House, *calls: Dialog) -> None:
    """Hang up, and wait until the ledger has all ends there are."""
    for call in calls:
        call.hangup()
        await asyncio.wait_for(call.ended.wait(), 5)
    placed = len(house.caller.dialogs)
    async with asyncio.timeout(10):
        while sum(bool(one.end) for one in house.service.calls()) < placed:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


def facts(house: House, names: str) -> list[Any]:
    """Facts of the latest call."""
    latest = max(house.service.calls(), key=lambda one: one.at)
    assert latest.facts
    return [latest.facts["caller." + name] for name in names.split()]


async def test_caller__rings_twice_at_once_and_gives_up__is_up_no_more_and_known_for_it() -> None:
    async with House.open(answer_after=None) as house:
        calls = [await house.call(STRANGER, to=did) for did in ("100", "101")]
        for _ in calls:
            await house.rings()
        await house.service.record(lambda one: one.call.get("did") == "101")
        assert facts(house, "live short_rings sweep_run") == [2, 0, 2]
        await gives_up(house, *calls)
        third = await house.call(STRANGER, to="102")
        await house.service.record(lambda one: one.call.get("did") == "102")
        assert facts(house, "live short_rings short_ring_dids unanswered_1d sweep_run") == [1, 2, 2, 2, 3]
        await house.hears_key(third)
        await gives_up(house, third)
        ended = {one.call["did"]: one.end for one in house.service.calls()}
        assert [ended[did]["held_s"] > 0 for did in ("100", "101", "102")] == [False, False, True]
        assert all(end["by_caller"] and 0 < end["lasted_s"] < 15 for end in ended.values())


async def test_caller__whom_we_answer_and_who_leaves_at_once__is_told_from_whom_we_leave() -> None:
    async with House.open() as house:
        call = await house.call(STRANGER)
        await house.answered()
        await call.say(sound.tone(0.3))
        await gives_up(house, call)
        again = await house.call(STRANGER)
        ours = await house.answered()
        await house.service.record(lambda one: not one.end)
        assert facts(house, "answered_n abandon_ratio live unanswered_1d") == [1, 1.0, 1, 0]
        ours.hangup()
        await gives_up(house, again)
        assert [one.end["by_caller"] for one in house.service.calls()] == [False, True]
        third = await house.call(STRANGER)
        await house.answered()
        await house.service.record(lambda one: not one.end)
        assert facts(house, "answered_n abandon_ratio cut_short_n") == [2, 0.5, 1]
        await gives_up(house, third)
