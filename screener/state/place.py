"""The directory that one embedded server has to itself: its lock, its socket, its log.

A unix socket's path may have 107 bytes only; where the directory's is longer, the socket stands in
a private directory below the one for temporary files, and the lock file tells where.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import pwd
import stat
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from screener.errors import StateUnavailable

SOCKET, LOCK, LOG = "valkey.sock", "lock", "valkey.log"
POLL_S = 0.005

_ANSWER_S = 0.5
_MAX_SOCKET_PATH = 100
_MAX_LOG_BYTES = 1_000_000


class DirectoryBusy(StateUnavailable):
    """Another server holds the lock of the directory."""


def refuse_as_root(directory: Path) -> None:
    """Raise StateUnavailable where root would make files that the owner of the directory could not use.

    Also where he could lead root elsewhere, by a link here or in place of what lies in a directory of his.
    """
    if os.geteuid() != 0:
        return
    real = directory.parent.resolve() / directory.name
    nearest = next(one for one in (real, *real.parents) if os.path.lexists(one))
    counts = [one for one in (nearest, nearest.resolve(), real.parent) if os.path.lexists(one)]
    there = next((one for one in counts if one.lstat().st_uid != 0), None)
    if there is None:
        return
    uid = there.lstat().st_uid
    try:
        owner = pwd.getpwuid(uid).pw_name
    except KeyError:
        owner = f"#{uid}"
    raise StateUnavailable(
        f"{there} belongs to {owner}, whose service could not use what root makes there: "
        f"run this as that user (sudo -u {owner} …)"
    )


def prepared(directory: Path) -> Path:
    """Make the directory private; return the path for the socket, in it or (if too long) elsewhere."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.chmod(0o700)
    except OSError as error:
        raise StateUnavailable(
            f"the state directory {directory} cannot be used: {error.strerror}; "
            "check state_dir in screener.yaml, its rights, and who runs this"
        ) from error
    socket = directory / SOCKET
    if len(os.fsencode(socket)) <= _MAX_SOCKET_PATH:
        return socket
    digest = hashlib.blake2s(os.fsencode(directory), digest_size=8).hexdigest()
    short = Path(tempfile.gettempdir(), f"screener-{os.getuid()}-{digest}")
    with contextlib.suppress(FileExistsError):
        short.mkdir(mode=0o700)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StateUnavailable(
            f"{short} is not a private directory of ours: remove it, or use a shorter state directory"
        )
    socket = short / SOCKET
    if len(os.fsencode(socket)) > _MAX_SOCKET_PATH:
        raise StateUnavailable(
            f"the path {directory} is too long for a unix socket: use a shorter state directory"
        )
    return socket


async def locked(directory: Path, wait_s: float) -> int:
    """Take the lock, a file descriptor to close; DirectoryBusy if its holder outlasts `wait_s`."""
    lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    break
                await asyncio.sleep(POLL_S)
            else:
                return lock
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    pid, _ = holder(directory)
    raise DirectoryBusy(
        f"another server (pid {pid or 'unknown'}) serves {directory}: "
        "stop the screener that started it, or give this one a directory of its own"
    )


def holder(directory: Path) -> tuple[str, Path | None]:
    """The process and the socket that the last server of this directory left in the lock file."""
    with contextlib.suppress(OSError):
        pid, newline, socket = (directory / LOCK).read_text("utf-8", "surrogateescape").partition("\n")
        if newline:
            return pid, Path(socket.removesuffix("\n"))
    return "", None


async def answers(socket: Path) -> bool:
    """Whether a server on this socket serves; not yet while it loads."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline()).startswith(b"+PONG")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def opened_log(directory: Path) -> int:
    """A file descriptor for what the server says; begun anew when the file has become large."""
    path = directory / LOG
    old = path.exists() and path.stat().st_size > _MAX_LOG_BYTES
    return os.open(
        path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if old else 0), 0o600
    )


def last_words(log: Path) -> str:
    """The line of the server's log that says why it ended."""
    lines = [line for line in log.read_text("utf-8", "replace")[-4000:].splitlines() if line.strip()]
    telling = [line for line in lines if "#" in line and "WARNING" not in line]
    return (telling or lines or ["no reason given"])[-1].strip()


def url_of(socket: Path) -> str:
    """The address for `State` and `Lists`."""
    return "unix://" + quote(os.fsencode(socket))
