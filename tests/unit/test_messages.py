"""What is read of a message, found in it, and made of it."""

from __future__ import annotations

import asyncio
import base64
import os
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from screener import app, config, ledger, number
from screener.call import KEPT_VARIABLE, Call, Stage
from screener.counters import Counters
from screener.errors import AmiError
from screener.facts import UNLISTED, facts_of
from screener.ledger import Ledger, Row
from screener.messages import Bounds, Messages, kept
from screener.messages import adopting as adopting_
from screener.replay.past import PastCall
from screener.replay.recorded import LedgerFile
from screener.verdict import Action
from screener.wording import facts_of_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

AT = datetime(2026, 3, 4, 12, tzinfo=UTC)
EVENT = {"Version": "1", "Id": "m1", "Asked": "1000000", "Deadline": "500", "Trunk": "PJSIP%2Fmy-trunk"}
SHIPPED = config.load(None, environ={})
WORDING = SHIPPED.wording


def event(text: bytes, **more: str) -> dict[str, str]:
    return {**EVENT, "Text": base64.b64encode(text).decode(), **more}


def judged(text: str, sender: str = "+8613912345678", listed: str = "") -> tuple[Action, set[str]]:
    place = SHIPPED.settings.place
    message = Call("m1", "PJSIP/carrier-message", Stage.MESSAGE, AT, number=sender, text=text)
    caller = number.parse(sender, "CN")
    found = WORDING.find(text, language="", region="CN", said_on=date(2026, 3, 4))
    said = facts_of_message(sender, caller.kind.value, text, found)
    verdict = SHIPPED.policy.judge(facts_of(message, caller, {**UNLISTED, **said, listed: True}, place))
    return verdict.action, {hit.symbol for hit in verdict.hits}


def test_message__event__read_with_its_trunk_and_text_as_they_are() -> None:
    read = Call.from_message(event("（欠款）\r\n(x".encode(), From="%3Csip:1@h%3E", To="pjsip%3Aphone"), AT)
    assert (read.text, read.trunk, read.stage) == ("（欠款）\r\n(x", "PJSIP/my-trunk", Stage.MESSAGE)
    assert (read.number, read.to, read.asked, read.deadline_ms) == ("<sip:1@h>", "pjsip:phone", 1.0, 500)


@pytest.mark.parametrize(
    "change", [{"Id": ""}, {"Id": "a b"}, {"Asked": "x"}, {"Text": "x"}, {"Version": "2"}]
)
def test_message__malformed_event__refused(change: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Call.from_message({**event(b"hi"), **change}, AT)


@pytest.mark.parametrize(
    ("text", "sender", "known"),
    [
        ("您尾号1234的账单1537.35元，请于12月5日前还款", "95588", {"amounts": 1, "sender": "short_code"}),
        ("欠款1537.35元已逾期，否则起诉", "+8617712345678", {"amounts": 1, "threats": 1, "sender": "mobile"}),
        ("see https://a.example/x or pay.top/1", "CMB", {"links": 2, "sender": "alphanumeric", "threats": 0}),
        ("晚上回来吃饭吗", "+8617712345678", {"debts": 0, "threats": 0, "links": 0, "chars": 7}),
        ("mail me at a@b.com, it is 3.com or so", "1", {"links": 0}),
    ],
)  # fmt: skip
def test_message__text__facts_found(text: str, sender: str, known: dict[str, object]) -> None:
    found = WORDING.find(text, language="", region="CN", said_on=date(2026, 3, 4))
    facts = facts_of_message(sender, number.parse(sender, "CN").kind.value, text, found)
    assert {name: facts[f"message.{name}"] for name in known} == known


def test_message__words_alone__held_only_of_a_private_number_that_presses() -> None:
    pressing = "您的欠款1537.35元已逾期，请今天还款，否则起诉并移交法院"
    assert judged(pressing)[0] is Action.VOICEMAIL
    assert judged(pressing, "95588")[0] is Action.ALLOW
    assert judged(pressing, "CMB")[0] is Action.ALLOW
    assert judged(pressing, listed="list.allow")[0] is Action.ALLOW
    assert judged("欠款1537.35元，请今天还款")[0] is Action.ALLOW
    assert judged("hello", listed="list.block")[0] is Action.VOICEMAIL


def test_message__rules_of_calls__are_not_asked() -> None:
    assert judged("hello", "anonymous") == (Action.ALLOW, set())
    asked = {
        one.symbol
        for layer in SHIPPED.policy.layers[Stage.MESSAGE]
        for batch in layer.batches
        for one in batch.rules
    }
    assert {"BLOCKLISTED", "FEED_LISTED", "MESSAGE_DEBT"} <= asked
    assert asked.isdisjoint({"WITHHELD", "NEW_CALLER", "CHALLENGE_FAILED"})
    for stage in (Stage.SETUP, Stage.CHALLENGE):
        assert all(
            one.rule.stage is not Stage.MESSAGE
            for layer in SHIPPED.policy.layers[stage]
            for batch in layer.batches
            for one in batch.rules
        )


def test_message__line_that_was_kept__read_and_nonsense_passed_over() -> None:
    line = b"Id: m2,Asked: 1772625600000000,Status: unreachable,Missed: late,To: pjsip%3Aa,From: 2,Text: aGk="
    message, end = kept(line) or pytest.fail("not read")
    assert (message.id, message.text, message.to, message.at) == ("m2", "hi", "pjsip:a", AT)
    assert end == {"status": "unreachable", "missed": "late"}
    for spoilt in (
        b"",
        b"\xff",
        line.replace(b"Asked: 1", b"Asked: 9" * 20),
        line.replace(b"Text: a", b"Text: ="),
    ):
        assert kept(spoilt) is None


class Among:
    """Asterisk's globals, as the screeners that answer one after the other find them."""

    def __init__(self) -> None:
        self.globals: dict[str, str] = {}
        self.took_over, self.ready = False, asyncio.Event()

    async def act(self, action: str, **fields: str) -> SimpleNamespace:
        if action == "Setvar":
            self.globals[fields["Variable"]] = fields["Value"]
        return SimpleNamespace(value=self.globals.get(fields["Variable"]))


@asynccontextmanager
async def adopting(spool: Path, written: Ledger, ami: Among) -> AsyncIterator[None]:
    """One that files what was kept."""
    parts = SimpleNamespace(
        filing=SimpleNamespace(spool=SimpleNamespace(root=spool)),
        ledger=written,
        place=SHIPPED.settings.place,
        clock=lambda: AT,
        ami=ami,
    )
    work = asyncio.create_task(Messages(parts, WORDING, written.path, Bounds(1, 1)).run())  # type: ignore[arg-type]
    yield
    work.cancel()


async def has(written: Ledger, *names: str) -> None:
    """Wait until these messages are filed."""
    async with asyncio.timeout(20):
        while not all(ledger.message(written.path, name) for name in names):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.05)


def keep(spool: Path, day: str, name: str) -> None:
    """What the dialplan does with a message that it has delivered meanwhile."""
    line = (
        f"Id: {name},Asked: 1772625600000000,Status: delivered,Missed: away,To: pjsip%3Aa,From: 2,Text: aGk="
    )
    with (spool / f"messages-{day}").open("a") as file:
        file.write(f"{line}\n")


async def test_kept__pipe_and_folder_among_the_files__the_others_are_filed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "messages-2026-03-02")
    (tmp_path / "messages-2026-03-03").mkdir()
    keep(tmp_path, "2026-03-04", "m2")
    with Ledger.open(tmp_path / "ledger.db") as written:
        async with adopting(tmp_path, written, Among()):
            await has(written, "m2")


async def test_kept__another_screener_takes_over__files_what_the_one_before_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopting_, "LOOK_S", 0.01)
    ami, told = Among(), f"GLOBAL({KEPT_VARIABLE})"
    keep(tmp_path, "2026-03-03", "m1")
    keep(tmp_path, "2026-03-04", "m2")
    with Ledger.open(tmp_path / "ledger.db") as first, Ledger.open(tmp_path / "other.db") as other:
        async with adopting(tmp_path, first, ami):
            await has(first, "m1", "m2")
            async with asyncio.timeout(20):
                while "messages-2026-03-04:" not in ami.globals.get(told, ""):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)
        keep(tmp_path, "2026-03-04", "m3")
        keep(tmp_path, "2026-03-05", "m4")
        ami.took_over = True
        async with adopting(tmp_path, other, ami):
            await has(other, "m3", "m4")
        assert {rows[0].call_id for rows in ledger.messages(other.path)} == {"m3", "m4"}


async def test_kept__one_file_could_not_be_read__who_takes_over_begins_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopting_, "LOOK_S", 0.01)
    ami, blocked = Among(), tmp_path / "messages-2026-03-03"
    blocked.mkdir()
    keep(tmp_path, "2026-03-04", "m2")
    with Ledger.open(tmp_path / "ledger.db") as first, Ledger.open(tmp_path / "other.db") as other:
        async with adopting(tmp_path, first, ami):
            await has(first, "m2")
        blocked.rmdir()
        keep(tmp_path, "2026-03-03", "m1")
        ami.took_over = True
        async with adopting(tmp_path, other, ami):
            await has(other, "m1", "m2")


async def test_kept__file_deleted_to_make_room__what_comes_after_that_is_filed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopting_, "LOOK_S", 0.01)
    keep(tmp_path, "2026-03-04", "m1")
    keep(tmp_path, "2026-03-04", "m2")
    with Ledger.open(tmp_path / "ledger.db") as written:
        async with adopting(tmp_path, written, Among()):
            await has(written, "m1", "m2")
            (tmp_path / "messages-2026-03-04").unlink()
            keep(tmp_path, "2026-03-04", "m3")
            await has(written, "m3")


def test_message__what_became_of_it__by_its_latest_row() -> None:
    def rows(*kinds: tuple[str, str]) -> tuple[Row, ...]:
        return tuple(Row("m1", kind, AT, {"status": status}) for kind, status in kinds)

    assert ledger.state_of(rows(("message", ""))) == "unknown"
    assert ledger.state_of(rows(("message", ""), ("message-end", "held"))) == "held"
    assert ledger.state_of(rows(("message-end", "held"), ("message-release", ""))) == "released"


def test_ledger__messages__apart_from_calls_and_from_what_replay_judges(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path) as written:
        written.append(Row("1.1", "setup", AT, {"call": {}, "facts": {}, "verdict": {"action": "allow"}}))
        for kind in ("message", "message-end"):
            written.append(Row("m1", kind, AT, {"call": {"text": "hi"}, "facts": {}, "verdict": {}}))
    assert [one.call_id for one in ledger.calls(path)] == ["1.1"]
    assert [[row.kind for row in one] for one in ledger.messages(path)] == [["message", "message-end"]]
    assert [row.kind for row in ledger.message(path, "m1")] == ["message", "message-end"]
    assert ledger.message(path, "1.1") == ()
    assert [one.call.id for one in LedgerFile(path).calls(None) if isinstance(one, PastCall)] == ["1.1"]


def test_ledger__message_to_one_of_several_asterisks__found_by_its_id(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path) as written:
        written.append(Row("m1", "message", AT, {"call": {"text": "hi"}}, "berlin"))
    assert [row.pbx for row in ledger.message(path, "m1")] == ["berlin"]


async def test_release__two_screeners_at_once__one_sends_the_message(tmp_path: Path) -> None:
    path, sent, now = tmp_path / "ledger.db", list[str](), [AT]
    both = asyncio.Barrier(2)

    async def act(action: str, **fields: str) -> SimpleNamespace:
        sent.append(fields["To"])
        await asyncio.wait_for(both.wait(), 10)  # until the other is refused
        return SimpleNamespace(success=len(sent) > 1, message="not now")

    with Ledger.open(path) as written:
        call = {"number": "<sip:1@h>", "to": "pjsip:phone", "text": "hi"}
        written.append(Row("m1", "message", AT, {"call": call}))
        written.append(Row("m1", "message-end", AT, {"status": "held"}))
        await written.flush()
        ami, counters = SimpleNamespace(act=act), Counters()
        parts = SimpleNamespace(pbx="", ledger=written, clock=lambda: now[0], ami=ami, counters=counters)
        first, other = (Messages(parts, WORDING, path, Bounds(1, 1)) for _ in range(2))  # type: ignore[arg-type]

        async def released(messages: Messages, name: str = "m1") -> dict[str, str]:
            answer = await messages.release(name)
            if "at this moment" in answer.get("error", ""):
                await both.wait()
            await written.flush()
            return answer

        answers = await asyncio.gather(released(first), released(other))
        assert (len(sent), sum("not now" in str(one) for one in answers)) == (1, 1)
        # It failed, so it may be tried again; what succeeded, or may yet, may not.
        again = asyncio.gather(released(first), released(other))
        assert sorted(map(list, await again)) == [["error"], ["to"]]
        assert len(sent) == 2
        assert await first.release("m1") == {"error": "it has been released"}

        written.append(Row("m2", "message", AT, {"call": call}))
        written.append(Row("m2", "message-releasing", AT, {}))
        await written.flush()
        assert "at this moment" in (await first.release("m2"))["error"]
        now[0] += timedelta(minutes=2)  # whoever released it was killed
        again = asyncio.gather(released(first, "m2"), released(other, "m2"))
        assert sorted(map(list, await again)) == [["error"], ["to"]]


async def test_release__the_asterisk_of_a_message_is_away__is_told_so_whatever_others_there_are(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.db"

    async def act(*_: str, **__: str) -> SimpleNamespace:
        raise AmiError("not connected to Asterisk")

    with Ledger.open(path) as written:
        call = {"number": "<sip:1@h>", "to": "pjsip:phone", "text": "hi"}
        written.append(Row("m1", "message", AT, {"call": call}, "berlin"))
        await written.flush()
        pbxs = []
        for name in ("aachen", "berlin", "munich"):
            ami, counters = SimpleNamespace(act=act), Counters()
            parts = SimpleNamespace(pbx=name, ledger=written, clock=lambda: AT, ami=ami, counters=counters)
            pbxs.append(SimpleNamespace(messages=Messages(parts, WORDING, path, Bounds(1, 1))))  # type: ignore[arg-type]
        assert await app._release(pbxs, "m1") == {"error": "not connected to Asterisk"}  # type: ignore[arg-type]
        assert await app._release(pbxs, "m2") == {"error": "there is no message m2"}  # type: ignore[arg-type]


def test_bounds__of_a_sender_and_in_total__free_again_an_hour_later_and_told_once() -> None:
    bounds = Bounds(per_sender=2, in_total=3)
    assert [bounds.exceeded(who, at) for at, who in enumerate("aaabcb")] == [
        "",
        "",
        "sender",
        "",
        "total",
        "total",
    ]
    told = [
        bounds.is_news(what, who, 9.0)
        for what, who in [("sender", "a"), ("sender", "a"), ("total", "b"), ("total", "c")]
    ]
    assert told == [True, False, True, False]
    assert bounds.exceeded("a", 3599.0) == "sender"
    assert [bounds.exceeded("a", 3600.5), bounds.exceeded("c", 3600.6)] == ["", "total"]
    assert bounds.is_news("sender", "a", 3700.0)
