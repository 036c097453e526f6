"""The ledger's writing side: one thread, a bounded queue, commits in groups.

The event loop only ever queues. Rows that the disk refuses stay queued and are
tried again; when the bound is reached new rows are counted and lost, calls are not.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from concurrent.futures import Future
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING, Self

import structlog

from screener.errors import LedgerError
from screener.ledger.chaining import Chain
from screener.ledger.database import FAULTS, advice, told
from screener.ledger.outbox import Outbox
from screener.ledger.places import Postgres
from screener.ledger.sqlite import BUSY_S
from screener.ledger.store import Row, Stored, encode

if TYPE_CHECKING:
    from screener.ledger.places import Place
    from screener.signing import Signer

log = structlog.get_logger()

QUEUE_BOUND = 20_000
"""Rows kept while they cannot be written: a minute at 100 calls/s, tens of megabytes."""
GROUP_WAIT_S = 0.05
GROUP_MAX = 100
"""Rows in one go; turning them into JSON holds the interpreter for some 20 µs each."""
PAUSE_S = 0.25
REPORT_EVERY_S = 1.0
READABLE_S = 2.0


class Ledger(AbstractContextManager["Ledger"]):
    """The one writer of a ledger file.

    `dropped` counts rows that were lost because the queue was full or the ledger closed.
    """

    def __init__(self, path: Place, sink: Chain | Outbox, bound: int) -> None:
        """Use `Ledger.open`."""
        self.path = path
        self.dropped = 0
        self._sink = sink
        self._bound = bound
        self._queue: queue.SimpleQueue[Row | Future[None] | None] = queue.SimpleQueue()
        self._held = 0
        self._writing_since: float | None = None
        self._error: Exception | None = None
        self._reported_at = -REPORT_EVERY_S
        self._reported_dropped = 0
        self._counting = threading.Lock()
        self._hurry = threading.Event()
        self._closed = False
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, place: Place, *, bound: int = QUEUE_BOUND, signer: Signer | None = None) -> Self:
        """Open or create the ledger (a file 0600, new directory 0700); LedgerError says why it cannot be.

        Without a `signer` no checkpoints are signed. Rows of an older format are chained beside the writing
        of new ones. A database need not be there: rows wait for it in the outbox.
        """
        with told(place, "opened"):
            sink = Outbox(place, signer) if isinstance(place, Postgres) else Chain(place, signer)
        return cls(place, sink, bound)

    @property
    def healthy(self) -> bool:
        """False while rows cannot be written; calls go on all the same."""
        return not self.trouble and self._thread.is_alive()

    @property
    def trouble(self) -> str:
        """Why rows cannot be written, or do not reach the database; empty while all is well."""
        error = self._error or (self._sink.error if isinstance(self._sink, Outbox) else None)
        return f"{error}; {advice(error)}" if error else ""

    @property
    def outbox(self) -> int:
        """Rows safe on this machine that the database does not have yet."""
        return self._sink.waiting if isinstance(self._sink, Outbox) else 0

    @property
    def strangers(self) -> dict[str, int]:
        """Other keys that signed it, by fingerprint, and the last row of each; empty as it should be."""
        return self._sink.strangers

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

    async def flush(self, *, readable: bool = False) -> None:
        """Return when every row appended so far survives SIGKILL and power loss.

        With `readable` they can be read as well; LedgerError when a database does not take them in two
        seconds. Waits as long as the disk refuses: callers set their own limit. Raises
        LedgerError when the ledger is closed, or closes, before they are written.
        """
        if self._closed:
            raise LedgerError(f"{self.path}: the ledger is closed")
        done: Future[None] = Future()
        self._queue.put(done)
        self._hurry.set()
        await asyncio.wrap_future(done)
        if (
            readable
            and isinstance(self._sink, Outbox)
            and not await asyncio.to_thread(self._sink.forwarded, READABLE_S)
        ):
            raise LedgerError(f"{self.path}: does not take rows at present; they wait in the outbox")

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
        with closing(self._sink):
            group: list[Row | Future[None] | None] = []
            while None not in group:
                group = self._gather()
                written = self._write([encode(item) for item in group if isinstance(item, Row)])
                self._report()
                if written:
                    self._sink.tend(at_end=None in group)
                for item in group:
                    if isinstance(item, Future) and item.set_running_or_notify_cancel():
                        if written:
                            item.set_result(None)
                        else:
                            item.set_exception(LedgerError(f"{self.path}: closed before all was written"))
            self._sink.finish(self._give_up_at)

    def _gather(self) -> list[Row | Future[None] | None]:
        """Wait for a row, then a little for its neighbours; `flush` and `close` cut the wait short."""
        try:
            group = [self._queue.get(timeout=self._sink.due_s())]
        except queue.Empty:
            return []
        self._held = 1
        if isinstance(group[0], Row) and self._queue.qsize() < GROUP_MAX and not self._sink.behind:
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
            self._sink.write(rows)
        except FAULTS as error:
            self._error = error
            return False
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
                advice=advice(self._error) if self._error else "",
                waiting=self.waiting,
                dropped=self.dropped,
            )
