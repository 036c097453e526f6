"""The operator's own word while nobody judges: the lists in Asterisk's own database, on real calls."""

from __future__ import annotations

import asyncio
import time

from tests.pbx.faults import AT_ONCE_S, BY_DEADLINE_S, Ear, brief, reaches_us, somebody, stopped
from tests.pbx.house import STRANGER, House

FORMS = ("+8613800138000", "8613800138000", "008613800138000", "13800138000", "013800138000")
LONG_MS = 60
"""From the INVITE to the ringing telephone; measured 10, of which the lookups take 4."""
HOSTILE = (b"+", b"*", b"../screener/lengths", b"%2B8613800138000%3B", b"+" * 60, b"1" * 200, b"lengths")


async def listed(house: House, *arguments: str) -> None:
    code, output = await house.service.command("list", *arguments)
    assert code == 0, output


async def laid_ready(house: House, entries: int) -> None:
    """Wait until so many entries wait for the dialplan to take them."""
    await house.service.logged("block entries laid ready", entries=entries)


async def held(house: House, entries: int) -> None:
    """A call ends, upon which Asterisk's own database holds so many entries."""
    call = await house.call(somebody())
    await house.rings()
    call.hangup()
    await house.service.logged("Asterisk holds the block entries", entries=entries)


async def is_recorded(house: House, ear: Ear, number: str, missed: str) -> None:
    """A caller lands in the voicemail, though nobody judged him."""
    call = await house.call(number)
    await house.hears(call, "notice")
    call.hangup()
    end = await ear.ended(number)
    assert (end["Action"], end["Missed"]) == ("voicemail", missed)
    assert house.silent


async def test_screener__killed__blocked_callers_are_recorded_in_every_form_and_others_ring() -> None:
    async with House.open() as house, Ear.open(house.pbx) as ear:
        brief(house.pbx, "notice")
        await listed(house, "add", "block", STRANGER)
        await listed(house, "add", "block", "+86177*")
        await listed(house, "add", "allow", "+8617700000001")
        await laid_ready(house, 3)
        await house.service.kill()
        for number in (*FORMS, "+8617712345678", "017712345678"):
            await is_recorded(house, ear, number, "away")
        for number in (somebody(), "+8617700000001", "017700000001"):
            assert (await reaches_us(house, ear, AT_ONCE_S, number))["Missed"] == "away"


async def test_screener__hangs__blocked_callers_are_recorded_after_the_deadline() -> None:
    async with House.open() as house, Ear.open(house.pbx) as ear:
        brief(house.pbx, "notice")
        await listed(house, "add", "block", STRANGER)
        await laid_ready(house, 1)
        assert house.service.process is not None
        with stopped(house.service.process.pid):
            await is_recorded(house, ear, STRANGER, "late")
            assert (await reaches_us(house, ear, BY_DEADLINE_S))["Missed"] == "away"


async def test_entry__removed_while_the_screener_was_down__heals_after_its_restart() -> None:
    async with House.open() as house, Ear.open(house.pbx) as ear:
        brief(house.pbx, "notice")
        await listed(house, "add", "block", STRANGER)
        await listed(house, "add", "block", "+86177*")
        await laid_ready(house, 2)
        await held(house, 2)
        await house.service.stop()
        await listed(house, "remove", "block", STRANGER)
        await is_recorded(house, ear, STRANGER, "away")  # the screener has not been there to tell
        await house.service.start()
        await laid_ready(house, 1)
        await house.service.stop()
        assert (await reaches_us(house, ear, AT_ONCE_S, STRANGER))["Missed"] == "away"
        await is_recorded(house, ear, "+8617712345678", "away")


async def test_asterisk__restarted_without_a_screener__still_knows_the_block_entries() -> None:
    async with House.open() as house:
        brief(house.pbx, "notice")
        await listed(house, "add", "block", STRANGER)
        await laid_ready(house, 1)
        await held(house, 1)
        await house.service.kill()
        await house.pbx.stop()
        house.pbx.spawn()
        await house.pbx.ready()
        async with Ear.open(house.pbx) as ear:
            await is_recorded(house, ear, STRANGER, "away")


async def test_mirror__written_anew__fills_no_queue_of_asterisk_whoever_else_calls() -> None:
    async with House.open() as house:
        await laid_ready(house, 0)
        await held(house, 0)
        shown = await house.pbx.cli("core show taskprocessors")
        rows = [line.split() for line in shown.splitlines() if "manager:core" in line]
        processed, _, _, _, high_water = (int(column) for column in rows[0][1:6])
        # Above the mark it passes over new calls: however late the queue is read, it holds no more than all.
        assert processed < high_water


async def test_caller_id__hostile_while_the_screener_is_away__rings_at_once() -> None:
    async with House.open(screener=False) as house, Ear.open(house.pbx) as ear:
        await house.pbx.cli("database put screener lengths 6-5-4")
        for number in HOSTILE:
            call = await house.call(number)
            await house.rings(AT_ONCE_S)
            call.hangup()
            end = await ear.heard("ScreenerEnd")
            assert (end["Action"], end["Missed"]) == ("allow", "away"), number
            ear.events.clear()


async def test_caller_id__with_separators_while_the_screener_is_away__is_known_by_its_digits() -> None:
    async with House.open(screener=False) as house, Ear.open(house.pbx) as ear:
        brief(house.pbx, "notice")
        await house.pbx.cli(f"database put screener n000 /{STRANGER}=b")
        await is_recorded(house, ear, "+86-138-0013-8000", "away")


async def test_entry__that_has_expired_while_the_screener_is_away__holds_no_more() -> None:
    async with House.open(screener=False) as house, Ear.open(house.pbx) as ear:
        brief(house.pbx, "notice")
        await house.pbx.cli(f"database put screener n000 /{STRANGER}=b:{int(time.time()) + 3600}")
        await is_recorded(house, ear, STRANGER, "away")
        await house.pbx.cli(f"database put screener n000 /{STRANGER}=b:{int(time.time()) - 1}")
        ear.events.clear()
        assert (await reaches_us(house, ear, AT_ONCE_S, STRANGER))["Missed"] == "away"


async def test_mirror__with_many_prefix_lengths__costs_a_caller_little() -> None:
    async with House.open(screener=False) as house:
        await house.pbx.cli("database put screener lengths 18-17-16-15-14-13-12-11-10-9-8-7-6-5")
        times = []
        for number in (somebody() for _ in range(5)):
            began = time.monotonic()
            call = await house.call(number)
            await house.rings()
            times.append((time.monotonic() - began) * 1000)
            call.hangup()
            await asyncio.wait_for(call.ended.wait(), 5)
        assert min(times) < LONG_MS
