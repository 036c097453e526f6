"""The whole story: a collector calls, by robot and by person, and visits; what a complaint takes with it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.pbx import sound
from tests.pbx.faults import somebody
from tests.pbx.house import House

if TYPE_CHECKING:
    from pathlib import Path

MODEL = """\
from types import SimpleNamespace

class WhisperModel:
    def __init__(self, model, **how):
        pass

    def transcribe(self, file, **how):
        text = "我是飞快贷款公司的。您的欠款3000元已经逾期，请尽快还款。"
        return [SimpleNamespace(text=text)], SimpleNamespace(language="zh", language_probability=0.9)
"""
ROBOT = (
    "This is an important message about your overdue loan. Your account has been passed to the collection "
    "department. Press one to speak to an agent, or we will contact your family and your employer today."
)
PERSON = "Hello, is that Mister Wang? When are you going to pay, I am asking you for the last time."


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A speech recognition that needs no model: whatever sounds, it hears the same."""
    (tmp_path / "faster_whisper.py").write_text(MODEL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def midday() -> str:
    """A time zone in which it is about noon, so that no test falls into a night or over midnight."""
    ahead = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-ahead:+d}"


async def talks(house: House, number: str, words: bytes) -> None:
    call = await house.call(number)
    await house.hears(call, "notice", 40)
    await call.say(words)
    call.hangup()


async def done(house: House, *arguments: object) -> str:
    code, output = await house.service.command(*map(str, arguments))
    assert code == 0, output
    return output


async def shown(house: House, *arguments: object) -> Any:
    return json.loads(await done(house, *arguments, "--json"))


async def all_filed(house: House, calls: int) -> None:
    """Wait until each call was recorded, heard and written down."""
    async with asyncio.timeout(90):
        while True:
            kinds = [{row.kind for row in one.rows} for one in house.service.calls()]
            if sum({"end", "recording", "campaign", "transcript"} <= one for one in kinds) == calls:
                return
            await asyncio.sleep(0.2)


@pytest.mark.pbx
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("library")
async def test_story__eight_calls_from_three_numbers_and_a_visit__become_evidence(tmp_path: Path) -> None:
    numbers = [somebody("+86177") for _ in range(3)]
    settings: dict[str, Any] = {
        "transcription": {"enabled": "true"},
        "packs": ["cn-collection"],
        "timezone": midday(),
    }
    async with House.open(**settings) as house:
        for number in numbers:
            await done(house, "list", "add", "block", number)
        robot, person = sound.speech(ROBOT), sound.speech(PERSON)
        await asyncio.gather(*(talks(house, number, robot) for number in numbers))
        await asyncio.gather(*(talks(house, number, robot) for number in numbers[:2]))
        await asyncio.gather(*(talks(house, number, person) for number in numbers))
        await all_filed(house, 8)

        (suggestion,) = await shown(house, "case", "suggest")
        assert suggestion["numbers"] == sorted(numbers)
        assert len(suggestion["calls"]) == 8
        await done(house, "case", "open", "飞快贷款", "--suggested", suggestion["keys"][0], "--debtor")
        await done(house, "case", "confirm", 1)
        photograph = tmp_path / "door.jpg"
        photograph.write_bytes(b"\xff\xd8 a photograph")
        tonight = f"{datetime.now(UTC).date()} 22:40"
        noted = ("--kind", "visit", "--at", tonight, "--text", "两人上门，自称飞快贷款", "--file", photograph)
        await done(house, "case", "note", 1, *noted)
        await done(house, "case", "hold", 1)

        bundle = tmp_path / "bundle"
        await done(house, "evidence", "export", 1, bundle, "--lang", "zh")
        told = json.loads((bundle / "calls.json").read_text())
        assert [one["kind"] for one in told["entries"]] == ["call"] * 8 + ["visit"]
        incidents = {(one["rule"], one["decided"]): one for one in told["incidents"]}
        assert incidents["INFORMING_CALLS_A_DAY", True]["proof"] == [1, 2, 3, 4, 5]
        assert incidents["NIGHT", True]["proof"] == [9]
        assert "GB/T 45251-2025" in incidents["PRIVATE_MOBILE", True]["clause"]
        assert "3000 CNY" in (bundle / "summary.zh.html").read_text()

        files = [one for entry in told["entries"][:8] for one in entry["files"]]
        assert len(files) == 16
        for one in files:
            heard = sound.read_wav(bundle / one["file"])
            assert max(heard, default=0) > 1000
            assert one["sha256"] == hashlib.sha256((bundle / one["file"]).read_bytes()).hexdigest()

        key = tmp_path / "key.pem"
        key.write_text(await done(house, "ledger", "key"))
        await done(house, "evidence", "verify", bundle, "--key", key)
        summed = ["sha256sum", "--quiet", "-c", "SHA256SUMS"]
        subprocess.run(summed, cwd=bundle, check=True)  # noqa: ASYNC221 - milliseconds
        copy = tmp_path / "copy"
        shutil.copytree(bundle, copy)
        changed = copy / files[3]["file"]
        content = bytearray(changed.read_bytes())
        content[len(content) // 2] ^= 1
        changed.write_bytes(content)
        code, output = await house.service.command("evidence", "verify", str(copy))
        assert code == 8
        assert output.strip() == f"{files[3]['file']}: changed"
        await done(house, "ledger", "verify")
