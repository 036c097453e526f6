"""The places in which a ledger can lie, and what the rest of this package asks of a connection to one.

SQL is written once, for both: with `?` and `instr`, and of what both understand. What differs is in `sqlite`
and in `postgres`.
"""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from screener.errors import LedgerError
from screener.ledger import sqlite
from screener.ledger.places import Place, Postgres, ServerFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FAULTS: tuple[type[Exception], ...] = (sqlite3.Error, OSError, ServerFault)
"""What a ledger may raise when it cannot be read or written."""


class Rows(Protocol):
    """What a statement gives."""

    def fetchone(self) -> Any:  # noqa: ANN401 - a row of any columns
        """Give the next row, None after the last."""

    def fetchall(self) -> list[Any]:
        """Give all that are left."""

    def __iter__(self) -> Iterator[Any]:
        """Give one after the other."""


class Database(Protocol):
    """A connection; all its methods block, and raise one of `FAULTS`."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Rows:
        """Carry out one statement."""

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> object:
        """Carry out one statement for each."""

    def stream(self, sql: str, parameters: Sequence[Any] = ..., /) -> Iterator[Any]:
        """Give the rows without holding all of them in memory."""

    def transaction(self) -> AbstractContextManager[None]:
        """Do all of it or nothing; nobody else writes meanwhile."""

    def snapshot(self) -> None:
        """Begin to read, as of one moment."""

    def close(self) -> None:
        """Close it."""

    def prepare(self) -> None:
        """Get ready to write; LedgerError if there is something else than a ledger."""

    def check(self) -> None:
        """Raise LedgerError unless this is a ledger of a version that can be used."""

    def upgrade(self) -> None:
        """Give an older ledger what it lacks; seconds for a million rows."""

    def is_chained(self) -> bool:
        """Whether its rows are chained, or will be by the next start of the service."""

    def take_any_text(self) -> None:
        r"""Give bytes that make no text as `\\x..`."""

    def wipe(self) -> str:
        """Let nothing be left of what was erased; why it may be there for a while."""


def to_read(place: Place) -> Database:
    """A connection to a ledger that exists; raises FAULTS, FileNotFoundError if there is none."""
    if isinstance(place, Postgres):
        from screener.ledger import postgres  # noqa: PLC0415 - not for those who have no use for it

        return postgres.to_read(place)
    return sqlite.to_read(place)


def to_write(place: Place) -> Database:
    """The same for a command that writes: it waits for its turn."""
    if isinstance(place, Postgres):
        from screener.ledger import postgres  # noqa: PLC0415

        return postgres.to_write(place)
    return sqlite.to_write(place)


def to_keep(place: Place) -> Database:
    """The same for the service: made if there is none, and it never waits long."""
    if isinstance(place, Postgres):
        from screener.ledger import postgres  # noqa: PLC0415

        return postgres.to_keep(place)
    return sqlite.to_keep(place)


@contextmanager
def told(place: Place, what: str) -> Iterator[None]:
    """Raise faults as LedgerError, with what was tried, and what to do."""
    try:
        yield
    except FileNotFoundError as error:
        raise LedgerError(
            f"{place}: no ledger here; the service makes it at its first start, or its log says why not; "
            "state_dir in screener.yaml names the place"
        ) from error
    except (sqlite3.Error, OSError, ServerFault, ValueError) as error:
        raise LedgerError(f"{place}: the ledger cannot be {what}: {error}; {advice(error)}") from error


def advice(error: Exception) -> str:
    """What to do about it: not every fault is one of rights."""
    return error.advice if isinstance(error, ServerFault) else sqlite.advice(error)
