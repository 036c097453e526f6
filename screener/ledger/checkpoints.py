"""Checkpoints: now and then the installation's key signs the head of the chain.

One is a row of the ledger, and the last lies beside the file as well, so that a lost end is noticed.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from screener.ledger.chain import statement
from screener.ledger.store import EPOCH, Row, encode, head, insert, transaction

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from screener.signing import Signer

log = structlog.get_logger()

LAST_KIND = "SELECT kind FROM row ORDER BY seq DESC LIMIT 1"


def beside(path: Path) -> Path:
    """Where the last checkpoint of this ledger lies, the body of its row."""
    return path.with_name(f"{path.name}.head")


def sign(db: sqlite3.Connection, path: Path, signer: Signer) -> None:
    """Sign the head, unless it is a checkpoint; raises sqlite3.Error or OSError when it cannot be kept."""
    with transaction(db):
        if db.execute(LAST_KIND).fetchone() in (None, ("checkpoint",)):
            return
        seq, hashed = head(db)
        signature = signer.sign(statement(seq, hashed)).hex()
        body = {"seq": seq, "hash": hashed, "signature": signature, "key": signer.public.fingerprint}
        insert(db, [encode(Row("", "checkpoint", EPOCH + timedelta(seconds=time.time()), body))])
    # The log may go to another machine, and is then a witness whom nobody here can bend.
    log.info("ledger checkpoint", **body)
    # A name of its own, for the service and a command may do so at once; and no link there is followed.
    new = path.with_name(f"{path.name}.head.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(json.dumps(body) + "\n")
            file.flush()
            os.fsync(file.fileno())
            if os.geteuid() == 0:  # after a command by root the service must be able to read it
                owner = path.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        new.replace(beside(path))
    finally:
        new.unlink(missing_ok=True)
