"""The figures as the tables of docs/detection.md."""

from __future__ import annotations

import random
from itertools import chain
from typing import TYPE_CHECKING, Final

from screener.simulation import ATTACKERS, ORDINARY, attempts
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
    soon,
)
from tests.sim.running import Trial, fired, policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.sim.running import Results
    from tests.sim.world import Outcome

MARKS: Final = ("<!-- evaluation -->\n", "<!-- /evaluation -->\n")
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


def inserted(text: str, made: str) -> str:
    """The page with its made part as it should be."""
    before, _, rest = text.partition(MARKS[0])
    return f"{before}{MARKS[0]}{made}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}"


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
    """What each rule is for: what changes without it."""
    whole, counted = of(compared, Trial()), fired(compared)
    document = policy("CN", Trial()).rules
    yield "Each rule left out, on the same houses; shares in %, with the rule → without it:"
    yield ""
    yield from ("| without | score | fired in calls | what changes |", "| --- | --- | --- | --- |")
    for trial in compared[0]:
        if trial.without:
            changes = [text for _, text in differences(whole, of(compared, trial))[:SHOWN]]
            score = document[trial.without].score
            said = "; ".join(changes) or "nothing"
            yield f"| `{trial.without}` | {score:+g} | {counted[trial.without]} | {said} |"
    silent = sorted(set(document) - set(counted))
    yield ""
    yield f"Never fired before the answer in these houses: {', '.join(f'`{name}`' for name in silent)}."
