"""Asterisk itself is away, killed, restarted, or told to read its configuration again."""

from __future__ import annotations

import asyncio

from tests.pbx.faults import AGAIN_S, AT_ONCE_S, Ear, reaches_us, screened_again, somebody, stopped
from tests.pbx.house import House

RELOADS = ("core reload", "dialplan reload", "module reload res_pjsip.so", "manager reload")


async def test_asterisk__starts_after_the_screener__calls_are_screened() -> None:
    async with House.open(screener=False) as house:
        await house.pbx.stop()
        await house.service.spawn()
        await house.service.logged("no connection to Asterisk")
        house.pbx.spawn()
        await house.service.connected(AGAIN_S)
        await house.pbx.ready()
        async with Ear.open(house.pbx) as ear:
            assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == ""


async def test_asterisk__killed_or_stopped_and_started_again__calls_are_screened_again() -> None:
    async with House.open() as house:
        for end in (house.pbx.kill, house.pbx.stop):
            call = await house.call(somebody())
            phone = await house.answered()
            if ended := end():
                await ended
            house.pbx.spawn()
            await house.pbx.ready()
            async with Ear.open(house.pbx) as ear:
                # The first one rings at once, be it screened or not.
                assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] in ("", "away")
                await screened_again(house, ear)
            call.hangup()
            phone.hangup()
        assert house.service.process is not None
        assert house.service.process.returncode is None


async def test_asterisk__reloads_in_mid_decision__verdict_arrives_as_usual() -> None:
    patient = {"globals_": "SCREENER_DEADLINE_MS=8000"}
    async with House.open(pbx=patient) as house, Ear.open(house.pbx) as ear:
        assert house.service.process is not None
        for command in RELOADS:
            number = somebody()
            with stopped(house.service.process.pid):
                waiting = asyncio.create_task(reaches_us(house, ear, AGAIN_S, number))
                await ear.asked(number)
                await house.pbx.cli(command)
                assert not waiting.done()
            assert (await waiting)["Missed"] == "", command
            assert (await house.ended(number=number)).verdict["action"] == "allow"


async def test_asterisk__still_loading__heartbeat_is_refused_for_now() -> None:
    async with House.open(screener=False) as house, Ear.open(house.pbx) as ear:
        await house.pbx.cli("module unload func_global.so")
        await house.service.spawn()
        await house.service.logged("no connection to Asterisk")
        await house.pbx.cli("module load func_global.so")
        await house.service.connected(AGAIN_S)
        assert (await reaches_us(house, ear, AT_ONCE_S))["Missed"] == ""
