"""Measure the store: `python -m tests.bench.state [CALLS]`; time per question, memory per caller and entry.

Figures depend on the machine; nothing here passes or fails.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from screener.state import EmbeddedServer, Entry, Learning, Lesson, Lists, Row, State
from screener.state.asking import KEYS, LISTS_KEY, key_part
from screener.state.connecting import open_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

ENTRIES = 100_000
IMPORTED = 20_000
CALLERS = 20_000


async def main(calls: int) -> None:
    """Run all measurements on one private server."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))
    with tempfile.TemporaryDirectory(prefix="bench") as directory:
        started = time.perf_counter()
        async with EmbeddedServer(Path(directory) / "state") as server:
            show("embedded server ready", (time.perf_counter() - started) * 1e3, "ms")
            await import_lines(server.url)
            await memory_per_entry(server.url)
            await memory_per_caller(server.url)
            await learning(server.url)
            await time_per_question(server.url, calls)
            await time_in_the_server(server.url, calls)


async def import_lines(url: str) -> None:
    """Rows per second through the numbering plans."""
    lists = Lists(url, "CN", durable=False)
    lines = (f"{number},complaints of the neighbours" for number in islice(mobiles("177"), IMPORTED))
    started = time.perf_counter()
    report = await lists.load(lines)
    show(f"import of {report.added} rows", IMPORTED / (time.perf_counter() - started), "rows/s")
    await lists.close()


async def memory_per_entry(url: str) -> None:
    """Bytes per list entry with a reason of 28 and a source of 10 characters."""
    client = open_client(url, timeout_s=10)
    before = await emptied(client)
    row = Row("", "block", reason="complaints of the neighbours", source="phoneblock", by="admin")
    numbers = islice(mobiles("138"), ENTRIES)
    entries = [Entry.of(f"+86{number}", row, 1_760_000_000) for number in numbers]
    for start in range(0, ENTRIES, 1000):
        batch: dict[Any, Any] = {entry.field: entry.value for entry in entries[start : start + 1000]}
        await client.hset(LISTS_KEY, mapping=batch)
    show(f"list entry, of {ENTRIES}", (await used(client) - before) / ENTRIES, "bytes")
    await client.aclose()


async def memory_per_caller(url: str) -> None:
    """Bytes per caller who called once: all within the hour, and each of his keys by itself."""
    client, state = open_client(url, timeout_s=10), State(url)
    before = await emptied(client)
    for index, number in enumerate(islice(mobiles("139"), CALLERS)):
        await state.observe(f"+86{number}", "+861012345678", f"memory-{index}")
    show("caller, in the first hour", (await used(client) - before) / CALLERS, "bytes")
    for part, name in (
        ("caller", "for 8 days"),
        ("dids", "for an hour"),
        ("call", "for an hour"),
        ("live", "while it is up"),
        ("block", "for an hour"),
    ):
        keys = [key async for key in client.scan_iter(f"{KEYS}{part}:*", count=1000)][:500]
        sizes = [await client.memory_usage(key) or 0 for key in keys]
        show(f"  of it {part}, {name}", sum(sizes) / len(sizes), "bytes")
        if part != "caller":
            doomed = [key async for key in client.scan_iter(f"{KEYS}{part}:*", count=1000)]
            for start in range(0, len(doomed), 1000):
                await client.delete(*doomed[start : start + 1000])
    show("caller, after it (tables included)", (await used(client) - before) / CALLERS, "bytes")
    await state.close()
    await client.aclose()


async def learning(url: str) -> None:
    """Bytes of one trusted caller, and the time of a lesson in the server."""
    client, learning = open_client(url, timeout_s=10), Learning(url, 90)
    before = await emptied(client)
    await client.config_resetstat()
    for index, number in enumerate(islice(mobiles("139"), CALLERS)):
        await learning.learn(f"+86{number}", f"end-{index}", Lesson(good=1.0, talk_s=70))
    show("trusted caller, in the first day", (await used(client) - before) / CALLERS, "bytes")
    keys = [key async for key in client.scan_iter(f"{KEYS}trust:*", count=1000)][:500]
    sizes = [await client.memory_usage(key) or 0 for key in keys]
    show("  of it trust, for 180 days", sum(sizes) / len(sizes), "bytes")
    usage = await client.info("commandstats")
    show("lesson, in the server", usage["cmdstat_evalsha"]["usec_per_call"], "µs")
    await learning.close()
    await client.aclose()


async def time_per_question(url: str, calls: int) -> None:
    """Microseconds at the client, one call after the other and eight at once."""
    for width in (1, 8):
        state = State(url)
        times: list[float] = []
        failures = 0

        async def one(index: int, state: State = state, times: list[float] = times) -> None:
            nonlocal failures
            number = f"+86177{index % 5000:08d}"
            started = time.perf_counter()
            observed = await state.observe(number, str(index % 20), f"time-{time.monotonic_ns()}")
            times.append(time.perf_counter() - started)
            failures += observed.missing is not None

        for start in range(0, calls, width):
            await asyncio.gather(*(one(start + offset) for offset in range(width)))
        times.sort()
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            show(f"observe, {width} at once, {name}", times[int(len(times) * share)] * 1e6, "µs")
        show(f"observe, {width} at once, not answered", failures, "calls")
        await state.close()


async def time_in_the_server(url: str, calls: int) -> None:
    """Microseconds of the script alone, by the server's own clock, and bytes of a trunk's software."""
    client, state = open_client(url, timeout_s=10), State(url)
    kinds = {"no User-Agent": 0, "20 User-Agents": 20, "a new User-Agent each call": calls}
    for what, agents in kinds.items():
        await client.config_resetstat()
        for index in range(calls):
            agent = f"agent {index % agents}" if agents else ""
            await state.observe(
                f"+86177{index % 5000:08d}",
                str(index % 20),
                f"server-{what}-{index}",
                trunk=what,
                agent=agent,
            )
        usage = await client.info("commandstats")
        show(f"observe, in the server, {what}", usage["cmdstat_evalsha"]["usec_per_call"], "µs")
        if agents:
            [key] = await client.keys(f"{KEYS}agents:{key_part(what)}")
            show("  software of the trunk, for 14 days", await client.memory_usage(key) or 0, "bytes")
    await state.close()
    await client.aclose()


async def emptied(client: Redis) -> int:
    """Bytes of the server when it holds nothing."""
    await client.flushall()
    while (await client.info("memory"))["lazyfree_pending_objects"]:  # noqa: ASYNC110 - the server frees by itself
        await asyncio.sleep(0.01)
    return await used(client)


async def used(client: Redis) -> int:
    """Bytes that the server uses, keys and tables included."""
    return int((await client.info("memory"))["used_memory"])


def mobiles(prefix: str) -> Iterator[str]:
    """Chinese mobile numbers, each once, in no order."""
    numbers = random.Random(1).sample(range(10**8), ENTRIES)
    return (f"{prefix}{number:08d}" for number in numbers)


def show(what: str, value: float, unit: str) -> None:
    """One line of the report."""
    print(f"{what:45} {value:12,.1f} {unit}")  # noqa: T201 - a report


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000))
