"""The dialplan's events as data: what is read, what is refused, and what a call's end is called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from screener.call import Call, Ending, Stage
from screener.codes import Code, Step

AT = datetime(2025, 3, 1, 12, tzinfo=UTC)


def ask(**other: object) -> dict[str, object]:
    """A question as the dialplan sends it."""
    return {
        "Event": "UserEvent",
        "UserEvent": "ScreenerAsk",
        "Uniqueid": "1740830400.7",
        "Channel": "PJSIP/trunk-00000007",
        "Version": "1",
        "Stage": "setup",
        "Deadline": "500",
        "Asked": "1740830400123456",
        "Did": "100",
        "Number": "%2B8613912345678",
        "Presentation": "allowed_not_screened",
        "Name": "Bob%2C%20Channel%3A%20PJSIP%2Fevil",
        "Asserted": "%3Csip%3A%2B8613912345678%40carrier%3E",
        "Diversion": "200",
        "Attestation": "A",
        "Agent": "Carrier%2F1.0",
        "Challenge": "",
    } | other


def end(**other: object) -> dict[str, object]:
    """A call's end as the dialplan sends it."""
    return {
        "Event": "UserEvent",
        "UserEvent": "ScreenerEnd",
        "Uniqueid": "1740830400.7",
        "Version": "1",
        "Did": "100",
        "Number": "%2B8613912345678",
        "Action": "allow",
        "Missed": "",
        "Delay": "1.25",
        "Challenge": "",
        "Dialstatus": "ANSWER",
        "Talk": "61",
        "Disposition": "ANSWERED",
        "Cause": "16",
        "Recording": "",
        "Notice": "",
    } | other


def code(**other: object) -> dict[str, object]:
    """A star code as the dialplan sends it."""
    return {
        "Event": "UserEvent",
        "UserEvent": "ScreenerCode",
        "Uniqueid": "1740830400.9",
        "Channel": "PJSIP/reception-00000009",
        "Version": "1",
        "Step": "do",
        "List": "block",
        "Deadline": "3000",
        "Asked": "1740830400123456",
        "Number": "%2B8613912345678",
    } | other


def test_code__as_sent__is_read_and_knows_its_telephone() -> None:
    found = Code.from_event(code(), AT)
    assert (found.step, found.list, found.number) == (Step.DO, "block", "+8613912345678")
    assert (found.phone, found.deadline_ms, found.asked) == ("PJSIP/reception", 3000, 1740830400.123456)


@pytest.mark.parametrize("key", [key for key in code() if key not in ("Event", "UserEvent")])
def test_code__header_twice__is_refused_as_forgery(key: str) -> None:
    with pytest.raises(ValueError, match=r"occurs more than once|missing or malformed"):
        Code.from_event(code(**{key: [code()[key], "evil"]}), AT)


@pytest.mark.parametrize(
    ("key", "value"),
    [("List", "all"), ("List", ""), ("Step", "undo"), ("Asked", ""), ("Deadline", "soon"), ("Version", "2")],
)
def test_code__malformed__is_refused(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Code.from_event(code(**{key: value}), AT)


@pytest.mark.parametrize(
    ("peer", "read"), [("PJSIP%2Freception-00000008", "PJSIP/reception-00000008"), ("", "")]
)
def test_ending__who_answered__is_read(peer: str, read: str) -> None:
    assert Ending.from_event(end(Peer=peer), AT).peer == read
    assert Ending.from_event(end(), AT).peer == ""  # an older dialplan


def test_call__question__is_read_and_decoded() -> None:
    call = Call.from_event(ask(), AT)
    assert call == Call(
        id="1740830400.7",
        channel="PJSIP/trunk-00000007",
        stage=Stage.SETUP,
        at=AT,
        asked=1740830400.123456,
        deadline_ms=500,
        number="+8613912345678",
        name="Bob, Channel: PJSIP/evil",
        did="100",
        presentation="allowed_not_screened",
        asserted="<sip:+8613912345678@carrier>",
        diversion="200",
        attestation="A",
        agent="Carrier/1.0",
        challenge="",
    )


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("", ""),
        ("%E5%82%AC%E6%94%B6", "催收"),
        ("%0D%0AAction%3A%20Originate", "\r\nAction: Originate"),
        ("100%25", "100%"),
        ("a+b", "a+b"),
        ("%ff%fe", "\ufffd\ufffd"),
        ("%E5%82%AC%E5%82", "催"),  # cut in the middle of a character
        ("\udcff", "\ufffd" * 3),
        ("%", "%"),
        ("%4", "%4"),
        ("%zz", "%zz"),
        ("%00", "\0"),
        ("𝟙", "𝟙"),
    ],
)
def test_call__percent_encoding__is_undone_once_and_never_fails(raw: str, text: str) -> None:
    assert Call.from_event(ask(Name=raw), AT).name == text


@pytest.mark.parametrize("channel", ["PJSIP/trunk-00000007", "PJSIP/my-trunk-00000007", "Local/1@x-0001;2"])
def test_call__trunk__is_the_channel_without_its_serial_number(channel: str) -> None:
    assert Call.from_event(ask(Channel=channel), AT).trunk == channel.rpartition("-")[0]


def test_call__channel_without_serial_number__is_its_own_trunk() -> None:
    assert Call.from_event(ask(Channel="Console"), AT).trunk == "Console"


@pytest.mark.parametrize("key", [key for key in ask() if key not in ("Event", "UserEvent")])
def test_call__header_twice__is_refused_as_forgery(key: str) -> None:
    with pytest.raises(ValueError, match=r"occurs more than once|missing or malformed"):
        Call.from_event(ask(**{key: [ask()[key], "evil"]}), AT)


@pytest.mark.parametrize("key", [key for key in end() if key not in ("Event", "UserEvent")])
def test_ending__header_twice__is_refused_as_forgery(key: str) -> None:
    with pytest.raises(ValueError, match=r"occurs more than once|missing or malformed"):
        Ending.from_event(end(**{key: [end()[key], "evil"]}), AT)


@pytest.mark.parametrize("key", ["Uniqueid", "Channel"])
@pytest.mark.parametrize("value", [None, "", "a b", "a\r\nb", "a,b", "a\x7fb", "a\0", "x" * 201])
def test_call__malformed_id__is_refused(key: str, value: str | None) -> None:
    event = ask() | {key: value}
    if value is None:
        del event[key]
    with pytest.raises(ValueError, match=f"the header {key} is missing or malformed"):
        Call.from_event(event, AT)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Stage", ""),
        ("Stage", "ending"),
        ("Stage", "SETUP"),
        ("Asked", ""),
        ("Asked", "yesterday"),
        ("Deadline", ""),
        ("Deadline", "0.5"),
    ],
)
def test_call__field_without_meaning__is_refused(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"could not convert|invalid literal|not a valid Stage"):
        Call.from_event(ask(**{key: value}), AT)


@pytest.mark.parametrize("version", ["", "0", "2", "1.0"])
@pytest.mark.parametrize(("kind", "event"), [(Call, ask()), (Ending, end())])
def test_event__other_version_of_the_contract__says_what_to_install(
    kind: Any, event: dict[str, object], version: str
) -> None:
    with pytest.raises(ValueError, match="install the dialplan that came with this screener") as caught:
        kind.from_event(event | {"Version": version}, AT)
    assert f"speaks version {version or '?'} of the contract" in str(caught.value)
    assert "the screener 1:" in str(caught.value)


def test_ending__event__is_read_and_decoded() -> None:
    recording = "%2Fvar%2Fspool%2F2025-03-01%2F1740830400.7"
    event = end(Recording=recording, Notice="2025-03-01T12:00:01Z", Missed="late", Challenge="failed")
    assert Ending.from_event(event, AT) == Ending(
        id="1740830400.7",
        at=AT,
        number="+8613912345678",
        did="100",
        action="allow",
        missed="late",
        delay_ms=1.25,
        challenge="failed",
        disposition="recorded",
        talk_s=61,
        cause=16,
        recording="/var/spool/2025-03-01/1740830400.7",
        notice_at="2025-03-01T12:00:01Z",
    )


def test_ending__nothing_known__has_no_delay_talk_or_cause() -> None:
    ending = Ending.from_event(end(Delay="", Talk="", Cause="", Dialstatus="", Action=""), AT)
    assert (ending.delay_ms, ending.talk_s, ending.cause) == (None, 0, 0)


@pytest.mark.parametrize("key", ["Delay", "Talk", "Cause"])
def test_ending__number_without_meaning__is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"could not convert|invalid literal"):
        Ending.from_event(end(**{key: "soon"}), AT)


@pytest.mark.parametrize(
    ("action", "dial", "cdr", "recording", "disposition"),
    [
        ("allow", "ANSWER", "ANSWERED", "", "answered"),
        ("allow", "BUSY", "BUSY", "", "busy"),
        ("allow", "CANCEL", "NO ANSWER", "", "abandoned"),
        ("allow", "NOANSWER", "NO ANSWER", "", "unanswered"),
        ("allow", "CHANUNAVAIL", "FAILED", "", "unanswered"),
        ("allow", "CONGESTION", "FAILED", "", "unanswered"),
        ("allow", "DONTCALL", "NO ANSWER", "", "unanswered"),
        # A challenge has answered; what counts is whether the telephone did.
        ("allow", "NOANSWER", "ANSWERED", "", "unanswered"),
        ("allow", "CANCEL", "ANSWERED", "", "abandoned"),
        # No Dial: the dialplan answered by itself, with a queue or a conference say.
        ("allow", "", "ANSWERED", "", "answered"),
        ("allow", "", "NO ANSWER", "", "abandoned"),
        # Hung up in the challenge, or in the voicemail before the recording began.
        ("challenge", "", "ANSWERED", "", "abandoned"),
        ("voicemail", "", "ANSWERED", "", "abandoned"),
        ("voicemail", "", "ANSWERED", "/spool/1", "recorded"),
        ("challenge", "", "ANSWERED", "/spool/1", "recorded"),
        ("reject", "", "FAILED", "", "rejected"),
        ("reject", "", "NO ANSWER", "", "rejected"),
        ("", "", "", "", "abandoned"),
    ],
)
def test_ending__disposition__is_what_became_of_the_call(
    action: str, dial: str, cdr: str, recording: str, disposition: str
) -> None:
    event = end(Action=action, Dialstatus=dial, Disposition=cdr, Recording=recording)
    assert Ending.from_event(event, AT).disposition == disposition
