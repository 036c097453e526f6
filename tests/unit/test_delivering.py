"""What is said of a message in a mailbox, and when: whatever a stranger wrote, whoever does not answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from structlog.testing import capture_logs

from screener import delivering, ledger
from screener.call import DELIVER_EVENT, DELIVERED_EVENT, Ending
from screener.delivering import REASON_BYTES, Deliverer, described
from screener.ledger import Ledger, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from screener.ami import Ami

AT = datetime(2026, 3, 2, 20, tzinfo=UTC)
CALL = "1700000000.1"
HOSTILE = 'Bob\r\nmsg_id=1;"\x1b[31m ${SHELL(reboot)}\u202e'
TO = {"100": "100@default", "2*": "200@default"}


class Asterisk:
    """Takes answers, as `Ami` would; what was set is a value."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[tuple[str, dict[str, str]]] = asyncio.Queue()

    async def answer(self, question: delivering.Question, values: Mapping[str, str]) -> str:
        await self.answers.put((question.channel, dict(values)))
        return "sent"


def ending(number: str = "+8617712345678", did: str = "100") -> Ending:
    event = {"Version": "1", "Uniqueid": CALL, "Number": number, "Did": did, "Recording": f"/x/{CALL}"}
    return Ending.from_event(event, AT)


def asks(call_id: str = CALL) -> dict[str, object]:
    about = {"Call": call_id, "Channel": "Local/ask@screener-deliver-1;2", "Uniqueid": "1.2"}
    return {"UserEvent": DELIVER_EVENT, "Version": "1", "Asked": "1", "Deadline": "600000", **about}


def verdict(**call: str) -> Row:
    scores = (("NEW_CALLER", 0.5, False), ("COLLECTOR_PREFIX", 7.0, False), ("TRIED", 9.0, True))
    hits = [{"symbol": symbol, "score": score, "shadow": shadow} for symbol, score, shadow in scores]
    judged = {"action": "voicemail", "score": 7.5, "hits": hits}
    return Row(CALL, "setup", AT, {"call": call, "verdict": judged})


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db") as one:
        yield one


class Desk:
    """A deliverer at work."""

    def __init__(self, written: Ledger, to: dict[str, str] = TO) -> None:
        self.asterisk, self.written = Asterisk(), written
        self.deliverer = Deliverer(to, cast("Ami", self.asterisk), written, None, clock=lambda: AT)
        self.work = asyncio.get_running_loop().create_task(self.deliverer.run())

    async def answer(self) -> dict[str, str]:
        channel, values = await asyncio.wait_for(self.asterisk.answers.get(), 5)
        assert channel == "Local/ask@screener-deliver-1;2"
        return values


async def test_message__of_a_hostile_caller__is_one_line_of_what_can_be_shown(
    written: Ledger,
) -> None:
    desk = Desk(written)
    written.append(verdict(name=HOSTILE))
    written.append(Row(CALL, "transcript", AT, {"text": f"{HOSTILE} 您的贷款已逾期。" + "喂" * 900}))
    desk.deliverer.receive(asks())
    desk.deliverer.take(ending(number=HOSTILE), None)
    values = await desk.answer()
    assert values["SCREENER_MAILBOX"] == "100@default"
    assert values["SCREENER_NUMBER"] == "131"
    assert values["SCREENER_NAME"] == "7.5 COLLECTOR_PREFIX NEW_CALLER"
    reason = values["SCREENER_REASON"]
    assert reason.startswith("score 7.5: COLLECTOR_PREFIX(+7) NEW_CALLER(+0.5) - calls himself Bob")
    assert "said: Bob" in reason
    assert "您的贷款已逾期" in reason
    assert reason.isprintable()
    assert ";" not in reason
    assert REASON_BYTES - 3 < len(reason.encode()) <= REASON_BYTES
    desk.work.cancel()


async def test_message__whose_transcript_is_to_come__waits_for_it(
    written: Ledger,
) -> None:
    desk, said = Desk(written), asyncio.get_running_loop().create_future()
    written.append(verdict())
    desk.deliverer.receive(asks())
    desk.deliverer.take(ending(did="201"), said)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(desk.asterisk.answers.get(), 0.2)
    written.append(Row(CALL, "transcript", AT, {"text": "hello"}))
    said.set_result(None)
    values = await desk.answer()
    assert values["SCREENER_REASON"].endswith("said: hello")
    assert values["SCREENER_MAILBOX"] == "200@default"
    desk.work.cancel()


async def test_message__nobody_judged_the_call_or_has_a_mailbox__says_so_and_lets_the_channel_go(
    written: Ledger,
) -> None:
    desk = Desk(written)
    desk.deliverer.receive(asks())
    desk.deliverer.take(ending(did="300"), None)
    values = await desk.answer()
    assert (values["SCREENER_MAILBOX"], values["SCREENER_NAME"]) == ("", "not screened")
    desk.work.cancel()


async def test_message__dialplan_does_not_ask_or_talks_nonsense__is_told(
    written: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "ASK_S", 0.01)
    desk = Desk(written)
    with capture_logs() as logs:
        for strange in ({"Version": "2"}, {"Call": "a b"}, {"Call": ["1", "2"]}, {"Asked": "x"}):
            desk.deliverer.receive(asks() | strange)
        desk.deliverer.take(ending(), None)
        async with asyncio.timeout(5):
            while len(logs) < 5:  # noqa: ASYNC110 - the log tells nobody
                await asyncio.sleep(0.01)
    assert [line["log_level"] for line in logs] == ["error"] * 4 + ["warning"]
    assert desk.asterisk.answers.empty()
    desk.work.cancel()


async def test_delivered__what_became_of_it__is_a_row_of_the_call(written: Ledger) -> None:
    desk = Desk(written)
    written.append(verdict())
    event: dict[str, Any] = {"UserEvent": DELIVERED_EVENT, "Version": "1", "Call": CALL}
    with capture_logs() as logs:
        desk.deliverer.receive(event | {"Mailbox": "100@default", "Status": "FAILED"})
    assert logs[0]["log_level"] == "error"
    await written.flush()
    record = ledger.call(written.path, CALL)
    assert record
    body = {"mailbox": "100@default", "status": "FAILED", "message": ""}
    assert [row.body for row in record.rows if row.kind == "delivered"] == [body]
    assert described(record)[0] == "7.5 COLLECTOR_PREFIX NEW_CALLER"
    desk.work.cancel()


async def test_deliverer__nothing_is_to_be_delivered__keeps_nothing(written: Ledger) -> None:
    desk = Desk(written, {})
    desk.deliverer.take(ending(), None)
    assert desk.deliverer._queue.empty()
    desk.work.cancel()
