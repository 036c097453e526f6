"""The store is slow, hangs, dies, or is restarted: verdicts come without its facts, and no entry is lost."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from screener.state import EmbeddedServer
from tests.pbx.faults import (
    AGAIN_S,
    AT_ONCE_S,
    STORE_LOADED_MS,
    STORE_MS,
    Ear,
    fill,
    reaches_us,
    small_disk,
    somebody,
    stopped,
    store_pid,
)
from tests.pbx.house import House
from tests.valkey import connected

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from screener.ledger import CallRecord

AT_HAND_MS = 100
"""For a question that the screener does not even send to the store, or that is refused at once."""
ROBOTS = "+86137"
DISK_KIB, VALUE_BYTES = 2048, 3000
"""Not a page's length, so that the last value is written by half."""


async def block_robots(house: House) -> None:
    code, output = await house.service.command("list", "add", "block", f"{ROBOTS}*", "--reason", "robots")
    assert code == 0, output


async def judged(house: House, number: str) -> CallRecord:
    """Call from this number and hang up once the verdict is filed."""
    call = await house.call(number)
    record = await house.service.record(lambda one: one.setup and one.call["number"] == number)
    call.hangup()
    return record


async def robots_are_blocked_again(house: House) -> None:
    """Robots call until the list knows them; it must not take long."""
    async with asyncio.timeout(AGAIN_S):
        while (await judged(house, somebody(ROBOTS))).setup["action"] != "voicemail":
            pass


async def friend_is_judged_without_the_store(house: House, ear: Ear) -> CallRecord:
    """A friend reaches us by a verdict, not by the dialplan's deadline."""
    number = somebody()
    assert (await reaches_us(house, ear, AT_ONCE_S, number))["Missed"] == ""
    record = await house.ended(number=number)
    assert record.missing
    assert record.setup["skipped"]
    assert "list.block" not in record.facts
    return record


async def test_store__slow__verdict_comes_in_time_without_its_facts() -> None:
    async with (
        House.open() as house,
        Ear.open(house.pbx) as ear,
        connected(f"unix://{house.service.state}/store/valkey.sock") as store,
    ):
        await store.client_pause(1000)
        record = await friend_is_judged_without_the_store(house, ear)
        assert STORE_MS - 20 <= record.timings["state_ms"] <= STORE_MS + STORE_LOADED_MS
        assert float(record.end["delay_ms"]) <= STORE_MS + STORE_LOADED_MS


async def test_store__hangs__one_call_waits_for_it_and_the_next_does_not() -> None:
    async with House.open() as house, Ear.open(house.pbx) as ear:
        with stopped(store_pid(house.service)):
            first, second = [await friend_is_judged_without_the_store(house, ear) for _ in range(2)]
        assert STORE_MS - 20 <= first.timings["state_ms"] <= STORE_MS + STORE_LOADED_MS
        assert second.timings["state_ms"] <= AT_HAND_MS
        assert second.missing[0].endswith("(a moment ago)")


async def test_store__killed__judges_on_and_loses_no_entry() -> None:
    async with House.open() as house, Ear.open(house.pbx) as ear:
        await block_robots(house)
        assert (await judged(house, somebody(ROBOTS))).setup["action"] == "voicemail"
        with stopped(pid := store_pid(house.service)):
            os.kill(pid, signal.SIGKILL)
            record = await friend_is_judged_without_the_store(house, ear)
        assert record.timings["state_ms"] <= AT_HAND_MS
        await house.service.logged("embedded server is back")
        await robots_are_blocked_again(house)


async def test_store__external__is_away_at_the_start_and_restarted_later__is_used_again() -> None:
    with tempfile.TemporaryDirectory(prefix="valkey") as directory:
        server = EmbeddedServer(Path(directory) / "state")
        socket = Path(directory) / "state/valkey.sock"
        async with House.open(redis={"url": f"unix://{socket}"}) as house, Ear.open(house.pbx) as ear:
            await friend_is_judged_without_the_store(house, ear)
            async with server:
                await block_robots(house)
                await robots_are_blocked_again(house)
            await friend_is_judged_without_the_store(house, ear)
            async with server:
                await robots_are_blocked_again(house)


async def test_store__killed_after_its_disk_was_full__comes_back_with_all_that_it_took() -> None:
    """Valkey, since its last rewrite of the file, leaves a hole there that it does not load itself."""
    with tempfile.TemporaryDirectory(prefix="valkey") as directory:
        state = Path(directory) / "state"
        with small_disk(state, DISK_KIB):
            async with EmbeddedServer(state) as server, connected(server.url) as store:
                await store.bgrewriteaof()
                async with asyncio.timeout(AGAIN_S):
                    while (await store.info("persistence"))["aof_last_rewrite_time_sec"] < 0:
                        pass
                await store.set("before", "x")
                filler = fill(state)
                taken = await written_until_refused(store)
                filler.unlink()
                async with asyncio.timeout(AGAIN_S):
                    while (await store.info("persistence"))["aof_last_write_status"] != "ok":
                        pass
                await store.set("after", "x")
                assert server.pid is not None
                os.kill(server.pid, signal.SIGKILL)
            async with EmbeddedServer(state) as server, connected(server.url) as store:
                assert await store.mget("before", "after") == ["x", "x"]
                assert await store.dbsize() >= taken + 2


async def written_until_refused(store: Redis) -> int:
    """Fill what room there is with values; how many the store has taken."""
    async with asyncio.timeout(AGAIN_S):
        for number in itertools.count():
            try:
                await store.set(f"value-{number}", "y" * VALUE_BYTES)
            except ResponseError:
                return number
    raise AssertionError
