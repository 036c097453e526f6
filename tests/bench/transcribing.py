"""How well and fast a model writes down speech: `python -m tests.bench.transcribing MODEL [SOUNDS TEXTS]`.

espeak-ng says the English sentences of tests/data/said.tsv, over a line with A-law at 8 kHz. With SOUNDS, a
folder of Asterisk's English prompts as gsm, and TEXTS, its core-sounds-en.txt, a human voice says the prompts
of six words and more, ten to a recording. MODEL is a folder; the extra stt must be installed.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path
from typing import TYPE_CHECKING

from screener.transcribing import _worked
from tests.bench.wording import said

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_LEAST_WORDS, TOGETHER, PROMPTS = 6, 10, 100


def words(text: str) -> list[str]:
    """As they are compared: no capitals, no punctuation, figures one by one."""
    return re.findall(r"[a-z']+|[0-9]", text.lower())


def errors(meant: list[str], heard: list[str]) -> int:
    """Words that were changed, left out or added (Levenshtein)."""
    before = list(range(len(heard) + 1))
    for row, word in enumerate(meant, 1):
        now = [row]
        for column, other in enumerate(heard, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (word != other)))
        before = now
    return before[-1]


def spoken(directory: Path) -> Iterator[tuple[str, Path]]:
    """The sentences by espeak-ng."""
    for number, (_, language, text) in enumerate(said()):
        if language == "en":
            path = directory / f"{number}.wav"
            subprocess.run(
                ["espeak-ng", "-v", "en-us", "-s", "150", "-w", f"{path}.raw.wav", text], check=True
            )
            as_on_a_line = [
                "sox",
                "-v",
                "0.7",
                f"{path}.raw.wav",
                "-r",
                "8000",
                "-c",
                "1",
                "-e",
                "a-law",
                f"{path}.al",
            ]
            subprocess.run(as_on_a_line, check=True)
            subprocess.run(
                ["sox", "-c", "1", "-r", "8000", f"{path}.al", "-e", "signed", "-b", "16", path], check=True
            )
            yield text, path


def prompts(directory: Path, sounds: Path, texts: Path) -> Iterator[tuple[str, Path]]:
    """Asterisk's prompts, some together in a recording."""
    lines = (line.split(":", 1) for line in texts.read_text("utf-8").splitlines() if ":" in line)
    known = [(text.strip(), sounds / f"{name.strip()}.gsm") for name, text in lines if "[" not in text]
    good = [one for one in known if one[1].is_file() and len(words(one[0])) >= AT_LEAST_WORDS][:PROMPTS]
    for number, some in enumerate(good[at : at + TOGETHER] for at in range(0, len(good), TOGETHER)):
        path = directory / f"prompts-{number}.wav"
        subprocess.run(["sox", *(one for _, one in some), "-b", "16", "-e", "signed", path], check=True)
        yield " ".join(text for text, _ in some), path


async def measure(what: str, model: str, recordings: Iterator[tuple[str, Path]]) -> None:
    """Print words, errors and the time it took against the length of the sound."""
    total, wrong, sound_s, spent_s = 0, 0, 0.0, 0.0
    for meant, path in recordings:
        with wave.open(str(path)) as file:
            sound_s += file.getnframes() / file.getframerate()
        started = time.perf_counter()
        heard = await _worked(model, "en", 180, 600, path)
        spent_s += time.perf_counter() - started
        total += len(words(meant))
        wrong += errors(words(meant), words(heard["text"]))
    sys.stdout.write(
        f"{what}: {total} words, {100 * wrong / total:.1f} % wrong; {sound_s:.0f} s of sound, "
        f"{spent_s / sound_s:.2f} of its length with loading the model for each recording\n"
    )


def main(model: str, sounds: str = "", texts: str = "") -> None:
    """The synthetic voice, and the human one if it is there."""
    with tempfile.TemporaryDirectory() as directory:
        if sounds:
            human = prompts(Path(directory), Path(sounds), Path(texts))
            asyncio.run(measure("Asterisk's prompts, a human voice in GSM", model, human))
        asyncio.run(measure("espeak-ng, A-law", model, spoken(Path(directory))))


if __name__ == "__main__":
    main(*sys.argv[1:])
