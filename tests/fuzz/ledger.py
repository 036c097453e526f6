"""Rows that somebody else wrote into the ledger: readers say so, and show nothing unsafe."""

import contextlib
import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from screener.errors import LedgerError
from screener.ledger import Ledger, Row, append, calls, verify

AT = datetime(2026, 3, 4, tzinfo=UTC)
SEEDS = [
    b'{"call": {"number": "1"}, "verdict": {}}',
    b"{}",
    b"[]",
    b'{"call": 3}',
    b'{"a": NaN}',
    b"[" * 2000,
    b'"\\ud800"',
]


def target(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "ledger.db"
        with Ledger.open(path):
            pass
        append(path, [Row("1.1", "setup", AT, {"trunk": "ours"}), Row("1.1", "end", AT, {})])
        with closing(sqlite3.connect(path)) as db, db:
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                db.execute(f"DROP TRIGGER {name}")
            db.execute("UPDATE row SET body = ? WHERE kind = 'setup'", (raw.decode("utf-8", "replace"),))
        with contextlib.suppress(LedgerError):
            list(calls(path))
        assert verify(path).problems
