"""Measure feeds: `python -m tests.bench.feeds [ROWS]`; import beside calls, memory, what a look-up adds.

Figures depend on the machine; nothing here passes or fails.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from screener import number
from screener.app import SWITCH_S
from screener.config import load
from screener.feeds import FeedStore, Refresher
from screener.state import EmbeddedServer, State
from screener.state.asking import FEED_KEY
from screener.state.connecting import open_client
from screener.state.weighing import Terms
from tests.bench.state import show, used

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from screener.config.feeds import Feed

CALLS = 4000
FEEDS = (0, 1, 2, 4, 8)


async def main(rows: int) -> None:
    """Run all measurements on one private server."""
    number.warm("CN")
    with tempfile.TemporaryDirectory(prefix="bench") as directory:
        feeds = written(Path(directory), rows)
        async with EmbeddedServer(Path(directory) / "state") as server:
            client, store = open_client(server.url, timeout_s=10), FeedStore(server.url)
            refresher = Refresher(store, feeds, "CN", [], clock=time.time)
            sys.setswitchinterval(SWITCH_S)
            gc.freeze()
            await beside_calls("idle", server.url, asyncio.sleep(3))
            for name in feeds:
                before = await used(client)
                await beside_calls(name, server.url, refresher.refresh(name))
                show(f"{name}: an entry", (await used(client) - before) / rows, "bytes")
            await look_ups(server.url, client)
            await store.close()
            await client.aclose()


def written(directory: Path, rows: int) -> dict[str, Feed]:
    """Two feeds as files: plain numbers, and PhoneBlock's list with votes, rating and date."""
    numbers = random.Random(1).sample(range(10**8), rows)
    (directory / "plain").write_text("".join(f"+86138{one:08d}\n" for one in numbers))
    row = '{"phone":"+49176%08d","votes":%d,"rating":"G_FRAUD","lastActivity":1763900000000}'
    listed = ",".join(row % (one, one % 40 + 1) for one in numbers)
    (directory / "phoneblock").write_text('{"numbers":[' + listed + '],"version":3}')
    shipped = load(None, environ={}).feeds
    return {
        name: shipped[like].model_copy(update={"enabled": True, "source": str(directory / name)})
        for name, like in (("plain", "our-own-numbers"), ("phoneblock", "phoneblock"))
    }


async def beside_calls(name: str, url: str, work: object) -> None:
    """Do the work while calls are asked about, and tell how long the loop and the calls were held up."""
    state, loop, over = State(url), asyncio.get_running_loop(), asyncio.Event()
    asked: list[float] = []
    stalls = [0.0]

    async def beat() -> None:
        while not over.is_set():
            before = loop.time()
            await asyncio.sleep(0.001)
            stalls.append(loop.time() - before - 0.001)

    async def call() -> None:
        while not over.is_set():
            before = loop.time()
            await state.observe(f"+86177{len(asked) % 5000:08d}", "1", f"{name}-{len(asked)}")
            asked.append(loop.time() - before)
            await asyncio.sleep(0.01)

    beside = [asyncio.ensure_future(beat()), asyncio.ensure_future(call())]
    before = loop.time()
    await work  # type: ignore[misc]  # a coroutine of any result
    show(f"{name}: took", loop.time() - before, "s")
    over.set()
    await asyncio.gather(*beside)
    asked.sort()
    show(f"{name}: longest stall of the loop", max(stalls) * 1e3, "ms")
    show(f"{name}: a call's question, p50", asked[len(asked) // 2] * 1e6, "µs")
    show(f"{name}: a call's question, worst", asked[-1] * 1e6, "µs")
    await state.close()


async def look_ups(url: str, client: Redis) -> None:
    """Microseconds at the client for a caller whom all feeds list, in turns so that noise hits all alike."""
    times: dict[int, list[float]] = {count: [] for count in FEEDS}
    terms = [Terms(f"f{index}", 1.0, 30.0, 10) for index in range(max(FEEDS))]
    for one in terms:
        await client.hset(FEED_KEY + one.name, mapping={"@": "1763900000", "+86177*": "3"})
    state = State(url)
    for index in range(CALLS):
        for count in FEEDS:
            state.feeds = terms[:count]
            before = time.perf_counter()
            await state.observe(f"+86177{index:08d}", "1", f"look-{count}-{index}")
            times[count].append(time.perf_counter() - before)
    for count, taken in times.items():
        show(f"observe with {count} feeds, p50", sorted(taken)[len(taken) // 2] * 1e6, "µs")
    await state.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
