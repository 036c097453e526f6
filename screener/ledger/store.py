"""The ledger's file: a row, its form on disk, and how a ledger is told from any other file.

Nothing in it is ever changed or deleted, and the file itself refuses to. Rows lie
in the order of writing; bodies are canonical JSON (ASCII, sorted keys), so that
equal content has equal bytes and a digest of it can be taken again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from screener.errors import LedgerError
from screener.text import escaped

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from pathlib import Path

APPLICATION_ID = 0x53435243
VERSION = 1
SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE row (
    seq INTEGER PRIMARY KEY, pbx TEXT NOT NULL, call_id TEXT NOT NULL,
    kind TEXT NOT NULL, at_us INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX row_of_call ON row (pbx, call_id);
CREATE INDEX row_at ON row (at_us);
CREATE INDEX row_of_recording ON row (seq) WHERE kind = 'recording';
CREATE TRIGGER row_kept BEFORE DELETE ON row BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER row_fixed BEFORE UPDATE ON row BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""
INSERT = "INSERT INTO row (pbx, call_id, kind, at_us, body) VALUES (?, ?, ?, ?, ?)"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Stored = tuple[str, str, str, int, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One event in a call's life; `body` belongs to the ledger once appended and must not change.

    `call_id` is Asterisk's Uniqueid, `pbx` tells several Asterisks apart. An `at`
    without a zone counts as UTC. Text may hold anything, lone surrogates included.
    """

    call_id: str
    kind: str
    at: datetime
    body: Mapping[str, Any]
    pbx: str = ""


def encode(row: Row) -> Stored:
    """Give the row as `INSERT` takes it; never raises, a body that is not JSON is replaced by its error."""
    try:
        body = json.dumps(row.body, sort_keys=True, separators=(",", ":"), default=str)
    except Exception as error:  # noqa: BLE001 - a value's own __str__ may raise anything
        # Such a body is our own mistake; that the call took place is kept all the same.
        body = json.dumps({"unwritable": f"{type(error).__name__}: {error}"})
    return escaped(row.pbx), escaped(row.call_id), escaped(row.kind), micros(row.at), body


def decode(pbx: str, call_id: str, kind: str, at_us: int, body: str) -> Row:
    """Give the row as it was appended; ValueError when the body was damaged."""
    return Row(call_id, kind, EPOCH + timedelta(microseconds=at_us), json.loads(body), pbx)


def micros(at: datetime | None) -> int:
    """Microseconds since 1970, exactly; before every time if there is none."""
    if at is None:
        return -(2**63)
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - EPOCH) // timedelta(microseconds=1)


def check(db: sqlite3.Connection, path: Path) -> None:
    """Raise LedgerError unless this is a ledger of a version that can be used."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise LedgerError(f"{path}: not a ledger of the screener; name another file")
    if version > VERSION:
        msg = (
            f"{path}: written by a newer screener (format {version}, known up to {VERSION}); upgrade this one"
        )
        raise LedgerError(msg)
