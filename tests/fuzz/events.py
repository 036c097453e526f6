"""The headers of the dialplan's events, as a caller may have filled them: understood, or a ValueError."""

import contextlib
from datetime import UTC, datetime

from screener.call import Call, Dialled, Ending
from screener.talking import Talks

AT = datetime(2026, 3, 4, tzinfo=UTC)
HEAD = (
    b"Version: 1\nStage: setup\nDeadline: 500\nAsked: 1740830400123456\nUniqueid: 1.1\nChannel: PJSIP/a-1\n"
)
SEEDS = [
    HEAD + b"Number: %2B861\nName: %E5%82%AC%FF\nFrom: %22a%22 %3Csip:1@h%3E",
    HEAD + b"Id: m1\nTrunk: PJSIP/a\nFrom: sip%3A1\nText: aGVsbG8=\nTo: pjsip%3Aphone",
    HEAD + b"Delay: 4.5\nTalk: 3\nCause: 16\nLasted: nan\nHeld: 1e999\nBy: caller\nAsked: 9e300",
    HEAD
    + b"UserEvent: ScreenerTalk\nLeg: voicemail\nPrompt: begins\nEvent: ChannelTalkingStop\nDuration: 9e9",
]


def target(raw: bytes) -> None:
    event = dict(line.split(": ", 1) for line in raw.decode("utf-8", "replace").split("\n") if ": " in line)
    for read in (Call.from_event, Call.from_message, Ending.from_event, Dialled.from_event):
        with contextlib.suppress(ValueError):
            read(event, AT)
    with contextlib.suppress(ValueError):
        Talks().receive(event, AT.timestamp())
