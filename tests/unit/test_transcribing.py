"""Recordings in writing: by a real process, with a model that says what its name tells, or dies of it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import wave
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from screener import ledger
from screener.cli import cli
from screener.config import load
from screener.config.settings import Transcription
from screener.errors import ScreenerError
from screener.facts import Place
from screener.ledger import Ledger, Row
from screener.recordings import Recording
from screener.transcribing import Transcriber, ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = datetime(2026, 3, 2, 20, tzinfo=UTC)  # the third already in Shanghai
MODEL_VARIABLE = "SCREENER_STT_MODEL"
STAND_IN = """\
import os, signal, time, wave
from types import SimpleNamespace

class WhisperModel:
    def __init__(self, model, *, local_files_only, **how):
        assert local_files_only and os.nice(0) == 19
        if "absent" in model:
            raise RuntimeError("no such model")
        self.model = model

    def transcribe(self, sound, *, language, **how):
        with wave.open(sound) as file:
            seconds = file.getnframes() / file.getframerate()
        if self.model == "dying":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.model == "hanging":
            time.sleep(600)
        if self.model == "babbling":
            print("once upon a time")
        if self.model == "long":
            text = "press 1 " * 100_000
        else:
            text = f"{seconds:.0f} seconds. \\x1b[31m Please press 1, "
            text += "pay 20 dollars by tomorrow."
        about = SimpleNamespace(language=language or "en", language_probability=1)
        return iter([SimpleNamespace(text=text)]), about
"""


@pytest.fixture(autouse=True)
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "faster_whisper.py").write_text(STAND_IN)
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path / "lib"), before])))
    monkeypatch.syspath_prepend(tmp_path / "lib")


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


def settings(**changed: Any) -> Transcription:
    plain = load(environ={}).settings.transcription.model_dump()
    return Transcription.model_validate(
        {key: str(value).replace("False", "false") for key, value in (plain | changed).items()}
    )


def recorded(tmp_path: Path, seconds: int = 2) -> Recording:
    path = tmp_path / "1700000000.1-caller.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16_000 * seconds))
    return Recording(path, "caller", path.stat().st_size, seconds, 1.0, "ab" * 32, NOW, complete=True)


def transcriber(written: Ledger, **changed: Any) -> Transcriber:
    place = Place("US", ZoneInfo("Asia/Shanghai"), (), city=False)
    return Transcriber(settings(**changed), load(environ={}).wording, written, place, clock=lambda: NOW)


async def worked(one: Transcriber, until: Callable[[], bool]) -> None:
    """Let it run until something has come about."""
    running = asyncio.create_task(one.run())
    try:
        async with asyncio.timeout(30):
            while not until():  # noqa: ASYNC110 - a file and a log are looked at
                await asyncio.sleep(0.02)
    finally:
        running.cancel()
        await asyncio.wait([running])


def rows(tmp_path: Path) -> list[Row]:
    return [
        row
        for call in ledger.oldest_first(tmp_path / "ledger.db")
        for row in call
        if row.kind == "transcript"
    ]


async def test_transcriber__recording__row_with_text_and_findings(tmp_path: Path, written: Ledger) -> None:
    one = transcriber(written)
    one.take("1700000000.1", recorded(tmp_path))
    await worked(one, lambda: bool(rows(tmp_path)))
    [row] = rows(tmp_path)
    assert (row.call_id, row.body["text"]) == (
        "1700000000.1",
        "2 seconds. [31m Please press 1, pay 20 dollars by tomorrow.",
    )
    assert row.body["sha256"] == "ab" * 32
    assert (row.body["seconds"], row.body["language"], row.body["model"]) == (2, "en", "base")
    assert [(found["kind"], found["value"]) for found in row.body["wording"]] == [
        ("key", "1"),
        ("amount", "20 USD"),
        ("due", "2026-03-04"),
    ]


async def test_transcriber__long_recording__its_beginning(tmp_path: Path, written: Ledger) -> None:
    one = transcriber(written, max_s=3, language="zh")
    one.take("1", recorded(tmp_path, seconds=20))
    await worked(one, lambda: bool(rows(tmp_path)))
    [row] = rows(tmp_path)
    assert (row.body["text"][:10], row.body["seconds"], row.body["language"]) == ("3 seconds.", 3, "zh")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("dying", "it ended with -9"),
        ("absent", "RuntimeError: no such model"),
        ("babbling", "nothing that is under"),
    ],
)
async def test_transcriber__worker_that_fails__costs_its_transcript_only(
    tmp_path: Path, written: Ledger, model: str, reason: str
) -> None:
    one = transcriber(written, model=model)
    one.take("1", recorded(tmp_path))
    one.take("2", recorded(tmp_path))
    with capture_logs() as logs:
        await worked(one, lambda: len(logs) == 2)
    assert all(line["log_level"] == "warning" and reason in line["reason"] for line in logs)
    assert rows(tmp_path) == []


async def test_transcriber__worker_that_hangs__is_killed(
    tmp_path: Path, written: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screener.transcribing.START_S", 1)
    monkeypatch.setattr("screener.transcribing.SLOWEST", 0)
    one = transcriber(written, model="hanging")
    one.take("1", recorded(tmp_path))
    with capture_logs() as logs:
        await worked(one, lambda: bool(logs))
    assert logs[0]["reason"] in {"it took longer than 1 s", "it ended with -14"}  # its own alarm, or ours


async def test_transcriber__flood_of_words__bounded(tmp_path: Path, written: Ledger) -> None:
    one = transcriber(written, model="long")
    one.take("1", recorded(tmp_path))
    await worked(one, lambda: bool(rows(tmp_path)))
    assert len(rows(tmp_path)[0].body["text"]) == 5000


async def test_transcriber__service_that_stops__leaves_no_process(
    tmp_path: Path, written: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def noted(*command: Any, **how: Any) -> asyncio.subprocess.Process:
        begun.append(await start(*command, **how))
        return begun[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    one = transcriber(written, model="hanging")
    one.take("1", recorded(tmp_path))
    await worked(one, lambda: bool(begun))
    assert begun[0].returncode == -9


async def test_transcriber__what_is_no_speech_of_a_caller_or_too_much__left_out(
    tmp_path: Path, written: Ledger
) -> None:
    one, speech = transcriber(written, queue=1), recorded(tmp_path)
    with capture_logs() as logs:
        for other in (
            replace(speech, leg="mix"),
            replace(speech, active_s=0),
            replace(speech, complete=False),
        ):
            one.take("1", other)
        one.take("2", speech)
        assert logs == []
        one.take("3", speech)
    assert logs[0]["event"] == "too many recordings wait: this one is not transcribed"


async def test_ready__model_that_is_not_there__what_to_do() -> None:
    await ready("base")
    with pytest.raises(ScreenerError, match=r"transcription\.model: absent cannot be used") as told:
        await ready("absent")
    assert str(told.value).endswith('download_model("absent")\'')
    with pytest.raises(ScreenerError, match=r"name the folder that holds its model\.bin$"):
        await ready("/absent")


def check_of(tmp_path: Path) -> tuple[int, str]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "screener.yaml").write_text(
        "ami: {secret: s3cret}\ntranscription: {enabled: true, model: absent}\n"
    )
    done = CliRunner().invoke(cli, ["check", "--config", str(tmp_path / "site")])
    return done.exit_code, str(done.exception)


def test_check__model_missing__says_so(tmp_path: Path) -> None:
    code, told = check_of(tmp_path)
    assert code == 1
    place = f"{tmp_path}/site/screener.yaml:2"
    said = (
        "transcription.model: absent cannot be used (RuntimeError: no such model); fetch it once: python -c"
    )
    assert told.startswith(f"{place}: {said}")


@pytest.mark.skipif(
    importlib.util.find_spec("faster_whisper") is not None, reason="the extra stt is installed"
)
def test_check__extra_missing__says_so(tmp_path: Path) -> None:
    (tmp_path / "lib" / "faster_whisper.py").unlink()
    importlib.invalidate_caches()
    code, told = check_of(tmp_path)
    assert code == 1
    assert told.endswith(
        "transcription: the extra stt is not installed: pip install 'asterisk-screener[stt]'"
    )


def test_calls__with_a_transcript__shown(tmp_path: Path, written: Ledger) -> None:
    (tmp_path / "screener.yaml").write_text(f"state_dir: {tmp_path}\n")
    found = [{"kind": "key", "name": "PRESS_KEY", "value": "1", "quote": "press 1"}]
    for call_id, wording in (("1", found), ("2", [])):
        written.append(Row(call_id, "end", NOW, {"disposition": "recorded"}))
        written.append(Row(call_id, "transcript", NOW, {"text": "ciao \x1b bella", "wording": wording}))
    written.close()
    done = CliRunner().invoke(cli, ["calls", "--config", str(tmp_path)], env={"COLUMNS": "200"})
    assert "key 1" in done.output
    assert "ciao" in done.output
    assert "\x1b" not in done.output


@pytest.mark.slow
def test_transcriber__real_model__hears_the_key(tmp_path: Path, written: Ledger) -> None:
    model = os.environ.get(MODEL_VARIABLE)
    (tmp_path / "lib" / "faster_whisper.py").unlink()
    importlib.invalidate_caches()
    if not model or importlib.util.find_spec("faster_whisper") is None:
        pytest.skip(f"needs the extra stt and {MODEL_VARIABLE}, the folder of a model")
    one = recorded(tmp_path)
    words = "Hello. If you want to speak with an officer, please press 1. You owe 900 dollars."
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "150", "-w", tmp_path / "said.wav", words], check=True)
    subprocess.run(["sox", tmp_path / "said.wav", "-r", "8000", "-c", "1", "-b", "16", one.path], check=True)
    by = transcriber(written, model=model)
    by.take("1", one)
    asyncio.run(worked(by, lambda: bool(rows(tmp_path))))
    assert {"key", "amount"} <= {found["kind"] for found in rows(tmp_path)[0].body["wording"]}
