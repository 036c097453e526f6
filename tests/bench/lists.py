"""Measure the lists: `python -m tests.bench.lists [ENTRIES]`; import, memory, look-ups, export, the mirror.

Calls are asked about every 10 ms all the while, as the service does. Figures depend on the machine;
nothing here passes or fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from screener import number
from screener.ami import Account, Ami
from screener.app import SWITCH_S
from screener.mirror import Mirror
from screener.state import EmbeddedServer, Lists, State
from screener.state.asking import LISTS_KEY
from screener.state.connecting import open_client
from tests.bench.state import show, used

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from redis.asyncio import Redis

QUESTIONS = 5000


async def main(entries: int) -> None:
    """Run all measurements on two private servers, one of which stays empty."""
    number.warm("CN")
    sys.setswitchinterval(SWITCH_S)
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        directory = Path(name)
        numbers = random.Random(1).sample(range(10**8), entries)
        rows = "".join(f"+86138{one:08d},complaints of the neighbours\n" for one in numbers)
        (directory / "big.csv").write_text(rows)
        async with EmbeddedServer(directory / "empty") as empty:
            async with EmbeddedServer(directory / "full") as full:
                client = open_client(full.url, timeout_s=60)
                settings = {"redis": {"url": full.url}, "region": "CN", "state_dir": name}
                (directory / "screener.yaml").write_text(json.dumps(settings | {"ami": {"secret": "-"}}))
                await filled(directory, entries, full.url, client)
                await look_ups(empty.url, full.url, numbers)
                await exported(directory, entries, full.url)
                await rewritten(full.url, client)
                await mirrored(full.url)
                await client.aclose()
            started = time.perf_counter()
            async with EmbeddedServer(directory / "full"):
                show("embedded server ready with them", time.perf_counter() - started, "s")


async def filled(directory: Path, entries: int, url: str, client: Redis) -> None:
    """Import, while the mirror looks at it as in the service."""
    before = await used(client)
    async with asked_about("idle", url):
        await asyncio.sleep(5)
    imported = asyncio.Event()
    async with asked_about("import", url), asyncio.TaskGroup() as beside:
        beside.create_task(looked_at(url, imported))
        took, memory = await command(directory, "import", str(directory / "big.csv"))
        imported.set()
    print((directory / "output").read_text().strip())  # noqa: T201 - a report
    show("import", took, "s")
    show("import", entries / took, "rows/s")
    show("import, memory of the command", memory, "MB")
    show("an entry", (await used(client) - before) / entries, "bytes")
    size = await client.memory_usage(LISTS_KEY, samples=1000)
    show("an entry, by MEMORY USAGE", (size or 0) / entries, "bytes")


async def look_ups(empty: str, full: str, numbers: list[int]) -> None:
    """Microseconds at the client in turns, so that noise hits both alike; half of the callers are listed."""
    states = {"0": State(empty), f"{len(numbers):,}": State(full)}
    times: dict[str, list[float]] = {name: [] for name in states}
    for index in range(QUESTIONS):
        caller = f"+86{138 if index % 2 else 139}{numbers[index % len(numbers)]:08d}"
        for name, state in states.items():
            before = time.perf_counter()
            await state.observe(caller, "1", f"look-{name}-{index}")
            times[name].append(time.perf_counter() - before)
    for name, taken in times.items():
        tell(f"observe with {name} entries", taken)
        await states[name].close()


async def exported(directory: Path, entries: int, url: str) -> None:
    """Export, and compare with what was imported."""
    async with asked_about("export", url):
        took, memory = await command(directory, "export")
    said = (directory / "output").read_bytes()
    show("export", took, "s")
    show("export, memory of the command", memory, "MB")
    there = {line.split(b",")[1] for line in said.splitlines()[1:]}
    listed = {line.split(b",")[0] for line in (directory / "big.csv").read_bytes().splitlines()}
    show("export, entries that were not imported or are missing", len(there ^ listed), "entries")
    show("export, lines too many", said.count(b"\n") - 1 - entries, "lines")


async def rewritten(url: str, client: Redis) -> None:
    """The server writes its append-only file anew while calls come in."""
    async with asked_about("rewrite", url):
        before = time.perf_counter()
        await client.bgrewriteaof()
        status: dict[str, Any] = {"aof_rewrite_in_progress": 1}
        while status["aof_rewrite_in_progress"] or status["aof_rewrite_scheduled"]:
            await asyncio.sleep(0.05)
            status = await client.info("persistence")
        show("rewrite of the append-only file", time.perf_counter() - before, "s")
    stats = await client.info("stats")
    show("rewrite, the server's fork", stats["latest_fork_usec"] / 1000, "ms")


async def mirrored(url: str) -> None:
    """One reading of all entries for the mirror."""
    async with asked_about("mirror", url):
        before = time.perf_counter()
        await looked_at(url)
        show("mirror, one reading", time.perf_counter() - before, "s")


async def looked_at(url: str, over: asyncio.Event | None = None) -> None:
    """What the mirror does of itself, once or until it is over; nothing is connected."""
    lists = Lists(url, "CN", durable=False)
    mirror = Mirror(Ami(Account("127.0.0.1", 1, "", "")), lists, "CN", clock=time.time)
    await mirror._learn_wanted()
    while over and not over.is_set():
        await mirror._learn_wanted()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), 2)
    await lists.close()


async def command(directory: Path, *arguments: str) -> tuple[float, float]:
    """Run `screener list …` into the file `output`; its seconds, and its memory at the most in MB."""
    started, peak = time.perf_counter(), 0
    with (directory / "output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "screener", "list", *arguments, "--config", str(directory), stdout=output
        )
        ended = asyncio.ensure_future(process.wait())
        while not ended.done():
            # What wait4 tells is of no use: it counts the memory of the parent that was copied.
            peak = max(peak, peak_kb(process.pid))
            await asyncio.wait({ended}, timeout=0.1)
    assert process.returncode == 0, process.returncode
    return time.perf_counter() - started, peak / 1024


def peak_kb(pid: int) -> int:
    """The most memory that a process has had so far; 0 when it has ended."""
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0])
    return 0


@contextlib.asynccontextmanager
async def asked_about(name: str, url: str) -> AsyncIterator[None]:
    """Calls are asked about inside; how long each took, and how long the loop stood still."""
    state, loop, over = State(url), asyncio.get_running_loop(), asyncio.Event()
    taken: list[float] = []
    stalls = [0.0]
    missing = 0

    async def beat() -> None:
        while not over.is_set():
            before = loop.time()
            await asyncio.sleep(0.001)
            stalls.append(loop.time() - before - 0.001)

    async def call() -> None:
        nonlocal missing
        while not over.is_set():
            before = loop.time()
            seen = await state.observe(f"+86177{len(taken) % 5000:08d}", "1", f"{name}-{len(taken)}")
            taken.append(loop.time() - before)
            missing += seen.missing is not None
            await asyncio.sleep(0.01)

    beside = asyncio.gather(beat(), call())
    try:
        yield
    finally:
        over.set()
        await cast("Awaitable[Any]", beside)
        await state.close()
    tell(f"{name}: a call's question", taken)
    show(f"{name}: longest stall of the loop", max(stalls) * 1e3, "ms")
    show(f"{name}: questions without an answer", missing, f"of {len(taken)}")


def tell(what: str, taken: list[float]) -> None:
    """The median, the 99th percentile and the worst."""
    taken.sort()
    for name, index in (("p50", len(taken) // 2), ("p99", len(taken) * 99 // 100), ("worst", -1)):
        show(f"{what}, {name}", taken[index] * 1e6, "µs")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
