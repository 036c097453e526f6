"""What was written, and with which content: nothing else is ever replaced or removed.

It lies in the directory of settings, which is root's. Who can write it can have root remove files, so one
that somebody else may write is refused.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Final

from screener.errors import InstallRefused
from screener.installing import disk
from screener.installing.disk import Rights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME: Final = "installed.json"


@dataclass
class Record:
    """What this command wrote on this machine.

    `files` holds the SHA-256 of each, two while one is being replaced; `blocks` what went into files of the
    administrator; `created` those of them that were not there; `trunks` the own context of each.
    """

    version: str = ""
    etc: str = ""
    files: dict[str, list[str]] = field(default_factory=dict)
    blocks: dict[str, str] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    state: str = ""
    recordings: str = ""
    trunks: dict[str, str] = field(default_factory=dict)
    contexts: list[str] = field(default_factory=list)
    by_hand: bool = False
    service: bool = True

    def wrote(self, path: Path, content: bytes) -> bool:
        """Whether a file is as we wrote it."""
        return digest(content) in self.files.get(str(path), [])

    def beside(self, old: Record) -> Record:
        """The record while files are being replaced: killed in the middle, both contents are ours."""
        files = {
            path: [*self.files.get(path, []), *old.files.get(path, [])]
            for path in {**self.files, **old.files}
        }
        created = sorted({*old.created, *self.created})
        return replace(self, files=files, blocks={**old.blocks, **self.blocks}, created=created)


def digest(content: bytes) -> str:
    """How a content is recorded."""
    return hashlib.sha256(content).hexdigest()


def load(site: Path) -> Record:
    """What is recorded in a directory of settings, if anything; InstallRefused where it is not sound."""
    path = site / NAME
    kept = disk.read(path)
    if kept is None:
        return Record()
    if kept.rights.user not in {0, os.geteuid()} or kept.rights.mode & 0o022:
        raise InstallRefused(f"{path}: others may write it, so nothing is removed by it; see whose it is")
    try:
        return Record(**json.loads(kept.content))
    except (ValueError, TypeError) as error:
        raise InstallRefused(f"{path}: is not what `screener install` writes: {error}") from error


def save(site: Path, record: Record) -> None:
    """Write it down, before the files it speaks of."""
    text = json.dumps(asdict(record), indent=1, sort_keys=True) + "\n"
    disk.write(site / NAME, text.encode(), Rights(0o600, os.geteuid(), os.getegid()))


@contextmanager
def alone(site: Path) -> Iterator[None]:
    """Keep a second install or uninstall out for so long."""
    directory = os.open(site, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InstallRefused(f"{site}: another install or uninstall is at work: wait for it") from error
        yield
    finally:
        os.close(directory)
