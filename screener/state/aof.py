"""Takes out of the server's append-only files the zeros by which it refuses to start again.

Valkey 9.1 leaves them behind a full disk: it cuts off what was written by half, but since its last rewrite
of the file it writes on behind the place where that ended, not at the end of the file. A power failure
leaves them at the end, where a file was lengthened and its blocks were not written (valkey#1148). Zeros are
nobody's data, so nothing is lost by it; a file that holds anything else that is no command is left alone.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LINE = 32
"""The length of a number in a file is shorter, whatever it counts."""


def mend(directory: Path) -> int:
    """Mend the files of a server that does not run; how many bytes were taken out. Raises OSError."""
    taken = 0
    for path in sorted(directory.glob("appendonlydir/*.incr.aof")):
        torn = path.read_bytes()
        whole = without_zeros(torn)
        if whole is not None and len(whole) < len(torn):
            _replace(path, whole)
            taken += len(torn) - len(whole)
    return taken


def without_zeros(data: bytes) -> bytes | None:
    """The commands, without zeros between and behind them; None if there is anything else.

    The last command may be cut off: the server drops it by itself.
    """
    kept, at, begin = list[bytes](), 0, 0
    while at < len(data):
        if data[at] == 0:
            kept.append(data[begin:at])
            at = begin = _end_of_zeros(data, at)
            continue
        try:
            at = _end(data, at, len(data))
        except ValueError:
            end = len(data.rstrip(b"\0"))
            if end == len(data) or not _is_cut_off(data, at, end):
                return None
            return b"".join((*kept, data[begin:end]))
    return b"".join((*kept, data[begin:]))


def _end_of_zeros(data: bytes, at: int) -> int:
    while at < len(data) and data[at] == 0:
        at += 1
    return at


def _is_cut_off(data: bytes, at: int, end: int) -> bool:
    """Whether a command that begins there goes on behind the end."""
    try:
        return _end(data, at, end) == end
    except ValueError:
        return False


def _end(data: bytes, at: int, until: int) -> int:
    """Where the command, or the comment, that begins here ends, `until` at most; ValueError if it is none."""
    if data[at] == ord("#"):
        found = data.find(b"\n", at, until)
        return until if found < 0 else found + 1
    count, at = _number(data, at, until, ord("*"))
    for _ in range(count):
        if at >= until:
            return until
        length, at = _number(data, at, until, ord("$"))
        at += length + 2
        if at <= until and data[at - 2 : at] != b"\r\n":
            raise ValueError(at)
    return min(at, until)


def _number(data: bytes, at: int, until: int, kind: int) -> tuple[int, int]:
    """The number in a line of its own, and where the next line begins; 0 and `until` if it is cut off."""
    if data[at] != kind:
        raise ValueError(at)
    found = data.find(b"\r\n", at, min(at + _LINE, until))
    if found < 0:
        digits = data[at + 1 : until].removesuffix(b"\r")
        if until - at >= _LINE or not (digits.isdigit() or not digits):
            raise ValueError(at)
        return 0, until
    digits = data[at + 1 : found]
    if not digits.isdigit():
        raise ValueError(at)
    return int(digits), found + 2


def _replace(path: Path, content: bytes) -> None:
    """Put the content in the file's place: after a crash there is the one or the other."""
    new = path.with_name(f"mended-{path.name}")
    try:
        new.touch(0o600)
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
