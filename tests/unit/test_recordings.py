"""Recordings: whatever Asterisk left on the disk is found, waited for, described and left alone."""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import struct
import threading
import wave
from array import array
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from screener.errors import ScreenerError
from screener.recordings import adopt, settle
from screener.spool import free_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

RATE = 8000


def tone(seconds: float, peak: int = 8000) -> bytes:
    """Sound of 440 Hz."""
    count = int(seconds * RATE)
    return array("h", (int(peak * math.sin(2 * math.pi * 440 * n / RATE)) for n in range(count))).tobytes()


def hush(seconds: float) -> bytes:
    """The noise of a quiet line: samples of a few units."""
    return array("h", (n % 7 - 3 for n in range(int(seconds * RATE)))).tobytes()


def write(path: Path, sound: bytes, *, width: int = 2) -> Path:
    """A closed WAV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(width)
        file.setframerate(RATE)
        file.writeframes(sound)
    return path


def header(riff: int, data: int) -> bytes:
    """The 44 bytes that Asterisk writes first, with sizes 0, and corrects when it closes the file."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", riff, b"WAVE", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16, b"data", data
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


@pytest.fixture
def stem(root: Path) -> Path:
    (root / "2025-03-01").mkdir(parents=True)
    return root / "2025-03-01" / "1740800000.12"


def leg(stem: Path, name: str) -> Path:
    return stem.with_name(f"{stem.name}-{name}.wav")


async def test_settle__both_legs_closed__are_hashed_and_measured(root: Path, stem: Path) -> None:
    caller = write(leg(stem, "caller"), hush(1.0) + tone(1.5) + hush(0.5))
    mix = write(leg(stem, "mix"), hush(3.0))
    os.utime(caller, (1740800030, 1740800030))
    first, second = await settle(root, stem, deadline_s=5)
    assert (first.path, first.leg, first.bytes) == (caller, "caller", 44 + 3 * RATE * 2)
    assert first.sha256 == hashlib.sha256(caller.read_bytes()).hexdigest()
    assert (first.seconds, first.complete, first.silent) == (3.0, True, False)
    assert first.active_s == pytest.approx(1.5, abs=0.04)
    assert first.closed_at == datetime(2025, 3, 1, 3, 33, 50, tzinfo=UTC)
    assert (second.path, second.leg, second.active_s, second.silent) == (mix, "mix", 0, True)


async def test_settle__files_still_growing__waits_for_the_last_byte(root: Path, stem: Path) -> None:
    sound, grown, hung_up = tone(2), threading.Event(), threading.Event()

    def asterisk() -> None:
        for name in ("caller", "mix"):
            with leg(stem, name).open("wb", buffering=0) as file:
                file.write(header(0, 0))
                for at in range(0, len(sound), 3200):
                    file.write(sound[at : at + 3200])
                grown.set()
                hung_up.wait(10)
                file.seek(4)
                file.write(struct.pack("<I", 36 + len(sound)))
                file.seek(40)
                file.write(struct.pack("<I", len(sound)))

    thread = threading.Thread(target=asterisk)
    thread.start()
    assert grown.wait(10)
    (before,) = await settle(root, stem, deadline_s=0)
    settling = asyncio.Task(settle(root, stem, deadline_s=10))
    done, _ = await asyncio.wait({settling}, timeout=0.3)
    hung_up.set()
    after = await settling
    thread.join()
    assert not done
    assert (before.complete, before.seconds) == (False, 2.0)
    assert [(found.complete, found.seconds, found.silent) for found in after] == [(True, 2.0, False)] * 2


SOUND = tone(1) + hush(1)


@pytest.mark.parametrize(
    ("content", "seconds", "active_s"),
    [
        pytest.param(b"", 0, None, id="empty"),
        pytest.param(header(0, 0)[:30], 0, None, id="header-cut"),
        pytest.param(b"ID3 something else altogether, and long enough for a header", 0, None, id="not-a-wav"),
        pytest.param(header(0, 0), 0, 0, id="header-only-never-closed"),
        pytest.param(header(0, 0) + SOUND, 2, 1, id="never-closed"),
        pytest.param(header(36 + len(SOUND), 0) + SOUND, 2, 1, id="half-closed"),
        pytest.param(header(36 + 9 * len(SOUND), 9 * len(SOUND)) + SOUND, 2, 1, id="shorter-than-announced"),
        pytest.param(header(36, len(SOUND)) + SOUND, 2, 1, id="riff-size-wrong"),
        pytest.param(header(0, 0) + SOUND + b"\x01", 2, 1, id="cut-within-a-sample"),
    ],
)
async def test_settle__file_that_never_settles__is_reported_with_what_it_holds(
    root: Path, stem: Path, content: bytes, seconds: float, active_s: float | None
) -> None:
    leg(stem, "caller").write_bytes(content)
    (found,) = await settle(root, stem, deadline_s=0)
    assert not found.complete
    assert (found.bytes, found.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert found.seconds == pytest.approx(seconds, abs=0.001)
    assert found.active_s == (None if active_s is None else pytest.approx(active_s, abs=0.04))
    assert leg(stem, "caller").read_bytes() == content


async def test_settle__caller_hung_up_at_once__is_complete_and_silent(root: Path, stem: Path) -> None:
    for name in ("caller", "mix"):
        leg(stem, name).write_bytes(header(36, 0))
    for found in await settle(root, stem, deadline_s=5):
        assert (found.complete, found.seconds, found.silent) == (True, 0, True)


async def test_settle__chunks_around_the_sound__are_not_taken_for_sound(root: Path, stem: Path) -> None:
    note = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    inner = header(0, len(SOUND))[12:36] + note + b"data" + struct.pack("<I", len(SOUND)) + SOUND + note
    leg(stem, "caller").write_bytes(b"RIFF" + struct.pack("<I", 4 + len(inner)) + b"WAVE" + inner)
    (found,) = await settle(root, stem, deadline_s=0)
    assert (found.complete, found.seconds) == (True, 2.0)


async def test_settle__not_16_bit__length_is_known_and_sound_is_not(root: Path, stem: Path) -> None:
    write(leg(stem, "caller"), b"\x80" * RATE, width=1)
    (found,) = await settle(root, stem, deadline_s=0)
    assert (found.complete, found.seconds, found.active_s, found.silent) == (True, 1.0, None, False)


async def test_settle__nothing_there__returns_nothing_after_the_deadline(root: Path, stem: Path) -> None:
    assert await settle(root, stem, deadline_s=0) == []


@pytest.mark.parametrize(
    "elsewhere",
    [
        lambda root: root / ".." / "2025-03-01" / "1.1",
        lambda root: root / "2025-03-01" / ".." / ".." / "1.1",
        lambda root: root / "link" / "1.1",
        lambda _: Path("/etc/passwd"),
        lambda _: Path("1.1"),
        lambda root: root / "2025-03-01" / "1.1\0",
        lambda root: root / "2025\0" / "1.1",
        lambda root: root / "linked.1",
        lambda root: root / "folder.1",
        lambda root: root / "fifo.1",
    ],
)
async def test_settle__path_that_leaves_the_root_or_is_no_file__is_refused(
    root: Path, tmp_path: Path, elsewhere: Callable[[Path], Path]
) -> None:
    (root / "2025-03-01").mkdir(parents=True)
    outside = write(tmp_path / "outside" / "1.1-caller.wav", tone(0.1))
    write(tmp_path / "2025-03-01" / "1.1-caller.wav", tone(0.1))
    write(tmp_path / "1.1-caller.wav", tone(0.1))
    (root / "link").symlink_to(outside.parent)
    (root / "linked.1-caller.wav").symlink_to(outside)
    (root / "folder.1-caller.wav").mkdir()
    os.mkfifo(root / "fifo.1-caller.wav")
    with pytest.raises(ScreenerError, match=r"refused|cannot be read"):
        await settle(root, elsewhere(root), deadline_s=0)


async def test_settle__root_is_itself_a_link__is_no_way_out(root: Path, stem: Path, tmp_path: Path) -> None:
    write(leg(stem, "caller"), tone(0.1))
    (tmp_path / "spool").symlink_to(root)
    (found,) = await settle(tmp_path / "spool", tmp_path / "spool" / "2025-03-01" / stem.name, deadline_s=0)
    assert found.complete


async def test_recording__as_dict__is_what_the_ledger_keeps(root: Path, stem: Path) -> None:
    path = write(leg(stem, "mix"), hush(0.5))
    os.utime(path, (1740800030, 1740800030))
    (found,) = await settle(root, stem, deadline_s=0)
    assert found.as_dict() == {
        "path": str(path),
        "leg": "mix",
        "bytes": 8044,
        "seconds": 0.5,
        "active_s": 0.0,
        "sha256": found.sha256,
        "closed_at": "2025-03-01T03:33:50+00:00",
        "complete": True,
        "silent": True,
    }


def test_adopt__recordings_the_ledger_does_not_know__are_given_as_stems_oldest_first(root: Path) -> None:
    for name in (
        "2025-03-02/1.5-caller.wav",
        "2025-03-01/pbx-1.7-caller.wav",
        "2025-03-01/pbx-1.7-mix.wav",
        "2025-03-01/1.8-caller.wav",
        "2025-03-01/1.8-mix.wav",
        "2025-03-01/1.9-caller.wav",
        "2025-03-01/1.9-mix.wav",
        "2025-03-01/notes.txt",
        "2025-03-01/greeting.wav",
        "old/1.1-caller.wav",
    ):
        write(root / name, b"")
    size = (root / "2025-03-01/1.8-caller.wav").stat().st_size
    (root / "2025-03-01" / "2.0-mix.wav").symlink_to("/etc/passwd")
    (root / "2025-03-03").symlink_to(root / "2025-03-01")
    (root / "2025-03-04").write_bytes(b"")
    known = {"1.8-caller.wav": size, "1.8-mix.wav": size, "1.9-caller.wav": size}
    # It was filed while it was still being made.
    known |= {"1.5-caller.wav": size - 1}
    found = adopt(root, known)
    assert found == [
        root / "2025-03-01" / "1.9",
        root / "2025-03-01" / "pbx-1.7",
        root / "2025-03-02" / "1.5",
    ]
    assert adopt(root / "none", known) == []


def test_adopt__a_root_that_is_no_directory__says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ScreenerError, match="cannot be looked through"):
        adopt(tmp_path / "file", {})


def test_free_bytes__root_not_made_yet__is_that_of_its_file_system(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    assert free_bytes(tmp_path / "not" / "yet") == pytest.approx(status.f_bavail * status.f_frsize, rel=0.05)


def test_free_bytes__path_that_no_file_system_takes__says_so() -> None:
    with pytest.raises(ScreenerError, match="unknown"):
        free_bytes(Path("/" + "x" * 300))
