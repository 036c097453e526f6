"""How surely the same recording is known again, and how rarely another is taken for it.

python -m tests.bench.fingerprint robocall-transcripts.csv [--pairs 100000] [--seed 1]

The CSV (columns `campaign` and `transcript`) is read aloud by espeak-ng: each text once, in a voice,
speed and pitch of its own. Repeated recordings go through the line once more, beginning up to five seconds
later, and are searched for among all; a pair is one recording searched for in the print of another.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from screener.audio import speech
from screener.audio.fingerprint import Print, Shelf, fingerprint
from tests.voices import VOICES, coded, faster, joined, lossy, louder, noisy, print_of, spoken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from screener.audio.speech import Samples

MAX_CHARACTERS = 500
ROUNDS = 3
LATEST_START_S = 5
REPEATED_S = 12
"""Speech in the stored print of a recording that is repeated: six seconds are left wherever it begins."""
OPENING = "Hello. This is an important message about your account, please listen to all of it."
OPENING_S = 4.9
LINES: dict[str, Callable[[Samples, np.random.Generator], Samples]] = {
    "as it was": lambda sound, _: sound,
    "A-law": lambda sound, _: coded(sound, "al"),
    "GSM": lambda sound, _: coded(sound, "gsm"),
    "3 % loss": lambda sound, rng: lossy(sound, 0.03, rng),
    "noise at 10 dB": lambda sound, rng: noisy(sound, 10, rng),
    "gain -20 to +12 dB": lambda sound, rng: louder(sound, rng.uniform(-20, 12)),
    "speed 1 % off": lambda sound, rng: faster(sound, rng.choice([0.99, 1.01])),
    "GSM + 3 % loss + 10 dB": lambda sound, rng: noisy(lossy(coded(sound, "gsm"), 0.03, rng), 10, rng),
    "these and speed and gain": lambda sound, rng: louder(
        noisy(lossy(coded(faster(sound, rng.choice([0.99, 1.01])), "gsm"), 0.03, rng), 10, rng),
        rng.uniform(-20, 6),
    ),
}


@dataclass(frozen=True, slots=True)
class Share:
    """Successes among trials; `str` gives the Wilson interval of 95 % too."""

    hits: int
    trials: int

    def __str__(self) -> str:
        z, n = 1.96, max(1, self.trials)
        p = self.hits / n
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        low, high = (100 * (middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
        return f"{self.hits}/{self.trials} = {100 * p:.2f} % ({max(0.0, low):.2f} to {min(100.0, high):.2f})"


def recordings(transcripts: list[str]) -> list[Samples]:
    """Each text read by a voice of its own."""

    def read(index: int) -> Samples:
        voice = VOICES[index % len(VOICES)]
        return spoken(transcripts[index][:MAX_CHARACTERS], voice, 130 + index * 7 % 61, 30 + index * 11 % 47)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(read, range(len(transcripts))))


def repeated(sounds: list[Samples], shelf: Shelf, line: str, seed: int) -> Share:
    """How many recordings are recognised when they come again through a line."""
    rng = np.random.default_rng(seed)
    hits = 0
    for index, sound in [*enumerate(sounds)] * ROUNDS:
        start = int(rng.integers(0, LATEST_START_S * speech.RATE))
        found = shelf.search(print_of(LINES[line](sound[start:], rng)))
        hits += found is not None and found[0] == index
    return Share(hits, ROUNDS * len(sounds))


def strangers(sounds: Sequence[Samples], campaigns: Sequence[str], pairs: int, seed: int) -> Share:
    """How many pairs of different recordings are taken for the same, each through a line of its own.

    Recordings of one campaign are no strangers: they say the same words, from another moment on.
    """
    rng = np.random.default_rng(seed)
    tried = false = 0
    while tried < pairs:
        prints = [_through_any_line(sound, rng) for sound in sounds]
        for heard, campaign in zip(
            (_through_any_line(sound, rng) for sound in sounds), campaigns, strict=True
        ):
            others = [one.kept() for one, of in zip(prints, campaigns, strict=True) if of != campaign]
            false += Shelf(others).search(heard) is not None
            tried += len(others)
            if tried >= pairs:
                break
    return Share(false, tried)


def _through_any_line(sound: Samples, rng: np.random.Generator) -> Print:
    return print_of(LINES[str(rng.choice(list(LINES)))](sound, rng))


def openings(sounds: Sequence[Samples], campaigns: Sequence[str]) -> Share:
    """The same for recordings that begin with the same sentence in the same voice, on a perfect line."""
    prints = [print_of(joined([spoken(OPENING), sound])) for sound in sounds]
    tried = false = 0
    for heard, campaign in zip(prints, campaigns, strict=True):
        others = [one.kept() for one, of in zip(prints, campaigns, strict=True) if of != campaign]
        false += Shelf(others).search(heard) is not None
        tried += len(others)
    return Share(false, tried)


def cost(sound: Samples, campaigns: int, seed: int) -> str:
    """What one recording costs among so many campaigns."""
    rng = np.random.default_rng(seed)
    others = [
        Print(rng.integers(0, 1 << 32, 640, np.uint32), np.ones(640, np.bool_)) for _ in range(campaigns)
    ]
    laps = [time.perf_counter()]
    marks = speech.voiced(sound)
    laps.append(time.perf_counter())
    heard = fingerprint(sound, marks)
    laps.append(time.perf_counter())
    shelf = Shelf(others)
    laps.append(time.perf_counter())
    shelf.search(heard)
    laps.append(time.perf_counter())
    voice, bits, shelved, search = (1000 * (end - begin) for begin, end in itertools.pairwise(laps))
    seconds, size = len(sound) / speech.RATE, len(others[0].to_bytes())
    return (
        f"{seconds:.0f} s: voice activity {voice:.0f} ms, fingerprint {bits:.0f} ms; "
        f"search among {campaigns} campaigns {search:.0f} ms, building that {shelved:.0f} ms; "
        f"{size} bytes a campaign"
    )


def measured(transcripts: Path, pairs: int, seed: int) -> Iterator[tuple[str, str]]:
    """Each figure with its name, as it is found: the whole takes minutes."""
    with transcripts.open(encoding="utf-8") as file:
        campaign_of = {row["transcript"]: row["campaign"] for row in csv.DictReader(file)}
    texts = sorted(campaign_of)
    everything = recordings(texts)
    prints = [print_of(sound) for sound in everything]
    comparable = [index for index, one in enumerate(prints) if one.comparable]
    long = [index for index in comparable if prints[index].kept().speech_s >= REPEATED_S]
    sounds, shelf = [everything[index] for index in long], Shelf([prints[index].kept() for index in long])
    counts = f"{len(texts)} texts, {len(comparable)} with six seconds of speech"
    yield "recordings", f"{counts}, {len(long)} with {REPEATED_S} among the first 20"
    yield "cost", cost(joined(sounds[:4])[: 60 * speech.RATE], 10_000, seed)
    for line in LINES:
        yield f"recognised, {line}", str(repeated(sounds, shelf, line, seed))
    every, campaigns = zip(*((everything[at], campaign_of[texts[at]]) for at in comparable), strict=True)
    yield f"false matches, a shared opening of {OPENING_S} s", str(openings(every, campaigns))
    yield "false matches, lines drawn at random", str(strangers(every, campaigns, pairs, seed))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transcripts", type=Path)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    for what, figure in measured(asked.transcripts, asked.pairs, asked.seed):
        sys.stdout.write(f"{what}: {figure}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
