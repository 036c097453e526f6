"""Many callers at the moment at which the screener dies: every one of them reaches our telephone."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.pbx.faults import BY_DEADLINE_S, LOADED_S, Ear, screened_again, somebody
from tests.pbx.house import House

if TYPE_CHECKING:
    from tests.pbx.ua import Dialog

AT_THE_SAME_TIME = 30
CALLS_PER_S = 20
SECONDS = 4
CROWDED_S = 1.0
"""What thirty calls in the same 100 ms add to each other, on top of LOADED_S."""


async def rung(house: House, calls: dict[str, Dialog], within: float) -> dict[str, Dialog]:
    """Wait until our telephone has rung with every one of them, and say with which it did."""
    ringing: dict[str, Dialog] = {}
    async with asyncio.timeout(within):
        while len(ringing) < len(calls):
            phone = await house.phone.incoming.get()
            ringing[phone.number] = phone
    return ringing


async def test_screener__killed_under_thirty_callers_at_once__all_ring() -> None:
    async with House.open(answer_after=None) as house, Ear.open(house.pbx) as ear:
        numbers = [somebody() for _ in range(AT_THE_SAME_TIME)]
        calls = {number: await house.call(number) for number in numbers[: AT_THE_SAME_TIME // 2]}
        await ear.asked(numbers[0])
        house.service.process.kill()  # type: ignore[union-attr]
        await house.service.process.wait()  # type: ignore[union-attr]
        calls |= {number: await house.call(number) for number in numbers[AT_THE_SAME_TIME // 2 :]}
        ringing = await rung(house, calls, BY_DEADLINE_S + CROWDED_S)
        assert set(ringing) == set(numbers)
        assert not any(phone.ended.is_set() for phone in ringing.values())
        for call in calls.values():
            call.hangup()
        ends = await asyncio.gather(*map(ear.ended, numbers))
        assert {end["Missed"] for end in ends} <= {"", "late", "away"}
        assert "away" in {end["Missed"] for end in ends}


async def test_screener__killed_and_restarted_under_load__every_call_reaches_us() -> None:
    async with House.open() as house, Ear.open(house.pbx) as ear:
        calls: dict[str, Dialog] = {}
        began = time.monotonic()
        restart: asyncio.Task[None] | None = None
        for i in range(CALLS_PER_S * SECONDS):
            await asyncio.sleep(max(0.0, began + i / CALLS_PER_S - time.monotonic()))  # the load itself
            number = somebody()
            calls[number] = call = await house.call(number)
            call.agent._spawn(hang_up_when_answered(call))
            if i == CALLS_PER_S:
                house.service.process.kill()  # type: ignore[union-attr]
                restart = asyncio.create_task(again(house))
        ringing = await rung(house, calls, BY_DEADLINE_S + CROWDED_S)
        assert set(ringing) == set(calls)
        assert restart is not None
        await restart
        ends = await asyncio.gather(*map(ear.ended, calls))
        assert {end["Dialstatus"] for end in ends} == {"ANSWER"}
        assert [call.status for call in calls.values()] == [200] * len(calls)
        await screened_again(house, ear)


async def hang_up_when_answered(call: Dialog) -> None:
    await asyncio.wait_for(call.answered.wait(), BY_DEADLINE_S + CROWDED_S + LOADED_S)
    call.hangup()


async def again(house: House) -> None:
    await house.service.kill()
    await house.service.start()
