"""The ledger cannot be written for a while: calls notice nothing, and every row arrives afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

from tests.pbx.faults import AGAIN_S, AT_ONCE_S, Ear, fill, reaches_us, small_disk, somebody
from tests.pbx.house import House
from tests.valkey import connected

DISK_KIB = 4096
PAGE_BYTES = 4096
ROBOTS = "+86137"


async def test_ledger__locked_by_another_process__rows_wait_for_it() -> None:
    async with House.open() as house, Ear.open(house.pbx) as ear:
        numbers = [somebody() for _ in range(3)]
        with contextlib.closing(
            sqlite3.connect(house.service.state / "ledger.db", isolation_level=None)
        ) as db:
            db.execute("BEGIN IMMEDIATE")
            for number in numbers:
                assert (await reaches_us(house, ear, AT_ONCE_S, number))["Missed"] == ""
            await house.service.logged("ledger cannot write, rows wait")
            assert house.service.calls() == []
            db.execute("ROLLBACK")
        for number in numbers:
            await house.ended(AGAIN_S, number=number)


async def test_ledger__disk_full__rows_wait_for_room_and_lists_still_count() -> None:
    async with House.open(screener=False) as house, Ear.open(house.pbx) as ear:
        with small_disk(house.service.state, DISK_KIB):
            await house.service.start()
            code, output = await house.service.command(
                "list", "add", "block", f"{ROBOTS}*", "--reason", "robots"
            )
            assert code == 0, output
            async with connected(f"unix://{house.service.state}/store/valkey.sock") as store:
                filler = fill(house.service.state)
                await store.set("what the last page has room for", bytes(PAGE_BYTES))
            number, robot = somebody(), somebody(ROBOTS)
            assert (await reaches_us(house, ear, AT_ONCE_S, number))["Missed"] == ""
            await house.service.logged("ledger cannot write, rows wait")
            async with asyncio.timeout(AGAIN_S):
                # On a machine that is busy the store may miss its deadline, and a call be judged without it.
                while not await recorded(house, robot):
                    robot = somebody(ROBOTS)
            filler.unlink()
            assert (await house.ended(AGAIN_S, number=number)).verdict["action"] == "allow"
            judged = await house.ended(AGAIN_S, number=robot)
            assert "caller.calls_1h" not in judged.facts  # the store kept nothing, and made nothing up
            async with asyncio.timeout(AGAIN_S):
                while not await counted(house, ear):
                    pass
            await house.service.kill()  # it would wait for the sound of the robot


async def recorded(house: House, number: str) -> bool:
    """Whether a call from this number gets the verdict voicemail."""
    call = await house.call(number)
    verdict = await house.service.logged("verdict", caller=number)
    call.hangup()
    return bool(verdict["action"] == "voicemail")


async def counted(house: House, ear: Ear) -> bool:
    """Whether the store keeps count of calls, judged by a new one."""
    number = somebody()
    await reaches_us(house, ear, AT_ONCE_S, number)
    return not (await house.ended(AGAIN_S, number=number)).missing
