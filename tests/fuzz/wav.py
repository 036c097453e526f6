"""A file among the recordings that is not what Asterisk writes: measured, or refused."""

import asyncio
import contextlib
import struct
import tempfile
from pathlib import Path

from screener import recordings
from screener.errors import ScreenerError


def wav(data: int, said: int, form: int = 1, rate: int = 16_000) -> bytes:
    """A header that says so much, and so much sound."""
    head = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, form, 1, 8000, rate, 2, 16, b"data", said)
    return struct.pack("<4sI4s", b"RIFF", (said + 36) % 2**32, b"WAVE") + head + bytes(data)


SEEDS = [
    wav(320, 320),
    wav(321, 0),
    wav(4, 2**32 - 1),
    wav(0, 0),
    wav(8, 8, form=7),
    wav(8, 8, rate=1),
    b"RIFF",
]


def target(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as work:
        stem = Path(work) / "1.1"
        Path(f"{stem}-caller.wav").write_bytes(raw)
        [found] = asyncio.run(recordings.settle(Path(work), stem, deadline_s=0))
        assert found.bytes == len(raw)
        assert 0 <= (found.active_s or 0) <= max(found.seconds, 0.0) + 0.01, found
        with contextlib.suppress(ScreenerError):
            assert len(recordings.sound(Path(work), stem, "caller", at_most_s=1)) <= recordings.BYTES_PER_S
