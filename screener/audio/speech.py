"""When a caller speaks, and in what manner.

A neural voice detector (earshot) judges frames of 16 ms; an energy threshold takes noise for speech.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import earshot
import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.int16]
Marks: TypeAlias = NDArray[np.bool_]

RATE: Final = 8000
FRAME: Final = 128
"""Samples in a frame that is speech or not."""
FRAME_S: Final = FRAME / RATE
GAP_S: Final = 1.2
"""A pause that ends a monologue: people leave room for an answer."""

_LIKELY = 0.5
_BLIP = round(0.1 / FRAME_S)
"""Shorter sounds are no speech: clicks, keys."""


@dataclass(frozen=True, slots=True)
class TalkPattern:
    """How somebody spoke, in seconds of the recording; `onset_s` is None where nobody did."""

    speech_s: float
    onset_s: float | None
    monologue_s: float


def voiced(samples: Samples) -> Marks:
    """For each whole frame whether it is speech. No sound, no frames; any sound is understood."""
    frames = len(samples) // FRAME
    # The detector hears 16 kHz; between two samples it gets their mean.
    wide = np.empty(frames * FRAME * 2, np.int16)
    heard = samples[: frames * FRAME].astype(np.int32)
    wide[0::2] = heard
    wide[1::2] = (heard + np.append(heard[1:], heard[-1:])) // 2
    detector = earshot.Detector()
    parts = wide.reshape(frames, 2 * FRAME)
    return np.fromiter((detector.predict_i16(part) >= _LIKELY for part in parts), np.bool_, frames)


def pattern(marks: Marks) -> TalkPattern:
    """The manner of speaking, from the frames that are speech."""
    runs = [(start, stop) for start, stop in _runs(marks) if stop - start >= _BLIP]
    longest, begun, ended = 0.0, 0, 0
    for start, stop in runs:
        if longest == 0.0 or (start - ended) * FRAME_S > GAP_S:
            begun = start
        ended = stop
        longest = max(longest, (ended - begun) * FRAME_S)
    return TalkPattern(
        speech_s=round(sum(stop - start for start, stop in runs) * FRAME_S, 2),
        onset_s=round(runs[0][0] * FRAME_S, 2) if runs else None,
        monologue_s=round(longest, 2),
    )


def _runs(marks: Marks) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(marks, prepend=False, append=False)).reshape(-1, 2)
    return [(int(start), int(stop)) for start, stop in edges]
