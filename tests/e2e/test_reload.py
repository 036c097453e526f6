"""A policy changed while calls are being screened, on a real Asterisk."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest

from tests.pbx.house import FRIEND, House

RULE = """\
group: own
description: a rule of this house
enabled: true
max_score: 20
rules:
  ODD_NUMBER:
    score: {score}
    when: caller.national.endsWith("5678")
    because: ends with 5678
"""


async def test_reload__rule_file_changed__decides_the_next_call() -> None:
    async with House.open() as house:
        (await house.call(FRIEND)).hangup()
        assert (await house.ended(number=FRIEND)).verdict["action"] == "allow"
        house.service.files["rules/own.yaml"] = RULE.format(score=9)
        house.service.write()
        line = await house.service.logged("policy reloaded")
        await house.call(FRIEND)
        record = await house.service.record(lambda one: one.verdict.get("action") == "voicemail")
        assert record.verdict["policy"] == line["policy"]


async def test_reload__bad_file__old_policy_decides_and_status_says_why() -> None:
    async with House.open({"rules/own.yaml": RULE.format(score=9)}) as house:
        house.service.files["rules/own.yaml"] = RULE.format(score=0).replace("national", "nationl")
        house.service.write()
        await house.service.logged("the changed configuration has mistakes")
        await house.call(FRIEND)
        await house.service.record(lambda one: one.verdict.get("action") == "voicemail")
        code, told = await house.service.command("status")
        assert code == 0, told
        assert "own.yaml:8:11: rules.ODD_NUMBER.when: unknown fact caller.nationl" in told
        assert "1 voicemail" in told
        code, told = await house.service.command("reload")
        assert code == 2
        assert "own.yaml:8:11" in told
        house.service.files["rules/own.yaml"] = RULE.format(score=1)
        house.service.write()
        code, told = await house.service.command("reload")
        assert (code, "is in force" in told) == (0, True), told
        code, told = await house.service.command("status", "--json")
        status = json.loads(told)
        assert (status["problems"], status["store"]["reachable"]) == ([], True)
        assert status["pbxs"][""]["ami"]["connected_since"]
        assert status["rules"]["ODD_NUMBER"]["hits"] == 1


async def test_profile__of_the_called_number__judges_its_calls_alone() -> None:
    profile = "profiles:\n  desk: {description: the desk, did: ['100'], actions: {challenge: 5}}\n"
    async with House.open({"profiles.yaml": profile}) as house:
        await house.withheld()
        await house.rings()
        record = await house.service.record(lambda one: bool(one.verdict))
        assert (record.verdict["action"], record.verdict["profile"]) == ("allow", "desk")


@pytest.mark.slow
async def test_reload__signals_during_calls__lose_none() -> None:
    async with House.open() as house:

        async def calls() -> None:
            for one in range(30):  # each caller once, or their attempts would count
                call = await house.call(f"+86139{one:04}5678")
                await house.rings()
                call.hangup()

        async def reloads() -> None:
            for score in range(15):
                house.service.files["rules/own.yaml"] = RULE.format(score=score / 10)
                house.service.write()
                house.service.signal(signal.SIGHUP)
                await asyncio.sleep(0.1)

        await asyncio.gather(calls(), reloads())
        async with asyncio.timeout(15):
            while len(records := [one for one in house.service.calls(limit=100) if one.end]) < 30:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert [one.end["missed"] for one in records] == [""] * 30
        assert len({one.verdict["policy"] for one in records}) > 1
        _, told = await house.service.command("status", "--json")
        assert json.loads(told)["verdicts"] == {"setup": {"allow": 30}}
