"""A row that only one of several may write: whoever comes first does what it announces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from screener.ledger.reader import ROWS_OF_CALL
from screener.ledger.store import Row, decode, encode, insert, writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from screener.ledger.places import Place


def claim(path: Place, row: Row, refused: Callable[[tuple[Row, ...]], str]) -> str:
    """Write a row about a call or message unless `refused`, shown its rows so far, gives a reason.

    Returns that reason, empty if the row was written. Nobody else writes in between. It blocks; LedgerError
    as `append`.
    """
    with writing(path) as db, db.transaction():
        rows = tuple(decode(*one) for one in db.execute(ROWS_OF_CALL, (row.pbx, row.call_id)))
        reason = refused(rows)
        if not reason:
            insert(db, [encode(row)])
        return reason
