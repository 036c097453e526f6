"""What is said of a message in a mailbox, and when: whatever a stranger wrote, whoever does not answer."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs

from screener import config, delivering, ledger, notifying
from screener.call import DELIVER_EVENT, DELIVERED_EVENT, Ending
from screener.delivering import Deliverer, Recorded, asking
from screener.delivering.describing import REASON_BYTES, described
from screener.filing import Filing
from screener.ledger import Keeper, Ledger, Row
from screener.notifying import Notifier
from screener.spool import Spool
from tests.unit.test_recordings import hush, write
from tests.webhook import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from screener.ami import Ami

AT = datetime(2026, 3, 2, 20, tzinfo=UTC)
CALL = "1700000000.1"
HOSTILE = 'Bob\r\nmsg_id=1;"\x1b[31m ${SHELL(reboot)}\u202e'
TO = {"100": "100@default", "2*": "200@default"}


class Asterisk:
    """Takes answers, as `Ami` would; what was set is a value."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[tuple[str, dict[str, str]]] = asyncio.Queue()
        self.globals: dict[str, str] = {}
        self.named: asyncio.Queue[str] = asyncio.Queue()
        self.reached = "sent"
        self.about = CALL
        """Which call the channel that asks is about."""

    async def act(self, name: str, **headers: str) -> SimpleNamespace:
        if name == "Setvar":
            await self.named.put(headers["Value"])
        if "Channel" in headers:
            return SimpleNamespace(value=self.about)
        return SimpleNamespace(value=self.globals.get(headers["Variable"]))

    async def answer(self, question: delivering.Question, values: Mapping[str, str]) -> str:
        await self.answers.put((question.channel, dict(values)))
        return self.reached


def recorded(number: str = "+8617712345678", did: str = "100", call_id: str = CALL) -> Recorded:
    return Recorded(call_id, Path(f"/x/{call_id}"), number, did)


def asks(call_id: str = CALL) -> dict[str, object]:
    about = {"Call": call_id, "Channel": "Local/ask@screener-deliver-1;2", "Uniqueid": "1.2"}
    return {"UserEvent": DELIVER_EVENT, "Version": "1", "Asked": "1", "Deadline": "600000", **about}


def delivered(status: str) -> dict[str, object]:
    return {
        "UserEvent": DELIVERED_EVENT,
        "Version": "1",
        "Call": CALL,
        "Mailbox": "100@default",
        "Status": status,
    }


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the inside of the deliverer tells nobody
            await asyncio.sleep(0.01)


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

    def __init__(self, written: Ledger, to: dict[str, str] = TO, notifier: Notifier | None = None) -> None:
        self.asterisk, self.written = Asterisk(), written
        self.deliverer = Deliverer(
            to,
            cast("Ami", self.asterisk),
            written,
            notifier,
            clock=lambda: AT,
            zone=ZoneInfo("Asia/Shanghai"),
        )
        self.work = asyncio.get_running_loop().create_task(self.deliverer.run())

    async def answer(self) -> dict[str, str]:
        channel, values = await asyncio.wait_for(self.asterisk.answers.get(), 5)
        assert channel == "Local/ask@screener-deliver-1;2"
        return values

    async def stop(self) -> None:
        self.work.cancel()
        await asyncio.wait({self.work})
        await self.written.flush()

    async def kinds(self) -> list[str]:
        await self.written.flush()
        record = ledger.call(self.written.path, CALL)
        return [row.kind for row in record.rows] if record else []


class House:
    """A spool with one recording, and one process after the other that files and delivers."""

    def __init__(self, tmp_path: Path, written: Ledger, target: Target) -> None:
        self.spool, self.written, self.target = Spool(tmp_path / "spool"), written, target
        self.stem = self.spool.root / "2026-03-02" / CALL
        for leg in ("caller", "mix"):
            write(self.stem.with_name(f"{CALL}-{leg}.wav"), hush(1))
        written.append(verdict())

    def process(self, to: dict[str, str] = TO, *events: str) -> tuple[Desk, Filing]:
        desk = Desk(self.written, to, Notifier([self.target.url], events or ["recorded"]))
        place = config.load(None, environ={}).settings.place
        return desk, Filing(
            self.spool, self.written, place, lambda: AT,
            listener=None, transcriber=None, deliverer=desk.deliverer, leads=lambda: True,
        )  # fmt: skip

    def ends(self) -> Ending:
        event = {"Version": "1", "Uniqueid": CALL, "Did": "100", "Recording": str(self.stem)}
        return Ending.from_event(event, AT)

    async def filed_and_stopped(self) -> None:
        """The first process files the recording, and ends before anybody was told."""
        desk, filing = self.process()
        self.target.open.clear()
        await filing.conclude(self.ends())
        await desk.stop()

    async def told(self) -> dict[str, str]:
        return await asyncio.to_thread(self.target.taken.get, timeout=10)


@pytest.fixture
def house(tmp_path: Path, written: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(asking, "ASK_S", 0.01)
    with Target() as target:
        yield House(tmp_path, written, target)


async def test_message__of_a_hostile_caller__is_one_line_of_what_can_be_shown(
    written: Ledger,
) -> None:
    desk = Desk(written)
    written.append(verdict(name=HOSTILE))
    written.append(Row(CALL, "transcript", AT, {"text": f"{HOSTILE} 您的贷款已逾期。" + "喂" * 900}))
    desk.deliverer.receive(asks())
    desk.deliverer.take(recorded(number=HOSTILE), None)
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
    desk.deliverer.take(recorded(did="201"), said)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(desk.asterisk.answers.get(), 0.2)
    written.append(Row(CALL, "transcript", AT, {"text": "hello"}))
    said.set_result(None)
    values = await desk.answer()
    assert values["SCREENER_REASON"].endswith("said: hello")
    assert values["SCREENER_MAILBOX"] == "200@default"
    desk.work.cancel()


async def test_message__call_erased_while_its_transcript_is_awaited__nobody_is_told(house: House) -> None:
    desk, _ = house.process()
    said = asyncio.get_running_loop().create_future()
    desk.deliverer.receive(asks())
    desk.deliverer.take(recorded(), said)
    await house.written.flush()
    keeper = Keeper(house.written.path, lambda _: None, lambda number: number, lambda: AT)
    await asyncio.to_thread(keeper.erase, call=CALL, because="asked to")
    said.set_result(None)
    await until(lambda: desk.deliverer.waiting == 0)
    assert desk.asterisk.answers.empty()
    # Whatever was told of it would have been told before this.
    house.written.append(replace(verdict(), call_id="1.1"))
    desk.deliverer.take(recorded(number="2", call_id="1.1"), None)
    assert (await house.told())["title"].startswith("2 left a message")
    await desk.stop()


async def test_message__nobody_judged_the_call_or_has_a_mailbox__says_so_and_lets_the_channel_go(
    written: Ledger,
) -> None:
    desk = Desk(written)
    written.append(Row(CALL, "end", AT, {"disposition": "recorded"}))
    desk.deliverer.receive(asks())
    desk.deliverer.take(recorded(did="300"), None)
    values = await desk.answer()
    assert (values["SCREENER_MAILBOX"], values["SCREENER_NAME"]) == ("", "not screened")
    desk.work.cancel()


async def test_message__dialplan_does_not_ask_or_talks_nonsense__is_told(
    written: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ASK_S", 0.01)
    desk = Desk(written)
    written.append(verdict())
    with capture_logs() as logs:
        for strange in ({"Version": "2"}, {"Call": "a b"}, {"Call": ["1", "2"]}, {"Asked": "x"}):
            desk.deliverer.receive(asks() | strange)
        desk.deliverer.take(recorded(), None)
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
    desk.deliverer.take(recorded(), None)
    assert desk.deliverer.waiting == 0
    desk.work.cancel()


async def test_recording__filed_and_then_a_stop__is_told_and_delivered_by_the_next_process_once(
    house: House,
) -> None:
    await house.filed_and_stopped()
    house.target.taken.queue.clear()
    house.target.open.set()
    desk, filing = house.process()
    desk.deliverer.receive(asks())  # the channel that waits asks again
    assert await filing.adopt()
    assert (await desk.answer())["SCREENER_MAILBOX"] == "100@default"
    assert (await house.told())["title"].startswith("no number left a message for 100")
    desk.deliverer.receive(delivered("SUCCESS"))
    await until(lambda: desk.deliverer._telling == set())
    await desk.stop()
    assert {"notified", "delivered"} <= set(await desk.kinds())
    desk, filing = house.process()
    assert await filing.adopt()
    assert desk.deliverer.waiting == 0
    assert house.target.taken.empty()
    await desk.stop()


async def test_recording__owed_and_no_channel_waits__is_begun_by_the_dialplan(house: House) -> None:
    await house.filed_and_stopped()
    desk, filing = house.process()
    assert await filing.adopt()
    assert await asyncio.wait_for(desk.asterisk.named.get(), 5) == f"{CALL}:{house.stem}"
    desk.deliverer.receive(asks())
    assert (await desk.answer())["SCREENER_MAILBOX"] == "100@default"
    await desk.stop()


@pytest.mark.parametrize(
    ("told", "rows"),
    [("begun", 0), ("begun/{}=SUCCESS", 1), ("begun/{}=FAILED/{}=begun", 0), ("begun/{}=FAILED", 1)],
)
async def test_recording__the_dialplan_remembers_its_delivery__is_not_delivered_again(
    house: House, told: str, rows: int
) -> None:
    await house.filed_and_stopped()
    desk, filing = house.process()
    text = f"/1.1=SUCCESS/{CALL}={told.format(CALL, CALL)}/1.2=begun"
    desk.asterisk.globals["GLOBAL(SCREENER_DELIVERIES)"] = text
    assert await filing.adopt()
    await until(lambda: desk.deliverer.waiting == 0)
    assert desk.asterisk.named.empty()
    assert (await desk.kinds()).count("delivered") == rows
    await desk.stop()


async def test_recording__of_a_call_whose_end_nobody_filed__is_told_by_the_look_after_the_gap(
    house: House,
) -> None:
    house.written.append(Row(CALL, "end", AT, {"disposition": "recorded", "number": "1", "did": "201"}))
    desk, filing = house.process()
    desk.deliverer.receive(asks())
    os.utime(house.stem.with_name(f"{CALL}-mix.wav"), (AT.timestamp(), AT.timestamp()))
    assert await filing.adopt()
    values = await desk.answer()
    assert values["SCREENER_MAILBOX"] == "200@default"
    # The mailbox dates it by the moment of the copy.
    assert values["SCREENER_REASON"].startswith("came 2026-03-03 04:00 - score 7.5: ")
    told = await house.told()
    assert told["title"].startswith("1 left a message for 201")
    assert told["message"].startswith("came 2026-03-03 04:00 - score 7.5: ")
    await desk.stop()


async def test_recording__gone_or_older_than_a_week__is_not_made_good(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.filed_and_stopped()
    desk, filing = house.process()
    with monkeypatch.context() as patch:
        patch.setattr(filing, "_clock", lambda: AT + timedelta(days=8))
        assert await filing.adopt()
    for leg in ("caller", "mix"):
        house.stem.with_name(f"{CALL}-{leg}.wav").unlink()
    assert await filing.adopt()
    assert desk.deliverer.waiting == 0
    await desk.stop()


async def test_messages__more_than_may_wait__the_others_are_told_of_later_and_it_is_said(
    written: Ledger,
) -> None:
    desk, never = Desk(written), asyncio.get_running_loop().create_future()
    with capture_logs() as logs:
        for number in range(delivering.AT_HAND_MAX + 2):
            desk.deliverer.take(recorded(call_id=f"1.{number}"), never)
            await asyncio.sleep(0)
    assert [line["call"] for line in logs] == [
        f"1.{delivering.AT_HAND_MAX}",
        f"1.{delivering.AT_HAND_MAX + 1}",
    ]
    assert desk.deliverer.waiting == delivering.AT_HAND_MAX
    await desk.stop()


@pytest.mark.parametrize("late", [True, False])
async def test_recording__the_channel_that_asked_waits_no_more__another_one_is_begun(
    house: House, *, late: bool
) -> None:
    desk, filing = house.process()
    if late:
        await house.filed_and_stopped()
    desk.asterisk.reached = "late"
    desk.deliverer.receive(asks())
    if late:
        assert await filing.adopt()
    else:
        await filing.conclude(house.ends())
    await desk.answer()
    assert await asyncio.wait_for(desk.asterisk.named.get(), 5) == f"{CALL}:{house.stem}"
    desk.asterisk.reached = "sent"
    desk.deliverer.receive(asks())
    assert (await desk.answer())["SCREENER_MAILBOX"] == "100@default"
    await until(lambda: desk.deliverer.waiting == 0)
    await desk.stop()


async def test_recording__people_were_told_and_then_mailboxes_are_wanted__goes_into_none(
    house: House,
) -> None:
    desk, filing = house.process({})
    await filing.conclude(house.ends())
    await house.told()
    await until(lambda: desk.deliverer._telling == set())
    await desk.stop()
    desk, filing = house.process(TO)
    assert await filing.adopt()
    assert desk.deliverer.waiting == 0
    await desk.stop()


async def test_recording__in_its_mailbox_and_then_notifications_are_wanted__is_told_of_by_none(
    house: House,
) -> None:
    desk, filing = house.process(TO, "alarm")
    desk.deliverer.receive(asks())
    await filing.conclude(house.ends())
    await desk.answer()
    desk.deliverer.receive(delivered("SUCCESS"))
    await desk.stop()
    desk, filing = house.process(TO, "recorded")
    assert await filing.adopt()
    assert desk.deliverer.waiting == 0
    await desk.stop()


@pytest.mark.parametrize("anew", [True, False])
async def test_recording__that_no_target_took__is_told_of_again_after_an_hour_or_by_the_next_process(
    house: House, monkeypatch: pytest.MonkeyPatch, *, anew: bool
) -> None:
    monkeypatch.setattr(notifying, "AGAIN_S", 0.01)
    house.target.answers = [500, 500]
    desk, filing = house.process({})
    await filing.conclude(house.ends())
    assert [(await house.told())["code"] for _ in range(2)] == ["500", "500"]
    await until(lambda: desk.deliverer._telling == set())
    await filing.make_good()
    assert desk.deliverer.waiting == 0
    if anew:
        await desk.stop()
        desk, filing = house.process({})
    else:
        monkeypatch.setattr(desk.deliverer, "_clock", lambda: AT + delivering.REFUSED)
    await filing.make_good()
    assert (await house.told())["code"] == "200"
    await desk.stop()


async def test_recording__owed_behind_others_that_are_gone__is_told_of(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "LATE_MAX", 1)
    desk, filing = house.process()
    gone = Recorded("1.1", house.stem.with_name("1.1"), "1", "100")
    desk.deliverer.owe(gone)
    path = f"{gone.stem}-mix.wav"
    house.written.append(Row("1.1", "recording", AT, {"path": path}))
    await desk.stop()
    await house.filed_and_stopped()
    house.target.taken.queue.clear()
    house.target.open.set()
    desk, filing = house.process()
    await filing.make_good()
    assert (await house.told())["title"].startswith("no number left a message for 100")
    await desk.stop()


async def test_recordings__many_are_owed_and_the_target_hangs__an_alarm_has_its_place(
    house: House,
) -> None:
    house.target.open.clear()
    notifier = Notifier([house.target.url], ["recorded", "alarm"])
    desk = Desk(house.written, {}, notifier)
    for number in range(notifying.BOUND + 10):
        desk.deliverer.owe(recorded(call_id=f"1.{number}"))
    await house.written.flush()
    for _ in range(3):
        for one in desk.deliverer.overdue(ledger.owed(house.written.path, AT)):
            desk.deliverer.take(replace(recorded(call_id=one.call_id), late=True), None)
        await until(lambda: desk.deliverer.waiting == 0)
    with capture_logs() as logs:
        notifier.alarm("little space left")
    assert logs == []
    house.target.open.set()
    await desk.stop()
