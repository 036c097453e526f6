"""Flood the store: `python -m tests.bench.flood [CALLERS] [MEMORY_MB]`; who is forgotten, in how much memory.

A thousand list entries and a thousand regulars (three calls, one long talk) come first, then so many callers
who call once. Figures depend on the machine; nothing here passes or fails.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from screener.state import EmbeddedServer, Lesson
from screener.state.asking import CALLER_KEY, LISTS_KEY, SCRIPT, TRUST_KEY, question
from screener.state.connecting import open_client
from screener.state.learning import LEARN, teaching

if TYPE_CHECKING:
    from redis.asyncio import Redis

KNOWN = 1000
BATCH = 1000


async def flood(url: str, callers: int) -> dict[str, float]:
    """What is left of the lists and the regulars after so many callers, bytes used, and seconds taken."""
    client = open_client(url, timeout_s=60)
    observe, learn = await client.script_load(SCRIPT), await client.script_load(LEARN)
    await client.hset(LISTS_KEY, mapping={f"b+86199{n:08d}": "\t1\tfile\t\tflood" for n in range(KNOWN)})
    regulars = [f"+86139{n:08d}" for n in range(KNOWN)]
    for n in range(3):
        await calls(client, observe, [(caller, f"r{n}-{caller}") for caller in regulars])
    pipe = client.pipeline(transaction=False)
    for caller in regulars:
        keys, arguments = teaching(caller, "", Lesson(good=1.0, talk_s=70), 90)
        pipe.evalsha(learn, len(keys), *keys, *arguments)
    await pipe.execute()
    started, most = time.perf_counter(), 0
    for first in range(0, callers, BATCH):
        numbers = range(first, min(callers, first + BATCH))
        await calls(client, observe, [(f"+86177{n * 7919 % 10**8:08d}", f"f{n}") for n in numbers])
        most = max(most, int((await client.info("memory"))["used_memory"]))
    taken = time.perf_counter() - started
    left = {
        "list entries left": await client.hlen(LISTS_KEY),
        "regulars' histories left": await client.exists(*(CALLER_KEY + one for one in regulars)),
        "regulars' trust left": await client.exists(*(TRUST_KEY + one for one in regulars)),
        "keys": await client.dbsize(),
        "evicted keys": (await client.info("stats"))["evicted_keys"],
        "most memory used, MB": most / 2**20,
        "calls a second": callers / taken,
    }
    await client.aclose()
    return left


async def calls(client: Redis, script: str, made: list[tuple[str, str]]) -> None:
    """Let callers call, many in one batch; raises what the store refuses."""
    pipe = client.pipeline(transaction=False)
    for caller, call_id in made:
        keys, arguments = question(caller, "100", call_id, trunk="PJSIP/a", count=True, at=None, feeds=())
        pipe.evalsha(script, len(keys), *keys, *arguments)
    for reply in await pipe.execute():
        if "missing" in reply:
            raise RuntimeError(reply["missing"])


async def main(callers: int, memory_mb: int) -> None:
    """Flood a server of its own, and report."""
    with tempfile.TemporaryDirectory(prefix="bench") as directory:
        async with EmbeddedServer(Path(directory) / "state", memory_bytes=memory_mb << 20) as server:
            for what, value in (await flood(server.url, callers)).items():
                print(f"{what:30} {value:14,.1f}")  # noqa: T201 - a report


if __name__ == "__main__":
    sizes = [int(one) for one in sys.argv[1:]]
    asyncio.run(main(*(sizes + [1_000_000, 512][len(sizes) :])))
