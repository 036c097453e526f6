"""Checkpoints: now and then the installation's key signs the head of the chain.

One is a row of the ledger, and the last lies in a file beside it as well, so that a lost end is noticed.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from screener.ledger.chain import statement
from screener.ledger.places import Postgres
from screener.ledger.store import EPOCH, Row, encode, head, insert
from screener.text import escaped

if TYPE_CHECKING:
    from pathlib import Path

    from screener.ledger.database import Database
    from screener.ledger.places import Place
    from screener.signing import Public, Signer

log = structlog.get_logger()

LAST_KIND = "SELECT kind FROM row ORDER BY seq DESC LIMIT 1"
KEYS = "SELECT seq, body FROM row WHERE kind = 'checkpoint' ORDER BY seq"


def beside(place: Place) -> Path:
    """Where the last checkpoint that was signed here lies, the body of its row."""
    return (
        place.directory / "ledger.head"
        if isinstance(place, Postgres)
        else place.with_name(f"{place.name}.head")
    )


def strangers(db: Database, public: Public) -> dict[str, int]:
    """Other keys that signed checkpoints of this ledger, by their fingerprints, and the last row of each."""
    found: dict[str, int] = {}
    for seq, body in db.execute(KEYS):
        with suppress(ValueError, LookupError, TypeError):  # damaged, which `verify` tells
            found[escaped(json.loads(body)["key"])] = seq
    found.pop(public.fingerprint, None)
    return found


def sign(db: Database, place: Place, signer: Signer) -> None:
    """Sign the head, unless it is a checkpoint; raises one of FAULTS when it cannot be kept."""
    with db.transaction():
        if db.execute(LAST_KIND).fetchone() in (None, ("checkpoint",)):
            return
        seq, hashed = head(db)
        signature = signer.sign(statement(seq, hashed)).hex()
        body = {"seq": seq, "hash": hashed, "signature": signature, "key": signer.public.fingerprint}
        insert(db, [encode(Row("", "checkpoint", EPOCH + timedelta(seconds=time.time()), body))])
    # The log may go to another machine, and is then a witness whom nobody here can bend.
    log.info("ledger checkpoint", **body)
    # A name of its own, for the service and a command may do so at once; and no link there is followed.
    kept = beside(place)
    new = kept.with_name(f"{kept.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(json.dumps(body) + "\n")
            file.flush()
            os.fsync(file.fileno())
            if os.geteuid() == 0:  # after a command by root the service must be able to read it
                owner = kept.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        new.replace(kept)
    finally:
        new.unlink(missing_ok=True)
