"""The screener's process is not there, dies, hangs, or is in another's way: the caller rings all the same."""

from __future__ import annotations

import asyncio
import fcntl
import json
import signal
from typing import Any

from screener.ami.lease import HELD_S
from screener.headers import CONTRACT_VERSION
from tests.pbx import sound
from tests.pbx.faults import (
    AGAIN_S,
    AT_ONCE_S,
    BY_DEADLINE_S,
    LOADED_S,
    Ear,
    brief,
    reaches_us,
    screened_again,
    somebody,
    stopped,
)
from tests.pbx.house import House
from tests.valkey import connected

PATIENT = {"globals_": "SCREENER_DEADLINE_MS=8000"}
"""A dialplan that waits long, so that a decision can be held in the middle and go on."""
PAUSE_MS = 1000
LISTEN_S = 0.5
"""How long a conversation is listened to for a key that nobody pressed; one takes 0.1 s."""
PIPE_BYTES = 4096
"""The smallest pipe there is."""


def pid_of(house: House) -> int:
    assert house.service.process is not None
    return house.service.process.pid


async def test_screener__not_running__calls_ring_at_once() -> None:
    async with House.open(screener=False) as house, Ear.open(house.pbx) as ear:
        assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == "away"  # never started
        await house.service.start()
        assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == ""
        assert await house.service.stop() == 0
        assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == "away"  # stopped in order


async def test_screener__stopped_in_mid_decision__calls_at_hand_get_their_verdict() -> None:
    async with (
        House.open(pbx=PATIENT) as house,
        Ear.open(house.pbx) as ear,
        connected(f"unix://{house.service.state}/store/valkey.sock") as store,
    ):
        brief(house.pbx, "press", "thanks")
        await store.client_pause(PAUSE_MS)  # the friend's decision takes its time
        with stopped(pid_of(house)):
            friend, call = somebody(), await house.withheld()
            other = await house.call(friend)
            await asyncio.gather(ear.asked(friend), ear.asked("anonymous"))
            house.service.signal(signal.SIGTERM)
        assert (await house.rings()).number == friend
        await house.obeys(call)  # the withheld one's verdict is the challenge
        assert house.service.process is not None
        assert await asyncio.wait_for(house.service.process.wait(), AGAIN_S) == 0
        assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == "away"
        await house.rings(10)  # who passes the challenge rings without a screener, too
        call.hangup()
        other.hangup()
        setups = {one.call["number"]: one.setup["action"] for one in house.service.calls() if one.setup}
        assert setups == {friend: "allow", "anonymous": "challenge"}


async def test_screener__killed_in_mid_decision__rings_by_the_deadline_and_the_next_at_once() -> None:
    async with House.open() as house, Ear.open(house.pbx) as ear:
        await reaches_us(house, ear, AT_ONCE_S)
        before = await house.ended()
        with stopped(pid_of(house)):
            number = somebody()
            waiting = asyncio.create_task(reaches_us(house, ear, BY_DEADLINE_S, number))
            await ear.asked(number)
            house.service.signal(signal.SIGKILL)
            assert (await waiting)["Missed"] == "late"
        assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == "away"
        await house.service.kill()
        await house.service.start()
        assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == ""
        assert before.rows == house.service.calls()[-1].rows


async def test_screener__hangs__one_call_waits_and_its_late_verdict_does_nothing() -> None:
    async with House.open() as house, Ear.open(house.pbx) as ear:
        number = somebody()
        with stopped(pid_of(house)):
            call = await house.call(number)
            phone = await house.answered(BY_DEADLINE_S)
            assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == "away"
            assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == "away"
        await screened_again(house, ear)
        call_id = (await ear.asked(number))["Uniqueid"]
        await house.service.logged("too late to judge", call=call_id)
        await phone.say(sound.tone(LISTEN_S))
        await call.hear({"the other's voice": sound.tone(0.1)[:160]}, LOADED_S)
        assert phone.rtp.pressed == call.rtp.pressed == set()
        assert not phone.ended.is_set()
        call.hangup()
        assert (await ear.ended(number))["Missed"] == "late"


async def test_caller__hangs_up_in_mid_decision__is_filed_as_abandoned() -> None:
    async with House.open(pbx=PATIENT) as house, Ear.open(house.pbx) as ear:
        number = somebody()
        with stopped(pid_of(house)):
            call = await house.call(number)
            await ear.asked(number)
            await asyncio.sleep(HELD_S)  # so patient: the screener may not be sure any more that it leads
            call.hangup()
            await ear.ended(number)
        record = await house.ended(number=number)
        assert record.disposition == "abandoned"
        assert [row.kind for row in record.rows] == ["setup", "end"]
        assert record.verdict["action"] == "allow"
        assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == ""
        assert house.silent
        assert [line for line in house.service.lines if line.get("level") in ("warning", "error")] == []


async def test_caller__hangs_up_while_the_store_is_slow__has_his_verdict_filed_before_the_end() -> None:
    async with (
        House.open(pbx=PATIENT) as house,
        Ear.open(house.pbx) as ear,
        connected(f"unix://{house.service.state}/store/valkey.sock") as store,
    ):
        await store.client_pause(PAUSE_MS)
        number = somebody()
        call = await house.call(number)
        await ear.asked(number)
        call.hangup()
        record = await house.ended(number=number)
        assert [row.kind for row in record.rows] == ["setup", "end"]


async def test_screener__whose_log_nobody_reads__screens_on() -> None:
    async with House.open() as house, Ear.open(house.pbx) as ear:
        pipe: Any = house.service.process._transport.get_pipe_transport(1)  # type: ignore[union-attr]
        pipe.pause_reading()
        fcntl.fcntl(pipe.get_extra_info("pipe"), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        nonsense = {"UserEvent": "ScreenerAsk", "Version": CONTRACT_VERSION, "Stage": "x" * 200}
        for _ in range(4 * PIPE_BYTES // len(json.dumps(nonsense))):
            ear.send("UserEvent", **nonsense)
        for _ in range(4):
            assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == ""
        pipe.resume_reading()
        await house.service.logged("an event of the dialplan was not understood")
