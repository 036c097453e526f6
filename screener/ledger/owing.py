"""Recordings of which people were to be told, and may not have been: the service was stopped meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from screener.ledger.reader import CallRecord, _each, reading, record_of

if TYPE_CHECKING:
    from datetime import datetime

    from screener.ledger.places import Place

SETTLED: Final = frozenset(("delivered", "notified"))
OWED = """
SELECT pbx, call_id FROM row AS this WHERE kind = 'owed' AND at_us >= ? AND body != ''
GROUP BY pbx, call_id ORDER BY min(seq)
"""


def owed(path: Place, since: datetime) -> list[CallRecord]:
    """Calls with a row `owed` since then but not all of SETTLED, oldest first; LedgerError as `calls`."""
    with reading(path) as db:
        calls = [record_of(rows) for rows in _each(db, OWED, since)]
        return [one for one in calls if SETTLED - {row.kind for row in one.rows}]
