"""Speech as a synthesizer reads it, and what telephone lines do to it; the same for the same seed."""

from __future__ import annotations

import functools
import subprocess
from typing import TYPE_CHECKING

import numpy as np

from screener.audio import fingerprint, speech

if TYPE_CHECKING:
    from collections.abc import Iterable

    from screener.audio.fingerprint import Print
    from screener.audio.speech import Samples

VOICES = (
    *("en-us", "en-gb", "en-gb-scotland", "en-029", "en-gb-x-rp"),
    *("en-us+f2", "en-us+m3", "en-gb+f4", "en-us+m7", "en-us+f5"),
)
MANDARIN = "cmn-latn-pinyin"
_RAW = ("-t", "raw", "-e", "signed", "-b", "16", "-r", "8000", "-c", "1")
_PACKET = 160


def _sox(sound: bytes, *words: str) -> bytes:
    return subprocess.run(["sox", "-V1", "-D", *words], input=sound, capture_output=True, check=True).stdout


@functools.lru_cache(maxsize=64)
def spoken(text: str, voice: str = "en-us", words_per_minute: int = 160, pitch: int = 50) -> Samples:
    """Text read aloud, 6 dB below full scale."""
    how = ("-v", voice, "-s", str(words_per_minute), "-p", str(pitch), "--stdout")
    wav = subprocess.run(["espeak-ng", *how, "--", text], capture_output=True, check=True).stdout
    # A stream has no length in its header, so that is left out: what espeak speaks is 22,050 Hz.
    raw = ("-t", "raw", "-e", "signed", "-b", "16", "-r", "22050", "-c", "1")
    return np.frombuffer(_sox(wav[44:], *raw, "-", *_RAW, "-", "rate", "8000", "gain", "-n", "-6"), "<i2")


def print_of(samples: Samples) -> Print:
    """The fingerprint of a sound."""
    return fingerprint.fingerprint(samples, speech.voiced(samples))


def coded(samples: Samples, codec: str) -> Samples:
    """Through a codec and back: `al` (G.711 A-law) or `gsm`."""
    wire = ("-t", codec, "-r", "8000", "-c", "1", "-")
    return np.frombuffer(_sox(_sox(samples.tobytes(), *_RAW, "-", *wire), *wire, *_RAW, "-"), "<i2")


def lossy(samples: Samples, share: float, rng: np.random.Generator) -> Samples:
    """Packets of 20 ms are lost and heard as silence."""
    heard = samples.copy()
    for at in range(0, len(heard), _PACKET):
        if rng.random() < share:
            heard[at : at + _PACKET] = 0
    return heard


def noisy(samples: Samples, snr_db: float, rng: np.random.Generator) -> Samples:
    """White noise, against the power of the sound where there is any."""
    sound = samples.astype(np.float64)
    loud = sound[np.abs(sound) > 200]  # not the pauses
    power = np.mean(loud**2) if len(loud) else 1e4
    return _clipped(sound + rng.normal(0.0, np.sqrt(power / 10 ** (snr_db / 10)), len(sound)))


def louder(samples: Samples, gain_db: float) -> Samples:
    """Louder, or softer for a negative gain; clipped as a line clips."""
    return _clipped(samples * 10 ** (gain_db / 20))


def faster(samples: Samples, factor: float) -> Samples:
    """Played back faster, and so higher: 1.01 is one per cent."""
    return _clipped(np.interp(np.arange(0, len(samples) - 1, factor), np.arange(len(samples)), samples))


def tones(seconds: float, *hertz: float, on_s: float = 1.0, off_s: float = 0.0) -> Samples:
    """Tones at the same time, in a cadence: ringback, busy, keys, fax."""
    at = np.arange(int(seconds * speech.RATE)) / speech.RATE
    sound = np.sum([np.sin(2 * np.pi * one * at) for one in hertz], axis=0) * 6000 / len(hertz)
    return _clipped(sound * (at % (on_s + off_s) < on_s))


def joined(parts: Iterable[Samples]) -> Samples:
    """One after the other."""
    return np.concatenate(list(parts))


def _clipped(sound: np.ndarray) -> Samples:
    return np.clip(np.round(sound), -32768, 32767).astype(np.int16)
