"""SIP messages from one telephone to another on a real Asterisk: none is lost, none delays the others."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import time
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import pytest

from screener import ledger
from tests.pbx.asterisk import find_binary
from tests.pbx.faults import AT_ONCE_S, BY_DEADLINE_S, LOADED_S, somebody
from tests.pbx.house import House

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from screener.ledger import Row

pytestmark = pytest.mark.pbx

DUNNING = "您的欠款1537.35元已逾期，请今天还款，否则起诉并移交法院".encode()
FLOOD, EVERY_S = 100, 0.02
AWAY, DEAD = "404", "408"
"""Of our numbers those whose telephone is not registered, and does not answer to qualify."""


async def read(house: House, within: float = 3.0) -> bytes:
    """The next message that reaches our telephone."""
    return (await asyncio.wait_for(house.phone.messages.get(), within)).partition(b"\r\n\r\n")[2]


def filed(house: House) -> list[tuple[Row, ...]]:
    return list(ledger.messages(house.service.state / "ledger.db"))


async def until(house: House, enough: Callable[[list[tuple[Row, ...]]], bool]) -> list[tuple[Row, ...]]:
    """Wait until the ledger's messages are as they should be."""
    async with asyncio.timeout(30):
        while True:
            if enough(rows := filed(house)):
                return rows
            await asyncio.sleep(0.05)


async def became(house: House, *states: str) -> list[tuple[Row, ...]]:
    """Wait until the ledger knows what became of messages, in any order."""
    return await until(house, lambda rows: sorted(map(ledger.state_of, rows)) == sorted(states))


def body(rows: tuple[Row, ...]) -> dict[str, Any]:
    return dict(next(row.body for row in rows if row.kind == "message"))


async def screener(house: House, *command: str) -> str:
    _, output = await house.service.command(*command)
    return output


@asynccontextmanager
async def opened(**how: Any) -> AsyncIterator[House]:
    """A house with the directory where the dialplan keeps messages for a screener that is away."""
    async with House.open(**how) as house:
        house.pbx.spool.mkdir(mode=0o700)
        yield house


async def test_message__harmless__delivered_as_it_is_and_moves_no_counter_of_calls() -> None:
    text, number = "妈妈：晚上回来吃饭吗？（六点）".encode(), somebody()
    async with opened() as house:
        assert await house.caller.message("100", text, number) == 202
        assert await read(house) == text
        [rows] = await became(house, "delivered")
        assert body(rows)["call"] | {"number": ""} == {
            "number": "", "e164": number, "shown": number, "did": "100", "trunk": "PJSIP/trunk",
            "to": "pjsip:phone", "text": text.decode(),
        }  # fmt: skip
        assert body(rows)["verdict"]["action"] == "allow"
        call = await house.call(number)
        await house.answered()
        call.hangup()
        ended = await house.ended(e164=number)
        assert (ended.facts["caller.calls_7d"], ended.facts["caller.is_new"]) == (1, True)
        assert len(list(ledger.calls(house.service.state / "ledger.db"))) == 1


async def test_message__threat_of_a_private_number__held_until_somebody_releases_it() -> None:
    async with opened() as house:
        await house.caller.message("100", DUNNING, number := somebody())
        [rows] = await became(house, "held")
        assert house.phone.messages.empty()
        assert "2026" not in body(rows)["call"]["text"]
        [one] = json.loads(await screener(house, "messages", "list", "--held", "--json"))
        assert (one["state"], one["call"]["e164"], one["verdict"]["action"]) == ("held", number, "voicemail")
        shown = await screener(house, "messages", "show", one["id"])
        assert all(
            part in shown for part in (DUNNING.decode(), "amount 1537.35 CNY", "MESSAGE_PRESSURE (+6)")
        )
        told = await asyncio.gather(*(screener(house, "messages", "release", one["id"]) for _ in range(3)))
        assert sum("is sent to pjsip:phone" in answer for answer in told) == 1
        assert await read(house) == DUNNING
        await became(house, "released")
        assert house.phone.messages.empty()
        assert "it has been released" in await screener(house, "messages", "release", one["id"])
        assert "there is no message m1" in await screener(house, "messages", "release", "m1")


async def test_message__of_a_blocked_number__held() -> None:
    async with opened() as house:
        number = somebody()
        await screener(house, "list", "add", "block", number, "--reason", "nuisance")
        await house.caller.message("100", b"hello", number)
        [rows] = await became(house, "held")
        assert body(rows)["verdict"]["forced_by"] == "BLOCKLISTED"


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        (b"x\r\nUserEvent: evil\r\n\r\nAction: Logoff", None),
        (b'(open ${SHELL(touch /tmp/evil)} ${EVAL(1)} , ; \\ " ))((', None),
        (b"\xff\xfe\xc0\x80 \xed\xa0\x80 \x1b[31m", None),
        (b"Status: held,Id: m1&Text=a%28%0d%0a", None),
        (b"cut at\0 NUL", b"cut at"),
        (b"a" * 1023, None),
        (b"a" * 1024, b""),
        (b"a" * 60_000, b""),
        (b"", b""),
    ],
)  # fmt: skip
async def test_message__hostile_body__arrives_as_asterisk_has_it_and_forges_nothing(
    sent: bytes, arrives: bytes | None
) -> None:
    arrives = sent if arrives is None else arrives
    async with opened() as house:
        assert await house.caller.message("100", sent, somebody()) == 202
        assert await read(house) == arrives
        await house.caller.message("100", b"and one more", somebody())
        assert await read(house) == b"and one more"
        rows = await became(house, "delivered", "delivered")
        assert body(rows[1])["call"]["text"] == arrives.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        (b'"a,sip:b@127.0.0.1,pjsip:other" <sip:+8613900000001@127.0.0.1>', b"sip:+8613900000001@127"),
        (b'"\\"),sip:evil@x" <sip:+8613900000001@127.0.0.1>', b"<sip:+8613900000001@127"),
        pytest.param(
            b'"' + b"x" * 500 + b'" <sip:+8613900000001@127.0.0.1>', b"<sip:+8613900000001@127",
            marks=pytest.mark.skipif(
                find_binary().version.endswith("deb11u10"),
                reason="deb11u10 loses the sender's address, and a header of more than 512 bytes",
            ),
        ),
        (b'"(x" <sip:95588@127.0.0.1>', b'"(x" <sip:95588@127'),
        ('"银行" <sip:95588@127.0.0.1>'.encode(), b"<sip:95588@127"),  # Asterisk drops such a name
        (b"<sip:CMB@127.0.0.1;a=b>", b"<sip:CMB@127"),
        (b"<sip:139,sip:evil@127.0.0.1>", b"<sip:139sip@127"),
    ],
)  # fmt: skip
async def test_message__hostile_sender__reaches_whom_it_was_for(sender: bytes, shown: bytes) -> None:
    async with opened() as house:
        await house.caller.message("100", b"hi", sender=sender)
        got = await asyncio.wait_for(house.phone.messages.get(), 3)
        assert re.search(rb"^To: <sip:phone@", got, re.MULTILINE)
        assert shown in re.findall(rb"^From: (.*)$", got, re.MULTILINE)[0]
        [rows] = await became(house, "delivered")
        assert body(rows)["call"]["did"] == "100"


async def test_message__telephone_away__held_and_not_lost() -> None:
    async with opened() as house:
        async with asyncio.timeout(5):
            while True:
                if "Unavail" in await house.pbx.cli("pjsip show contacts"):
                    break
                await asyncio.sleep(0.1)
        for number in (AWAY, DEAD):
            await house.caller.message(number, b"hi", somebody())
        await became(house, "unreachable", "unreachable")
        [one, _] = json.loads(await screener(house, "messages", "list", "--held", "--json"))
        assert one["call"]["text"] == "hi"


async def flood(house: House, numbers: tuple[str, ...] = ("100",)) -> float:
    """Send 50 messages a second; the longest time that one needed to our telephone, s."""
    sent: dict[bytes, float] = {}
    tasks, late = [], 0.0
    for n in range(FLOOD):
        text = b"%d" % n
        sent[text] = time.monotonic()
        to = numbers[n % len(numbers)]
        tasks.append(asyncio.create_task(house.caller.message(to, text, f"+86138{n:04d}0000")))
        await asyncio.sleep(EVERY_S)
    await asyncio.gather(*tasks)
    for _ in range(sum(numbers[n % len(numbers)] == "100" for n in range(FLOOD))):
        late = max(late, time.monotonic() - sent.pop(await read(house)))
    return late


@pytest.mark.slow
async def test_messages__screener_hangs__none_lost_and_the_deadline_is_waited_once() -> None:
    numbers = ("100",) * 9 + (AWAY,)
    async with opened() as house:
        house.service.signal(signal.SIGSTOP)
        began = time.monotonic()
        await flood(house, numbers)
        # What is read only now was delivered long ago: the flood takes 2 s, the deadline 0.5 s.
        assert time.monotonic() - began < FLOOD * EVERY_S + BY_DEADLINE_S
        house.service.signal(signal.SIGCONT)
        kept = [*["delivered"] * (FLOOD * 9 // 10), *["unreachable"] * (FLOOD // 10)]
        rows = await became(house, *kept)
        assert {body(one)["call"]["text"] for one in rows} == {str(n) for n in range(FLOOD)}
        waits = re.findall(r"no verdict on message", house.pbx.log())
        assert 1 <= len(waits) <= 2


@pytest.mark.slow
async def test_messages__screener_killed_while_it_holds_them__each_delivered_or_in_the_ledger() -> None:
    async with opened() as house:
        texts = {f"{DUNNING.decode()} {n}" for n in range(FLOOD)}
        for n, text in enumerate(sorted(texts)):
            if n == FLOOD // 2:
                await house.service.kill()
            await house.caller.message("100", text.encode(), f"+86138{n:04d}0000")
            await asyncio.sleep(EVERY_S)
        await house.service.start()
        rows = await until(house, lambda rows: sum("away" in str(one) for one in rows) > FLOOD // 2 - 5)
        known = {body(one)["call"]["text"] for one in rows}
        assert len(known) > FLOOD * 0.9
        while not house.phone.messages.empty():
            known.add((await read(house)).decode())
        assert known == texts


async def test_message__screener_was_never_there__delivered_at_once_and_filed_later() -> None:
    async with opened(screener=False) as house:
        began = time.monotonic()
        await house.caller.message("100", DUNNING, somebody())
        await house.caller.message(AWAY, "(欠款)".encode(), somebody())
        assert await read(house) == DUNNING
        assert time.monotonic() - began < AT_ONCE_S
        async with asyncio.timeout(LOADED_S):  # the dialplan writes it once the telephone has the message
            while not (found := list(house.pbx.spool.glob("messages-*"))):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.05)
        [kept] = found
        old = kept.with_name("messages-2020-01-01")
        old.write_bytes(kept.read_bytes())
        os.utime(old, (0, 0))
        await house.service.start()
        rows = await became(house, "delivered", "unreachable")
        await until(house, lambda _: not old.exists())
        assert kept.exists()
        assert {body(one)["call"]["text"] for one in rows} == {DUNNING.decode(), "(欠款)"}
        again = [row.body.get("missed") for one in rows for row in one if row.kind == "message-end"]
        assert again == ["away", "away"]


async def test_messages__more_than_are_filed_in_an_hour__delivered_or_dropped_and_counted() -> None:
    async with opened(messages={"per_sender_hour": 2, "per_hour": 4}) as house:
        friend, presses = somebody(), somebody("+86177")
        for n in range(3):
            await house.caller.message("100", b"%d" % n, friend)
            assert await read(house) == b"%d" % n
        for _ in range(3):
            await house.caller.message("100", DUNNING, presses)
        # That all is full is not the fault of this one: he is heard.
        await house.caller.message("100", DUNNING, somebody("+86178"))
        assert await read(house) == DUNNING
        await became(house, "delivered", "delivered", "held", "held")
        status = json.loads(await screener(house, "status", "--json"))
        assert status["unfiled_messages"] == {"delivered": 2, "dropped": 1}
        assert "messages beyond their bound: 2 delivered, not filed" in await screener(house, "status")
        told = [one["bound"] for one in house.service.lines if "too many messages" in str(one.get("event"))]
        assert told == ["sender", "sender", "total"]


@pytest.mark.parametrize("form", ["<sip:{}@127.0.0.1>", '"a:b<c" <sip:{};x=y@127.0.0.1;user=phone>'])
async def test_message__of_a_blocked_number_while_the_screener_is_away__held(form: str) -> None:
    async with opened() as house:
        number = somebody()
        await screener(house, "list", "add", "block", number, "--reason", "nuisance")
        await house.service.logged("block entries laid ready", entries=1)
        await house.service.kill()
        await house.caller.message("100", b"of somebody else", somebody())
        assert await read(house) == b"of somebody else"
        await house.caller.message("100", b"a name", sender=f"<sip:X{number[1:]}@127.0.0.1>".encode())
        assert await read(house) == b"a name"
        await house.caller.message("100", b"nuisance", sender=form.format(number).encode())
        await house.caller.message("100", b"after it", somebody())
        assert await read(house) == b"after it"
        await house.service.start()
        rows = await until(house, lambda rows: any(body(one)["call"]["text"] == "nuisance" for one in rows))
        [held] = [one for one in rows if body(one)["call"]["text"] == "nuisance"]
        assert ledger.state_of(held) == "held"
        assert "is sent to" in await screener(house, "messages", "release", held[0].call_id)
        assert await read(house) == b"nuisance"


async def test_message__of_a_blocked_number_and_nowhere_to_keep_it__delivered() -> None:
    async with opened() as house:
        number = somebody()
        await screener(house, "list", "add", "block", number, "--reason", "nuisance")
        await house.service.logged("block entries laid ready", entries=1)
        await house.service.kill()
        (house.pbx.spool / f"messages-{time.strftime('%Y-%m-%d', time.gmtime())}").symlink_to("/dev/full")
        await house.caller.message("100", b"nuisance", number)
        assert await read(house) == b"nuisance"
        await house.caller.message(AWAY, b"for nobody", somebody())
        async with asyncio.timeout(10):
            while house.pbx.log().count("is not kept") < 2:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.05)
        await house.service.start()
        alarm = "1 message was lost and 1 was delivered unrecorded"
        async with asyncio.timeout(30):
            while alarm not in await screener(house, "status"):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.2)


async def test_message__to_be_held_and_the_ledger_cannot_write__delivered() -> None:
    async with opened() as house:
        await house.caller.message("100", b"first", somebody())
        await became(house, "delivered")
        with closing(sqlite3.connect(house.service.state / "ledger.db", isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            await house.caller.message("100", DUNNING, somebody())
            assert await read(house) == b"first"
            assert await read(house, LOADED_S + BY_DEADLINE_S) == DUNNING
            db.execute("ROLLBACK")
        await became(house, "delivered", "delivered")


async def test_message__account_without_the_right_to_send__says_so() -> None:
    async with opened() as house:
        await house.caller.message("100", DUNNING, somebody())
        [rows] = await became(house, "held")
        conf = house.pbx.directory / "etc/screener/manager.conf"
        conf.write_text(conf.read_text().replace("write = call,message", "write = call"))
        await house.pbx.cli("manager reload")
        await house.service.kill()
        await house.service.start()
        assert "write = call,message" in await screener(house, "messages", "release", rows[0].call_id)
        await became(house, "held")


async def test_message__include_is_missing__delivered() -> None:
    async with opened() as house:
        conf = house.pbx.directory / "etc/extensions.conf"
        conf.write_text(conf.read_text().replace("#include screener/messages.conf", ""))
        await house.pbx.cli("dialplan reload")
        await house.caller.message("100", DUNNING, somebody())
        assert await read(house) == DUNNING
