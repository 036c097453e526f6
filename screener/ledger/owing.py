"""Recordings of which people were to be told, and may not have been: the service was stopped meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from screener.ledger.reader import CallRecord, _each, reading, record_of

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
    """Calls with a row `owed` since then that is not settled, oldest first; raises as `calls`."""
    with reading(path) as db:
        for rows in _each(db, OWED, since):
            yield record_of(rows)
