"""Bytes on the manager's line, in pieces: torn, merged, forged, without an end."""

import asyncio
from typing import Any

from screener.ami.wire import MESSAGE_BYTES, Connection, Wire

SEEDS = [
    b"Event: UserEvent\r\nUserEvent: ScreenerAsk\r\nVersion: 1\r\nStage: setup\r\nUniqueid: 1.1\r\n\r\n",
    b"Response: Success\r\nActionID: 1\r\n\r\n|Event: UserEvent\r\nCallerIDNum: 1\r\n\r\nX: y\r\n\r\n",
    b"Asterisk Call Manager/11.0.0\r\n|Response: Error\r\n\xff\xfe\r\n\r\n|: \r\n\r\n::|\r\n\r\n\r\n",
]


def target(raw: bytes) -> None:
    async def reads() -> list[Any]:
        events: list[Any] = []
        wire = Wire(Connection(events.append))
        wire.connection_made(asyncio.Transport())
        for piece in raw.split(b"|"):
            wire.data_received(piece)
        assert len(wire._buffer) <= MESSAGE_BYTES
        return events

    for event in asyncio.run(reads()):
        assert event.get("Event") == "UserEvent" or str(event.get("Event")).startswith("ChannelTalkingSt")
