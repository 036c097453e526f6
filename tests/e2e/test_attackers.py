"""Each class of unwanted callers of the simulator, on a real Asterisk with real sound: where calls end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from screener.simulation import ATTACKERS
from tests.pbx.story import ABROAD, WITHHELD, Story, before, ends, symbols

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

CHINESE = "您的借款已经逾期。"
ASK_STRANGERS = {"rules/velocity.yaml": "rules: {NEW_CALLER: {score: 4}}\n"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story() -> AsyncIterator[Story]:
    async with Story.open() as opened:
        yield opened


async def test_attackers__of_the_simulator__have_a_scenario_each() -> None:
    for kind in ATTACKERS:
        beginning = f"test_{kind.lower().replace(' ', '_').replace('-', '_')}__"
        assert any(name.startswith(beginning) for name in globals()), kind


async def test_mass_dialler__through_scattered_numbers_of_ours__rings_at_first_then_is_recorded(
    story: Story,
) -> None:
    number = "+8613811110001"
    calls = [await story.robot(number, did) for did in ("100", "103", "106", "109")]
    lines = await asyncio.gather(story.robot(number, "112"), story.robot(number, "115"))
    assert ends(*calls[:2], *lines) == ["answered", "answered", "recorded", "recorded"]
    assert all("DID_FANOUT" in symbols(call) for call in lines)


async def test_predictive_dialler__answers_that_hear_nothing__is_asked_for_a_key_and_the_silence_is_kept(
    story: Story,
) -> None:
    talks = await story.robot("+862155520001", "117", leaves=True)
    silent = [await story.robot("+862155520002", did, "", leaves=True) for did in ("117", "119", "117")]
    assert ends(talks, *silent) == ["answered"] * 4
    last = await story.robot("+862155520002", "119", "")
    assert ends(last) == ["recorded"]
    assert {"ABANDONS", "MANY_TODAY"} <= symbols(last)


async def test_block_rotation__a_new_number_of_the_block_each_time__the_fourth_and_fifth_are_recorded(
    story: Story,
) -> None:
    numbers = [f"+86138333300{n}7" for n in range(1, 6)]
    first = await asyncio.gather(*map(story.robot, numbers[:3], ("121", "127", "129")))
    assert ends(*first) == ["answered"] * 3
    later = await asyncio.gather(story.robot(numbers[3], "123"), story.robot(numbers[4], "125"))
    assert ends(*later) == ["recorded"] * 2
    assert all("BLOCK_ROTATION" in symbols(call) for call in later)


async def test_sweep__of_neighbouring_numbers__is_recorded_at_the_fourth(story: Story) -> None:
    number = "+8613844440001"
    calls = [await story.robot(number, did) for did in ("130", "131", "132", "133")]
    assert ends(*calls[:2], calls[3]) == ["answered", "answered", "recorded"]
    assert "SWEEP" in symbols(calls[3])


async def test_collector_reg_f__within_its_law__rings_until_its_block_is_on_the_list(story: Story) -> None:
    one, other = "+862155550001", "+862155550002"
    await story.past(*(before(days, (one, other)[days % 2], "137") for days in (1, 2, 4, 8, 9, 11, 15, 17)))
    rings = await story.robot(one, "137")
    assert ends(rings) == ["answered"]
    assert rings.setup["score"] < 4
    await story.house.service.command("list", "add", "block", "+86215555*", "--reason", "collectors")
    assert ends(await story.robot(other, "137")) == ["recorded"]


async def test_collector_china__days_of_many_calls__is_asked_for_a_key_and_speaks_into_the_voicemail(
    story: Story,
) -> None:
    number = "+8613866660001"
    ago = (*(1 + n / 40 for n in range(10)), *(2 + n / 40 for n in range(10)), 0.03, 0.02, 0.01)
    await story.past(*(before(days, number, "140") for days in ago))
    last = await story.robot(number, "140", CHINESE, "cmn")
    assert ends(last) == ["recorded"]
    assert {"MANY_TODAY", "MANY_THIS_WEEK"} <= symbols(last)
    assert ends(await story.robot("+8613866660002", "142", CHINESE, "cmn")) == ["answered"]


async def test_collector_china__with_the_variant_against_it__its_first_call_is_recorded_at_once() -> None:
    async with Story.open(variant="debt-harassment") as strict:
        call = await strict.robot("+8617712345678", "100", CHINESE, "cmn")
        assert ends(call) == ["recorded"]
        assert (call.setup["action"], "COLLECTOR_PREFIX" in symbols(call)) == ("voicemail", True)


async def test_call_bomber__every_five_minutes__is_no_longer_heard_at_the_ninth_call(story: Story) -> None:
    number = "+8613877770001"
    await story.past(*(before(5 * n / 1440, number, "160") for n in range(8, 0, -1)))
    call = await story.robot(number, "160", "")
    assert ends(call) == ["recorded"]
    assert {"CADENCE", "MANY_TODAY"} <= symbols(call)


async def test_wangiri__one_ring_at_two_of_our_numbers__does_not_ring_at_the_third(story: Story) -> None:
    calls = [await story.one_ring("+22245661234", did) for did in ("144", "147", "150")]
    assert [call.setup["action"] for call in calls] == ["allow", "allow", "challenge"]
    assert ends(*calls) == ["abandoned"] * 3
    assert "SHORT_RINGS" in symbols(calls[2])


async def test_spoofed_neighbours__of_the_called_number__ring_until_unconfirmed_or_four_of_a_block(
    story: Story,
) -> None:
    ours = "+862062345678"
    alike = [await story.robot(number, ours) for number in ("+862062341111", ours, "+862062342222")]
    assert ends(*alike) == ["answered"] * 3
    assert all("NEIGHBOUR" in symbols(call) for call in alike)
    fourth, unsure = await asyncio.gather(
        story.robot("+862062343333", ours),
        story.robot("+862062351111", "+862062352222", headers="P-Attestation-Indicator: C"),
    )
    assert ends(fourth, unsure) == ["recorded"] * 2
    assert "BLOCK_ROTATION" in symbols(fourth)
    assert "NEIGHBOUR_UNPROVEN" in symbols(unsure)


async def test_forged_numbers__too_long_of_no_country_or_none__are_recorded(story: Story) -> None:
    forged = {"152": ("0101234567890123", "INVALID_NUMBER"), "154": ("+99912345", "INVALID_NUMBER")}
    forged["156"] = WITHHELD, "WITHHELD"
    calls = await asyncio.gather(*(story.robot(number, did) for did, (number, _) in forged.items()))
    assert ends(*calls) == ["recorded"] * 3
    assert all(why in symbols(call) for call, (_, why) in zip(calls, forged.values(), strict=True))


async def test_evasive_robot__from_ever_new_numbers__rings_unless_strangers_are_asked_for_a_key(
    story: Story,
) -> None:
    rings = [await story.robot(number, "158") for number in ("+8613899991111", "+862188882222")]
    assert ends(*rings) == ["answered"] * 2
    async with Story.open(ASK_STRANGERS) as strict:
        # A star is never right, where digits are by chance in two calls of a hundred.
        presses, waits, person = await asyncio.gather(
            strict.robot("+8613812340001", "100", keys="*" * 60),
            strict.robot("+8613956780001", "101", guesses=True),
            strict.person("+8618612340001", "102"),
        )
        assert ends(presses, waits, person) == ["recorded", "recorded", "answered"]
        assert [call.setup["action"] for call in (presses, waits, person)] == ["challenge"] * 3


async def test_withheld_robot__ten_failed_challenges_on_its_trunk__is_recorded_unasked() -> None:
    async with Story.open() as alone:
        for five in (range(5), range(5, 10)):  # more at once and a busy machine drops some of their words
            guesses = [alone.robot(WITHHELD, f"10{n}", keys="*" * 60) for n in five]
            assert ends(*await asyncio.gather(*guesses)) == ["recorded"] * 5
        call = await alone.robot(WITHHELD, "110")
        assert (call.setup["action"], *ends(call)) == ("voicemail", "recorded")
        assert "WITHHELD_GUESSES" in symbols(call)


async def test_bank_impostor__with_a_bank_s_number__rings_as_who_he_is_or_is_stopped_at_the_fifth_of_ours(
    story: Story,
) -> None:
    real, bank = "+862155660001", "95588"
    asserted = f"P-Asserted-Identity: <sip:{real}@carrier>"
    unmasked = await story.robot(real, "162", sender=b"<sip:95588@127.0.0.1>", headers=asserted)
    assert (*ends(unmasked), "ASSERTED_DIFFERS" in symbols(unmasked)) == ("answered", True)
    await story.past(*(before(n / 144, bank, f"16{n}") for n in (5, 3, 2, 1)))
    fifth = await story.robot(bank, "169")
    assert (*ends(fifth), "DID_FANOUT" in symbols(fifth)) == ("recorded", True)


async def test_service_line_sales__with_a_number_that_is_called__rings_until_the_fourth_call_of_the_day(
    story: Story,
) -> None:
    assert ends(await story.robot("4008120001", "171")) == ["answered"]
    await story.past(*(before(n / 240, "+864008230001", "171") for n in (5, 2, 1)))
    fourth = await story.robot("4008230001", "171")
    assert ends(fourth) == ["recorded"]
    assert {"CALLED_ONLY_NUMBER", "MANY_TODAY"} <= symbols(fourth)


async def test_premium_lure__one_ring__is_not_heard(story: Story) -> None:
    call = await story.one_ring("16867123", "174")
    assert (call.setup["action"], *ends(call)) == ("challenge", "abandoned")
    assert "PREMIUM_CALLER" in symbols(call)


async def test_forged_at_home__by_a_foreign_trunk__rings_until_the_fourth_call_of_the_day() -> None:
    async with Story.open(trunks=ABROAD) as abroad:
        assert ends(await abroad.robot("+8613812340001", "+13105550199")) == ["answered"]
        await abroad.past(*(before(n / 240, "+8613956780001", "+13105550199") for n in (5, 2, 1)))
        fourth = await abroad.robot("+8613956780001", "+13105550199")
        assert ends(fourth) == ["recorded"]
        assert {"FOREIGN_TRUNK", "MANY_TODAY"} <= symbols(fourth)
