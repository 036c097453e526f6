"""A ledger moved to another place with all that proves it: rows, salts, hashes, checkpoints."""

from __future__ import annotations

import shutil
from contextlib import closing, suppress
from itertools import islice
from typing import TYPE_CHECKING

from screener.errors import LedgerError
from screener.ledger import checkpoints
from screener.ledger.database import to_keep, told
from screener.ledger.reader import reading
from screener.ledger.store import writing
from screener.ledger.verifying import WALK

if TYPE_CHECKING:
    from screener.ledger.places import Place

AT_ONCE = 1000
IS_EMPTY = "SELECT NOT EXISTS (SELECT 1 FROM row)"
INSERT = "INSERT INTO row (seq, pbx, call_id, kind, at_us, body) VALUES (?, ?, ?, ?, ?, ?)"
INSERT_LINK = "INSERT INTO link (seq, salt, digest, hash) VALUES (?, ?, ?, ?)"


def copy(source: Place, target: Place) -> int:
    """Copy all rows as they are, all or none; returns how many. Not while a service writes to the source.

    LedgerError when the target has rows already, or one of the two cannot be read or written.
    """
    copied = 0
    with writing(source):
        pass  # all its rows are chained now
    with reading(source) as old, told(target, "written"), closing(to_keep(target)) as new, new.transaction():
        if not new.execute(IS_EMPTY).fetchone()[0]:
            raise LedgerError(f"{target}: has rows already; nothing was copied")
        rows = iter(old.stream(WALK))
        while some := list(islice(rows, AT_ONCE)):
            new.executemany(INSERT, [row[:6] for row in some])
            new.executemany(INSERT_LINK, [(row[0], *row[6:]) for row in some])
            copied += len(some)
    with suppress(FileNotFoundError):  # one that was never signed
        shutil.copy(checkpoints.beside(source), checkpoints.beside(target))
    return copied
