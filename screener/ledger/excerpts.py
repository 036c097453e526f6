"""Rows for a third party: those of some calls, and what binds them to a signed checkpoint."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from screener.ledger import checkpoints
from screener.ledger.reader import CallRecord, _each, reading, record_of
from screener.ledger.store import Row, decode, writing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from screener.ledger.database import Database
    from screener.ledger.places import Place
    from screener.ledger.sought import Sought
    from screener.signing import Signer

BETWEEN_BOUND: Final = 200_000
"""Rows of others that are told for the sake of the chain, 60 MB; else only the rows that are asked for."""
ABOUT_NO_CALL = """
SELECT pbx, call_id, kind, at_us, body FROM row
WHERE pbx = '' AND call_id = '' AND kind = ? AND body != '' ORDER BY seq
"""
MESSAGES = """
SELECT pbx, call_id FROM row AS this WHERE kind = 'message' AND at_us >= ? AND body != ''
GROUP BY pbx, call_id ORDER BY min(seq)
"""
OF_CALL = "SELECT seq FROM row WHERE call_id = ?"
OF_CASE = "SELECT seq FROM row WHERE pbx = '' AND call_id = '' AND kind = 'case' AND instr(body, ?) > 0"
SIGNED = "SELECT min(seq) FROM row WHERE kind = 'checkpoint' AND seq > ?"
LINKED = """
SELECT seq, pbx, call_id, kind, at_us, body, salt, digest, hash FROM row JOIN link USING (seq)
WHERE seq BETWEEN ? AND ? ORDER BY seq
"""
COLUMNS: Final = ("seq", "pbx", "call_id", "kind", "at_us", "body", "salt", "digest", "hash")


def rows(path: Place, kind: str) -> list[Row]:
    """The rows of a kind that are about no call, in the order of writing; LedgerError as `calls`."""
    with reading(path) as db:
        return [decode(*row) for row in db.execute(ABOUT_NO_CALL, (kind,))]


def received(
    path: Place, since: datetime | None = None, sought: Sought | None = None
) -> Iterator[CallRecord]:
    """Messages in the form of calls: what was written stands as `transcript`; otherwise as `calls`."""
    with reading(path) as db:
        for rows in _each(db, MESSAGES, since, sought):
            yield record_of(rows)


def excerpt(
    path: Place, case: str, calls: Collection[str], signer: Signer, *, withhold: bool
) -> Iterator[dict[str, Any]]:
    """The rows of a case, by its name in them, and of these calls, with all links in between.

    They end with the next checkpoint, which is made if there is none. Bodies and salts of the rows in between
    are left out, with `withhold` all. `before` is the hash before a row. LedgerError if it cannot be read.
    """
    with writing(path) as db:
        wanted = _wanted(db, case, calls)
        if db.execute(SIGNED, (max(wanted),)).fetchone() == (None,):
            checkpoints.sign(db, path, signer)
        db.snapshot()
        (end,) = db.execute(SIGNED, (max(wanted),)).fetchone()
        whole = end - min(wanted) <= BETWEEN_BOUND
        spans = [(min(wanted), end)] if whole else [(seq, seq) for seq in sorted({*wanted, end})]
        for first, last in spans:
            (before,) = db.execute("SELECT hash FROM link WHERE seq = ?", (first - 1,)).fetchone() or (
                "0" * 64,
            )
            for row in db.stream(LINKED, (first, last)):
                told = dict(zip(COLUMNS, row, strict=True)) | {"before": before}
                before = told["hash"]
                if told["kind"] != "checkpoint" and (withhold or told["seq"] not in wanted):
                    del told["body"], told["salt"]
                yield told


def _wanted(db: Database, case: str, calls: Collection[str]) -> set[int]:
    wanted = {seq for call in calls for (seq,) in db.execute(OF_CALL, (call,))}
    return wanted | {seq for (seq,) in db.execute(OF_CASE, (json.dumps(case),))}
