"""The ledger's writing side: one thread, a bounded queue, commits in groups.

The event loop only ever queues. Rows that the disk refuses stay queued and are
tried again; when the bound is reached new rows are counted and lost, calls are not.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
import time
from concurrent.futures import Future
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING, Self

import structlog

from screener.errors import LedgerError
from screener.ledger import checkpoints, store
from screener.ledger.store import Row, Stored, encode

if TYPE_CHECKING:
    from pathlib import Path

    from screener.signing import Signer

log = structlog.get_logger()

QUEUE_BOUND = 20_000
"""Rows kept while they cannot be written: a minute at 100 calls/s, tens of megabytes."""
GROUP_WAIT_S = 0.05
GROUP_MAX = 100
"""Rows in one go; turning them into JSON holds the interpreter for some 20 µs each."""
BUSY_S = 0.2
PAUSE_S = 0.25
REPORT_EVERY_S = 1.0
SIGN_ROWS = 1000
SIGN_S = 3600.0
"""A checkpoint is signed each so many rows, after so long at the latest, and at the end."""
SIGN_AGAIN_S = 60.0


class Ledger(AbstractContextManager["Ledger"]):
    """The one writer of a ledger file.

    `dropped` counts rows that were lost because the queue was full or the ledger closed.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, bound: int, signer: Signer | None) -> None:
        """Use `Ledger.open`."""
        self.path = path
        self.dropped = 0
        self._db, self._signer = db, signer
        # Rows of a ledger that was not chained, or not signed by one that was killed, come first.
        self._behind, self._unsigned = True, SIGN_ROWS
        self._sign_at = 0.0
        self._bound = bound
        self._queue: queue.SimpleQueue[Row | Future[None] | None] = queue.SimpleQueue()
        self._held = 0
        self._writing_since: float | None = None
        self._error: sqlite3.Error | None = None
        self._reported_at = -REPORT_EVERY_S
        self._reported_dropped = 0
        self._counting = threading.Lock()
        self._hurry = threading.Event()
        self._closed = False
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, path: Path, *, bound: int = QUEUE_BOUND, signer: Signer | None = None) -> Self:
        """Open or create the ledger (file 0600, new directory 0700); LedgerError says why it cannot be.

        Without a `signer` no checkpoints are signed. Rows of an older format are chained beside the writing
        of new ones.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                store.prepare(db, path)
            except BaseException:
                db.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(
                f"{path}: the ledger cannot be opened: {error}; check the path, its rights and the disk"
            ) from error
        return cls(db, path, bound, signer)

    @property
    def healthy(self) -> bool:
        """False while rows cannot be written; calls go on all the same."""
        return self._error is None and self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Rows accepted and not yet on disk."""
        return self._queue.qsize() + self._held

    @property
    def lag_s(self) -> float:
        """How long the rows at hand have been waiting for the disk."""
        since = self._writing_since
        return 0.0 if since is None else time.monotonic() - since

    def append(self, row: Row) -> None:
        """Queue the row: a few µs, never blocks, never raises; beyond the bound it counts as `dropped`."""
        if self._closed or self.waiting >= self._bound:
            self._drop(1)
        else:
            self._queue.put(row)

    async def flush(self) -> None:
        """Return when every row appended so far survives SIGKILL and power loss.

        Waits as long as the disk refuses: callers set their own limit. Raises
        LedgerError when the ledger is closed, or closes, before they are written.
        """
        if self._closed:
            raise LedgerError(f"{self.path}: the ledger is closed")
        done: Future[None] = Future()
        self._queue.put(done)
        self._hurry.set()
        await asyncio.wrap_future(done)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, then close. Blocks; rows still refused after `timeout_s` count as `dropped`."""
        if not self._closed:
            self._closed = True
            self._give_up_at = time.monotonic() + timeout_s
            self._queue.put(None)
            self._hurry.set()
        self._thread.join(timeout_s + 2 * (BUSY_S + PAUSE_S))

    def __exit__(self, *_: object) -> None:
        """Close, whatever happened."""
        self.close()

    def _drop(self, rows: int) -> None:
        with self._counting:
            self.dropped += rows

    def _run(self) -> None:
        with closing(self._db):
            group: list[Row | Future[None] | None] = []
            while None not in group:
                group = self._gather()
                written = self._write([encode(item) for item in group if isinstance(item, Row)])
                self._report()
                if written:
                    self._sign(at_end=None in group)
                for item in group:
                    if isinstance(item, Future) and item.set_running_or_notify_cancel():
                        if written:
                            item.set_result(None)
                        else:
                            item.set_exception(LedgerError(f"{self.path}: closed before all was written"))

    def _gather(self) -> list[Row | Future[None] | None]:
        """Wait for a row, then a little for its neighbours; `flush` and `close` cut the wait short."""
        due_s = self._sign_at - time.monotonic() if self._unsigned and self._signer else None
        try:
            group = [self._queue.get(timeout=0 if self._behind else due_s and max(0, due_s))]
        except queue.Empty:
            return []
        self._held = 1
        if isinstance(group[0], Row) and self._queue.qsize() < GROUP_MAX and not self._behind:
            self._hurry.wait(GROUP_WAIT_S)
        self._hurry.clear()
        while len(group) < GROUP_MAX and not self._queue.empty():
            group.append(self._queue.get())
            self._held += 1
        return group

    def _write(self, rows: list[Stored]) -> bool:
        """Commit the rows; tries until it succeeds or `close` runs out of patience."""
        self._writing_since = time.monotonic()
        while not self._commit(rows):
            if time.monotonic() >= self._give_up_at:
                self._drop(len(rows))
                self._held, self._writing_since = 0, None
                return False
            self._report()
            if self._hurry.wait(PAUSE_S):
                self._hurry.clear()
        self._held, self._writing_since = 0, None
        return True

    def _commit(self, rows: list[Stored]) -> bool:
        try:
            if self._behind:
                store.upgrade(self._db)
            with store.transaction(self._db):
                self._db.executemany(store.INSERT, rows)
                behind = store.link(self._db) == store.LINKED_AT_ONCE
        except sqlite3.Error as error:
            self._error = error
            return False
        self._behind = behind
        self._unsigned += len(rows)
        if self._error is not None:
            self._error = None
            log.warning("ledger writes again", path=str(self.path), waiting=self.waiting)
        return True

    def _report(self) -> None:
        """Log trouble from this thread, not from the call's, and once a second at most."""
        now, lost = time.monotonic(), self.dropped - self._reported_dropped
        if (self._error or lost) and now - self._reported_at >= REPORT_EVERY_S:
            self._reported_at, self._reported_dropped = now, self.dropped
            log.error(
                "ledger loses rows" if lost else "ledger cannot write, rows wait",
                path=str(self.path),
                error=str(self._error or "the queue was full"),
                waiting=self.waiting,
                dropped=self.dropped,
            )

    def _sign(self, *, at_end: bool) -> None:
        """Sign a checkpoint if one is due; what fails is tried again, rows are written all the same."""
        now = time.monotonic()
        due = self._unsigned >= SIGN_ROWS or at_end or now >= self._sign_at
        if not self._signer or self._behind or not self._unsigned or not due:
            return
        try:
            checkpoints.sign(self._db, self.path, self._signer)
            self._unsigned, self._sign_at = 0, now + SIGN_S
        except (sqlite3.Error, OSError) as error:
            self._unsigned, self._sign_at = 1, now + SIGN_AGAIN_S
            log.error("a checkpoint of the ledger was not signed", path=str(self.path), error=str(error))
