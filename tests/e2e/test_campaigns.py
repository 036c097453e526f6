"""A robot is known by its voice: the same recording from another number, and that number's next call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.pbx import sound
from tests.pbx.house import COLLECTOR, STRANGER, House

if TYPE_CHECKING:
    from collections.abc import Mapping

    from screener.ledger import CallRecord

WARRANTY = (
    "We have been trying to reach you about the warranty of your car. It is about to expire, and this is "
    "the last courtesy call before we close your file. Press one to speak to an agent. Your vehicle is no "
    "longer covered by the maker, and you would have to pay for every repair out of your own pocket."
)


def campaign(record: CallRecord) -> Mapping[str, Any]:
    return next((row.body for row in record.rows if row.kind == "campaign"), {})


async def robot_calls(house: House, number: str) -> CallRecord:
    """A robot on the block list begins to speak when it is answered, and hangs up when it has finished."""
    code, output = await house.service.command("list", "add", "block", number)
    assert code == 0, output
    call = await house.call(number)
    await house.hears(call, "notice")
    await call.say(sound.speech(WARRANTY))
    call.hangup()
    return await house.service.record(lambda one: one.end.get("number") == number and campaign(one), 20)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_recording__from_a_second_number__is_known_before_its_next_call_speaks() -> None:
    async with House.open() as house:
        first = campaign(await robot_calls(house, STRANGER))
        assert (first.get("campaign"), first.get("calls"), first.get("callers")) == (1, 1, 1), first
        assert first["monologue_s"] > 12
        second = campaign(await robot_calls(house, COLLECTOR))
        assert (second["campaign"], second["calls"], second["callers"]) == (1, 2, 2)
        assert second["from_new_number"]
        assert second["recognised_s"] is None
        await house.service.logged("the same recording was heard before", campaign=1, callers=2)

        code, output = await house.service.command("campaigns")
        assert code == 0, output
        assert output.splitlines()[1].split()[:4] == ["1", "2", "2", "2"]

        live = campaign(await robot_calls(house, "+8613800139999"))
        # Asterisk writes the file in pieces of 32 kB, which are 2.05 s.
        # Asterisk writes the file in pieces of 32 kB, which are 2.05 s.
        assert live["recognised_s"] <= 12.3
        await house.service.logged("a known campaign speaks", campaign=1)

        await house.service.command("list", "remove", "block", COLLECTOR)
        call = await house.call(COLLECTOR)
        await house.hears_key(call)
        call.hangup()
        third = await house.service.record(lambda one: one.setup.get("action") == "challenge")
        assert "KNOWN_CAMPAIGN" in [hit["symbol"] for hit in third.setup["hits"]]
        assert third.facts["campaign.callers"] == 3
        assert house.silent
