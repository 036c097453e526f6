"""The imagined callers: what holds for each class, whatever the seed."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from screener import number
from screener.simulation import (
    ATTACKERS,
    KINDS,
    ORDINARY,
    PLANS,
    Attempt,
    Awaiting,
    Complaint,
    Dialling,
    as_it_rings,
    history,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commandline import Command

ZONE = ZoneInfo("Asia/Shanghai")


def of(seed: int, region: str, *kinds: str) -> list[Attempt]:
    return [one for one in history(seed, region, ZONE, kinds) if isinstance(one, Attempt)]


@pytest.mark.parametrize("region", PLANS)
def test_history__of_one_seed__is_the_same_in_the_order_of_time(region: str) -> None:
    first = history(7, region, ZONE)
    assert first == history(7, region, ZONE)
    assert first != history(8, region, ZONE)
    assert [one.at for one in first] == sorted(one.at for one in first)
    assert {one.kind for one in first if isinstance(one, Attempt)} == set(KINDS)
    assert any(isinstance(one, Dialling) for one in first)


def test_history__a_class_left_out__changes_no_other() -> None:
    whole = [one for one in of(7, "CN", *KINDS) if one.kind == "courier"]
    assert whole == of(7, "CN", "courier")


@pytest.mark.parametrize("region", PLANS)
@pytest.mark.parametrize("kind", KINDS)
def test_history__of_a_class__calls_our_numbers_from_numbers_that_exist(kind: str, region: str) -> None:
    for seed in range(2):
        for one in of(seed, region, kind):
            assert number.parse(one.did, region).e164
            assert (
                kind == "forged numbers"
                or one.number == "anonymous"
                or number.parse(one.number, region).valid
            )
            assert one.patience_s > 0
            assert one.rings_s <= one.patience_s
            assert min(one.talk_s, one.stays_s) >= 0


def test_history__attackers__seldom_are_people_and_ordinary_callers_can_be_machines() -> None:
    people = Counter[str]()
    for seed in range(3):
        people.update(one.kind for one in of(seed, "CN", *KINDS) if one.person)
    agents = {"predictive dialler", "collector China", "service-line sales"}
    assert {kind for kind in ATTACKERS if people[kind]} == agents
    machines = {kind for kind in ORDINARY if not people[kind]}
    assert machines == {"school broadcast", "pharmacy reminder", "one-time password"}


def test_as_it_rings__an_errand_that_is_done__is_not_tried_again() -> None:
    heard = [one for one in as_it_rings(history(7, "CN", ZONE)) if isinstance(one, Attempt) and one.errand]
    answered = Counter(one.errand for one in heard if one.answered)
    assert answered
    assert set(answered.values()) == {1}
    last = {one.errand: one for one in heard}
    assert all(last[errand].answered for errand in answered)


@pytest.mark.parametrize("seed", range(10))
def test_collector__within_reg_f__makes_seven_calls_in_any_seven_days_at_most(seed: int) -> None:
    calls = of(seed, "US", "collector Reg F")
    for first in calls:
        assert sum(first.at <= one.at < first.at + timedelta(days=7) for one in calls) <= 7
    assert len({one.did for one in calls}) == 1


def test_simulate__as_csv__is_replayed_call_by_call(command: Command, tmp_path: Path) -> None:
    source = tmp_path / "Master.csv"
    source.write_text(command("simulate", "--seed", "3", "--only", "courier", "--only", "sweep").out)
    (tmp_path / "screener.yaml").write_text(f"state_dir: {tmp_path}\n")
    replayed = command("replay", source, "--config", tmp_path, "--limit", "0")
    calls = list(as_it_rings(history(3, "CN", ZONE, ("courier", "sweep"))))
    assert f"\n{len(calls)} verdicts by policy" in replayed.out
    assert "unreadable" not in replayed.out


def test_simulate__as_json__says_all_of_each_call(command: Command) -> None:
    lines = command("simulate", "--format", "json", "--only", "wangiri").out.splitlines()
    first, told = of(1, "CN", "wangiri")[0], list(map(json.loads, lines))
    call = next(one for one in told if "did" in one)
    assert (call["number"], call["reaction"]["kind"]) == (first.number, "mute")
    assert any("feed" in one for one in told)


def test_simulate__unknown_class_or_country__is_refused_with_those_there_are(
    command: Command, tmp_path: Path
) -> None:
    assert "none of: mass dialler" in command("simulate", "--only", "robot").err
    (tmp_path / "screener.yaml").write_text("region: DE\n")
    refused = command("simulate", "--config", tmp_path)
    assert (refused.code, "only for CN, US" in refused.err) == (2, True)


def test_history__what_people_do_after__is_of_every_kind() -> None:
    events = [one for seed in range(1, 4) for one in history(seed, "CN", ZONE)]
    calls = [one for one in events if isinstance(one, Attempt)]
    assert {(one.listed, one.kind in ATTACKERS) for one in calls} == {
        ("", True), ("block", True), ("", False), ("allow", False),
    }  # fmt: skip
    assert {one.message for one in calls if one.kind in ATTACKERS} == {"", "deleted"}
    assert {one.message for one in calls if one.kind in ORDINARY} == {"", "kept", "deleted"}
    assert {one.judged for one in calls} == {"", "harmless", "robocall"}
    assert all(one.plays for one in calls if one.judged)
    assert any(isinstance(one, Awaiting) for one in events)


def test_history__complaints__know_about_as_many_later_calls_as_measured_blocklists() -> None:
    known = Counter[bool]()
    for seed in range(6):
        listed: set[str] = set()
        for one in history(
            seed, "CN", ZONE, ("mass dialler", "block rotation", "predictive dialler", "sweep")
        ):
            if isinstance(one, Complaint):
                listed.add(one.number)
            elif isinstance(one, Attempt):
                known[one.number in listed] += 1
    assert 0.4 < known[True] / known.total() < 0.7
