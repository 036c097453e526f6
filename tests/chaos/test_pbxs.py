"""Two Asterisks and one screener: each has its own calls and recordings, and feels no fault of the other."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from tests.bench import load
from tests.pbx import sound
from tests.pbx.faults import AT_ONCE_S, Ear, reaches_us, somebody
from tests.pbx.house import House

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from screener.ledger import CallRecord

RATE, SECONDS = 20, 5
SAYS_S = 3.0
PLAN = """
exten => _s.,1,Gosub(screener,s,1(${EXTEN:1}))
 same => n,Answer()
 same => n,Hangup()
"""


@asynccontextmanager
async def two() -> AsyncIterator[tuple[House, House]]:
    """Two houses; the screener of the first one serves both, as berlin and munich."""
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(
                House.open(pbx={"extra": PLAN, "systemname": name}, screener=False)
            )
            for name in ("berlin", "munich")
        ]
        first.service.settings["pbxs"] = {
            name: {"port": house.pbx.ami, "secret": house.pbx.secret, "recordings_dir": str(house.pbx.spool)}
            for name, house in (("berlin", first), ("munich", second))
        }
        await first.service.spawn()
        for house in (first, second):
            await first.service.logged(
                "connected to Asterisk, calls are screened", ami=f"127.0.0.1:{house.pbx.ami}"
            )
        second.service = first.service
        yield first, second


def of(house: House, section: str) -> Callable[[CallRecord], bool]:
    """A call of this house that has this section."""
    return lambda one: one.pbx == house.pbx.systemname and bool(getattr(one, section))


async def test_two_pbxs__a_call_at_each__rows_say_where_and_counters_are_one() -> None:
    async with two() as houses:
        number = somebody()
        for house in houses:
            (await house.call(number)).hangup()
            await house.service.record(of(house, "end"))
        records = houses[0].service.calls()
        assert [one.pbx for one in records] == ["munich", "berlin"]
        assert all(one.call_id.startswith(f"{one.pbx}-") for one in records)
        assert [one.facts["caller.calls_1h"] for one in records] == [2, 1]
        _, status = await houses[0].service.command("status")
        assert f"munich, Asterisk at 127.0.0.1:{houses[1].pbx.ami}: connected since" in status


async def test_two_pbxs__recorded_at_each__filed_each_in_its_own_place() -> None:
    async with two() as houses:
        service = houses[0].service
        number = somebody()
        await service.command("list", "add", "block", number, "--reason", "test")
        for house in houses:
            call = await house.call(number)
            await house.hears(call, "notice")
            await call.say(sound.tone(SAYS_S))
            call.hangup()
            record = await service.record(of(house, "recordings"))
            assert record.recordings[0]["path"].startswith(str(house.pbx.spool))
        bundle = service.state / "bundle"
        for command in (
            ("recordings", "verify"),
            ("case", "open", "somebody", "--number", number),
            ("evidence", "export", "1", str(bundle)),
        ):
            status, output = await service.command(*command)
            assert status == 0, output
        assert len(list(bundle.glob("recordings/*.wav"))) == 4, "the caller's leg and the mix of each call"


async def test_two_pbxs__one_is_killed_under_load_of_the_other__the_other_feels_nothing() -> None:
    async with two() as (first, second), Ear.open(first.pbx) as ear, Ear.open(second.pbx):
        calls = asyncio.create_task(load.place(first.pbx, "s", RATE, RATE * SECONDS))
        await ear.heard("ScreenerAsk")
        second.pbx.kill()
        await first.service.logged("no connection to Asterisk", ami=f"127.0.0.1:{second.pbx.ami}")
        await calls
        ends = [one for one in ear.events if one.get("UserEvent") == "ScreenerEnd"]
        assert len(ends) == RATE * SECONDS
        assert not [one for one in ends if one["Missed"]]
        assert first.service.process
        assert first.service.process.returncode is None


async def test_two_pbxs__one_refuses_the_account_from_the_start__the_other_is_screened() -> None:
    async with two() as (first, second):
        await first.service.stop()
        first.service.settings["pbxs"]["munich"]["secret"] = "wrong"  # noqa: S105 - which it is
        await first.service.start()
        await first.service.logged("the calls of an Asterisk ring unscreened", pbx="munich")
        async with Ear.open(first.pbx) as ear, Ear.open(second.pbx) as other:
            assert (await reaches_us(first, ear, AT_ONCE_S))["Missed"] == ""
            assert (await reaches_us(second, other, AT_ONCE_S))["Missed"] == "away"
