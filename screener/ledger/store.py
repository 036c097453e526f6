"""The ledger's file: a row, its form on disk, its link in the chain, and how it is told from any other file.

Rows lie in the order of writing; bodies are canonical JSON (ASCII, sorted keys), so that equal content has
equal bytes. `link` has for each row what `chain` says. Nothing is ever changed or deleted, and the file
itself refuses to, but for one thing: the body of a row and its salt may be erased, together.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from screener.errors import LedgerError
from screener.ledger.chain import FIRST, SALT_BYTES, digest, linked
from screener.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

APPLICATION_ID = 0x53435243
VERSION = 2
LINKED_AT_ONCE = 2000
"""Rows chained in one transaction: some 20 ms in which nobody else can write."""
YIELD_S = 0.01
"""Between two such transactions the service gets its turn."""
PATIENCE_S = 10.0
"""How long a command waits for its turn to write."""
KEEPING = "kind IN ('erased', 'hold', 'release')"
"""Of few rows among many: written like this, the index is used."""
ROWS = f"""
CREATE TABLE row (
    seq INTEGER PRIMARY KEY, pbx TEXT NOT NULL, call_id TEXT NOT NULL,
    kind TEXT NOT NULL, at_us INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;;
CREATE INDEX row_of_call ON row (pbx, call_id);;
CREATE INDEX row_of_recording ON row (seq) WHERE kind = 'recording';;
CREATE TRIGGER row_kept BEFORE DELETE ON row BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;;
PRAGMA application_id = {APPLICATION_ID}
"""
CHAIN = f"""
DROP INDEX IF EXISTS row_at;;
DROP TRIGGER IF EXISTS row_fixed;;
CREATE INDEX row_at ON row (at_us) WHERE body != '';;
CREATE INDEX row_of_keeping ON row (seq) WHERE {KEEPING};;
CREATE TABLE link (
    seq INTEGER PRIMARY KEY, salt TEXT, digest TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;;
CREATE TRIGGER row_fixed BEFORE UPDATE ON row
WHEN new.body != '' OR old.kind IN ('checkpoint', 'erased')
    OR (new.seq, new.pbx, new.call_id, new.kind, new.at_us)
        IS NOT (old.seq, old.pbx, old.call_id, old.kind, old.at_us)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;;
CREATE TRIGGER link_fixed BEFORE UPDATE ON link
WHEN new.salt IS NOT NULL OR (new.seq, new.digest, new.hash) IS NOT (old.seq, old.digest, old.hash)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;;
CREATE TRIGGER link_kept BEFORE DELETE ON link BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;;
PRAGMA user_version = {VERSION}
"""
"""What format 2 adds to the rows of format 1; an erased row has an empty body and no salt."""
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


def append(path: Path, rows: Iterable[Row]) -> int:
    """Write rows and return the seq of the last, also while the service writes; for commands: it blocks.

    Returns when they survive SIGKILL and power loss. Raises LedgerError when there is no ledger, or when it
    cannot be written.
    """
    with writing(path) as db, transaction(db):
        return insert(db, [encode(row) for row in rows])


def insert(db: sqlite3.Connection, rows: Iterable[Stored]) -> int:
    """Write and chain rows within a transaction of the caller's; returns the seq of the last in the file."""
    db.executemany(INSERT, rows)
    link(db)
    return head(db)[0]


def head(db: sqlite3.Connection) -> tuple[int, str]:
    """The seq and hash of the last row in the chain."""
    return db.execute(HEAD).fetchone() or (0, FIRST)


def link(db: sqlite3.Connection) -> int:
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
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Do all of it or nothing; nobody else writes meanwhile."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.rollback()
        raise


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make a ledger of an empty file; LedgerError if it is something else."""
    if db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
        db.execute("PRAGMA journal_mode = WAL")
        with transaction(db):
            if db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
                _execute(db, ROWS)
                _execute(db, CHAIN)
    check(db, path)
    # A committed page lies in the kernel's cache and survives SIGKILL even with NORMAL. Power loss is
    # another matter: WAL with NORMAL comes back consistent but without its last commits, and `flush`
    # would have lied. FULL costs one fsync a group, in the thread where no caller waits.
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")  # what is erased must be gone from the file, not only from view


def upgrade(db: sqlite3.Connection) -> None:
    """Give a ledger of format 1 what it needs to be chained; seconds for a million rows."""
    if db.execute("PRAGMA user_version").fetchone() < (VERSION,):
        with transaction(db):
            if db.execute("PRAGMA user_version").fetchone() < (VERSION,):
                _execute(db, CHAIN)


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for commands to a ledger that exists, all its rows chained; LedgerError if it fails."""
    try:
        path.stat()  # SQLite only says that it cannot open it
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE_S, isolation_level=None)) as db:
            prepare(db, path)
            upgrade(db)
            behind = True
            while behind:
                with transaction(db):
                    behind = link(db) == LINKED_AT_ONCE
                time.sleep(YIELD_S if behind else 0)
            yield db
    except FileNotFoundError as error:
        raise LedgerError(f"{path}: no ledger here; the service makes it at its first start") from error
    except (OSError, sqlite3.Error, ValueError) as error:
        raise LedgerError(
            f"{path}: the ledger cannot be written: {error}; check its rights and the disk"
        ) from error


def _execute(db: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";;"):  # not executescript, which would end the transaction
        db.execute(statement)
