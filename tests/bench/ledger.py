"""How fast a ledger takes rows, is chained and verified: `python -m tests.bench.ledger [ROWS]`."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from screener.ledger import Ledger, Row, sqlite, store, verify
from screener.signing import Signer
from tests.postgres import Cluster

if TYPE_CHECKING:
    from screener.ledger import Place

QUEUED = 20_000
TURNS = 3
HIT = {
    "symbol": "DID_FANOUT",
    "group": "velocity",
    "score": 1.5,
    "because": "5 of our numbers called in an hour",
}
BODY: dict[str, Any] = {
    "call": {"number": "+8617712345678", "e164": "+8617712345678", "did": "+4930123", "trunk": "t1"},
    "facts": {f"caller.fact_{n}": n for n in range(25)},
    "verdict": {"action": "voicemail", "score": 9.5, "policy": "a" * 64, "hits": [HIT] * 6, "skipped": []},
}


def say(line: str) -> None:
    """Print it."""
    sys.stdout.write(line + "\n")


def row(n: int) -> Row:
    """One of a usual size."""
    return Row(f"1700000000.{n}", "setup", datetime.now(UTC), BODY)


async def appended(place: Place, signer: Signer) -> tuple[float, float]:
    """As many as the queue holds, at once; seconds until they are safe, and until they can be read."""
    with Ledger.open(place, bound=QUEUED + 1, signer=signer) as ledger:
        began, used = time.perf_counter(), time.process_time()
        for n in range(QUEUED):
            ledger.append(row(n))
        queued_s = time.perf_counter() - began
        await ledger.flush()
        safe_s = time.perf_counter() - began
        while ledger.outbox:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        all_s, used_s = time.perf_counter() - began, time.process_time() - used
    say(
        f"append to {place}: {queued_s / QUEUED * 1e6:.1f} us to enqueue, {QUEUED / safe_s:.0f} rows/s safe, "
        f"{QUEUED / all_s:.0f} rows/s readable, {used_s / QUEUED * 1e6:.0f} us of our processor a row"
    )
    return all_s, used_s


async def compared(directory: Path, signer: Signer) -> None:
    """The same rows into a file and into PostgreSQL, by turns."""
    with Cluster() as cluster:
        ratios = []
        for n in range(TURNS):
            place = cluster.place(directory / str(n))
            file_s, file_used_s = await appended(directory / f"{n}.db", signer)
            all_s, used_s = await appended(place, signer)
            ratios.append((all_s / file_s, used_s / file_used_s))
            verified(place, signer)
        times, costs = (sorted(one)[TURNS // 2] for one in zip(*ratios, strict=True))
        say(f"PostgreSQL to file, median of {TURNS}: {times:.1f} x the time, {costs:.1f} x the processor")


async def chained(path: Path, rows: int, signer: Signer) -> None:
    """A ledger of format 1 is opened, and gets rows meanwhile."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for statement in sqlite.ROWS.split(";;"):
            db.execute(statement)
        db.execute("PRAGMA user_version = 1")
        db.executemany(store.INSERT, (store.encode(row(n)) for n in range(rows)))
        db.commit()
    began, first_s = time.perf_counter(), 0.0
    with Ledger.open(path, signer=signer) as ledger:
        while ledger._sink.behind:
            ledger.append(row(0))
            await asyncio.sleep(0.01)
            if not first_s:
                await ledger.flush()
                first_s = time.perf_counter() - began
        say(
            f"format 1: {rows} rows chained in {time.perf_counter() - began:.1f} s, "
            f"the first new row on disk after {first_s:.1f} s"
        )


def verified(path: Place, signer: Signer) -> None:
    """Walk it."""
    began = time.perf_counter()
    found = verify(path, signer.public)
    took_s = time.perf_counter() - began
    rate, result = found.rows / took_s, found.problems or "good"
    say(f"verify: {found.rows} rows in {took_s:.1f} s, {rate:.0f} rows/s: {result}")


def main() -> None:
    """Print the figures."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        signer = Signer.of(directory)
        asyncio.run(compared(directory, signer))
        asyncio.run(chained(directory / "ledger.db", rows, signer))
        verified(directory / "ledger.db", signer)


if __name__ == "__main__":
    main()
