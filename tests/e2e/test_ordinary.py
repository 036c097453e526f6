"""Each class of wanted callers of the simulator, on a real Asterisk with real sound: who gets through."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from screener.simulation import ORDINARY
from tests.pbx.house import OUTSIDE
from tests.pbx.story import ABROAD, NOBODY_IN, WITHHELD, Story, before, ends, symbols

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

CLOSED = "The school is closed today."
CODE = "Your code is four seven one one."
WORRIED = (52, 47, 43, 31, 24, 9, 8)
"""Minutes ago."""
CODES = """
[from-phone]
include => screener-codes
#include screener/codes.conf
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story() -> AsyncIterator[Story]:
    async with Story.open() as opened:
        yield opened


async def test_ordinary_callers__of_the_simulator__have_a_scenario_each() -> None:
    for kind in ORDINARY.keys() - {"background"}:  # everybody else: all other tests
        beginning = f"test_{kind.lower().replace(' ', '_').replace('-', '_')}__"
        assert any(name.startswith(beginning) for name in globals()), kind


async def test_school_broadcast__of_last_week_again__reaches_four_of_us_and_is_recorded_for_the_fifth(
    story: Story,
) -> None:
    school = "+862155010001"
    await story.past(*(before(6 + n / 1440, school, f"10{n}", talk_s=30) for n in range(4)))
    lines = (story.robot(school, did, CLOSED, leaves=True) for did in ("100", "103", "106", "109"))
    calls = await asyncio.gather(*lines)
    assert ends(*calls) == ["answered"] * 4
    fifth = await story.robot(school, "112", CLOSED, leaves=True)
    assert ends(fifth) == ["recorded"]
    assert fifth.setup["action"] == "challenge"
    await story.house.service.command("list", "add", "allow", school, "--reason", "the school")
    assert ends(await story.robot(school, "115", CLOSED)) == ["answered"]


async def test_pharmacy_reminder__in_vain_and_an_hour_later_every_day__rings(story: Story) -> None:
    number, hour = "+862155020001", 1 / 24
    days = (
        (before(day + hour, number, "118"), before(day, number, "118", talk_s=40)) for day in range(1, 12)
    )
    await story.past(*itertools.chain(*days))
    call = await story.robot(number, "118", "Your prescription is ready.", leaves=True)
    assert ends(call) == ["answered"]
    assert "MANY_THIS_WEEK" in symbols(call)


async def test_courier__tries_two_of_us_in_a_hurry__rings_each_time(story: Story) -> None:
    number = "+8613855030001"
    await story.past(*(before(day, number, "121", talk_s=40) for day in (1, 2, 3)))
    vain = [await story.in_vain(number, did) for did in ("201", "201", "205")]
    assert ends(*vain, await story.person(number, "205")) == ["unanswered"] * 3 + ["answered"]


async def test_hospital_call_back__with_the_switchboard_s_number_or_none__gets_through(story: Story) -> None:
    shown = [await story.in_vain("+862155040001", "208") for _ in range(3)]
    assert {call.setup["action"] for call in shown} == {"allow"}
    hidden = await story.person(WITHHELD, "208")
    assert (hidden.setup["action"], hidden.end["challenge"], *ends(hidden)) == (
        "challenge", "passed", "answered",
    )  # fmt: skip


async def test_emergency_call_back__withheld_again_and_again__rings_without_a_key() -> None:
    talkative = {"format": "json", "level": "debug"}
    async with Story.open(extra=NOBODY_IN + OUTSIDE, log=talkative) as story:
        (await story.house.dials("120")).hangup()
        await story.house.service.logged("learned", caller="120")
        vain = [await story.in_vain(WITHHELD, "211") for _ in range(2)]
        back = await story.person(WITHHELD, "211")
        assert {call.setup["action"] for call in (*vain, back)} == {"allow"}
        assert {"WITHHELD", "EXPECTING_CODE"} <= symbols(back)
        shown = await story.person("120", "214")
        assert (shown.setup["action"], *ends(shown)) == ("allow", "answered")


async def test_b2b_call_centre__new_desks_of_one_block__are_asked_from_the_fourth_on_and_get_through(
    story: Story,
) -> None:
    known, new = ([f"+862155{kind}000{n}" for n in range(1, 6)] for kind in ("06", "07"))
    await story.past(*(before(2, number, "124", talk_s=90) for number in known))
    calls = [await story.person(number, "124") for number in (known[0], *new[:3])]
    assert {call.setup["action"] for call in calls} == {"allow"}
    asked = await asyncio.gather(story.person(new[3], "124"), story.person(known[1], "127"))
    assert [call.setup["action"] for call in asked] == ["challenge", "allow"]
    assert ends(*asked) == ["answered"] * 2
    assert "BLOCK_ROTATION" in symbols(asked[0])


async def test_one_time_password__withheld__rings_in_the_ten_minutes_after_the_star_code() -> None:
    async with Story.open(extra=NOBODY_IN + CODES) as story:
        early = await story.robot(WITHHELD, "100", CODE)
        assert ends(early) == ["recorded"]
        dialled = await story.house.dial("*56")
        await story.house.hears(dialled, "code-expecting")
        await asyncio.wait_for(dialled.ended.wait(), 10)
        awaited = await story.robot(WITHHELD, "100", CODE, leaves=True)
        assert ends(awaited) == ["answered"]
        assert {"WITHHELD", "EXPECTING_CODE"} <= symbols(awaited)
        await story.house.service.command("list", "add", "block", "+8613800138000", "--reason", "robocalls")
        assert ends(await story.robot("+8613800138000", "103")) == ["recorded"]


async def test_worried_family__nine_tries_within_the_hour__rings_each_time(story: Story) -> None:
    mother, stranger = "+8613855080001", "+8613855090001"
    await story.past(*(before(days, mother, "130", talk_s=300) for days in (3, 9)))
    await story.past(*(before(minutes / 1440, mother, "217") for minutes in WORRIED))
    tries = [await story.in_vain(mother, did) for did in ("217", "220")]
    reached = await story.person(mother, "220")
    assert {call.setup["action"] for call in (*tries, reached)} == {"allow"}
    assert "KNOWN_CALLER" in symbols(reached)
    # Somebody whom nobody knows is asked for a key at the eighth try, and gets through with it.
    await story.past(*(before(minutes / 1440, stranger, "223") for minutes in WORRIED))
    asked = await story.person(stranger, "223")
    assert "UNANSWERED_TODAY" in symbols(asked)
    assert ends(asked) == ["answered"]


async def test_hunt_group__passes_a_stranger_along_a_row_of_ours__gets_through_with_a_key(
    story: Story,
) -> None:
    number = "+8613855110001"
    vain = [await story.in_vain(number, "230")]
    vain += [
        await story.in_vain(number, did, headers="Diversion: <sip:230@carrier>;reason=no-answer")
        for did in ("231", "232")
    ]
    assert {call.setup["action"] for call in vain} == {"allow"}
    fourth = await story.person(number, "233", headers="Diversion: <sip:230@carrier>;reason=no-answer")
    assert (*ends(fourth), "SWEEP" in symbols(fourth)) == ("answered", True)


async def test_elderly_caller__who_never_presses_a_key__rings_while_we_know_her_and_is_kept_otherwise(
    story: Story,
) -> None:
    number = "+862155120001"
    await story.past(*(before(1 + day / 2, number, "133", talk_s=600) for day in range(10)))
    await story.past(*(before(n / 100, number, "133") for n in range(1, 4)))
    call = await story.robot(number, "133", "Hello dear, it is me.", leaves=True)
    assert ends(call) == ["answered"]
    assert {"MANY_TODAY", "MANY_THIS_WEEK", "KNOWN_CALLER"} <= symbols(call)
    assert ends(await story.robot(WITHHELD, "136", "Hello dear, it is me.")) == ["recorded"]


async def test_public_service__calls_back_and_then_tells_five_of_us__gets_through(story: Story) -> None:
    call = await story.person("12345", "139")
    assert (call.setup["action"], *ends(call)) == ("allow", "answered")
    await story.past(*(before(n / 144, "110", f"14{n}") for n in (5, 3, 2, 1)))
    fifth = await story.person("110", "149")
    assert (*ends(fifth), "PUBLIC_SERVICE" in symbols(fifth)) == ("answered", True)


async def test_roaming_colleague__by_a_foreign_trunk__rings_and_gets_through_however_often() -> None:
    async with Story.open(trunks=ABROAD) as abroad:
        number, did = "+8613812340001", "+13105550199"
        await abroad.past(*(before(n / 240, number, did, talk_s=50) for n in (5, 2, 1)))
        fourth = await abroad.person(number, did)
        assert (*ends(fourth), "FOREIGN_TRUNK" in symbols(fourth)) == ("answered", True)
