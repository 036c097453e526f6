"""One call as data, and the contract with the dialplan: every name that both sides use stands here.

`dialplan/README.md` shows the same names as a table; a test compares the two.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from screener.headers import Headers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

ASK_EVENT = "ScreenerAsk"
"""UserEvent by which the dialplan asks for a verdict; the caller waits meanwhile."""
END_EVENT = "ScreenerEnd"
"""UserEvent sent by the hangup handler of every screened call."""
CODE_EVENT = "ScreenerCode"
"""UserEvent by which one of our own telephones, having dialled a star code, asks or orders something."""
MESSAGE_EVENT = "ScreenerMessage"
"""UserEvent by which the dialplan asks about a SIP MESSAGE; all later messages wait meanwhile."""
MESSAGE_END_EVENT = "ScreenerMessageEnd"
"""UserEvent that says what became of it."""
DIALLED_EVENT = "ScreenerDialled"
"""UserEvent sent when a call of ours to the outside is over."""

DELIVER_EVENT = "ScreenerDeliver"
"""UserEvent by which a channel of the dialplan's own asks into which mailbox a recording goes."""
DELIVERED_EVENT = "ScreenerDelivered"
"""UserEvent that says what became of that."""

HEARTBEAT_VARIABLE = "SCREENER_HEARTBEAT"
"""Global that the screener keeps fresh with Asterisk's own clock; stale means: do not wait."""
VERDICT_VARIABLE = "SCREENER_VERDICT_{stage}"
"""Channel variable that carries `action:score:language` for one stage only."""
MESSAGE_VARIABLE = "SCREENER_MESSAGE"
"""Global that carries `id:action` for the one message that waits: its channel cannot be written to."""
UNKEPT_VARIABLE = "SCREENER_UNKEPT_"
"""Globals, by status: how many messages the dialplan could not keep for a screener that was away."""
CODE_VARIABLE = "SCREENER_CODE_{step}"
"""Channel variable that carries `result:number` for one step of a star code only."""
DELIVERS_VARIABLE = "SCREENER_DELIVERS"
"""Global by which the screener says that recordings are to go into mailboxes."""
DELIVERIES_VARIABLE = "SCREENER_DELIVERIES"
"""Global by which the dialplan says what became of the latest ones, for a screener that did not hear it."""
DELIVERED_CALL_VARIABLE = "SCREENER_CALL"
"""Channel variable that names the call whose recording a channel takes into a mailbox."""
OWED_VARIABLE = "SCREENER_OWED"
"""Global by which the screener names a recording that was to go into a mailbox while it was away."""
MAILBOX_VARIABLES = ("SCREENER_MAILBOX", "SCREENER_NUMBER", "SCREENER_NAME", "SCREENER_REASON")
"""Channel variables that say where a recording goes, whose it is, and why he was recorded."""
LEADER_VARIABLE = "SCREENER_LEADER"
"""Global by which the screeners of one Asterisk know which of them answers."""
STANDBY_VARIABLE = "SCREENER_STANDBY"
"""Global by which the others say that they could."""
UNFILED_VARIABLE = "SCREENER_UNFILED"
"""Global by which who answers tells who follows it: recordings closed since then may not be filed."""
KEPT_VARIABLE = "SCREENER_KEPT"
"""Global by which who answers tells who follows it how far the messages that were kept are filed."""
MIRROR_VARIABLE = "SCREENER_MIRROR"
"""Global that names what lies ready for Asterisk's own database, and in how many globals `…_0`, `…_1`, …"""
MIRRORED_VARIABLE = "SCREENER_MIRRORED"
"""Global by which the dialplan says what it has written there last."""
WAKE_DIGIT = "D"
"""The key that ends the dialplan's wait; telephones do not have it."""


def fits(pattern: str, name: str) -> bool:
    """Whether this is the name, or begins as a pattern with a star at its end says: `PJSIP/sip*`."""
    return name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1]))


class Stage(StrEnum):
    """The moment in a call's life at which the dialplan asks."""

    SETUP = "setup"
    CHALLENGE = "challenge"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class Call:
    """A question of the dialplan: who calls whom, how, and when.

    Everything that the caller can write (`number`, `name`, …) is as it arrived, hostile until proven
    otherwise. `sender` is the From header, `verified` what Asterisk's own STIR/SHAKEN check said. `at` is
    the moment the question arrived (UTC), the only clock the verdict may use. `asked` is the same moment
    by Asterisk's own clock (s since 1970) and `deadline_ms` is how long the caller waits from then on.
    At the stage `message` it is a SIP MESSAGE: `text` is what was written, `to` where it is to be delivered.
    """

    id: str
    channel: str
    stage: Stage
    at: datetime
    asked: float = 0.0
    deadline_ms: int = 0
    number: str = ""
    name: str = ""
    did: str = ""
    presentation: str = ""
    asserted: str = ""
    diversion: str = ""
    attestation: str = ""
    sender: str = ""
    verified: str = ""
    agent: str = ""
    challenge: str = ""
    text: str = ""
    to: str = ""

    @property
    def trunk(self) -> str:
        """The carrier link that the call came by: the channel's name without its serial number."""
        return endpoint(self.channel)

    @classmethod
    def from_event(cls, event: Mapping[str, object], at: datetime) -> Call:
        """Read a `ScreenerAsk`; raises ValueError when it is not one that can be answered."""
        read = Headers(event)
        return cls(
            id=read.token("Uniqueid"),
            channel=read.token("Channel"),
            stage=Stage(read.text("Stage")),
            at=at,
            asked=float(read.text("Asked")) / 1e6,
            deadline_ms=int(read.text("Deadline")),
            number=read.text("Number"),
            name=read.text("Name"),
            did=read.text("Did"),
            presentation=read.text("Presentation"),
            asserted=read.text("Asserted"),
            diversion=read.text("Diversion"),
            attestation=read.text("Attestation"),
            sender=read.text("From"),
            verified=read.text("Verified"),
            agent=read.text("Agent"),
            challenge=read.text("Challenge"),
        )

    @classmethod
    def from_message(cls, event: Mapping[str, object], at: datetime) -> Call:
        """Read a `ScreenerMessage`; raises ValueError when it is not one that can be answered."""
        read = Headers(event)
        return cls(
            id=read.token("Id"),
            channel=f"{read.text('Trunk')}-message",
            stage=Stage.MESSAGE,
            at=at,
            asked=float(read.text("Asked")) / 1e6,
            deadline_ms=int(read.text("Deadline")),
            number=read.text("From"),
            did=read.text("Did"),
            text=base64.b64decode(read.text("Text")).decode("utf-8", "replace"),
            to=read.text("To"),
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a screened call, as the dialplan's hangup handler reports it.

    `missed` says why no verdict came: empty (it came), "away" (nobody was asked) or "late".
    `delay_ms` is the wait that screening added, by Asterisk's clock. `recording` is the
    path of the two sound files without their endings, empty when nothing was recorded. `voicemail` is the
    path of a message that Asterisk's own VoiceMail took, without its ending. The call lasted `lasted_s`, of
    it `held_s` after something of ours answered; `by_caller`: he hung up. `peer` is the channel that
    answered; empty where none did. `unrecorded` says why the voicemail made no recording: "full" (too many
    at once), "notice" (none could be played), else empty. An older dialplan says none of the last four.
    """

    id: str
    at: datetime
    number: str
    did: str
    action: str
    missed: str
    delay_ms: float | None
    challenge: str
    disposition: str
    talk_s: int
    cause: int
    recording: str
    notice_at: str
    channel: str = ""
    peer: str = ""
    voicemail: str = ""
    lasted_s: float | None = None
    held_s: float | None = None
    by_caller: bool = False
    unrecorded: str = ""

    @classmethod
    def from_event(cls, event: Mapping[str, object], at: datetime) -> Ending:
        """Read a `ScreenerEnd`; raises ValueError when it is malformed."""
        read = Headers(event)
        return cls(
            id=read.token("Uniqueid"),
            at=at,
            number=read.text("Number"),
            did=read.text("Did"),
            action=read.text("Action"),
            missed=read.text("Missed"),
            delay_ms=read.number("Delay"),
            challenge=read.text("Challenge"),
            disposition=_disposition(read),
            talk_s=int(read.text("Talk") or 0),
            cause=int(read.text("Cause") or 0),
            recording=read.text("Recording"),
            notice_at=read.text("Notice"),
            channel=read.text("Channel"),
            peer=read.text("Peer"),
            voicemail=read.text("Voicemail"),
            lasted_s=read.number("Lasted"),
            held_s=read.number("Held"),
            by_caller=read.text("By") == "caller",
            unrecorded=read.text("Unrecorded"),
        )


@dataclass(frozen=True, slots=True)
class Dialled:
    """A call of ours to the outside that is over: `number` as it was dialled, `at` the end (UTC)."""

    id: str
    at: datetime
    channel: str
    number: str
    answered: bool
    talk_s: int

    @classmethod
    def from_event(cls, event: Mapping[str, object], at: datetime) -> Dialled:
        """Read a `ScreenerDialled`; raises ValueError when it is malformed."""
        read = Headers(event)
        return cls(
            id=read.token("Uniqueid"),
            at=at,
            channel=read.token("Channel"),
            number=read.text("Number"),
            answered=read.text("Dialstatus") == "ANSWER",
            talk_s=int(read.text("Talk") or 0),
        )


def endpoint(channel: str) -> str:
    """A channel's name without its serial number: the trunk or the telephone that it belongs to."""
    return channel.rpartition("-")[0] or channel


def _disposition(read: Headers) -> str:
    """answered, recorded, rejected, busy, unanswered or abandoned.

    The telephone's answer counts; that the challenge or the voicemail answered does not.
    """
    action, dial_status, cdr = map(read.text, ("Action", "Dialstatus", "Disposition"))
    if read.text("Recording"):
        return "recorded"
    if action == "reject":
        return "rejected"
    if dial_status:
        known = {"ANSWER": "answered", "BUSY": "busy", "CANCEL": "abandoned"}
        return known.get(dial_status, "unanswered")
    if action == "allow" and cdr == "ANSWERED":
        return "answered"
    return "abandoned"
