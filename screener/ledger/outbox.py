"""The way to a ledger in PostgreSQL: each row goes into a file here first, and is forwarded from there.

So a row is safe on disk at once, however the database is: away, slow, restarted, or back after days. It is
forwarded once: the database remembers in the same transaction how far its writer has come. Each start is a
writer of its own: of a machine that was copied or set back, two would number different rows alike.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import structlog

from screener.ledger import sqlite
from screener.ledger.chaining import Chain
from screener.ledger.database import FAULTS, advice, told
from screener.ledger.places import Postgres

if TYPE_CHECKING:
    from collections.abc import Sequence

    from screener.ledger.places import Place
    from screener.ledger.store import Stored
    from screener.signing import Signer

log = structlog.get_logger()

AT_ONCE = 500
PAUSE_S = 0.25
PAUSE_MAX_S = 5.0
REPORT_EVERY_S = WIPE_EVERY_S = 60.0
TABLES = """
CREATE TABLE IF NOT EXISTS row (
    n INTEGER PRIMARY KEY AUTOINCREMENT, pbx TEXT NOT NULL, call_id TEXT NOT NULL,
    kind TEXT NOT NULL, at_us INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS start (n INTEGER PRIMARY KEY, writer TEXT NOT NULL) STRICT;
"""
TAKE = "INSERT INTO row (pbx, call_id, kind, at_us, body) VALUES (?, ?, ?, ?, ?)"
STARTED = """
INSERT OR REPLACE INTO start
SELECT CASE count(*) WHEN 0 THEN 0 ELSE 1 + (SELECT coalesce(max(seq), 0) FROM sqlite_sequence) END, ?
FROM start
"""
WRITER = "SELECT writer FROM start WHERE start.n <= row.n ORDER BY start.n DESC LIMIT 1"
NEXT = f"""
SELECT ({WRITER}) AS writer, n, pbx, call_id, kind, at_us, body FROM row WHERE n > ? ORDER BY n LIMIT ?
"""  # noqa: S608 - words of our own


def waiting(place: Place) -> int:
    """How many rows of this machine the database does not have yet; LedgerError if that cannot be told."""
    if not isinstance(place, Postgres):
        return 0
    with told(place.outbox, "read"):
        if not place.outbox.exists():
            return 0
        uri = f"{place.outbox.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM row").fetchone()[0])


class Outbox:
    """Takes rows as `Chain` does, and has a thread of its own that forwards them."""

    behind = False

    def __init__(self, place: Postgres, signer: Signer | None) -> None:
        """Open the file, made if there is none; sqlite3.Error or OSError when it cannot be written."""
        self._place, self._signer = place, signer
        sqlite.make(place.directory)
        os.close(os.open(place.outbox, os.O_CREAT | os.O_RDWR, 0o600))
        # Two threads, one connection: neither finds the file locked by the other.
        self._db = sqlite3.connect(
            place.outbox, timeout=sqlite.BUSY_S, isolation_level=None, check_same_thread=False
        )
        self._lock = threading.Lock()
        try:
            self.waiting, self._last = self._prepared()
        except BaseException:
            self._db.close()
            raise
        self._done = 0
        self.error: Exception | None = None
        self.strangers: dict[str, int] = {}
        self._news = threading.Condition()
        self._give_up_at = float("inf")
        self._told_at = self._wiped_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="ledger forwarding", daemon=True)
        self._thread.start()

    def _prepared(self) -> tuple[int, int]:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(TABLES)
        self._db.execute(STARTED, (secrets.token_hex(16),))
        waiting, last = self._db.execute("SELECT count(*), coalesce(max(n), 0) FROM row").fetchone()
        return waiting, last

    def write(self, rows: Sequence[Stored]) -> None:
        """Take rows; when this returns they survive SIGKILL and power loss."""
        if not rows:
            return
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(TAKE, rows)
            (last,) = self._db.execute("SELECT max(n) FROM row").fetchone()
        with self._news:
            self._last = last
            self.waiting += len(rows)
            self._news.notify_all()

    def due_s(self) -> None:
        """Nothing is to be signed here."""

    def tend(self, *, at_end: bool = False) -> None:
        """The thread that forwards signs, too."""

    def forwarded(self, timeout_s: float) -> bool:
        """Wait until the database has all that was taken so far; whether it does."""
        with self._news:
            last = self._last
            return self._news.wait_for(
                lambda: self._done >= last or not self._thread.is_alive(), timeout_s
            ) and (self._done >= last)

    def finish(self, give_up_at: float) -> None:
        """Forward what waits, if it can be done by then (monotonic); the rest is at the next start."""
        with self._news:
            self._give_up_at = give_up_at
            self._news.notify_all()
        self._thread.join(max(0.0, give_up_at - time.monotonic()))
        if self.waiting:
            log.warning("rows wait for PostgreSQL", outbox=str(self._place.outbox), rows=self.waiting)

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error), self._lock:
            self._db.close()

    def _run(self) -> None:
        chain, pause_s, at_end = None, 0.0, False
        while not at_end:
            try:
                chain = chain or Chain(self._place, self._signer)
                self._forward(chain)
                self._tell(None)
                pause_s = 0.0
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody else would forward the rows
                chain = self._closed(chain)
                # A connection that was idle may have been gone for long: that is no news.
                if pause_s:
                    self._tell(error)
                    self._rest(pause_s)
                pause_s = min(2 * pause_s or PAUSE_S, PAUSE_MAX_S)
            at_end = self._closing and (self._done >= self._last or time.monotonic() >= self._give_up_at)
        if chain and not pause_s:
            chain.tend(at_end=True)
        self._closed(chain)

    def _rest(self, pause_s: float) -> None:
        """Leave the database alone for so long, or until the ledger is closed; then for a shorter time."""
        with self._news:
            closing = self._closing
            self._news.wait_for(lambda: self._closing != closing, PAUSE_S if closing else pause_s)

    @staticmethod
    def _closed(chain: Chain | None) -> None:
        if chain:
            with suppress(*FAULTS):
                chain.close()

    def _tell(self, error: Exception | None) -> None:
        """Log trouble when it begins, each minute, and its end."""
        now = time.monotonic()
        if error and (self.error is None or now - self._told_at >= REPORT_EVERY_S):
            self._told_at = now
            log.error(
                "PostgreSQL does not take the rows of the ledger: they wait in the outbox",
                ledger=str(self._place), error=str(error), advice=advice(error), waiting=self.waiting,
            )  # fmt: skip
        elif self.error and not error:
            log.warning("PostgreSQL takes the rows of the ledger again", ledger=str(self._place))
        self.error = error

    @property
    def _closing(self) -> bool:
        return self._give_up_at != float("inf")

    def _forward(self, chain: Chain) -> None:
        """Forward what is there, or wait until there is something."""
        with self._lock:
            found = self._db.execute(NEXT, (self._done, AT_ONCE)).fetchall()
        writer = found[0][0] if found else ""
        rows = [(n, tuple(stored)) for by, n, *stored in found if by == writer]
        chain.forward(rows, writer)
        if rows:
            with self._news:
                self._done = rows[-1][0]
                self.waiting -= len(rows)
                self._news.notify_all()
            self._forget()
        chain.tend()
        self.strangers = chain.strangers
        with self._news:
            self._news.wait_for(lambda: self._last > self._done or self._closing, chain.due_s())

    def _forget(self) -> None:
        """Delete what was forwarded; a full disk may refuse, then it is left out at the next start."""
        with self._lock, suppress(sqlite3.Error):
            self._db.execute("DELETE FROM row WHERE n <= ?", (self._done,))
            if not self.waiting and time.monotonic() - self._wiped_at > WIPE_EVERY_S:
                self._wiped_at = time.monotonic()
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # its log still has them
