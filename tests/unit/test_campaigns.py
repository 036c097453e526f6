"""Campaigns in a real Valkey: who spoke a recording, what is known of the next call, what is forgotten."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from screener import listening
from screener.errors import NoSuchCampaign
from screener.state import Campaign, Campaigns, Learning, State, campaigns
from screener.state.asking import CAMPAIGNS_KEY
from tests.valkey import connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.commandline import Command

NOON = 1_760_011_200
DAY = 86_400
A, A_NEAR, B = "+8617712345678", "+8617712341111", "+8613800138000"
PRINT = bytes(range(256)) * 10


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Campaigns]:
    store = Campaigns(store_url)
    yield store
    await store.close()


async def heard(store: Campaigns, known: int | None, caller: str, at: float = NOON) -> Campaign:
    return await store.hear(known, PRINT, caller, caller[:-4], at=at)


async def facts(url: str, caller: str) -> dict[str, Any]:
    state = State(url)
    try:
        observed = await state.observe(caller, "+861012345678", "1.1", at=NOON)
    finally:
        await state.close()
    assert observed.missing is None
    return {name: value for name, value in observed.facts.items() if name.startswith("campaign.")}


async def test_hear__first_number__proves_nothing(store: Campaigns) -> None:
    one = await heard(store, None, A)
    assert one == Campaign(1, calls=1, callers=1, blocks=1, first=NOON, last=NOON)
    assert not one.known


async def test_hear__same_number_again__is_no_campaign(store: Campaigns) -> None:
    await heard(store, None, A)
    again = await heard(store, 1, A, NOON + 60)
    assert (again.calls, again.callers, again.last, again.known) == (2, 1, NOON + 60, False)


async def test_hear__second_number__is_a_campaign(store: Campaigns) -> None:
    await heard(store, None, A)
    await heard(store, 1, A_NEAR)
    one = await heard(store, 1, B)
    assert (one.calls, one.callers, one.blocks, one.known) == (3, 3, 2, True)


async def test_hear__withheld_numbers__count_as_one(store: Campaigns) -> None:
    await heard(store, None, "")
    await heard(store, 1, "")
    assert (await heard(store, 1, B)).callers == 2


async def test_hear__ids_that_begin_alike__are_kept_apart(store: Campaigns) -> None:
    for _ in range(12):
        await heard(store, None, A)
    await heard(store, 12, B)
    assert [one.callers for one in await store.find([1, 11, 12])] == [1, 1, 2]


async def test_hear__forgotten_meanwhile__begins_anew(store: Campaigns) -> None:
    assert (await heard(store, 77, A)).id == 1


async def test_hear__many_callers__are_bounded(store: Campaigns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "MAX_CALLERS", 3)
    for last in range(6):
        one = await heard(store, 1, f"+861771234567{last}")
    assert (one.calls, one.callers) == (6, 3)


async def test_observe__number_that_spoke_it__is_known_before_it_speaks(
    store: Campaigns, store_url: str
) -> None:
    await heard(store, None, A)
    await heard(store, 1, B)
    await store.name(1, "the warranty")
    await store.judge(1, "robocall")
    assert await facts(store_url, B) == {
        "campaign.id": "1",
        "campaign.calls": 2,
        "campaign.callers": 2,
        "campaign.name": "the warranty",
        "campaign.verdict": "robocall",
    }


async def test_observe__block_that_spoke_it__is_known_from_the_second_number_on(
    store: Campaigns, store_url: str
) -> None:
    stranger = "+8617712340000"
    await heard(store, None, A)
    await heard(store, 1, B)
    assert (await facts(store_url, stranger))["campaign.id"] == ""
    await heard(store, 1, A_NEAR)
    assert (await facts(store_url, stranger))["campaign.id"] == "1"
    assert (await facts(store_url, "+8617700000000"))["campaign.id"] == ""


async def test_observe__short_number_that_spoke_it__says_nothing_of_longer_ones(
    store: Campaigns, store_url: str
) -> None:
    await heard(store, None, "+4930123456")
    assert (await facts(store_url, "+49301234567890"))["campaign.id"] == ""


async def test_observe__campaign_that_was_forgotten__is_unknown(store: Campaigns, store_url: str) -> None:
    await heard(store, None, A)
    await store.forget(1)
    assert (await facts(store_url, A))["campaign.calls"] == 0
    assert await store.all() == []


async def test_prints__another_screener_added_and_forgot__is_seen(store: Campaigns, store_url: str) -> None:
    await heard(store, None, A)
    await heard(store, None, B)
    assert await store.prints({}) == ({1: PRINT, 2: PRINT}, {1, 2})
    await store.forget(1)
    assert await store.prints({1: 0, 2: 0}) == ({}, {2})


async def test_hear__after_ninety_days__only_named_ones_are_left(store: Campaigns) -> None:
    for _ in range(4):
        await heard(store, None, A)
    await heard(store, 2, B)
    await store.name(3, "a school")
    await store.judge(4, "harmless")
    await heard(store, None, A, NOON + 31 * DAY)
    assert [one.id for one in await store.all()] == [2, 3, 4, 5]
    await heard(store, None, A, NOON + 91 * DAY)
    assert [one.id for one in await store.all()] == [3, 4, 6]


async def test_hear__flood_of_messages__drives_out_no_campaign(
    store: Campaigns, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "MAX_CAMPAIGNS", 5)
    await heard(store, None, A)
    await heard(store, 1, B)
    for later in range(20):
        await heard(store, None, A, NOON + later)
    assert [one.id for one in await store.all()] == [1, 18, 19, 20, 21]
    async with connected(store_url) as client:
        assert await client.hlen(CAMPAIGNS_KEY) == 5 * 5
        assert await client.zcard(campaigns._CALLERS) == 6


@pytest.mark.parametrize("distractor", ["single", "harmless"])
async def test_observe__campaign_that_counts_against_him__is_not_shaken_off_by_another_recording(
    store: Campaigns, store_url: str, distractor: str
) -> None:
    await heard(store, None, A)
    await heard(store, 1, A_NEAR)
    if distractor == "harmless":
        await heard(store, None, B)
        await store.judge(2, "harmless")
    for caller in (A, A_NEAR):
        await heard(store, 2 if distractor == "harmless" else None, caller)
        assert (await facts(store_url, caller))["campaign.id"] == "1"
    assert (await facts(store_url, "+8617712340000"))["campaign.id"] == "1"
    await store.judge(1, "harmless")
    newest = await heard(store, None, A)
    assert (await facts(store_url, A))["campaign.id"] == str(newest.id)


async def test_hear__screener_without_a_clock_of_its_own__goes_by_that_of_the_store(store: Campaigns) -> None:
    one = await store.hear(None, PRINT, A, "")
    assert abs(one.last - time.time()) < 60
    assert one.first == one.last


async def test_forget_a_number__that_spoke_a_campaign__is_not_known_for_it(
    store: Campaigns, store_url: str
) -> None:
    await heard(store, None, A)
    await heard(store, 1, B)
    learning = Learning(store_url, 90)
    assert await learning.forget(A)
    await learning.close()
    assert [(await facts(store_url, caller))["campaign.id"] for caller in (A, B)] == ["", "1"]


@pytest.mark.parametrize("do", ["name", "judge", "forget"])
async def test_command__no_such_campaign__is_refused(store: Campaigns, do: str) -> None:
    with pytest.raises(NoSuchCampaign, match="no campaign 7"):
        await {
            "name": lambda: store.name(7, "x"),
            "judge": lambda: store.judge(7, "harmless"),
            "forget": lambda: store.forget(7),
        }[do]()


async def test_find__nonsense_in_the_store__counts_as_nothing(store: Campaigns, store_url: str) -> None:
    await heard(store, None, A)
    async with connected(store_url) as client:
        await client.hset(CAMPAIGNS_KEY, mapping={"1:calls": "many", "1:verdict": "\x1b[2J"})
    assert await store.find([1, 9]) == [Campaign(1, 0, 1, 1, NOON, NOON), Campaign(9)]
    assert (await facts(store_url, A))["campaign.calls"] == 0


async def test_name__hostile_text__is_made_harmless(store: Campaigns) -> None:
    await heard(store, None, A)
    await store.name(1, "war\x1b[31m\nranty" + "x" * 500)
    found = (await store.find([1]))[0].name
    assert found.isprintable()
    assert len(found) <= 64


def test_commands__name_judge_and_forget__do_what_they_say(
    command: Command, tmp_path: Path, store_url: str
) -> None:
    (tmp_path / "screener.yaml").write_text(f'redis:\n  url: "{store_url}"\n')

    async def hear() -> None:
        store = Campaigns(store_url)
        await heard(store, None, A)
        await heard(store, None, A)
        await heard(store, 1, B)
        await store.close()

    asyncio.run(hear())
    site = ("--config", tmp_path)
    shown = command("campaigns", *site).out.splitlines()
    assert [line.split()[:4] for line in shown] == [
        ["id", "calls", "numbers", "blocks"],
        ["1", "2", "2", "2"],
    ]
    assert len(command("campaigns", "--all", *site).out.splitlines()) == 3
    assert command("campaigns", "name", "1", "the warranty", *site).code == 0
    nameless = command("campaigns", "name", "1", " \t\x1b", *site)
    assert (nameless.code, "a name has letters" in nameless.err) == (2, True)
    assert command("campaigns", "harmless", "1", *site).code == 0
    assert "harmless  the warranty" in command("campaigns", *site).out
    assert command("campaigns", "robocall", "1", *site).code == 0
    assert command("campaigns", "forget", "1", *site).out == "campaign 1 is forgotten\n"
    gone = command("campaigns", "forget", "1", *site)
    assert (gone.code, gone.err) == (1, "there is no campaign 1; `screener campaigns --all` lists them\n")


def test_commands__without_the_extra__say_why_there_are_none(
    command: Command, tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "screener.yaml").write_text(f'redis:\n  url: "{store_url}"\n')
    assert "not installed" not in command("campaigns", "--config", tmp_path).out
    monkeypatch.setattr(listening, "INSTALLED", False)
    assert "the extra audio is not installed" in command("campaigns", "--config", tmp_path).out
