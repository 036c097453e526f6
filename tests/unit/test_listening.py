"""Recordings are compared one at a time, whatever they are, and nothing of it ends the screening."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
import tracemalloc
import wave
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from screener import ledger, listening, number
from screener.listening import Listener
from screener.state import Campaigns, State
from screener.state.asking import SPOKE_KEY
from tests.valkey import connected
from tests.voices import coded, louder, spoken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.commandline import Command

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
TEXT = (
    "We have been trying to reach you about the warranty of your car. It is about to expire, and this is "
    "the last courtesy call before we close your file. Press one to speak to an agent."
)
A, B = number.parse("+8617712345678", "CN"), number.parse("+8613800138000", "CN")
GREETING = (
    "The person you are calling is not available. After the tone, please state your name, your company, the "
    "purpose of your call, and where a written statement can be requested."
)
WITHIN_S = 20.0


class Desk:
    """A listener at work over a real store and a real ledger."""

    def __init__(self, directory: Path, url: str, campaigns: Campaigns, written: ledger.Ledger) -> None:
        self.url = url
        self.spool, self.path, self.campaigns = directory / "spool", directory / "ledger.db", campaigns
        self.listener = Listener(campaigns, written, self.spool, clock=lambda: NOW)

    def record(self, call_id: str, sound: bytes, *, closed: bool = True, leg: str = "caller") -> Path:
        """A recording as Asterisk leaves it, or while it still writes: with sizes of 0."""
        stem = self.spool / "2026-03-04" / call_id
        stem.parent.mkdir(parents=True, exist_ok=True)
        path = stem.with_name(f"{call_id}-{leg}.wav")
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(sound)
        if not closed:
            with path.open("r+b") as raw:
                raw.seek(4)
                raw.write(struct.pack("<I", 0))
                raw.seek(40)
                raw.write(struct.pack("<I", 0))
        return stem

    async def told(self, call_id: str) -> Mapping[str, Any]:
        """Wait until the ledger has a row of kind campaign for the call."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                for rows in ledger.oldest_first(self.path):
                    for row in rows:
                        if (row.call_id, row.kind) == (call_id, "campaign"):
                            return row.body
                await asyncio.sleep(0.02)


@pytest.fixture
async def desk(tmp_path: Path, store_url: str) -> AsyncIterator[Desk]:
    campaigns = Campaigns(store_url)
    with ledger.Ledger.open(tmp_path / "ledger.db") as written:
        desk = Desk(tmp_path, store_url, campaigns, written)
        work = asyncio.create_task(desk.listener.run())
        yield desk
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
    await campaigns.close()


async def test_hear__same_recording_from_a_second_number__is_one_campaign(desk: Desk, store_url: str) -> None:
    sound = spoken(TEXT)
    desk.listener.hear("1.1", desk.record("1.1", sound.tobytes()), A)
    first = await desk.told("1.1")
    desk.listener.hear("1.2", desk.record("1.2", coded(sound, "gsm")[4000:].tobytes()), B)
    second = await desk.told("1.2")
    assert (first["campaign"], first["callers"], first["from_new_number"]) == (1, 1, False)
    assert (second["campaign"], second["callers"], second["from_new_number"]) == (1, 2, True)
    assert second["speech_s"] > 8
    assert second["recognised_s"] is None
    state = State(store_url)
    observed = await state.observe(B.key, "100", "9.9")
    await state.close()
    assert (observed.facts["campaign.id"], observed.facts["campaign.callers"]) == ("1", 2)


async def test_hear__different_messages__are_different_and_prove_nothing(desk: Desk) -> None:
    desk.listener.hear("1.1", desk.record("1.1", spoken(TEXT).tobytes()), A)
    await desk.told("1.1")
    other = spoken("Hello, this is Anna from the dentist. " + "Please call me back about tomorrow. " * 3)
    desk.listener.hear("1.2", desk.record("1.2", other.tobytes()), B)
    assert (await desk.told("1.2"))["campaign"] == 2
    assert [one.known for one in await desk.campaigns.all()] == [False, False]


@pytest.mark.parametrize("echo_db", [-10, -20, -28])
async def test_hear__echo_of_our_own_greeting__is_no_campaign(desk: Desk, echo_db: float) -> None:
    greeting = np.append(spoken(GREETING), np.zeros(16_000, np.int16))
    for call_id, delay, caller in (("1.1", 160, A), ("1.2", 2400, B)):
        echo = np.append(np.zeros(delay, np.int16), louder(greeting, echo_db))[: len(greeting)]
        desk.record(call_id, (greeting + echo).tobytes(), leg="mix")
        desk.listener.hear(call_id, desk.record(call_id, echo.tobytes()), caller)
        assert "campaign" not in await desk.told(call_id)


async def test_hear__recording_after_an_echo_of_our_greeting__is_known_again(desk: Desk) -> None:
    said, robot = spoken(GREETING), spoken(TEXT)
    desk.listener.hear("1.1", desk.record("1.1", robot.tobytes()), A)
    assert (await desk.told("1.1"))["campaign"] == 1
    ours = np.append(said, np.zeros_like(robot))
    heard = np.append(louder(said, -20), robot)
    desk.record("1.2", (ours // 2 + heard).tobytes(), leg="mix")
    desk.listener.hear("1.2", desk.record("1.2", heard.tobytes()), B)
    assert (await desk.told("1.2"))["campaign"] == 1


async def test_follow__calls_that_left_no_recording__leave_room_for_others(desk: Desk) -> None:
    for call in range(listening.LIVE_BOUND):
        desk.listener.follow(f"0.{call}", A)
        desk.listener.leave(f"0.{call}")
    desk.listener.follow("1.1", A)
    desk.listener.hear("1.1", desk.record("1.1", spoken(TEXT).tobytes()), number.parse("", "CN"))
    await desk.told("1.1")
    assert (await desk.campaigns.find([1]))[0].callers == 1
    state_key = SPOKE_KEY + A.key
    async with connected(desk.url) as client:
        assert await client.get(state_key) == "1"  # he who was followed, not nobody


async def test_follow__known_campaign_in_a_growing_recording__is_recognised_while_it_grows(
    desk: Desk,
) -> None:
    for call_id, caller in (("1.1", A), ("1.2", B)):
        desk.listener.hear(call_id, desk.record(call_id, spoken(TEXT).tobytes()), caller)
        await desk.told(call_id)
    third = number.parse("+8613900139000", "CN")
    with capture_logs() as logs:
        desk.listener.follow("1.3", third)
        stem = desk.record("1.3", spoken(TEXT)[: 8 * 8000].tobytes(), closed=False)
        async with asyncio.timeout(WITHIN_S):
            while not any(line["event"] == "a known campaign speaks" for line in logs):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    desk.listener.hear("1.3", stem, number.parse("", "CN"))
    told = await desk.told("1.3")
    assert told["recognised_s"] == pytest.approx(8.0, abs=0.1)
    assert told["callers"] == 3  # who was followed is known better than who hung up


async def test_hear__no_speech__is_no_campaign(desk: Desk) -> None:
    for call_id, sound in (("1.1", b""), ("1.2", bytes(160_000)), ("1.3", spoken("Hello?").tobytes())):
        desk.listener.hear(call_id, desk.record(call_id, sound), A)
        assert "campaign" not in await desk.told(call_id)
    assert await desk.campaigns.all() == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"RIFF", id="cut short"),
        pytest.param(bytes(5000), id="no WAV"),
        pytest.param(b"RIFF\xff\xff\xff\xffWAVEdata\xff\xff\xff\xff" + bytes(300), id="no format"),
    ],
)
async def test_hear__damaged_file__costs_one_line_in_the_log(desk: Desk, content: bytes) -> None:
    stem = desk.record("1.1", b"")
    stem.with_name("1.1-caller.wav").write_bytes(content)
    with capture_logs() as logs:
        desk.listener.hear("1.1", stem, A)
        desk.listener.hear("1.2", desk.record("1.2", b""), A)
        await desk.told("1.2")
    assert [line["event"] for line in logs] == ["a recording was not compared"]
    assert "it is not sound of 8 kHz" in logs[0]["reason"]


async def test_hear__three_hours__cost_no_more_than_a_minute(desk: Desk) -> None:
    stem = desk.record("1.1", spoken(TEXT).tobytes())
    with stem.with_name("1.1-caller.wav").open("r+b") as file:
        file.truncate(3 * 3600 * 16_000)
        file.seek(40)
        file.write(struct.pack("<I", 3 * 3600 * 16_000 - 44))
    tracemalloc.start()
    begun = time.monotonic()
    desk.listener.hear("1.1", stem, A)
    told = await desk.told("1.1")
    assert time.monotonic() - begun < WITHIN_S
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()
    assert told["campaign"] == 1


async def test_hear__store_out_of_reach__costs_one_line_and_the_next_is_heard(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    away = Campaigns(f"unix://{tmp_path}/nowhere.sock")
    with capture_logs() as logs, monkeypatch.context() as patched:
        patched.setattr(desk.listener, "_campaigns", away)
        desk.listener.hear("1.1", desk.record("1.1", spoken(TEXT).tobytes()), A)
        desk.listener.hear("1.2", desk.record("1.2", b""), A)
        await desk.told("1.2")
    await away.close()
    assert [line["event"] for line in logs] == ["a recording was not compared"]
    assert "out of reach" in logs[0]["reason"]


async def test_hear__more_than_the_queue_holds__are_left_out_with_a_warning(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "QUEUE_BOUND", 2)
    campaigns = Campaigns(store_url)
    with capture_logs() as logs, ledger.Ledger.open(tmp_path / "ledger.db") as written:
        idle = Listener(campaigns, written, tmp_path, clock=lambda: NOW)
        for call in range(4):
            idle.hear(f"1.{call}", tmp_path / f"1.{call}", A)
    await campaigns.close()
    assert [line["event"] for line in logs] == ["too many recordings wait: this one is not compared"] * 2


async def test_hear__path_outside_the_spool__is_refused(desk: Desk) -> None:
    with capture_logs() as logs:
        desk.listener.hear("1.1", desk.spool / ".." / "x", A)
        desk.listener.hear("1.2", desk.record("1.2", b""), A)
        await desk.told("1.2")
    assert "refused as a recording" in logs[0]["reason"]


def test_check__without_the_extra__says_so(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCREENER_AMI_SECRET", "x")
    assert "extra audio" not in command("check").out
    monkeypatch.setattr(listening, "INSTALLED", False)
    ended = command("check")
    assert ended.code == 0
    assert "not installed: the extra audio" in ended.out
