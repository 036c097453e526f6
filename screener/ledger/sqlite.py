"""A ledger as one SQLite file: its tables, how it is told from any other file, and what it refuses.

Nothing in it is ever changed or deleted, and the file itself refuses to, but for one thing: the body of a row
and its salt may be erased, together.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from screener.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

APPLICATION_ID = 0x53435243
VERSION = 2
READING_S = 5.0
PATIENCE_S = 10.0
"""How long a command waits for its turn to write."""
BUSY_S = 0.2
"""The same for the service, which tries again."""
KEEPING = "kind IN ('erased', 'hold', 'release')"
"""Of few rows among many: written like this, the index is used."""
ROWS = f"""
CREATE TABLE row (
    seq INTEGER PRIMARY KEY, pbx TEXT NOT NULL, call_id TEXT NOT NULL,
    kind TEXT NOT NULL, at_us INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;;
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
INDEXES = """
CREATE INDEX IF NOT EXISTS row_of_id ON row (call_id, pbx);;
CREATE INDEX IF NOT EXISTS row_of_kind ON row (kind);;
DROP INDEX IF EXISTS row_of_call
"""
"""Of either format; `row_of_call` had the columns of the first the other way round."""
NO_TABLES = "SELECT count(*) = 0 FROM sqlite_schema"
RIGHTS = "check the path, its rights, and who runs this"
ADVICE = {
    "SQLITE_FULL": "the disk is full: make room",
    "SQLITE_IOERR": "the disk or its file system fails, or is full: see the kernel's log (dmesg)",
    "SQLITE_CORRUPT": "the file is damaged: keep a copy, then restore it from a backup",
    "SQLITE_NOTADB": "is it a ledger?",
    "SQLITE_BUSY": "another process holds it: try again",
    "SQLITE_LOCKED": "another process holds it: try again",
    "SQLITE_ERROR": "is it a ledger, and a whole one?",
}
DISK = {errno.ENOSPC: "SQLITE_FULL", errno.EDQUOT: "SQLITE_FULL", errno.EIO: "SQLITE_IOERR"}


class File(sqlite3.Connection):
    """A connection to a file; a `Database`."""

    path: Path

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Any]:
        """Rows as they are read."""
        return self.execute(sql, parameters)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of it or nothing; sqlite3.Error if it is not its turn in the time given at opening."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.rollback()
            raise

    def snapshot(self) -> None:
        """Begin to read."""
        self.execute("BEGIN")

    def make(self) -> None:
        """Make a ledger of an empty file; what is something else is left alone."""
        if self._flag(NO_TABLES):
            self.execute("PRAGMA journal_mode = WAL")
            with self.transaction():
                if self._flag(NO_TABLES):
                    self._all(f"{ROWS};;{CHAIN};;{INDEXES}")

    def prepare(self) -> None:
        """Get ready to write; LedgerError if it is no ledger."""
        self.check()
        # A committed page lies in the kernel's cache and survives SIGKILL even with NORMAL. Power loss is
        # another matter: WAL with NORMAL comes back consistent but without its last commits, and `flush`
        # would have lied. FULL costs one fsync a group, in the thread where no caller waits.
        self.execute("PRAGMA synchronous = FULL")
        # What is erased must be gone from the file, not only from view.
        self.execute("PRAGMA secure_delete = ON")

    def check(self) -> None:
        """Raise LedgerError unless this is a ledger of a version that can be used."""
        if self._flag("PRAGMA application_id") != APPLICATION_ID:
            raise LedgerError(f"{self.path}: not a ledger of the screener; name another file")
        if (version := self._flag("PRAGMA user_version")) > VERSION:
            raise LedgerError(
                f"{self.path}: written by a newer screener (format {version}, known up to {VERSION}); "
                "upgrade this one"
            )

    def upgrade(self) -> None:
        """Give a ledger of format 1 what it needs to be chained, and an older one its latest indexes."""
        if self._flag("PRAGMA user_version") < VERSION:
            with self.transaction():
                if self._flag("PRAGMA user_version") < VERSION:
                    self._all(CHAIN)
        self._all(INDEXES)

    def is_chained(self) -> bool:
        """Whether it is of format 2."""
        return bool(self._flag("SELECT count(*) FROM sqlite_schema WHERE name = 'link'"))

    def take_any_text(self) -> None:
        """Bytes that are no UTF-8 do not end the reading."""
        self.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")

    def wipe(self) -> str:
        """Let the file's log not keep what was erased in the file."""
        if self._flag("PRAGMA wal_checkpoint(TRUNCATE)"):
            return "the ledger's log (ledger.db-wal) is in use and may hold it for a while longer"
        return ""

    def _flag(self, sql: str) -> int:
        return int(self.execute(sql).fetchone()[0])

    def _all(self, statements: str) -> None:
        for statement in statements.split(";;"):  # not executescript, which would end the transaction
            self.execute(statement)


def to_read(path: Path) -> File:
    """A ledger that exists; FileNotFoundError, sqlite3.Error or LedgerError if there is none."""
    db = _opened(path, "ro", READING_S)
    try:
        db.check()
    except BaseException:
        db.close()
        raise
    return db


def to_write(path: Path) -> File:
    """A ledger that exists, for a command; FileNotFoundError, sqlite3.Error or LedgerError.

    None is made of an empty file: by root, where the service's user put a link, it could be anybody's.
    """
    return _prepared(_opened(path, "rw", PATIENCE_S))


def to_keep(path: Path) -> File:
    """A ledger for the service: made if there is none, for its owner alone; OSError or as `to_write`."""
    make(path.parent)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return _prepared(_opened(path, "rw", BUSY_S), make=True)


def make(directory: Path) -> None:
    """Make the directory of a ledger if there is none; LedgerError, for FileNotFoundError is of a ledger."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(
            f"the ledger cannot be opened: its directory {directory} cannot be made: {error.strerror}; make "
            "it yourself, for the user that runs this, or name another one by state_dir in screener.yaml"
        ) from error


def advice(error: Exception) -> str:
    """What to do about a fault of SQLite, or of the file."""
    name = getattr(error, "sqlite_errorname", None) or DISK.get(getattr(error, "errno", 0) or 0, "")
    # Of extended codes such as SQLITE_IOERR_WRITE the first two words say which it is.
    return ADVICE.get("_".join(name.split("_")[:2]), RIGHTS)


def _opened(path: Path, mode: str, timeout_s: float) -> File:
    path.stat()  # SQLite only says that it cannot open it
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    db = sqlite3.connect(
        uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False, factory=File
    )
    db.path = path
    return db


def _prepared(db: File, *, make: bool = False) -> File:
    try:
        if make:
            db.make()
        db.prepare()
    except BaseException:
        db.close()
        raise
    return db
