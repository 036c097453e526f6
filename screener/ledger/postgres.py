"""A ledger in PostgreSQL, for several screeners at once: the same tables, in a schema of their own.

A transaction that writes holds an advisory lock, so that the chain stays one and `seq` has no gaps. A server
that hangs is given up after `ANSWER_S`: psycopg waits without holding the interpreter. Who has a file does
not import this: psycopg takes a fifth of a second to load.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from screener.errors import LedgerError
from screener.ledger.places import ServerFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from screener.ledger.places import Postgres

logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # what it says there reaches us as an error, too
VERSION = 2
LOCK = 0x53435243
SCHEMA = "screener"
ANSWER_S = 10.0
"""The longest that the service waits for one answer."""
PATIENCE_S = 600.0
"""The same for a command, which may read all of a large ledger."""
DEFAULTS = {
    "application_name": "screener",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""A host that is gone without a word is noticed in ten seconds; what the URL says wins."""
OPTIONS = f"-csearch_path={SCHEMA} -clock_timeout=10s -cidle_in_transaction_session_timeout=60s"
"""Whoever dies in a transaction must not keep the others from writing."""
TABLES = """
CREATE SCHEMA IF NOT EXISTS screener;
CREATE TABLE format (version integer NOT NULL);
CREATE TABLE row (
    seq bigint PRIMARY KEY, pbx text NOT NULL, call_id text NOT NULL,
    kind text NOT NULL, at_us bigint NOT NULL, body text NOT NULL
);
CREATE FUNCTION next_seq() RETURNS bigint LANGUAGE sql VOLATILE
    AS 'SELECT coalesce(max(seq), 0) + 1 FROM screener.row';
ALTER TABLE row ALTER seq SET DEFAULT next_seq();
CREATE INDEX row_of_call ON row (call_id, pbx);
CREATE INDEX row_at ON row (at_us) WHERE body != '';
CREATE INDEX row_of_kind ON row (kind, seq);
CREATE TABLE link (seq bigint PRIMARY KEY, salt text, digest text NOT NULL, hash text NOT NULL);
CREATE TABLE forwarded (writer text PRIMARY KEY, n bigint NOT NULL);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN RAISE EXCEPTION ''the ledger is append-only''; END';
CREATE TRIGGER row_kept BEFORE DELETE OR TRUNCATE ON row EXECUTE FUNCTION refuse();
CREATE TRIGGER link_kept BEFORE DELETE OR TRUNCATE ON link EXECUTE FUNCTION refuse();
CREATE TRIGGER row_fixed BEFORE UPDATE ON row FOR EACH ROW
    WHEN (new.body != '' OR old.kind IN ('checkpoint', 'erased')
        OR (new.seq, new.pbx, new.call_id, new.kind, new.at_us)
            IS DISTINCT FROM (old.seq, old.pbx, old.call_id, old.kind, old.at_us))
    EXECUTE FUNCTION refuse();
CREATE TRIGGER link_fixed BEFORE UPDATE ON link FOR EACH ROW
    WHEN (new.salt IS NOT NULL
        OR (new.seq, new.digest, new.hash) IS DISTINCT FROM (old.seq, old.digest, old.hash))
    EXECUTE FUNCTION refuse();
INSERT INTO format VALUES (2);
"""
RIGHTS = "may this user do so? docs/evidence.md has the GRANTs"
ADVICE = {
    "08": "does PostgreSQL run, and is ledger.url right?",
    "42501": RIGHTS,
    "25006": "this server takes no writes: name the primary in ledger.url",
    "53100": "the server's disk is full: make room",
    "53": "the server has no room or connections left",
    "55P03": "another screener holds it: try again",
    "57": "PostgreSQL stops or starts: try again",
    "58": "the server's disk or its file system fails: see its log",
    "XX": "the server's data is damaged: see its log",
}


class Server:
    """A connection to a server; a `Database`."""

    def __init__(self, place: Postgres, answer_s: float) -> None:
        """Raises ServerFault when it cannot be reached within a few seconds."""
        told: dict[str, Any] = DEFAULTS | conninfo_to_dict(place.url)
        told["options"] = f"{OPTIONS} {told.get('options') or ''}"
        self.place, self._names = place, count()
        with _faults():
            self._db = _Connection.connect(make_conninfo(**told), autocommit=True, client_encoding="UTF8")
        self._db.answer_s = answer_s

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any:  # noqa: ANN401 - a cursor
        """Carry out one statement, its rows in memory."""
        with _faults():
            return self._db.execute(_translated(sql), parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> None:
        """Carry them out in one go to the server and back."""
        with _faults(), self._db.cursor() as cursor:
            cursor.executemany(_translated(sql), parameters)

    def stream(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterator[Any]:
        """Rows by the thousand; within `snapshot` or `transaction`."""
        with _faults(), self._db.cursor(f"rows{next(self._names)}") as cursor:
            cursor.itersize = 1000
            yield from cursor.execute(_translated(sql), parameters)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of it or nothing; nobody else writes to the ledger meanwhile."""
        with _faults(), self._db.transaction():
            # What was acknowledged survives the server, whatever its default is.
            self._db.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            if self._db.execute("SHOW synchronous_commit").fetchone() == ("off",):
                self._db.execute("SET LOCAL synchronous_commit = on")
            yield

    def snapshot(self) -> None:
        """Begin to read."""
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def close(self) -> None:
        """Close it; a transaction that is open is taken back by the server."""
        self._db.close()

    def prepare(self) -> None:
        """Make the tables; LedgerError if something else is there."""
        if self._has_tables():
            self.check()
            return
        if (encoding := self._one("SHOW server_encoding")) != "UTF8":
            raise LedgerError(f"{self.place}: a database of encoding {encoding}; create one of UTF8")
        with self.transaction():
            if not self._has_tables():
                with _faults():
                    self._db.execute(TABLES.encode())

    def check(self) -> None:
        """Raise LedgerError unless it can be used."""
        if not self._has_tables():
            raise LedgerError(f"{self.place}: no ledger here; the service makes it at its first start")
        if (version := self._one("SELECT max(version) FROM format")) != VERSION:
            raise LedgerError(
                f"{self.place}: written by another screener (format {version}, known is {VERSION}); upgrade"
            )

    def upgrade(self) -> None:
        """There is no older format."""

    def is_chained(self) -> bool:
        """It always was."""
        return True

    def take_any_text(self) -> None:
        """The server lets no other in."""

    def wipe(self) -> str:
        """Give the room of what was erased free to be overwritten; else autovacuum does, in its time."""
        if self._one("SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'row'::regclass"):
            self.execute("VACUUM row, link")
        return ""

    def _has_tables(self) -> bool:
        return self._one(f"SELECT to_regclass('{SCHEMA}.format') IS NOT NULL") is True

    def _one(self, sql: str) -> Any:  # noqa: ANN401 - any value
        found = self.execute(sql).fetchone()
        return found[0] if found else None


class _Connection(psycopg.Connection[Any]):
    answer_s: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ANN401 - as there
        """Wait for the server, not for ever: it may hang, and the network with it."""
        try:
            return super().wait(gen, interval, timeout if timeout is not None else self.answer_s)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001 - it has no other name
            self.close()
            raise psycopg.OperationalError(f"no answer within {self.answer_s} s") from None


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise ServerFault(" ".join(str(error).split()), _advice(error)) from error


def to_read(place: Postgres, answer_s: float = PATIENCE_S) -> Server:
    """A ledger that exists; psycopg.Error or LedgerError if there is none."""
    return _checked(Server(place, answer_s), make=False)


def to_write(place: Postgres) -> Server:
    """The same, for a command."""
    return _checked(Server(place, PATIENCE_S), make=False)


def to_keep(place: Postgres) -> Server:
    """A ledger for the service, made if there is none."""
    return _checked(Server(place, ANSWER_S), make=True)


def _advice(error: psycopg.Error) -> str:
    if "FATAL:" in str(error) and not error.sqlstate:
        return "the server refuses: check database, user and password of ledger.url, and its pg_hba.conf"
    state = error.sqlstate or "08"
    return ADVICE.get(state) or ADVICE.get(state[:2]) or "see the server's log"


def _checked(db: Server, *, make: bool) -> Server:
    try:
        if make:
            db.prepare()
        else:
            db.check()
    except BaseException:
        db.close()
        raise
    return db


@cache
def _translated(sql: str) -> bytes:
    return sql.replace("%", "%%").replace("?", "%s").replace("instr(", "strpos(").encode()
