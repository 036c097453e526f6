"""Recordings of which people were to be told, and may not have been: the service was stopped meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from screener.ledger.reader import ROWS_OF_CALL, CallRecord, reading, record_of
from screener.ledger.store import decode, micros

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from screener.ledger.places import Place

SETTLING: Final = ("delivered", "notified")
"""Kinds of rows that may stand in the `until` of a row `owed`."""
# Bodies are canonical JSON: within a string of a caller's the quotation marks would be escaped.
UNSETTLED = """
instr(body, '"{0}"') > 0 AND NOT EXISTS (
    SELECT 1 FROM row AS settled
    WHERE settled.pbx = this.pbx AND settled.call_id = this.call_id AND settled.kind = '{0}'
)"""
# Settled ones are left out here: there may be thousands, and callers wait while Python reads their rows.
OWED = f"""
SELECT pbx, call_id FROM row AS this
WHERE kind = 'owed' AND at_us >= ? AND body != '' AND ({" OR ".join(map(UNSETTLED.format, SETTLING))})
GROUP BY pbx, call_id ORDER BY min(seq)
"""  # noqa: S608 - words of our own


def owed(path: Place, since: datetime) -> Iterator[CallRecord]:
    """Calls with a row `owed` since then that is not settled, oldest first; raises as `calls`.

    One with a row that cannot be read is left out: it must not keep the others waiting.
    """
    with reading(path) as db:
        for key in db.stream(OWED, (micros(since),)):
            try:
                rows = [decode(*row) for row in db.execute(ROWS_OF_CALL, key)]
            except ValueError:
                continue
            yield record_of(rows)
