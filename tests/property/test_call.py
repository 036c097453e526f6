"""Whatever a caller writes arrives as he wrote it, as one field, and forges no other."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from screener.ami.wire import Connection, Wire
from screener.call import Call, Ending

AT = datetime(2025, 3, 1, tzinfo=UTC)
FREE = ("Number", "Name", "Did", "Asserted", "Diversion", "Attestation", "Agent")
UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()")
NO_PARENTHESES = str.maketrans("", "", "()")
HOSTILE = st.sampled_from(
    [
        "Bob,Channel: PJSIP/evil",
        "\r\nAction: Originate\r\n\r\n",
        "%0D%0AStage: challenge",
        "${SHELL(id)}",
        "$[1/0]",
        'a" <sip:1@2>',
        "),Stage: challenge",
        "x(",
        "[x",
        "\0",
        "\u202e\ufeff",
        "１３９",
        "Number: 1,Number: 2",
    ]
)
ANYTHING = st.one_of(st.text(st.characters(exclude_categories=["Cs"])), HOSTILE)


def uriencode(value: bytes) -> str:
    """Asterisk's URIENCODE: percent and two hexadecimal digits for all but these."""
    return "".join(chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in value)


def as_sent(value: bytes) -> str:
    """What the dialplan sends: URIENCODE after REPLACE has left the parentheses out."""
    return uriencode(value.translate(None, b"()"))


def as_user_event(name: str, fields: dict[str, str]) -> bytes:
    """What UserEvent() makes of its arguments: it cuts them at commas, outside of parentheses."""
    arguments, depth = [""], 0
    for char in ",".join([name, *(f"{key}: {value}" for key, value in fields.items())]):
        depth = max(0, depth + (char in "([") - (char in ")]"))
        if char == "," and not depth:
            arguments.append("")
        else:
            arguments[-1] += char
    head = f"Event: UserEvent\r\nPrivilege: user,all\r\nUserEvent: {arguments[0]}\r\n"
    channel = "Channel: PJSIP/trunk-00000007\r\nUniqueid: 1740830400.7\r\n"
    return (head + channel + "\r\n".join(arguments[1:]) + "\r\n\r\n").encode()


async def received(*reads: bytes) -> list[Any]:
    """The events that the client makes of these bytes, as they are read from the line."""
    events: list[Any] = []
    protocol = Wire(Connection(events.append))
    protocol.connection_made(asyncio.Transport())
    for raw in reads:
        protocol.data_received(raw)
    return events


@settings(max_examples=150)
@given(st.fixed_dictionaries(dict.fromkeys(FREE, ANYTHING)))
def test_call__any_text_in_any_field__arrives_as_written_and_forges_nothing(texts: dict[str, str]) -> None:
    fixed = {"Version": "1", "Stage": "setup", "Deadline": "500", "Asked": "1740830400123456"}
    free = {key: as_sent(text.encode()) for key, text in texts.items()}
    [event] = asyncio.run(received(as_user_event("ScreenerAsk", fixed | free | {"Challenge": ""})))
    call = Call.from_event(event, AT)
    assert (call.id, call.channel, call.stage, call.deadline_ms) == (
        "1740830400.7",
        "PJSIP/trunk-00000007",
        "setup",
        500,
    )
    read = (call.number, call.name, call.did, call.asserted, call.diversion, call.attestation, call.agent)
    assert read == tuple(texts[key].translate(NO_PARENTHESES) for key in FREE)


@given(st.binary(max_size=60), st.integers(0, 60))
def test_call__any_bytes_cut_anywhere__are_text(value: bytes, length: int) -> None:
    fields = {
        "Version": "1",
        "Stage": "setup",
        "Deadline": "500",
        "Asked": "1",
        "Name": as_sent(value[:length]),
    }
    [event] = asyncio.run(received(as_user_event("ScreenerAsk", fields)))
    # Not final: of a character that was cut at the end nothing is left.
    whole = codecs.getincrementaldecoder("utf-8")("replace").decode(value[:length].translate(None, b"()"))
    assert Call.from_event(event, AT).name == whole


@given(ANYTHING, ANYTHING, ANYTHING)
def test_ending__any_text__arrives_as_written(number: str, did: str, recording: str) -> None:
    free = {"Did": did, "Number": number, "Recording": recording}
    fields = {"Version": "1", **{key: as_sent(text.encode()) for key, text in free.items()}}
    [event] = asyncio.run(received(as_user_event("ScreenerEnd", fields | {"Action": "allow"})))
    ending = Ending.from_event(event, AT)
    expected = [text.translate(NO_PARENTHESES) for text in free.values()]
    assert [ending.did, ending.number, ending.recording, ending.action] == [*expected, "allow"]


def of_channel(event: str, number: str) -> bytes:
    """An event as Asterisk writes it of a channel whose caller ID nobody has cleaned."""
    names = "CallerIDName ConnectedLineNum ConnectedLineName Language AccountCode Context Exten Priority"
    rest = "".join(f"{name}: x\r\n" for name in names.split())
    head = (
        f"Event: {event}\r\nPrivilege: call,all\r\nChannel: PJSIP/trunk-7\r\nCallerIDNum: {number[:80]}\r\n"
    )
    said = "UserEvent: X\r\n" * (event == "UserEvent")
    return f"{head}{rest}Uniqueid: 1.7\r\nLinkedid: 1.7\r\n{said}\r\n".encode()


PIECES = [
    "CallerIDNum: ",
    "\r\n",
    "\r\n\r\n",
    "Event: UserEvent",
    "Event: Hangup",
    "Response: Success",
    "UserEvent: Y",
    "CallerIDName: ",
    "Linkedid: ",
    "Exten: ",
]


@settings(deadline=None)  # each piece that is dropped is logged
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=9)).map("".join), st.integers(0, 400))
@example("\r\n\r\nEvent: Hangup", 0)
@example("\r\n\r\nResponse: Success", 0)
def test_event__any_caller_id_that_was_not_cleaned__forges_none_and_later_ones_come(
    number: str, cut: int
) -> None:
    def heard() -> list[Any]:
        return asyncio.run(received(raw[:cut], raw[cut:], of_channel("UserEvent", "+86139")))

    for event in ("ChannelTalkingStart", "UserEvent"):
        raw = of_channel(event, number.encode("utf-8", "replace").decode())
        *before, last = heard()
        assert (last["UserEvent"], last["CallerIDNum"], len(before) < 2) == ("X", "+86139", True)
        for one in before:  # a header that is there twice is a list, which every reader refuses
            assert one["Event"] == event
            assert not isinstance(one["Uniqueid"], str) or one["Uniqueid"] == "1.7"
            named = one.get("UserEvent")
            assert (named == "X" or isinstance(named, list)) if event == "UserEvent" else not named


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from(["Version", "Stage", "Asked", "Deadline", "Uniqueid", "Channel", "Talk"]),
        st.one_of(st.text(max_size=12), st.lists(st.text(max_size=3)), st.sampled_from(["1", "setup"])),
    )
)
def test_event__anything_at_all__is_read_or_refused_with_value_error(event: dict[str, Any]) -> None:
    for kind in (Call, Ending):
        with contextlib.suppress(ValueError):
            kind.from_event(event | {"Version": "1"}, AT)
