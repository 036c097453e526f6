"""Whatever a caller writes into a call, it reaches its place, and the ledger holds what he wrote.

One PBX and one screener serve all rows. A row says what is special about the INVITE, what the
ledger's fields are afterwards (as sent, or cut, and always without parentheses, which the
dialplan leaves out), and where the call goes.
"""

from __future__ import annotations

import asyncio
import json
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.pbx.house import House

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from screener.ledger import CallRecord
    from tests.pbx.ua import Dialog

pytestmark = pytest.mark.asyncio(loop_scope="module")
WITHIN_S = 10.0
UNFILTERED = """exten => _1.,1,Gosub(screener,s,1(${EXTEN}))
 same => n,Dial(PJSIP/phone,30)
"""
"""The line of an older installation, which gives the called number as the caller has written it."""
WHOLE_MESSAGE = b"143\r\n\r\nEvent: UserEvent\r\nUserEvent: ScreenerAsk\r\nX: y"
FORGED_IDENTITY = b'"x,Channel: y" <sip:+8613900000000@h;a=b>'
FULL_WIDTH = "１３９１２３４５６７８"


@dataclass(frozen=True)
class Row:
    """`how` goes to `UserAgent.call`; a row without a number gets a mobile number of its own."""

    name: str
    how: dict[str, Any]
    fields: dict[str, str] = field(default_factory=dict)
    action: str = "allow"


def percent(value: bytes) -> bytes:
    """Every byte escaped, as a SIP URI allows."""
    return b"".join(b"%%%02x" % byte for byte in value)


def named(name: str, value: bytes, stored: str | None = None) -> Row:
    """A display name; what the ledger holds is the same unless said otherwise."""
    return Row(f"name, {name}", {"name": value}, {"name": value.decode() if stored is None else stored})


def numbered(name: str, value: bytes, stored: str, action: str = "challenge") -> Row:
    """A user part of the From URI."""
    return Row(f"number, {name}", {"number": value}, {"number": stored}, action)


def headed(name: str, key: str, value: bytes, stored: str) -> Row:
    """A further header of the INVITE and the field that it ends in."""
    return Row(f"{key}, {name}", {"headers": HEADERS[key] + b": " + value}, {key: stored})


HEADERS = {
    "asserted": b"P-Asserted-Identity",
    "diversion": b"Diversion",
    "attestation": b"P-Attestation-Indicator",
}

ROWS = [
    named("forged header", b"Bob,Channel: PJSIP/evil"),
    named("forged stage behind a parenthesis", b"a),Stage: challenge", "a,Stage: challenge"),
    named("parenthesis that is never closed", b"a(b", "ab"),
    named("bracket that is never closed", b"a[b"),
    named("parenthesis and a substring", b"a):1:2", "a:1:2"),
    named("escaped line break", b"Bob%0d%0aAction: Originate"),
    named("shell", b"${SHELL(id)}", "${SHELLid}"),
    named("expression", b"$[1/0]"),
    named("braces", b"}}}}{{{${"),
    named("quote", b'a\\"b,Stage: x\\"'),
    named("backslashes", b"a\\\\b\\\\"),
    named("what is not encoded", b"!*'~-_."),
    named("semicolons", b"a;b;tag=1"),
    named("10 kB", b"n" * 10_000, "n" * 79),
    named("10 kB of three-byte characters", "催".encode() * 3334, "催" * 26),
    named("no UTF-8", b"\xff\xfe(", "\ufffd" * 2),
    named("NUL", b"a\0b", "a"),
    named("emoji", "📞🤖".encode()),
    named("bidi", "\u202e\u2066abc".encode()),
    named("SQL", b"'; DROP TABLE row; --"),
    named("glob", b"*?[^a-z]"),
    named("markup", b"[red]x[/red][link=http://e]"),
    named("terminal", b"\x1b[2J\x1b]0;x\x07"),
    named("JSON", b'{\\"event\\": \\"x\\"}'),
    numbered("forged header", percent(b"139,Channel: PJSIP/evil"), "139,Channel: PJSIP/evil"),
    numbered("line break", percent(b"139\r\nAction: Originate"), "139Action: Originate"),
    numbered("forged header in Asterisk's own part", percent(b"140\r\nStage: x"), "140Stage: x"),
    numbered("line feed alone", percent(b"141\nStage: x"), "141Stage: x"),
    numbered("carriage return alone", percent(b"142\rStage: x"), "142\rStage: x"),
    numbered("whole message", percent(WHOLE_MESSAGE), WHOLE_MESSAGE.decode().replace("\r\n", "")[:79]),
    numbered("shell", percent(b"${SHELL(id)}"), "${SHELLid}"),
    numbered("semicolon", b"139;evil=1", "139", "allow"),
    numbered("10 kB", b"1" * 10_000, "1" * 79),
    numbered("no UTF-8", percent(b"\xff\xfe"), "\ufffd\ufffd"),
    numbered("NUL", b"138%00456", "138", "allow"),
    numbered("full-width digits", percent(FULL_WIDTH.encode()), FULL_WIDTH, "allow"),
    numbered("SQL", percent(b"1' OR '1'='1"), "1' OR '1'='1"),
    numbered("glob", percent(b"*?[a-z]"), "*?[a-z]"),
    numbered("terminal", percent(b"\x1b[2J"), "\x1b[2J"),
    numbered("password behind it", b"10086:secret", "10086", "allow"),
    Row("From without a user", {"sender": b"<sip:127.0.0.1>"}, {"number": ""}, "challenge"),
    headed("forged header", "asserted", FORGED_IDENTITY, FORGED_IDENTITY.decode()),
    headed("folded line", "asserted", b'"a\r\n Stage: x" <sip:10011@h>', '"a Stage: x" <sip:10011@h>'),
    headed("malformed", "asserted", b"<sip:\xff\xfe", "<sip:\ufffd\ufffd"),
    headed("5 kB", "asserted", b'"' + b"x" * 5000 + b'" <sip:10010@h>', ""),
    Row("Remote-Party-ID, forged header", {"headers": b"Remote-Party-ID: " + FORGED_IDENTITY},
        {"asserted": FORGED_IDENTITY.decode()}),
    Row("From, forged header", {"sender": b'"x,Channel: y(" <sip:138@h>;a="b,Stage: x"'},
        {"name": "x,Channel: y", "number": "138"}),
    headed("forged header", "diversion", b"<sip:" + percent(b"1,Channel: y") + b"@h>", "1,Channel: y"),
    headed("forged header", "attestation", b"A,Channel: x", "A,Channel: x"),
    headed("long", "attestation", b"A" * 500, "A" * 20),
    Row("User-Agent, forged header", {"agent": b"a,Stage: x(\x1b\xff"}, {"agent": "a,Stage: x\x1b\ufffd"}),
    Row("User-Agent, 8 kB", {"agent": b"a" * 8000}, {"agent": ""}),
    # `100,x` ends at the comma in the administrator's own line: see UNFILTERED.
    Row("DID, comma", {"to": "100,x"}, {"did": "100"}),
    Row("DID, escaped comma", {"to": "101%2cx"}, {"did": "101"}),
    Row("DID, parenthesis", {"to": "102)"}, {"did": "102"}),
    Row("DID, parentheses the wrong way", {"to": "103)(2"}, {"did": "1032"}),
    Row("DID, bar", {"to": "104%7cx"}, {"did": "104|x"}),
    Row("DID, quote", {"to": "105%22"}, {"did": '105"'}),
    Row("DID, shell", {"to": percent(b"106${SHELL(id)}").decode()}, {"did": "106${SHELLid}"}),
    Row("DID, line break", {"to": percent(b"107\r\nX: y").decode()}, {"did": "107\r\nX: y"}),
    Row("DID, no UTF-8", {"to": "108%ff"}, {"did": "108\ufffd"}),
    Row("DID, long", {"to": "1" * 300}, {"did": "1" * 64}),
]  # fmt: skip

REFUSED = {
    "empty From": {"sender": b""},
    "From is garbage": {"sender": b"garbage"},
    "From with an empty user": {"sender": b"<sip:@127.0.0.1>"},
    "raw comma and blank in the number": {"number": b"139,Channel: x"},
    "raw braces in the number": {"number": b"${SHELL(id)}"},
    "raw bytes in the number": {"number": b"\xff\xfe"},
    "raw full-width digits": {"number": FULL_WIDTH.encode()},
    "quote that ends the name": {"name": b'a" <sip:1@2>;x="'},
    "backslash before the last quote": {"name": b"a\\"},
    "folded line in the name": {"name": b"a\r\n Stage: x"},
    "raw bar in the DID": {"to": "1|x"},
}
"""What the SIP parser of Asterisk drops without an answer: no dialplan ever sees these."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[House]:
    # What is written counts here, not how soon it is judged on a busy machine.
    async with House.open(pbx={"globals_": "SCREENER_DEADLINE_MS=8000", "extra": UNFILTERED}) as opened:
        yield opened


async def answered(call: Dialog) -> None:
    """A telephone rings and is answered, or the challenge or the voicemail has answered."""
    await asyncio.wait_for(call.answered.wait(), WITHIN_S)


async def ended(house: House, count: int) -> CallRecord:
    """The newest call of the ledger, complete, once it holds more than `count`."""
    done: list[CallRecord] = []

    def complete(one: CallRecord) -> bool:
        done[:] = house.service.calls()
        return len(done) > count and bool(done[0].setup and done[0].end) and one == done[0]

    return await house.service.record(complete, WITHIN_S)


def written(record: CallRecord, kind: str) -> Mapping[str, Any]:
    """A row's body as it is in the ledger, before anything is made safe to print."""
    return next(row.body for row in record.rows if row.kind == kind)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_hostile__call__reaches_its_place_and_the_ledger_holds_what_was_sent(
    house: House, row: Row
) -> None:
    index, count = ROWS.index(row), len(house.service.calls())
    how = {"number": f"+86138{index:04}0000", "to": f"7{index:03}"} | row.how
    call = await house.caller.call(**how)
    await answered(call)
    call.hangup()
    record = await ended(house, count)
    question, end = written(record, "setup")["call"], written(record, "end")
    assert {key: question[key] for key in row.fields} == row.fields
    assert (record.setup["action"], end["action"], end["missed"]) == (row.action, row.action, "")
    assert record.disposition == ("answered" if row.action == "allow" else "abandoned")
    assert (end["number"], end["did"]) == (question["number"], question["did"])
    # None of the other fields is touched.
    untouched = {"number", "name", "did", "asserted", "diversion", "attestation"} - row.fields.keys()
    expected = {"number": how["number"], "did": how["to"]}
    if "asserted" not in row.fields:  # with trust_id_inbound it is the source of number and name
        assert {key: question[key] for key in untouched} == {key: expected.get(key, "") for key in untouched}
    assert (question["agent"], question["trunk"]) == (row.fields.get("agent", "test"), "PJSIP/trunk")
    line = await house.service.logged("verdict", call=record.call_id)
    assert line["stage"] == "setup"


@pytest.mark.parametrize("how", REFUSED.values(), ids=REFUSED.keys())
async def test_hostile__malformed_sip__is_dropped_by_asterisk_itself(
    house: House, how: dict[str, Any]
) -> None:
    dropped, count = house.pbx.log().count("PJSIP syntax error"), len(house.service.calls())
    malformed = await house.caller.call(**({"to": "100"} | how))
    async with asyncio.timeout(WITHIN_S):
        while house.pbx.log().count("PJSIP syntax error") == dropped:  # noqa: ASYNC110 - a log file
            await asyncio.sleep(0.02)
    assert malformed.status == 0
    malformed._finish()
    index = list(REFUSED.values()).index(how)
    call = await house.caller.call("100", f"+86137{index:08}")
    await answered(call)
    call.hangup()
    assert (await ended(house, count)).call["number"] == f"+86137{index:08}"
    assert len(house.service.calls()) == count + 1


async def test_hostile__log_and_listing__hold_no_control_characters(house: House) -> None:
    count = len(house.service.calls())
    terminal = "\x1b[2J\u202e[red]x\x07"
    call = await house.caller.call(
        percent(b"109\r\nX: y\x1b[2J").decode(), percent(terminal.encode()), name=terminal.encode()
    )
    await answered(call)
    call.hangup()
    record = await ended(house, count)
    # A line that is no JSON would have no level; an error would be a bug of ours.
    assert not [line for line in house.service.lines if line.get("level") not in ("info", "warning")]
    code, listing = await house.service.command("calls", "--limit", "100")
    assert code == 0
    assert "[red]x" in listing
    code, as_json = await house.service.command("calls", "--limit", "100", "--json")
    assert json.loads(as_json)[0]["call_id"] == record.call_id
    for line in (*listing.splitlines(), *as_json.splitlines()):
        assert not {unicodedata.category(char) for char in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}, line


@pytest.mark.parametrize("first", [b"<sip:10012@h>", b"<sip:1@h>"])
async def test_asserted__second_one_with_an_application_in_it__is_only_text(
    house: House, first: bytes
) -> None:
    mark, count = house.directory / "run-by-a-caller", len(house.service.calls())
    second = b"<sip:10013@h>):System(touch %b #" % bytes(mark)
    call = await house.caller.call(
        "170", headers=b"P-Asserted-Identity: " + first + b"\r\nP-Asserted-Identity: " + second
    )
    await answered(call)
    call.hangup()
    await ended(house, count)
    assert not mark.exists()


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize("ends", ["", ")", "))", "))x", ")))"])
async def test_called_number__with_an_application_in_it__is_not_run_without_our_dialplan(ends: str) -> None:
    async with House.open(screener=False) as house:
        await house.pbx.cli("dialplan remove context screener")
        mark = house.directory / "run-by-a-caller"
        call = await house.call(to=f"100{ends}%3ASystem(touch%20{mark}%20%23")
        await house.answered()
        call.hangup()
        assert not mark.exists()
