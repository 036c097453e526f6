"""A row, its form in the ledger, and its link in the chain.

Rows lie in the order of writing; bodies are canonical JSON (ASCII, sorted keys), so that equal content has
equal bytes. `link` has for each row what `chain` says.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from screener.ledger.chain import FIRST, SALT_BYTES, digest, linked
from screener.ledger.database import to_write, told
from screener.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from screener.ledger.database import Database
    from screener.ledger.places import Place

LINKED_AT_ONCE = 2000
"""Rows chained in one transaction: some 20 ms in which nobody else can write."""
YIELD_S = 0.01
"""Between two such transactions the service gets its turn."""
INSERT = "INSERT INTO row (pbx, call_id, kind, at_us, body) VALUES (?, ?, ?, ?, ?)"
INSERT_LINK = "INSERT INTO link (seq, salt, digest, hash) VALUES (?, ?, ?, ?)"
HEAD = "SELECT seq, hash FROM link ORDER BY seq DESC LIMIT 1"
UNLINKED = "SELECT seq, pbx, call_id, kind, at_us, body FROM row WHERE seq > ? ORDER BY seq LIMIT ?"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Stored = tuple[str, str, str, int, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One event in a call's life; `body` belongs to the ledger once appended and must not change.

    `call_id` is Asterisk's Uniqueid, empty where the row is about no call, `pbx` tells several Asterisks
    apart. An `at`
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
    try:
        parsed = json.loads(body)
    except RecursionError:
        parsed = None
    if not isinstance(parsed, dict):
        raise ValueError(f"the {kind} row of {call_id!r} was not written by a screener")  # noqa: TRY004 - damage
    return Row(call_id, kind, EPOCH + timedelta(microseconds=at_us), parsed, pbx)


def micros(at: datetime | None) -> int:
    """Microseconds since 1970, exactly; before every time if there is none."""
    if at is None:
        return -(2**63)
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - EPOCH) // timedelta(microseconds=1)


def append(place: Place, rows: Iterable[Row]) -> int:
    """Write rows and return the seq of the last, also while the service writes; for commands: it blocks.

    Returns when they survive SIGKILL and power loss. Raises LedgerError when there is no ledger, or when it
    cannot be written.
    """
    with writing(place) as db, db.transaction():
        return insert(db, [encode(row) for row in rows])


def insert(db: Database, rows: Iterable[Stored]) -> int:
    """Write and chain rows within a transaction of the caller's; returns the seq of the last row."""
    db.executemany(INSERT, rows)
    link(db)
    return head(db)[0]


def head(db: Database) -> tuple[int, str]:
    """The seq and hash of the last row in the chain."""
    return db.execute(HEAD).fetchone() or (0, FIRST)


def link(db: Database) -> int:
    """Chain rows that are not, so many at once, within a transaction of the caller's; returns how many."""
    last, before = head(db)
    rows = db.execute(UNLINKED, (last, LINKED_AT_ONCE)).fetchall()
    salts = os.urandom(SALT_BYTES * len(rows)).hex()
    links = []
    for n, (seq, pbx, call_id, kind, at_us, body) in enumerate(rows):
        salt = salts[2 * SALT_BYTES * n :][: 2 * SALT_BYTES]
        content = digest(salt, body)
        before = linked(before, seq, pbx, call_id, kind, at_us, content)
        links.append((seq, salt, content, before))
    db.executemany(INSERT_LINK, links)
    return len(links)


def extend(runs: list[list[int]], first: int, last: int) -> None:
    """Add rows to runs of rows [first, last], as a continuation of the latest if they are one."""
    if runs and runs[-1][1] == first - 1:
        runs[-1][1] = last
    else:
        runs.append([first, last])


@contextmanager
def writing(place: Place) -> Iterator[Database]:
    """A connection for commands to a ledger that exists, all its rows chained; LedgerError if it fails."""
    with told(place, "written"), closing(to_write(place)) as db:
        db.upgrade()
        behind = True
        while behind:
            with db.transaction():
                behind = link(db) == LINKED_AT_ONCE
            time.sleep(YIELD_S if behind else 0)
        yield db
