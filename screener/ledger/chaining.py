"""How the service adds rows to a ledger: a group at once, each linked, the head signed now and then."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from screener.ledger import checkpoints, store
from screener.ledger.database import FAULTS, to_keep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from screener.ledger.places import Place
    from screener.ledger.store import Stored
    from screener.signing import Signer

log = structlog.get_logger()

SIGN_ROWS = 1000
SIGN_S = 3600.0
"""A checkpoint is signed each so many rows, after so long at the latest, and at the end."""
SIGN_AGAIN_S = 60.0
MARK = "SELECT n FROM forwarded WHERE writer = ?"
SET_MARK = """
INSERT INTO forwarded (writer, n) VALUES (?, ?) ON CONFLICT (writer) DO UPDATE SET n = excluded.n
"""


class Chain:
    """The end of a ledger; everything blocks, and raises one of FAULTS when it cannot be done now."""

    def __init__(self, place: Place, signer: Signer | None) -> None:
        """Open it, made if there is none; also raises LedgerError when it is something else."""
        self.place, self._signer = place, signer
        self._db = to_keep(place)
        # Rows of a ledger that was not chained, or not signed by one that was killed, come first.
        self.behind, self._unsigned = True, SIGN_ROWS
        self._sign_at = 0.0
        self._known = False
        self.strangers: dict[str, int] = {}
        """Other keys that signed it, as `checkpoints.strangers`."""

    def write(self, rows: Sequence[Stored]) -> None:
        """Add rows; when this returns they survive SIGKILL and power loss."""
        if self.behind:
            self._db.upgrade()
        with self._db.transaction():
            self._db.executemany(store.INSERT, rows)
            behind = store.link(self._db) == store.LINKED_AT_ONCE
        self.behind = behind
        self._unsigned += len(rows)

    def forward(self, rows: Sequence[tuple[int, Stored]], writer: str) -> None:
        """Add rows that this writer has numbered, but those that are there already: each comes once."""
        with self._db.transaction():
            (done,) = self._db.execute(MARK, (writer,)).fetchone() or (0,)
            if new := [row for n, row in rows if n > done]:
                self._db.executemany(store.INSERT, new)
                store.link(self._db)
                self._db.execute(SET_MARK, (writer, rows[-1][0]))
        self.behind = False
        self._unsigned += len(new)

    def due_s(self) -> float | None:
        """After how many seconds a checkpoint is due, None if none is."""
        if self.behind:
            return 0.0
        return max(0.0, self._sign_at - time.monotonic()) if self._unsigned and self._signer else None

    def tend(self, *, at_end: bool = False) -> None:
        """Sign a checkpoint if one is due; what fails is tried again, rows are written all the same."""
        now = time.monotonic()
        due = self._unsigned >= SIGN_ROWS or at_end or now >= self._sign_at
        if not self._signer or self.behind or not self._unsigned or not due:
            return
        try:
            self._look_for_strangers(self._signer)
            checkpoints.sign(self._db, self.place, self._signer)
            self._unsigned, self._sign_at = 0, now + SIGN_S
        except FAULTS as error:
            self._unsigned, self._sign_at = 1, now + SIGN_AGAIN_S
            log.error("a checkpoint of the ledger was not signed", ledger=str(self.place), error=str(error))

    def _look_for_strangers(self, signer: Signer) -> None:
        """Once: a lost key is made anew without a question, and then nothing proves what came before."""
        if not self._known:
            self._known = True
            self.strangers = checkpoints.strangers(self._db, signer.public)
            for key, seq in self.strangers.items():
                log.error(
                    "the ledger was signed with another key: restore its signing.key, or keep its public "
                    "half and verify with both",
                    key=key, last_row=seq, our_key=signer.public.fingerprint, ledger=str(self.place),
                )  # fmt: skip

    def finish(self, give_up_at: float) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Close it."""
        self._db.close()
