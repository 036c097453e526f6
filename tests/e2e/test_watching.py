"""What watches the service, on a real Asterisk: counters are the calls placed, faults show, nobody waits."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.pbx import sound
from tests.pbx.faults import AGAIN_S, LOADED_S, Ear, Line, brief, reaches_us, somebody, stopped, store_pid
from tests.pbx.house import House
from tests.scrape import ON, PACKAGING, Samples, address, page, queries, scraped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.pbx

ROBOT = "+8613700137000"
HOSTILE = 'x",action="allow"} 1\nscreener_evil{a="'
SITE = {
    "rules/own.yaml": "group: own\ndescription: ours\nenabled: true\nmax_score: 9\nrules:\n"
    "  TRIED: {score: 9, shadow: true, when: called.did == '100', because: tried}\n",
    "profiles.yaml": "profiles:\n  desk: {description: the desk, did: ['102'], actions: {challenge: 5}}\n",
    "feeds.yaml": "feeds:\n  fr-telemarketing: {enabled: true}\n",
}
NOTICED_S = 1.0 + 2.0 + LOADED_S
"""A peer that is silent: the pause between two heartbeats, and what a ping may take."""
SLOW = 40
"""Connections that never end their request: more than are let in at once."""
CALLS = 20


async def becomes(where: str, path: str, expected: tuple[int, str], within: float) -> None:
    """Wait until a page says this."""
    said = (0, "")
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            while (said := await page(where, path)) != expected:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
    assert said == expected


async def until(where: str, enough: Callable[[Samples], Any], within: float = 15) -> Samples:
    """Wait until the metrics are so."""
    async with asyncio.timeout(within):
        while not enough(found := await scraped(where)):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
    return found


@asynccontextmanager
async def watched(site: dict[str, str] | None = None, **how: Any) -> AsyncIterator[tuple[House, str]]:
    """A house whose service is watched, and where."""
    async with House.open(site, metrics=ON, **how) as house:
        house.pbx.spool.mkdir(mode=0o700, exist_ok=True)
        yield house, await address(house.service)


async def a_story(house: House) -> None:
    """Three calls that ring, a person who presses the keys, a robot that is recorded, a message."""
    for name in ("", HOSTILE.replace("\n", " ").replace('"', r"\"")):
        call = await house.call(somebody(), name=name)
        await house.answered()
        call.hangup()
    call = await house.withheld("102")  # under its profile that is not enough for a challenge
    await house.answered()
    call.hangup()
    call = await house.withheld("101")
    await house.obeys(call)
    phone = await house.answered()
    await phone.say(sound.tone(0.5))  # a hangup at once would come before the two are put together
    call.hangup()
    call = await house.call(ROBOT, "101")
    await house.hears(call, "greeting")
    await call.say(sound.speech("Press one now to hear more.", "en-gb"))
    call.hangup()
    assert await house.caller.message("100", b"hello", somebody()) == 202


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_metrics__a_story_of_calls__are_what_was_placed_and_every_query_finds_its_metrics() -> None:
    notify: dict[str, Any] = {"urls": ["json://127.0.0.1:9/"], "events": ["recorded"]}
    async with watched(SITE, notify=notify) as (house, where):
        brief(house.pbx, "notice", "greeting")
        for command in (("list", "add", "block", ROBOT), ("feed", "refresh", "fr-telemarketing")):
            code, output = await house.service.command(*command)
            assert code == 0, output
        await a_story(house)
        seen = await until(
            where,
            lambda now: (
                now.of("screener_calls_total") == 5
                and now.of("screener_recordings_total") == 2
                and now.of("screener_messages_total") == 1
                and now.of("screener_queue_length", queue="notifications") == 0
            ),
        )
        assert seen.by("screener_calls_total", "disposition") == {"answered": 4, "recorded": 1}
        setup = {
            action: seen.of("screener_verdicts_total", stage="setup", action=action)
            for action in ("allow", "challenge", "voicemail", "reject")
        }
        assert setup == {"allow": 3, "challenge": 1, "voicemail": 1, "reject": 0}
        assert seen.of("screener_verdicts_total", stage="challenge", action="allow") == 1
        assert seen.by("screener_challenges_total", "outcome") == {"passed": 1}
        assert seen.by("screener_answers_total", "reached") == {"sent": 7}
        assert seen.by("screener_messages_total", "status") == {"delivered": 1}
        assert seen.by("screener_profile_verdicts_total", "profile") == {"desk": 1}
        assert seen.by("screener_symbol_shadow_hits_total", "symbol") == {"TRIED": 2}
        assert seen.by("screener_symbol_would_change_total", "symbol") == {"TRIED": 2}
        hits = seen.by("screener_symbol_hits_total", "symbol")
        assert (hits["BLOCKLISTED"], hits["WITHHELD"]) == (1, 3)
        assert seen.of("screener_delay_seconds_count", phase="total") == 5
        assert seen.of("screener_delay_seconds_count", phase="judge") == 6
        assert seen.of("screener_calls_unscreened_total") == 0
        assert seen.of("screener_feed_entries", feed="fr-telemarketing")
        said = " ".join(str(one) for one in seen.every)
        assert not [one for one in ("evil", ROBOT[1:], "137000", "+86") if one in said]

        asked = queries(json.loads((PACKAGING / "grafana/screener.json").read_text()))
        asked += queries(yaml.safe_load((PACKAGING / "prometheus/alerts.yaml").read_text()))
        assert len(asked) > 60
        assert {query: lacks for query in asked if (lacks := seen.lacks(query))} == {}

        code, told = await house.service.command("status")
        assert code == 0
        assert "4 answered, 1 recorded" in told


async def test_ready__store_hangs__says_so_and_is_ready_again() -> None:
    async with watched() as (house, where):
        await becomes(where, "/ready", (200, "ready\n"), 5)
        with stopped(store_pid(house.service)):
            await becomes(where, "/ready", (503, "not ready: store\n"), 5)
            seen = await scraped(where)
            assert (seen.of("screener_store_up"), seen.of("screener_ready")) == (0, 0)
            assert (await page(where, "/healthy"))[0] == 200
        await becomes(where, "/ready", (200, "ready\n"), AGAIN_S)
        os.kill(store_pid(house.service), 9)
        await until(where, lambda now: now.of("screener_store_restarts_total") == 1)
        await becomes(where, "/ready", (200, "ready\n"), AGAIN_S)


async def test_ready__line_to_asterisk_is_silent_or_cut__says_so_within_the_heartbeat() -> None:
    async with House.open(screener=False) as house, Line.open(house.pbx) as line:
        house.service.settings |= {"metrics": ON}
        house.service.settings["ami"]["port"] = line.port
        await house.service.start()
        where = await address(house.service)
        await becomes(where, "/ready", (200, "ready\n"), 5)
        line.hold()
        await becomes(where, "/ready", (503, "not ready: asterisk\n"), NOTICED_S)
        assert (await scraped(where)).of("screener_ami_connected") == 0
        line.release()
        await becomes(where, "/ready", (200, "ready\n"), AGAIN_S)
        line.cut()
        reconnected = await until(where, lambda now: (now.of("screener_ami_reconnects_total") or 0) >= 2)
        assert reconnected.of("screener_ready") == 1


async def test_ready__ledger_cannot_be_written__says_so() -> None:
    async with watched() as (house, where):
        await becomes(where, "/ready", (200, "ready\n"), 5)

        with sqlite3.connect(house.service.state / "ledger.db", isolation_level=None) as db:
            db.execute("BEGIN IMMEDIATE")
            (await house.call(somebody())).hangup()
            await becomes(where, "/ready", (503, "not ready: ledger\n"), 10)
            assert ((await scraped(where)).of("screener_ledger_lag_seconds") or 0) > 0
            db.execute("ROLLBACK")
        await becomes(where, "/ready", (200, "ready\n"), 10)


async def test_pages__visitors_that_never_end_and_floods__no_call_is_late_and_others_are_answered() -> None:
    async with watched() as (house, where), Ear.open(house.pbx) as ear, AsyncExitStack() as stack:
        host, _, port = where.rpartition(":")

        async def slow() -> None:
            with suppress(OSError):
                while True:
                    _, writer = await asyncio.open_connection(host, int(port))
                    stack.callback(writer.close)
                    for byte in b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 200:
                        writer.write(bytes((byte,)))
                        await asyncio.sleep(0.2)

        async def flood() -> None:
            while True:
                with suppress(OSError, IndexError, TimeoutError):
                    await page(where, "/metrics", within=5)

        beside = [asyncio.create_task(one()) for one in [slow] * SLOW + [flood] * 4]
        try:
            for _ in range(CALLS):
                assert (await reaches_us(house, ear, LOADED_S + 0.5))["Missed"] == ""
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        seen = await until(where, lambda now: now.of("screener_calls_total") == CALLS)
        assert seen.of("screener_calls_unscreened_total") == 0
        assert (seen.of("process_open_fds") or 0) < 100


async def test_metrics__address_in_use__is_an_error_in_the_log_and_calls_are_screened() -> None:
    async with (
        watched() as (first, where),
        House.open(metrics={"listen": where}) as second,
        Ear.open(second.pbx) as ear,
    ):
        assert first.service.process
        line = await second.service.logged("no metrics and no probes")
        assert line["level"] == "error"
        assert where.rpartition(":")[2] in line["reason"]
        assert (await reaches_us(second, ear, LOADED_S))["Missed"] == ""
