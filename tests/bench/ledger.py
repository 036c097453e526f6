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
from typing import Any

import structlog

from screener.ledger import Ledger, Row, sqlite, store, verify
from screener.signing import Signer

QUEUED = 20_000
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


async def appended(directory: Path, signer: Signer) -> None:
    """As many as the queue holds, at once."""
    with Ledger.open(directory / "new.db", bound=QUEUED + 1, signer=signer) as ledger:
        began = time.perf_counter()
        for n in range(QUEUED):
            ledger.append(row(n))
        queued_s = time.perf_counter() - began
        await ledger.flush()
        all_s = time.perf_counter() - began
    say(f"append: {queued_s / QUEUED * 1e6:.1f} us to enqueue, {QUEUED / all_s:.0f} rows/s to the disk")


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


def verified(path: Path, signer: Signer) -> None:
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
        asyncio.run(appended(directory, signer))
        asyncio.run(chained(directory / "ledger.db", rows, signer))
        verified(directory / "ledger.db", signer)


if __name__ == "__main__":
    main()
