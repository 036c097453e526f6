"""Files that a person adds to a case: copied, named by their SHA-256, readable by their owner alone."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screener.errors import ScreenerError
from screener.evidence.sealing import blocks
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME_BOUND = 120
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


def attach(folder: Path, file: Path) -> dict[str, Any]:
    """Copy a file into the folder and return what the ledger keeps of it: name, bytes, sha256.

    The copy is on the disk when this returns. Raises ScreenerError when it cannot be read or written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        hashed, size = hashlib.sha256(), 0
        # Its user may put a link here, by which root would make him a file of his own anywhere.
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            there = Path("/proc/self/fd", str(opened))
            with tempfile.NamedTemporaryFile(dir=there) as copy:  # made for its owner alone
                for block in blocks(file.resolve(strict=True)):
                    hashed.update(block)
                    size += copy.write(block)
                copy.flush()
                os.fsync(copy.fileno())
                if os.geteuid() == 0:  # what root adds belongs to the service's user as the rest does
                    owner = folder.parent.stat()
                    os.fchown(opened, owner.st_uid, owner.st_gid)
                    os.fchown(copy.fileno(), owner.st_uid, owner.st_gid)
                kept = there / hashed.hexdigest()
                if not kept.exists():
                    os.link(copy.name, kept)
        finally:
            os.close(opened)
    except OSError as error:
        raise ScreenerError(f"{file}: it cannot be added to the case: {error}") from error
    return {"name": printable(file.name, NAME_BOUND), "bytes": size, "sha256": hashed.hexdigest()}


def discard(folder: Path, digests: Iterable[str]) -> int:
    """Delete copies by their SHA-256; how many there were. ScreenerError when one cannot be deleted."""
    deleted = 0
    for digest in digests:
        if not _DIGEST.fullmatch(digest):
            continue
        try:
            (folder / digest).unlink()
            deleted += 1
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ScreenerError(
                f"{folder / digest}: it cannot be deleted: {error}; check its rights"
            ) from error
    return deleted
