"""What a recorded caller said is in the ledger; a transcription that dies costs nothing but that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.pbx import sound
from tests.pbx.house import COLLECTOR, House

if TYPE_CHECKING:
    from pathlib import Path

MODEL = """\
import os, signal, wave
from types import SimpleNamespace

class WhisperModel:
    def __init__(self, model, **how):
        if model == "dying":
            os.kill(os.getpid(), signal.SIGKILL)

    def transcribe(self, file, **how):
        with wave.open(file) as heard:
            assert max(heard.readframes(heard.getnframes())) > 0
        about = SimpleNamespace(language="zh", language_probability=0.9)
        return [SimpleNamespace(text="您的借款已经逾期，转人工请按1")], about
"""
FORCED = {"rules/collection.yaml": "enabled: true\nrules: {COLLECTOR_PREFIX: {force: voicemail}}\n"}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A speech recognition that needs no model: whatever sounds, it hears the same."""
    (tmp_path / "faster_whisper.py").write_text(MODEL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


async def collector_talks(house: House) -> None:
    call = await house.call(COLLECTOR)
    await asyncio.wait_for(call.answered.wait(), 5)
    await house.hears(call, "greeting")
    await call.say(sound.tone(2))
    call.hangup()


@pytest.mark.pbx
@pytest.mark.usefixtures("library")
async def test_transcript__of_a_recorded_collector__is_filed_with_what_he_said() -> None:
    async with House.open(FORCED, transcription={"enabled": "true"}) as house:
        await collector_talks(house)
        record = await house.service.record(lambda one: bool(one.transcript), 60)
        [caller] = [one for one in record.recordings if one["leg"] == "caller"]
        assert record.transcript["sha256"] == caller["sha256"]
        found = {(one["kind"], one["value"] or one["name"]) for one in record.transcript["wording"]}
        assert found == {("key", "1"), ("collection", "ZH_COLLECTION")}


@pytest.mark.pbx
@pytest.mark.usefixtures("library")
async def test_transcript__worker_dies__the_recording_is_filed_and_the_next_call_rings() -> None:
    async with House.open(FORCED, transcription={"enabled": "true", "model": "dying"}) as house:
        await collector_talks(house)
        await house.service.logged("a recording was not transcribed", 60, reason="it ended with -9")
        record = await house.service.record(lambda one: len(one.recordings) > 1, 20)
        assert [one["leg"] for one in record.recordings] == ["caller", "mix"]
        await house.call()
        await house.answered()
