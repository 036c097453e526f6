"""Where a ledger can lie: in a file, or in a database of PostgreSQL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from screener.text import without_password


@dataclass(frozen=True, slots=True)
class Postgres:
    """A database, by its URL; `directory` is for what this machine keeps beside it."""

    url: str = field(repr=False)
    directory: Path

    def __str__(self) -> str:
        """Give host and database, without user and password."""
        return re.sub(r"//[^/?]*@", "//", without_password(self.url)).partition("?")[0]

    @property
    def outbox(self) -> Path:
        """Where rows wait that the database does not have yet."""
        return self.directory / "ledger.outbox"


Place: TypeAlias = Path | Postgres


class ServerFault(Exception):  # noqa: N818 - a fault as sqlite3.Error is one; `told` makes a LedgerError of it
    """PostgreSQL did not do what it was asked to; `advice` says what to do."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what)
        self.advice = advice
