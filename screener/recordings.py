"""Recordings as Asterisk leaves them: found, waited for, hashed, measured. Never changed.

MixMonitor writes `<root>/<YYYY-MM-DD>/<uniqueid>-caller.wav` (the caller's leg) and
`…-mix.wav`. It closes them shortly after the call has ended, and only then do the
sizes in their headers become true; until that moment they are 0. No event tells.
"""

from __future__ import annotations

import array
import asyncio
import hashlib
import os
import re
import stat
import struct
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from screener.errors import ScreenerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LEGS = ("caller", "mix")
POLL_S = 0.1
FRAME_S = 0.02
ACTIVE_LEVEL = 256
"""Mean magnitude of a frame (of 32,768) from which it counts as sound: Asterisk's own silence threshold."""
HEAD_BYTES = 4096
READ_BYTES = 65_536
FRAMES_AT_ONCE = 25
YIELD_S = 0.001
BYTES_PER_S = 16_000
"""Of the recordings that Asterisk makes: 8 kHz, mono, 16 bits."""
PCM = 1
PCM_BITS = 16

DAY = re.compile(r"\d{4}-\d\d-\d\d")
FILE = re.compile(rf"(?P<call>.+)-(?:{'|'.join(LEGS)})\.wav")


@dataclass(frozen=True, slots=True)
class Recording:
    """One file as it was found; `complete` is False when its header does not agree with its content.

    `seconds` is the length of the sound that is really there. `active_s` counts the
    frames of 20 ms that hold sound of any kind (speech, tones, noise alike), None where
    it cannot be told because the file is not 16-bit PCM. `closed_at` is the time of the
    last write, by the file system's clock.
    """

    path: Path
    leg: str
    bytes: int
    seconds: float
    active_s: float | None
    sha256: str
    closed_at: datetime
    complete: bool

    @property
    def silent(self) -> bool:
        """There is no sound in it at all; False where that cannot be told."""
        return self.active_s == 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the ledger."""
        return asdict(self) | {
            "path": str(self.path),
            "closed_at": self.closed_at.isoformat(),
            "silent": self.silent,
        }


@dataclass(frozen=True, slots=True)
class _Header:
    """What a WAV says of itself; `data_at` and `data_bytes` tell where its sound should lie."""

    riff_bytes: int
    data_at: int
    data_bytes: int
    pcm16: bool
    byte_rate: int

    def agrees_with(self, size: int) -> bool:
        """Whether a file of `size` bytes is what this header announces, so that it was closed."""
        end = self.data_at + self.data_bytes + self.data_bytes % 2
        # Without data there is nothing behind the header: else the data's own size is still to come.
        return self.riff_bytes + 8 == size and (end <= size if self.data_bytes else end == size)


async def settle(root: Path, stem: Path, *, deadline_s: float) -> list[Recording]:
    """Wait until Asterisk has closed the files of `stem`, then hash and measure them: caller's leg, mix.

    What has not settled after `deadline_s` is returned as found, with `complete=False`; a
    leg that is not there at all is left out. Raises ScreenerError when `stem` is not
    a place below `root`, or when a file cannot be read.
    """
    paths = await asyncio.to_thread(_paths, root, stem)
    give_up_at = time.monotonic() + deadline_s
    # Another process closes the files, and no event tells.
    while not await asyncio.to_thread(_all_closed, paths) and time.monotonic() < give_up_at:  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)
    found = [await asyncio.to_thread(_measure, path, leg) for leg, path in paths.items()]
    return [recording for recording in found if recording]


def sound(root: Path, stem: Path, leg: str, *, at_most_s: float) -> bytes:
    """A leg from its beginning, as 16-bit samples at 8 kHz, also while it is still being written.

    Empty where there is none yet. Raises ScreenerError when `stem` is not a place below `root`, when the
    file cannot be read, or is not such a sound.
    """
    path = _paths(root, stem)[leg]
    file = opened(path)
    if file is None:
        return b""
    with file:
        try:
            head = file.read(HEAD_BYTES)
            header = _header(head)
            if head and not (header and header.pcm16 and header.byte_rate == BYTES_PER_S):
                raise ScreenerError(f"{path}: it is not sound of 8 kHz and 16 bits as Asterisk records it")
            if header is None:
                return b""
            file.seek(header.data_at)
            read = file.read(min(header.data_bytes or sys.maxsize, int(at_most_s * BYTES_PER_S)))
        except OSError as error:
            raise _unreadable(path, error) from error
    return read[: len(read) // 2 * 2]


def caller_bytes(root: Path, stem: Path) -> int:
    """How large the file of the caller's leg has become; 0 where there is none yet. Errors as above."""
    path = _paths(root, stem)["caller"]
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise _unreadable(path, error) from error


def adopt(root: Path, known: Mapping[str, int], since: float = 0.0) -> list[Path]:
    """Stems, oldest day first, of recordings that are not all in `known` (file names and sizes).

    Files that nobody has written to `since` then (Unix time) are passed over.

    The name of a stem is the call's Uniqueid. They were made while the screener was away,
    or are being made at this moment: settle them as any other. Symbolic links and files
    of other names are passed over. Raises ScreenerError when a directory cannot be read;
    a `root` that does not exist is empty.
    """
    stems: set[Path] = set()
    try:
        for day in root.iterdir() if root.exists() else ():
            if DAY.fullmatch(day.name) and day.is_dir() and not day.is_symlink():
                for file in os.scandir(day):
                    name = FILE.fullmatch(file.name)
                    if not name or not file.is_file(follow_symlinks=False):
                        continue
                    found = file.stat(follow_symlinks=False)
                    if found.st_mtime >= since and known.get(file.name) != found.st_size:
                        stems.add(day / name["call"])
    except OSError as error:
        raise ScreenerError(
            f"{root}: recordings cannot be looked through: {error}; let the screener's user read them"
        ) from error
    return sorted(stems)


def inside(root: Path, path: Path) -> Path:
    """The real place of a path from outside; ScreenerError unless it is below `root` by name and in truth."""
    try:
        real_parent = path.parent.resolve()
        below = real_parent.is_relative_to(root.resolve())
    except (OSError, ValueError, RuntimeError):
        below = False
    if not below or ".." in path.parts or "\0" in path.name or not path.name:
        raise ScreenerError(
            f"{str(path)!r}: refused as a recording, it is not below {root}; check the dialplan's path"
        )
    return real_parent / path.name


def root_of(roots: Sequence[Path], path: Path) -> Path:
    """Below which of these a path from outside lies by name; the first if it is none of them."""
    return next((root for root in roots if path.is_relative_to(root)), roots[0])


def _paths(root: Path, stem: Path) -> dict[str, Path]:
    place = inside(root, stem)
    return {leg: place.with_name(f"{place.name}-{leg}.wav") for leg in LEGS}


def opened(path: Path) -> BinaryIO | None:
    """Open the file, None when there is none; a link, device or pipe in its place is refused.

    Raises ScreenerError for those, and when it cannot be read.
    """
    try:
        file = open(path, "rb", opener=_no_link)  # noqa: SIM115 - whoever asked for it closes it
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ScreenerError(f"{path}: refused as a recording, it is not a file")
    return file


def _no_link(name: str, flags: int) -> int:
    # Given to `open`, which closes it again where it turns out to be a directory.
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _all_closed(paths: dict[str, Path]) -> bool:
    return all(_closed(path) for path in paths.values())


def _closed(path: Path) -> bool:
    file = opened(path)
    if file is None:
        return False
    with file:
        try:
            header = _header(file.read(HEAD_BYTES))
        except OSError as error:
            raise _unreadable(path, error) from error
        return header is not None and header.agrees_with(os.fstat(file.fileno()).st_size)


def _measure(path: Path, leg: str) -> Recording | None:
    """Hash first, then measure no more than what was hashed: the file may still be growing."""
    file = opened(path)
    if file is None:
        return None
    with file:
        try:
            head = file.read(HEAD_BYTES)
            digest, size = hashlib.sha256(head), len(head)
            while block := file.read(READ_BYTES):
                digest.update(block)
                size += len(block)
            header, complete, seconds, active_s = _header(head), False, 0.0, None
            if header:
                complete = header.agrees_with(size)
                sound_bytes = header.data_bytes if complete else size - header.data_at
                seconds = sound_bytes / header.byte_rate
                active_s = _active_s(file, header, sound_bytes) if header.pcm16 else None
            closed_at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
        except OSError as error:
            raise _unreadable(path, error) from error
    return Recording(path, leg, size, seconds, active_s, digest.hexdigest(), closed_at, complete)


def _header(head: bytes) -> _Header | None:
    """Walk the chunks up to the sound; None when this is not (yet) the beginning of a WAV."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    (riff_bytes,) = struct.unpack_from("<I", head, 4)
    at, pcm16, byte_rate = 12, False, 0
    while at + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, at)
        at += 8
        if name == b"fmt " and at + 16 <= len(head):
            form, _, _, byte_rate, _, bits = struct.unpack_from("<HHIIHH", head, at)
            pcm16 = (form, bits) == (PCM, PCM_BITS)
        if name == b"data":
            return _Header(riff_bytes, at, size, pcm16, byte_rate) if byte_rate else None
        at += size + size % 2
    return None


def _active_s(file: BinaryIO, header: _Header, sound_bytes: int) -> float:
    """Seconds with sound in 16-bit PCM; channels are taken together."""
    file.seek(header.data_at)
    frame = max(1, int(header.byte_rate * FRAME_S) // 2)
    active, left = 0, sound_bytes // 2
    while left > 0 and (block := file.read(min(left, frame * FRAMES_AT_ONCE) * 2)):
        samples = array.array("h", block[: len(block) // 2 * 2])
        if sys.byteorder == "big":
            samples.byteswap()
        for at in range(0, len(samples), frame):
            part = samples[at : at + frame]
            active += len(part) * (sum(map(abs, part)) >= ACTIVE_LEVEL * len(part))
        left -= len(samples)
        # Counting holds the interpreter; let a call that waits for its verdict have it in between.
        time.sleep(YIELD_S)
    return active * 2 / header.byte_rate


def _unreadable(path: Path, error: OSError) -> ScreenerError:
    return ScreenerError(f"{path}: the recording cannot be read: {error}; let the screener's user read it")
