"""What binds the rows of a ledger together, so that each can be checked with SHA-256 and nothing else.

- `digest` = SHA-256 of the salt (16 random bytes, in hex) followed by the body as it is stored. The salt goes
  with the body when it is erased: what is left tells nobody which number was there, however many he tries.
- `hash` = SHA-256 of the JSON text `[hash before, seq, pbx, call_id, kind, at_us, digest]`, ASCII, no
  spaces, hashes in hex. Before the first row stands `FIRST`.
- A checkpoint's `signature` is by the installation's key over `statement(seq, hash)`.
"""

from __future__ import annotations

import hashlib
import json

FIRST = "0" * 64
SALT_BYTES = 16


def digest(salt: str, body: str) -> str:
    """The fingerprint of a row's content."""
    return hashlib.sha256((salt + body).encode()).hexdigest()


def linked(before: str, seq: int, pbx: str, call_id: str, kind: str, at_us: int, digest: str) -> str:  # noqa: PLR0913, PLR0917 - a row's columns, as the file has them
    """The hash of a row that follows the one whose hash is `before`."""
    text = json.dumps([before, seq, pbx, call_id, kind, at_us, digest], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def statement(seq: int, head: str) -> bytes:
    """What a checkpoint signs: that the ledger's row `seq` has this hash."""
    return f"screener ledger checkpoint {seq} {head}\n".encode()
