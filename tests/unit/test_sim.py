"""The evaluation on a few calls: that its figures are right and that it still runs."""

from __future__ import annotations

import random

import pytest

from screener.simulation import ATTACKERS, ORDINARY, Press, Reaction, history
from screener.verdict import Action
from tests.sim import tables
from tests.sim.__main__ import PAGE
from tests.sim.challenge import Challenge
from tests.sim.figures import Caught, Share, differences, moved, soon
from tests.sim.running import Trial, policy, site
from tests.sim.world import Outcome, World

ASKS = Challenge(press_s=3, digit_s=1, again_s=4, thanks_s=2, wait_s=6, digits=1)


def outcome(
    campaign: str, end: Action = Action.ALLOW, kind: str = "sweep", through_s: float = 0.0
) -> Outcome:
    return Outcome(kind, campaign, person=True, setup=end, end=end, through_s=through_s, symbols=())


@pytest.mark.parametrize(
    ("tries", "digits", "met"),
    [
        ((Press(1.0, None), None), 1, (True, 3 + 1 + 1 + 2)),
        ((Press(1.0, None, 0.5), None), 2, (True, 3 + 2 + 1 + 0.5 + 2)),
        ((None, Press(1.0, None)), 1, (True, 4 + 6 + 4 + 4 + 1 + 2)),
        ((Press(6.5, None), Press(7.0, None)), 1, (False, 4 + 6 + 4 + 4 + 6)),
        ((None, None), 1, (False, 24)),
    ],
)
def test_challenge__reactions__pass_when_and_as_soon_as_the_named_keys_are_pressed(
    tries: tuple[Press | None, Press | None], digits: int, met: tuple[bool, float]
) -> None:
    asks = Challenge(**{**{name: getattr(ASKS, name) for name in ASKS.__slots__}, "digits": digits})
    assert asks.meet(Reaction("x", tries), random.Random(1)) == met


@pytest.mark.parametrize(
    ("reaction", "share", "through_s", "monologue_s", "silent_s"),
    [
        (Reaction("mute", (None, None)), 0.0, 0.0, 0.0, 7.0),
        (Reaction("recording", (None, None), 0.0, 99.0), 1.0, 14.0, 24.0, 0.0),
        (Reaction("asks who it is", (None, None), 0.0, 3.0), 0.3, 0.0, 3.0, 7.0),
        (Reaction("person", (Press(1.0, None), None), 1.0, 1.0), 0.333, 0.0, 1.0, 2.0),
    ],
)
def test_challenge__talk__is_what_the_screener_would_hear(
    reaction: Reaction, share: float, through_s: float, monologue_s: float, silent_s: float
) -> None:
    passed, at = ASKS.meet(reaction, random.Random(1))
    wanted = (share, through_s, monologue_s, silent_s)
    assert tuple(ASKS.talk(reaction, at, passed=passed).values()) == pytest.approx(wanted)


def test_challenge__any_keys__pass_as_often_as_chance_allows() -> None:
    chance = random.Random(1)
    presses = [Press(1, f"{chance.randrange(10_000):04d}") for _ in range(4000)]
    passed = sum(ASKS.meet(Reaction("x", (one, None)), chance)[0] for one in presses)
    assert 300 < passed < 500


@pytest.mark.parametrize(
    ("part", "whole", "interval"),
    [(0, 0, (0, 100)), (0, 100, (0, 3.70)), (50, 100, (40.38, 59.62)), (100, 100, (96.30, 100))],
)
def test_share__its_interval__is_wilsons(part: int, whole: int, interval: tuple[float, float]) -> None:
    assert Share(part, whole).interval == pytest.approx(interval, abs=0.01)


def test_caught__campaigns__are_counted_by_their_own_calls_and_late_or_never_is_not_in_time() -> None:
    calls = [outcome("a"), outcome("b"), outcome("a", Action.VOICEMAIL), *[outcome("c")] * 5]
    caught = Caught.of([*calls, outcome("c", Action.REJECT), outcome("a")])
    assert caught.at == (2, None, 6)
    assert (caught.in_time, caught.quantile(0.5), caught.quantile(0.9)) == (Share(1, 3), "6", "never")


def test_soon__routed_away_or_slow__is_not_through() -> None:
    ends = [outcome("a"), outcome("a", Action.VOICEMAIL), outcome("a", through_s=10.1)]
    assert [soon(one) for one in ends] == [True, False, False]


def test_differences__of_two_policies__name_the_class_with_the_largest_change_first() -> None:
    before = [outcome("a"), outcome("a", Action.VOICEMAIL), outcome("b", Action.VOICEMAIL, kind="courier")]
    after = [outcome("a"), outcome("a"), outcome("b", Action.VOICEMAIL, kind="courier")]
    assert [text for _, text in differences(before, after)] == [
        "sweep caught by the 5th call 100.0 → 0.0",
        "sweep stopped 50.0 → 0.0",
        "sweep to the voicemail at once 50.0 → 0.0",
    ]
    assert (moved(before, after), moved(after, after)) == (1, 0)


@pytest.mark.parametrize(
    ("symbol", "symbols", "said"),
    [
        ("TRUNK_STORM", ["TRUNK_STORM"], "score 0, shown to people, and no rule builds on it"),
        ("PREMIUM_CALLER", [], "no caller here is of its kind"),
        ("BURST", ["BURST", "MANY_TODAY", "TRUSTED"], "`MANY_TODAY` counts in 100 % of them too"),
        ("BURST", ["BURST"], "it counts alone, and alone it is too little"),
        ("TRUSTED", ["TRUSTED"], "something else speaks against the caller in 0 %"),
    ],
)
def test_why_idle__a_rule_without_which_nothing_changes__says_what_covers_it(
    symbol: str, symbols: list[str], said: str
) -> None:
    calls = [outcome("a"), outcome("b")._replace(symbols=tuple(symbols))]
    assert tables.why_idle(symbol, policy("CN", Trial()).rules, calls) == said


def test_world__from_another_policys_run__is_lived_as_from_nothing(store_url: str) -> None:
    here = site("CN", "")
    calls = history(
        "3", "CN", here.settings.zone, ("courier", "collector China", "elderly caller"), campaigns=2
    )
    world = World(calls, here, store_url)
    lived = world.live(here.policy)
    assert world.live(here.policy, lived) == lived
    other = world.live(policy("CN", Trial(without="MANY_TODAY")))
    assert world.live(here.policy, other) == lived != other
    assert (
        world.live(policy("CN", Trial(without="MANY_TODAY")), lived, "MANY_TODAY").outcomes == other.outcomes
    )
    assert {one.setup for one in lived.outcomes} >= {Action.ALLOW, Action.CHALLENGE}
    assert all(one.end is not Action.CHALLENGE for one in lived.outcomes)


def test_detection_page__has_its_table__of_every_class() -> None:
    made = PAGE.read_text("utf-8")
    begin, end = tables.marks("houses")
    made = made.partition(begin)[2].partition(end)[0]
    assert made.startswith("`scripts/evaluate --seed")
    assert all(f"\n| {kind} |" in made for kind in (*ATTACKERS, *ORDINARY))
