"""The line to Asterisk's manager is cut, stalls, is flooded, or says things twice."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from screener.call import WAKE_DIGIT
from tests.pbx.faults import (
    AT_ONCE_S,
    BY_DEADLINE_S,
    LOADED_S,
    Ear,
    Line,
    reaches_us,
    screened_again,
    somebody,
)
from tests.pbx.house import House

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from screener.ledger import CallRecord

HALF_OPEN_S = 1.0 + 2.0
"""The screener notices a peer that is silent: HEARTBEAT_S and the ACTION_S that a ping may take."""
CALLS = 10
NOISE, NOISE_BYTES = 4000, 1000
"""Events beside those calls: twice as much as the kernel holds for a client that does not read."""
FORSAKEN_S = 10.0
"""Within which Asterisk gives up such a client."""


@contextlib.asynccontextmanager
async def house_on_a_line() -> AsyncIterator[tuple[House, Ear, Line]]:
    async with House.open(screener=False) as house, Ear.open(house.pbx) as ear, Line.open(house.pbx) as line:
        house.service.settings["ami"]["port"] = line.port
        await house.service.start()
        yield house, ear, line


async def ended(house: House, call_id: str) -> CallRecord:
    return await house.service.record(lambda one: one.end and one.call_id == call_id)


async def test_line__fails_with_the_verdict_on_it__rings_by_the_deadline_and_nothing_is_sent_twice() -> None:
    async with house_on_a_line() as (house, ear, line):
        for fault in (line.cut, line.reset, None):
            house.service.lines.clear()
            ear.events.clear()
            line.sent, line.connections = b"", 0
            line.hold()
            number = somebody()
            waiting = asyncio.create_task(reaches_us(house, ear, BY_DEADLINE_S, number))
            channel = (await ear.asked(number))["Channel"]
            await line.carries(b"SCREENER_VERDICT_setup")
            if fault:
                fault()
            assert (await waiting)["Missed"] == "late"
            assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == "away"
            await house.service.logged("no connection to Asterisk", within=HALF_OPEN_S + LOADED_S)
            line.release()
            await screened_again(house, ear)
            assert line.connections > 0
            assert line.sent.count(f"Channel: {channel}\r\n".encode()) == 2  # its Setvar, its wake-up key


async def test_line__stalls_for_less_than_a_heartbeat__conversation_and_connection_go_on() -> None:
    async with house_on_a_line() as (house, ear, line):
        line.hold()
        line.sent = b""
        await line.carries(b"Action: ")
        call = await house.call(number := somebody())
        phone = await house.answered(BY_DEADLINE_S)
        line.release()
        await screened_again(house, ear)
        assert not phone.ended.is_set()
        # Sent in time and delivered late, the wake-up key itself cannot be called back.
        assert phone.rtp.pressed <= {WAKE_DIGIT}
        assert line.connections == 1
        call.hangup()
        assert (await ear.ended(number))["Missed"] == "late"


async def test_event__comes_twice__is_decided_once_and_counted_once() -> None:
    async with house_on_a_line() as (house, ear, line):
        line.repeats = b"UserEvent: Screener"
        number = somebody()
        for calls in (1, 2):
            ear.events.clear()
            assert (await reaches_us(house, ear, AT_ONCE_S, number))["Missed"] == ""
            asked = await ear.asked(number)
            record = await ended(house, asked["Uniqueid"])
            await house.service.logged("a question came twice", call=asked["Uniqueid"], stage="setup")
            assert [row.kind for row in record.rows] == ["setup", "end"]
            assert record.facts["caller.calls_1h"] == calls
            assert line.sent.count(f"Channel: {asked['Channel']}\r\n".encode()) == 2


async def test_manager__floods_a_client_that_does_not_read__screens_on() -> None:
    async with House.open() as house, Ear.open(house.pbx, events="off") as source, Ear.open(house.pbx) as ear:
        with socket.socket() as firehose:
            firehose.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            firehose.connect(("127.0.0.1", house.pbx.ami))
            firehose.sendall(b"Action: Login\r\nUsername: test\r\nSecret: test\r\nEvents: on\r\n\r\n")
            for _ in range(CALLS):
                for _ in range(NOISE // CALLS):
                    source.send("UserEvent", UserEvent="Noise", Text="x" * NOISE_BYTES)
                assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == ""
            firehose.settimeout(FORSAKEN_S)
            # It was really in the way: Asterisk gave it up before it had everything.
            assert await asyncio.to_thread(read_to_the_end, firehose) < NOISE * NOISE_BYTES


def read_to_the_end(firehose: socket.socket) -> int:
    """How many bytes it still gets, until Asterisk ends the connection."""
    total = 0
    while block := firehose.recv(1 << 20):
        total += len(block)
    return total
