"""Directories of others, opened through no link that somebody has put in their place.

Asterisk's directories belong to Asterisk's user: whoever has taken Asterisk over must not get root, or the
screener's user, to read, write or delete elsewhere by a link that he has put there.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINKS: Final = 40
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
STRANGE: Final = "a symbolic link that is not root's"


def real(path: Path) -> Path:
    """The place without links, which need not exist. OSError (ELOOP) for a link that is not root's."""
    at, parts, links = Path("/"), list(path.absolute().parts[1:]), 0
    while parts:
        part = parts.pop(0)
        if part == "..":
            at = at.parent
            continue
        try:
            about = (at / part).lstat()
        except FileNotFoundError:
            return (at / part).joinpath(*parts)
        if not stat.S_ISLNK(about.st_mode):
            at /= part
            continue
        links += 1
        if about.st_uid not in {0, os.geteuid()} or links > _LINKS:
            raise OSError(errno.ELOOP, STRANGE, str(at / part))
        target = Path((at / part).readlink())
        at, parts = (Path("/") if target.is_absolute() else at), [*target.parts, *parts]
        parts = [one for one in parts if one != "/"]
    return at


def place(path: Path) -> Path:
    """The place without links. Root follows none of strangers: OSError as `real`."""
    return real(path) if os.geteuid() == 0 else Path(os.path.realpath(path))


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """The directory at this place, opened step by step; OSError with the first that is a link, or none."""
    at = os.open("/", _DIRECTORY)
    try:
        parts = path.absolute().parts
        for number, part in enumerate(parts[1:], 2):
            try:
                below = os.open(part, _DIRECTORY, dir_fd=at)
            except OSError as error:
                error.filename = str(Path(*parts[:number]))
                raise
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)
