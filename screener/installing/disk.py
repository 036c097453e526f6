"""Files in directories of others, touched by root: whole or not at all, and through no link.

Asterisk's configuration may belong to Asterisk's user (FreePBX does so): whoever has taken Asterisk over must
not get root to write elsewhere by a link that he has put there.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from screener import disk
from screener.errors import InstallRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Rights:
    """Mode, owner and group of a file or directory, and its extended attributes (ACL, SELinux)."""

    mode: int
    user: int
    group: int
    attributes: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True)
class Kept:
    """A file as it is."""

    content: bytes
    rights: Rights


def real(path: Path) -> Path:
    """The place without links, which need not exist. A link of somebody else than root is refused."""
    try:
        return disk.real(path)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise InstallRefused(f"{error.filename}: {error.strerror}: nothing is written through it") from error


@contextmanager
def _open_directory(path: Path) -> Iterator[int]:
    with ExitStack() as stack:
        try:
            at = stack.enter_context(disk.opened(path))
        except OSError as error:
            raise _refused(Path(error.filename), error, "a directory") from error
        yield at


def read(path: Path) -> Kept | None:
    """A file and its rights, None where it is not there; InstallRefused where it is something else."""
    try:
        with _open_directory(path.parent) as directory:
            file = os.open(path.name, os.O_RDONLY | _FILE, dir_fd=directory)
    except InstallRefused as refused:
        if isinstance(refused.__cause__, FileNotFoundError):
            return None
        raise
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(path, error, "a file") from error
    with os.fdopen(file, "rb") as opened:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise InstallRefused(f"{path}: is not a file; move it away")
        found = []
        with suppress(OSError):  # a file system without them
            found = [(name, os.getxattr(file, name)) for name in os.listxattr(file)]
        rights = Rights(stat.S_IMODE(about.st_mode), about.st_uid, about.st_gid, tuple(found))
        return Kept(opened.read(), rights)


def write(path: Path, content: bytes, rights: Rights) -> None:
    """Put a file in place in one step: whoever reads sees the old one or all of the new one."""
    new = _unfinished(path)
    with _open_directory(path.parent) as directory:
        try:
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=directory)
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=directory)
            try:
                with os.fdopen(file, "wb") as opened:
                    opened.write(content)
                    opened.flush()
                    _give(file, rights)
                    os.fsync(file)
                os.rename(new, path.name, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                os.unlink(new, dir_fd=directory)
                raise
        except OSError as error:
            raise _refused(path, error, "a file") from error


def remove(path: Path) -> None:
    """Remove a file; it may be gone already."""
    with suppress(FileNotFoundError), _open_directory(path.parent) as directory:
        os.unlink(path.name, dir_fd=directory)


def sweep(path: Path) -> None:
    """Remove what a `write` has left that was killed."""
    with suppress(FileNotFoundError, InstallRefused), _open_directory(path.parent) as directory:
        os.unlink(_unfinished(path), dir_fd=directory)


def make_directory(path: Path, rights: Rights) -> bool:
    """Make a directory unless it is there, whose rights are left alone then; whether it was made."""
    with _open_directory(path.parent) as parent:
        try:
            os.mkdir(path.name, 0o700, dir_fd=parent)
        except FileExistsError:
            with _open_directory(path):
                return False
        except OSError as error:
            raise _refused(path, error, "a directory") from error
        made = os.open(path.name, _DIRECTORY, dir_fd=parent)
    try:
        _give(made, rights)
    finally:
        os.close(made)
    return True


def remove_directory(path: Path) -> bool:
    """Remove a directory if it is empty; whether it is gone."""
    try:
        with _open_directory(path.parent) as parent:
            os.rmdir(path.name, dir_fd=parent)
    except InstallRefused as refused:
        return isinstance(refused.__cause__, FileNotFoundError)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def remove_tree(path: Path) -> None:
    """Remove a directory with all that is in it; InstallRefused where a link lies on the way to it."""
    with _open_directory(path.parent) as parent:
        shutil.rmtree(path.name, dir_fd=parent)


def may_run(program: Path, user: int, group: int) -> bool:
    """Whether that user gets to a program and may run it, by the classic rights."""
    for place in (program, *program.parents):
        about = place.stat()
        shift = 6 if about.st_uid == user else 3 if about.st_gid == group else 0
        if user and not about.st_mode >> shift & 1:
            return False
    return True


def _unfinished(path: Path) -> str:
    return f".{path.name}.screener-new"


def _give(file: int, rights: Rights) -> None:
    os.fchown(file, rights.user, rights.group)
    for name, value in rights.attributes:
        os.setxattr(file, name, value)
    os.fchmod(file, rights.mode)


def _refused(path: Path, error: OSError, expected: str) -> InstallRefused:
    if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
        return InstallRefused(
            f"{path}: expected {expected}, found a link or something else: nothing goes through it"
        )
    return InstallRefused(f"{path}: {error.strerror}")
