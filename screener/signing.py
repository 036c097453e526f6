"""The installation's own key (Ed25519): it signs checkpoints of the ledger, and what is exported.

A signature says that whoever held the key then vouched for these bytes. Whoever holds both the key and
the ledger can sign another one: the public half, and now and then a signed head, belong somewhere else.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from screener.errors import KeyUnusable

if TYPE_CHECKING:
    from pathlib import Path

FILE = "signing.key"
SIGNED = "ledger*.head"
"""What lies beside it once it has signed: the last checkpoint."""


class Public:
    """The half that checks signatures; `str` is its PEM, which openssl reads too."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self.raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The public key that this PEM file holds; KeyUnusable when it cannot be read as one."""
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except OSError as error:
            raise KeyUnusable(f"{path}: no public key can be read: {error.strerror}") from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise KeyUnusable(f"{path}: it holds no public key; `screener ledger key` prints one") from error
        if not isinstance(key, Ed25519PublicKey):
            raise KeyUnusable(f"{path}: not an Ed25519 key; `screener ledger key` prints the right one")
        return cls(key)

    def __str__(self) -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_bytes(serialization.Encoding.PEM, form).decode()

    @property
    def fingerprint(self) -> str:
        """A short name of the key, the beginning of its SHA-256."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether the other half of this key has signed the message."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Signer:
    """The secret half, in `signing.key` of the state directory, readable by its owner alone."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        """Use `Signer.of`."""
        self._key = key
        self.public = Public(key.public_key())

    @classmethod
    def of(cls, directory: Path, *, make: bool = True, anew: bool = False) -> Self:
        """The key of this state directory, made if there is none; KeyUnusable says why there is none.

        One that was used and is gone is made only `anew`, by the service: it says so, and goes on signing.
        """
        path = directory / FILE
        try:
            if make and not path.exists():
                if not anew and any(directory.glob(SIGNED)):
                    raise KeyUnusable(
                        f"{path}: the key is gone that signed the ledger: restore it; else the service makes "
                        "another one at its next start, which proves nothing of what came before"
                    )
                _make(path)
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyUnusable(f"{path}: the installation's key cannot be used: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyUnusable(f"{path}: not an Ed25519 key; move it away, and a new one is made at the start")
        return cls(key)

    def sign(self, message: bytes) -> bytes:
        """Give the signature: 64 bytes, the same for the same message."""
        return self._key.sign(message)


def _make(path: Path) -> None:
    """Write a new key, whole or not at all; of two who do so at once the first wins."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = path.with_name(f"{FILE}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(written, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
            if os.geteuid() == 0:  # a command by root must not make a key that the service cannot read
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        with suppress(FileExistsError):
            os.link(written, path)
    finally:
        written.unlink(missing_ok=True)
