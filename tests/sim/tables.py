"""The figures as the tables of docs/detection.md."""

from __future__ import annotations

import random
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Final

from screener.simulation import ATTACKERS, ORDINARY, attempts
from screener.verdict import Action
from tests.sim import challenge
from tests.sim.figures import (
    THROUGH_S,
    Caught,
    Share,
    at_once,
    away,
    by_kind,
    challenged,
    differences,
    moved,
    soon,
)
from tests.sim.running import Trial, fired, policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from screener.policy import Rule
    from tests.sim.running import Results
    from tests.sim.world import Outcome

DIALLERS: Final = ("mass dialler", "predictive dialler", "block rotation", "sweep")
"""What the aim of 95 % caught is about: those who dial many of our numbers by machine."""
REACTIONS: Final = (
    attempts.person, attempts.keyless, attempts.mute, attempts.recording, attempts.random_keys,
    attempts.waits_for_silence,
)  # fmt: skip
MET: Final = 10_000
SHOWN: Final = 4


def page(command: str, results: Results, compared: Results) -> str:
    """All tables."""
    shipped = of(results, Trial())
    return "\n".join(
        chain(
            [f"`{command}`: {len(results)} houses, {len(shipped)} calls that were placed.", ""],
            aims(shipped),
            unwanted(by_kind(shipped)),
            wanted(by_kind(shipped)),
            reactions(),
            variants(compared),
            left_out(compared),
        )
    )


def marks(part: str) -> tuple[str, str]:
    """Between what a part of the page stands."""
    return f"<!-- {part} -->\n", f"<!-- /{part} -->\n"


def inserted(text: str, part: str, made: str) -> str:
    """The page with one of its made parts as it should be."""
    begin, end = marks(part)
    before, _, rest = text.partition(begin)
    return f"{before}{begin}{made}\n{end}{rest.partition(end)[2]}"


def of(results: Results, trial: Trial) -> list[Outcome]:
    """The outcomes of all houses under one policy."""
    return [one for result in results for one in result[trial]]


def aims(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What was aimed at, and what is reached; whoever is in the middle of his interval does not decide it."""
    dialled = [one for one in outcomes if one.kind in DIALLERS]
    benign = [one for one in outcomes if one.kind in ORDINARY]
    people = [one for one in benign if one.person]
    robots = by_reaction()
    evasive = _stopped(robots, "random keys", "waits for silence")
    rows = (
        ("dialler campaigns caught by their 5th call", Caught.of(dialled).in_time, 95.0, False),
        ("wanted calls sent to the voicemail at once", Share.of(benign, at_once), 0.1, True),
        ("mass robots stopped by the challenge", _stopped(robots, "mute", "recording"), 97.0, False),
        ("evasive robots stopped by the challenge", evasive, 85.0, False),
        ("people through, of all who are wanted", Share.of(people, soon), 99.0, False),
        ("people through who are challenged and press keys", robots["person"][1], 99.0, False),
    )  # fmt: skip
    yield from ("| aim | is to be | is | met |", "| --- | --- | --- | --- |")
    for what, share, aim, below in rows:
        met = share.percent <= aim if below else share.percent >= aim
        yield f"| {what} | {'≤' if below else '≥'} {aim:g} % | {share} % | {'yes' if met else '**no**'} |"
    yield ""


def unwanted(kinds: dict[str, list[Outcome]]) -> Iterator[str]:
    """Who ought to be caught."""
    yield (
        "| unwanted callers | campaigns | calls | caught by the 5th call, % | caught at call: median | 90 % "
        "| to the voicemail at once, % | challenged, % | did not ring, % |"
    )
    yield "|" + " --- |" * 9
    for kind in ATTACKERS:
        calls, caught = kinds[kind], Caught.of(kinds[kind])
        yield (
            f"| {kind} | {len(caught.at)} | {len(calls)} | {caught.in_time} | {caught.quantile(0.5)} "
            f"| {caught.quantile(0.9)} | {Share.of(calls, at_once)} | {Share.of(calls, challenged)} "
            f"| {Share.of(calls, away)} |"
        )
    yield ""


def wanted(kinds: dict[str, list[Outcome]]) -> Iterator[str]:
    """Who ought to ring."""
    yield (
        "| wanted callers | calls | to the voicemail at once, % | challenged, % | did not ring in the end, % "
        f"| people through within {THROUGH_S:g} s, % |"
    )
    yield "|" + " --- |" * 6
    for kind in ORDINARY:
        calls = kinds[kind]
        people = Share.of([one for one in calls if one.person], soon)
        yield (
            f"| {kind} | {len(calls)} | {Share.of(calls, at_once)} | {Share.of(calls, challenged)} "
            f"| {Share.of(calls, away)} | {people} |"
        )
    yield ""


def by_reaction() -> dict[str, tuple[Share, Share]]:
    """For each way to react to the challenge: who passes, and who passes in time."""
    found = {}
    for make in REACTIONS:
        chance = random.Random(make.__name__)
        met = [(made := make(chance), challenge.shipped().meet(made, chance)) for _ in range(MET)]
        passed = [seconds for _, (through, seconds) in met if through]
        in_time = sum(seconds <= THROUGH_S for seconds in passed)
        found[met[0][0].kind] = Share(len(passed), MET), Share(in_time, MET)
    return found


def _stopped(robots: dict[str, tuple[Share, Share]], *kinds: str) -> Share:
    return Share(sum(MET - robots[kind][0].part for kind in kinds), MET * len(kinds))


def reactions() -> Iterator[str]:
    """The challenge by itself."""
    yield from (
        f"| who is challenged | passes, % | within {THROUGH_S:g} s of the answer, % |",
        "| --- | --- | --- |",
    )
    for kind, (passed, in_time) in by_reaction().items():
        yield f"| {kind} | {passed} | {in_time} |"
    yield ""


def variants(compared: Results) -> Iterator[str]:
    """The same calls under each variant of the policy."""
    trials = [trial for trial in compared[0] if not trial.without]
    yield f"Calls that did not ring (those challenged), in %, on {len(compared)} of the houses:"
    yield ""
    names = [trial.variant or "as shipped" for trial in trials]
    yield "| variant | " + " | ".join(names) + " |"
    yield "|" + " --- |" * (len(names) + 1)
    kinds = [by_kind(of(compared, trial)) for trial in trials]
    for kind in (*ATTACKERS, *ORDINARY):
        cells = [
            f"{Share.of(one[kind], away).percent:.1f} ({Share.of(one[kind], challenged).percent:.1f})"
            for one in kinds
        ]
        yield f"| {kind} | " + " | ".join(cells) + " |"
    yield ""


def left_out(compared: Results) -> Iterator[str]:
    """What each rule is for: what changes without it, or why nothing does."""
    whole, counted = of(compared, Trial()), fired(compared)
    rules = policy("CN", Trial()).rules
    idle = []
    yield "Each rule left out, on the same houses; shares in %, with the rule → without it:"
    yield ""
    yield from (
        "| without | score | fired in calls | calls that go another way | what changes |",
        "|" + " --- |" * 5,
    )
    for trial in compared[0]:
        if not (symbol := trial.without):
            continue
        rule, after = rules[symbol], of(compared, trial)
        changes = "; ".join(text for _, text in differences(whole, after)[:SHOWN])
        weighs = f"{rule.score:+g}" if not rule.force else str(rule.force)
        if not (other := moved(whole, after)):
            changes = f"**nothing**: {why_idle(symbol, rules, whole)}"
            idle.append(f"`{symbol}`")
        said = changes or "less than 0.05 of any class"
        yield f"| `{symbol}` | {weighs} | {counted[symbol]} | {other} | {said} |"
    yield ""
    yield f"Rules without which nothing changes in these houses: {', '.join(idle) or 'none'}."


def why_idle(symbol: str, rules: Mapping[str, Rule], outcomes: Sequence[Outcome]) -> str:
    """Why nothing changes without a rule, as far as the calls tell in which it counted."""
    builds_on = [name for name, other in rules.items() if f"symbol.{symbol}" in other.when]
    calls = [one for one in outcomes if symbol in one.symbols]
    sign = _sign(rules[symbol])
    if not sign and not builds_on:
        return "score 0, shown to people, and no rule builds on it"
    if not calls:
        return "no caller here is of its kind"
    beside = Counter(
        name for one in calls for name in one.symbols if name != symbol and _sign(rules[name]) == sign
    )
    told = [
        f"`{name}` counts in {100 * n / len(calls):.0f} % of them too" for name, n in beside.most_common(2)
    ]
    against = sum(any(_sign(rules[name]) > 0 for name in one.symbols) for one in calls)
    if sign < 0:
        told.insert(0, f"something else speaks against the caller in {100 * against / len(calls):.0f} %")
    return "; ".join(told) or "it counts alone, and alone it is too little"


def _sign(rule: Rule) -> int:
    """1 against the caller, -1 for him, 0 for people to read."""
    if rule.force:
        return -1 if rule.force is Action.ALLOW else 1
    return (rule.score > 0) - (rule.score < 0)
