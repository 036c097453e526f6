"""What a recording sounds like, so that the same one is known again: Haitsma–Kalker bits.

Every 32 ms one word of 32 bits: whether the difference between two neighbouring bands of 300 to
2,000 Hz has grown since the word before. It keeps the outline of a sound, not its loudness, and
survives codecs, loss and noise. Two recordings are the same where at some offset six seconds of
speech differ in less than 35 % of the bits, and no second of these in more than 40 %, or five
clear seconds of a shared opening would carry one of strangers. Strangers differ in half of the bits.

Only words of speech count. Silence says nothing, and tones (ringback, fax, keys) would match each
other, so a word counts only while its sound is spread over the bands as well, and what repeats
itself within two seconds is a signal, not a message, and compared with nothing.

Haitsma and Kalker take a word every 11.6 ms. Half as many bits as their 250 bytes a second do as well
here: with half a step between two recordings the errors rise by two in a hundred, and the search
through all campaigns takes half the time and memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from screener.audio.speech import FRAME, RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from screener.audio.speech import Marks, Samples

STEP: Final = 2 * FRAME
STEP_S: Final = STEP / RATE
WINDOW: Final = 3072
MATCH_WORDS: Final = 192
"""Six seconds of speech. Shared openings are shorter."""
MAX_BIT_ERRORS: Final = 0.35
MAX_BIT_ERRORS_OF_A_SECOND: Final = 0.40
"""Of a thousand seconds of strangers two have fewer."""
KEPT_WORDS: Final = 640
"""Of a campaign so many words are kept, 20 seconds, from its first word of speech on."""

_ECHO_WORDS = 20
"""0.6 s: no line takes longer to echo."""
_QUIET = 64
_BITS = 32
_SECOND = 32
_TRANSFORM = 4096
_EDGES = np.round(np.geomspace(300.0, 2000.0, _BITS + 2) * _TRANSFORM / RATE).astype(np.intp)
_AT_ONCE = 32
_MIN_ENTROPY_BITS = 2.2
"""Of the spread over 33 bands (5.0 in noise): two steady tones reach 2.0, 4 of 5 words of speech more."""
_CYCLE_WORDS = range(12, 63)

# The search: a probe is six seconds of speech, of which every sixth word is compared with every
# word that is kept. So they lie half a window apart, and each says something new.
_PROBE_STRIDE = 6
_PROBE_EVERY = 62
_PROBES = 8
_SEARCH_BIT_ERRORS = 0.42
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Print:
    """The words of a recording, and which of them are speech."""

    words: NDArray[np.uint32]
    speech: Marks

    @property
    def speech_s(self) -> float:
        """How much of it can be compared."""
        return float(np.count_nonzero(self.speech)) * STEP_S

    @property
    def comparable(self) -> bool:
        """There is enough speech to recognise it by, and it is not the same sound over and over."""
        return bool(np.count_nonzero(self.speech) >= MATCH_WORDS) and not any(
            _errors_at(self, self, cycle) < MAX_BIT_ERRORS for cycle in _CYCLE_WORDS
        )

    def without_echo(self, ours: Samples) -> Print:
        """Less the echo of `ours`, what we said at the same time, where the line gives it back.

        Else all callers with an echo would speak the same recording: our own greeting.
        """
        sounding = np.abs(ours[: len(ours) // FRAME * FRAME].reshape(-1, FRAME)).max(axis=1, initial=0)
        said = fingerprint(ours, sounding > _QUIET)
        if all(_errors_at(self, said, delay) >= MAX_BIT_ERRORS for delay in range(_ECHO_WORDS)):
            return self
        speech = self.speech.copy()
        speech[: int(np.flatnonzero(said.speech)[-1]) + _ECHO_WORDS + WINDOW // STEP] = False
        return Print(self.words, speech)

    def kept(self) -> Print:
        """The part that is stored: 20 seconds from the first word of speech."""
        start = int(np.argmax(self.speech)) if self.speech.any() else 0
        return Print(self.words[start : start + KEPT_WORDS], self.speech[start : start + KEPT_WORDS])

    def to_bytes(self) -> bytes:
        """129 bytes a second: the words, then one bit for each that says whether it is speech."""
        return self.words.astype("<u4").tobytes() + np.packbits(self.speech).tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Print:
        """Read it again; ValueError for what `to_bytes` cannot have written."""
        words = len(stored) * 8 // (_BITS + 1)
        if words > KEPT_WORDS or words * 4 + -(-words // 8) != len(stored):
            raise ValueError(f"{len(stored)} bytes are no fingerprint")
        marks = np.unpackbits(np.frombuffer(stored, np.uint8, offset=words * 4), count=words)
        return cls(np.frombuffer(stored, "<u4", words).astype(np.uint32), marks.astype(np.bool_))


def fingerprint(samples: Samples, marks: Marks) -> Print:
    """The print of a sound, given which of its frames are speech; empty below 0.4 s."""
    if len(samples) < WINDOW + STEP:
        return Print(np.empty(0, np.uint32), np.empty(0, np.bool_))
    windows = sliding_window_view(samples, WINDOW)[::STEP]
    shape = np.hanning(WINDOW).astype(np.float32)
    bands = np.empty((len(windows), _BITS + 1), np.float32)
    for at in range(0, len(windows), _AT_ONCE):
        power = np.abs(np.fft.rfft(windows[at : at + _AT_ONCE] * shape, _TRANSFORM)) ** 2
        bands[at : at + _AT_ONCE] = np.add.reduceat(power[:, : _EDGES[-1]], _EDGES[:-1], axis=1)
    slope = bands[:, :-1] - bands[:, 1:]
    bits = slope[1:] > slope[:-1]
    words = np.packbits(bits, axis=1).view(">u4")[:, 0].astype(np.uint32)
    return Print(words, _spoken(marks, len(words)) & (_entropy(bands[1:]) >= _MIN_ENTROPY_BITS))


def _spoken(marks: Marks, words: int) -> Marks:
    """Whether most of the window of each word is speech."""
    frames = WINDOW // FRAME
    total = np.concatenate(([0], np.cumsum(marks)))
    start = np.minimum(np.arange(1, words + 1) * (STEP // FRAME), len(marks))
    return np.asarray(2 * (total[np.minimum(start + frames, len(marks))] - total[start]) > frames)


def _entropy(bands: NDArray[np.float32]) -> NDArray[np.float64]:
    share = (bands + 1e-6).astype(np.float64)
    share /= share.sum(axis=1, keepdims=True)
    return np.asarray(-(share * np.log2(share)).sum(axis=1))


def bit_errors(one: Print, other: Print) -> float:
    """The share of different bits over the six seconds of speech, at the offset, where they agree best.

    1.0 where they never have six seconds of speech in common, or no such six seconds agree throughout.
    """
    least = MATCH_WORDS - len(other.words)
    offsets = range(least, len(one.words) - MATCH_WORDS + 1)
    return min((_errors_at(one, other, offset) for offset in offsets), default=1.0)


def _errors_at(one: Print, other: Print, offset: int) -> float:
    """The same, at one offset: where in `one` the first word of `other` would lie."""
    start, ahead = max(0, offset), max(0, -offset)
    length = min(len(one.words) - start, len(other.words) - ahead)
    if length < MATCH_WORDS:
        return 1.0
    both = one.speech[start : start + length] & other.speech[ahead : ahead + length]
    differing = np.bitwise_count(one.words[start : start + length] ^ other.words[ahead : ahead + length])[
        both
    ].cumsum(dtype=np.int64)
    windows = len(differing) - MATCH_WORDS + 1
    if windows <= 0:
        return 1.0
    seconds = differing[_SECOND - 1 :].copy()
    seconds[1:] -= differing[:-_SECOND]
    each = np.stack([seconds[at : at + windows] for at in range(0, MATCH_WORDS, _SECOND)])
    total = each.sum(axis=0)[each.max(axis=0) <= MAX_BIT_ERRORS_OF_A_SECOND * _SECOND * _BITS]
    return float(total.min()) / (MATCH_WORDS * _BITS) if len(total) else 1.0


class Shelf:
    """Many prints side by side, searched together; immutable, so a thread may search while another adds."""

    def __init__(self, prints: Sequence[Print] = ()) -> None:
        self.prints = tuple(prints)
        lengths = [len(one.words) for one in self.prints]
        self._starts = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        # Room behind the last, so that a probe may begin at any word.
        room = np.zeros(KEPT_WORDS, np.uint32)
        self._words = np.concatenate([*(one.words for one in self.prints), room])

    def search(self, recording: Print) -> tuple[int, float] | None:
        """The index of the print that is the same recording, and its share of bit errors; None if none is."""
        near: set[tuple[int, int]] = set()
        for probe in _probes(recording):
            for place in self._places_like(recording.words[probe], probe - probe[0]):
                index = int(np.searchsorted(self._starts, place, side="right")) - 1
                # Where in the recording the first word of this print would lie, give or take one.
                offset = int(probe[0] - (place - self._starts[index]))
                near |= {(index, offset + step) for step in (-1, 0, 1)}
        found = ((_errors_at(recording, self.prints[index], offset), index) for index, offset in near)
        errors, index = min(found, default=(1.0, -1))
        return (index, errors) if errors < MAX_BIT_ERRORS else None

    def _places_like(self, probe: NDArray[np.uint32], ahead: NDArray[np.intp]) -> NDArray[np.int64]:
        last = int(self._starts[-1])
        limit = int(_SEARCH_BIT_ERRORS * _BITS * len(probe))
        found = [np.empty(0, np.int64)]
        for begin in range(0, last, _BLOCK):
            length = min(_BLOCK, last - begin)
            errors = np.zeros(length, np.uint16)
            for word, at in zip(probe, ahead + begin, strict=True):
                errors += np.bitwise_count(self._words[at : at + length] ^ word)
            found.append(begin + np.flatnonzero(errors <= limit))
        return np.concatenate(found)


def _probes(recording: Print) -> list[NDArray[np.intp]]:
    """Places of the words of each probe; where pauses make it longer than what is kept, it is none."""
    places = np.flatnonzero(recording.speech)
    starts = range(0, len(places) - MATCH_WORDS + 1, _PROBE_EVERY)
    probes = (places[start : start + MATCH_WORDS : _PROBE_STRIDE] for start in starts[:_PROBES])
    return [probe for probe in probes if probe[-1] - probe[0] < KEPT_WORDS]
