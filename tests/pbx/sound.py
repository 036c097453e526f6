"""Sound for test calls: G.711 µ-law out of text or WAV files, and what a voice's key sounds like."""

from __future__ import annotations

import functools
import math
import subprocess
import tempfile
import wave
from array import array
from pathlib import Path

from tests.pbx.asterisk import CACHE

RATE = 8000


def _encode(sample: int) -> int:
    """One sample as Asterisk's own table has it: 14 bits, negative ones in ones' complement."""
    sign, magnitude = (0x80, ~sample) if sample < 0 else (0, sample)
    magnitude = min(magnitude & ~3, 32635) + 0x84
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> (exponent + 3) & 0x0F) & 0xFF


_TABLE = bytes(_encode(value if value < 1 << 15 else value - (1 << 16)) for value in range(1 << 16))


def ulaw(samples: array[int]) -> bytes:
    """16-bit linear samples as µ-law."""
    return bytes(_TABLE[sample & 0xFFFF] for sample in samples)


def read_wav(path: Path) -> array[int]:
    """The samples of a mono 16-bit 8 kHz file."""
    with wave.open(str(path)) as source:
        assert (source.getnchannels(), source.getsampwidth(), source.getframerate()) == (1, 2, RATE)
        return array("h", source.readframes(source.getnframes()))


def prompt(name: str, language: str = "en") -> array[int]:
    """One of the prompts that Asterisk plays."""
    return read_wav(CACHE / "sounds" / language / "screener" / f"{name}.wav")


def piece(sound: array[int]) -> bytes:
    """The loudest 60 ms of a sound's first 1.2 s, as they arrive on the line: silence tells nothing."""
    start = sound[: int(1.2 * RATE)]
    loudest = max(range(0, len(start) - 480, 80), key=lambda at: sum(map(abs, start[at : at + 480])))
    return ulaw(start[loudest : loudest + 480])


@functools.cache
def keys(language: str = "en") -> dict[str, bytes]:
    """A telling 60 ms of each spoken digit, as it arrives on the line."""
    return {digit: piece(prompt(f"digit-{digit}", language)) for digit in "0123456789"}


@functools.cache
def speech(text: str, voice: str = "en-us") -> bytes:
    """Spoken text as µ-law, by espeak-ng."""
    with tempfile.TemporaryDirectory() as directory:
        spoken, plain = Path(directory) / "a.wav", Path(directory) / "b.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-w", spoken, text], check=True)
        subprocess.run(["sox", "-V1", spoken, "-r", "8000", "-c", "1", "-b", "16", plain], check=True)
        return ulaw(read_wav(plain))


def tone(seconds: float, hertz: float = 440, level: float = 0.3) -> bytes:
    """A sine tone, which any recording shows plainly."""
    step = 2 * math.pi * hertz / RATE
    return ulaw(array("h", (int(32767 * level * math.sin(step * i)) for i in range(int(seconds * RATE)))))


def strength(samples: array[int], hertz: float) -> float:
    """How much of one tone is in the samples, 0 to 1 (Goertzel)."""
    coefficient = 2 * math.cos(2 * math.pi * hertz / RATE)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + coefficient * last - before
    power = before * before + last * last - coefficient * before * last
    energy = sum(sample * sample for sample in samples)
    return 2 * power / (len(samples) * energy) if energy else 0.0


def share(spoken: bytes, heard: bytes) -> float:
    """How much of the spoken µ-law is found in what was heard, sample for sample and in order, 0 to 1.

    Compared are frames of 20 ms in which something sounds: silence would be found anywhere.
    """
    spoken, heard = (sound.replace(b"\x7f", b"\xff") for sound in (spoken, heard))  # both are zero
    at = found = sounding = 0
    for start in range(0, len(spoken) - 159, 160):
        frame = spoken[start : start + 160]
        if len(set(frame)) < 32:
            continue
        sounding += 1
        place = heard.find(frame, at)
        if place >= 0:
            found, at = found + 1, place + len(frame)
    return found / sounding if sounding else 0.0
