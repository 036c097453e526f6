"""The whole story: a collector calls, by robot and by person, and visits; what a complaint takes with it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from screener import ledger
from tests.pbx import sound
from tests.pbx.faults import somebody
from tests.pbx.house import House
from tests.postgres import cluster

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["cluster"]

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

WRITTEN = "【飞快贷款】您的欠款1537.35元已逾期，请于明天之前还款，否则移交法院。"
MILD = "欠款1537.35元，请尽快还款"
GATEWAY = "10690123456789"


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


async def writes(house: House, number: str, text: str) -> str:
    """Send a message to our telephone; what became of it, by the ledger."""
    await house.caller.message("100", text.encode(), number)
    return await became(house, text)


async def became(house: House, text: str) -> str:
    async with asyncio.timeout(30):
        while True:
            for one in ledger.received(house.service.ledger):
                if one.transcript["text"] == text and one.disposition != "unknown":
                    return one.disposition
            await asyncio.sleep(0.1)


@pytest.mark.pbx
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("kept_in", ["file", "postgresql"])
async def test_story__calls_from_three_numbers_a_message_and_a_visit__become_evidence(
    tmp_path: Path, kept_in: str, request: pytest.FixtureRequest
) -> None:
    numbers = [somebody("+86177") for _ in range(3)]
    settings: dict[str, Any] = {
        "transcription": {"enabled": "true"},
        "packs": ["cn-collection"],
        "timezone": midday(),
    }
    if kept_in == "postgresql":
        place = request.getfixturevalue("cluster").place(tmp_path)
        settings["ledger"] = {"url": place.url}
    async with House.open(**settings) as house:
        house.pbx.spool.mkdir(mode=0o700)
        for number in numbers:
            await done(house, "list", "add", "block", number)
        robot, person = sound.speech(ROBOT), sound.speech(PERSON)
        await asyncio.gather(*(talks(house, number, robot) for number in numbers))
        await asyncio.gather(*(talks(house, number, robot) for number in numbers[:2]))
        await asyncio.gather(*(talks(house, number, person) for number in numbers))
        await all_filed(house, 8)
        assert await writes(house, numbers[0], WRITTEN) == "held"

        (suggestion,) = await shown(house, "case", "suggest")
        assert suggestion["numbers"] == sorted(numbers)
        assert len(suggestion["calls"]) == 9
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
        assert [one["kind"] for one in told["entries"]] == ["call"] * 8 + ["message", "visit"]
        incidents = {(one["rule"], one["decided"]): one for one in told["incidents"]}
        assert incidents["INFORMING_CALLS_A_DAY", True]["proof"] == [1, 2, 3, 4, 5]
        assert incidents["NIGHT", True]["proof"] == [10]
        assert incidents["THREAT", True]["proof"] == [9]
        assert "GB/T 45251-2025" in incidents["PRIVATE_MOBILE", True]["clause"]
        message = told["entries"][8]
        assert (message["number"], message["text"], message["ended"]) == (numbers[0], WRITTEN, "held")
        assert claims(told)["amount", "3000 CNY"] == [*range(1, 9)]
        tomorrow = datetime.fromisoformat(message["at"]).date() + timedelta(days=1)
        assert claims(told)["amount", "1537.35 CNY"] == claims(told)["due", str(tomorrow)] == [9]
        summary = (bundle / "summary.zh.html").read_text()
        assert "3000 CNY" in summary
        assert "短信 1 条" in summary

        files = [one for entry in told["entries"][:8] for one in entry["files"]]
        assert len(files) == 16
        for one in files:
            heard = sound.read_wav(bundle / one["file"])
            assert max(heard, default=0) > 1000
            assert one["sha256"] == hashlib.sha256((bundle / one["file"]).read_bytes()).hexdigest()
        await proves_itself(house, bundle, files[3]["file"])
        await done(house, "ledger", "verify")


def claims(told: dict[str, Any]) -> dict[tuple[str, str], list[int]]:
    return {(one["kind"], one["value"]): one["in"] for one in told["claims"]}


async def proves_itself(house: House, bundle: Path, recording: str) -> None:
    """Verify the bundle by its installation's key, and name a recording of it in which a bit is changed."""
    key = bundle.with_name("key.pem")
    key.write_text(await done(house, "ledger", "key"))
    await done(house, "evidence", "verify", bundle, "--key", key)
    summed = ["sha256sum", "--quiet", "-c", "SHA256SUMS"]
    subprocess.run(summed, cwd=bundle, check=True)  # noqa: ASYNC221 - milliseconds
    copy = bundle.with_name("copy")
    shutil.copytree(bundle, copy)
    changed = copy / recording
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    code, output = await house.service.command("evidence", "verify", str(copy))
    assert code == 8
    assert output.strip() == f"{recording}: changed"


@pytest.mark.pbx
async def test_collector__only_writes_once_while_the_screener_is_away__is_suggested(tmp_path: Path) -> None:
    first = somebody("+86177")
    second = f"{first[:-4]}9999"  # of the same block
    async with House.open(packs=["cn-collection"], timezone=midday()) as house:
        house.pbx.spool.mkdir(mode=0o700)
        assert await writes(house, first, WRITTEN) == "held"
        await house.service.kill()
        await house.caller.message("100", MILD.encode(), second)
        await asyncio.wait_for(house.phone.messages.get(), 3)
        await house.service.start()
        assert await became(house, MILD) == "delivered"
        for text in ("您的贷款已逾期，请尽快还款", "您的贷款已逾期，请今天还款"):
            assert await writes(house, GATEWAY, text) == "delivered"
        block, gateway = await shown(house, "case", "suggest")
        assert (block["keys"], block["numbers"]) == ([f"block:{first[:-4]}"], [first, second])
        assert (gateway["keys"], len(gateway["calls"])) == ([f"number:{GATEWAY}"], 2)

        await done(house, "case", "open", "飞快贷款", "--suggested", block["keys"][0], "--debtor")
        await done(house, "case", "confirm", 1)
        await done(house, "messages", "release", block["calls"][0])
        bundle = tmp_path / "bundle"
        await done(house, "evidence", "export", 1, bundle)
        told = json.loads((bundle / "calls.json").read_text())
        ended = [(one["kind"], one["number"], one["ended"]) for one in told["entries"]]
        assert ended == [("message", first, "released"), ("message", second, "delivered")]
        proofs = [one["proof"] for one in told["incidents"] if one["rule"] == "PRIVATE_MOBILE"]
        assert proofs == [[1], [2]]
        await done(house, "evidence", "verify", bundle)
