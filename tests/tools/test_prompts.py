"""The prompts: the same in both languages, all that the dialplan plays, as Asterisk plays it."""

from __future__ import annotations

import array
import math
import re
import subprocess
import wave
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("en", "zh")


def names(language: str) -> list[str]:
    """The names of the prompts, in the order of the file."""
    lines = (ROOT / "dialplan/prompts" / f"{language}.txt").read_text("utf-8").splitlines()
    return [line.partition(":")[0] for line in lines if line and not line.startswith("#")]


def run(out: Path) -> str:
    """Make the sounds in `out`; what the script said."""
    done = subprocess.run(
        [ROOT / "scripts/prompts", out], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sounds")
    assert run(out).startswith(f"{len(LANGUAGES) * len(names('en'))} prompts made")
    return out


def test_prompts__both_languages__have_the_same_names() -> None:
    assert names("en") == names("zh")
    assert len(set(names("en"))) == len(names("en"))


def test_prompts__dialplan__plays_only_what_is_made() -> None:
    text = "\n".join(path.read_text("utf-8") for path in (ROOT / "dialplan").rglob("*.conf"))
    played = set(re.findall(r"(?<!DB\()\bscreener/([a-z][a-z-]*)(?=[,)&\]}\n]|\$\{)", text))
    assert played >= {"notice", "greeting", "press", "again", "thanks"}
    digits = {f"digit-{digit}" for digit in range(10)}
    assert played - {"digit-", "code-"} <= set(names("en"))
    assert digits <= set(names("en"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_prompts__each_sound__is_telephone_audio_and_equally_loud(sounds: Path, language: str) -> None:
    for name in names(language):
        with wave.open(str(sounds / language / "screener" / f"{name}.wav")) as wav:
            assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (8000, 1, 2)
            samples = array.array("h", wav.readframes(wav.getnframes()))
        assert len(samples) > 0.2 * 8000
        assert 20 * math.log10(max(map(abs, samples)) / 32768) == pytest.approx(-3, abs=0.3), name


def test_prompts__second_run__makes_only_what_changed(sounds: Path) -> None:
    assert run(sounds).startswith("0 prompts made")
    (sounds / "zh/screener/again.wav.txt").write_text("another text")
    (sounds / "en/screener/digit-7.wav").unlink()
    assert run(sounds).startswith("2 prompts made")
