"""A history as a screened house lives it: what the policy decides changes what happens next.

A call that is routed away is not answered and teaches nothing; the caller tries again. So the history
is run by `screener.replay` again and again, each time with the outcomes that the verdicts of the run before
imply, until no verdict changes. What is then found is exactly what would have happened: a call's verdict
depends on earlier calls alone, so each run is right for at least one call more than the one before, and as
a rule for all those that come a batch or two after those it was right for.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from redis import Redis

from screener.call import Call, Stage
from screener.replay import PastCall, PastDial, Tally, rerun
from screener.replay.comparing import known_of
from screener.simulation import Attempt, Dialling
from screener.state import Rehearsal, manner_of
from screener.verdict import Action
from tests.sim import challenge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from screener.config import Config
    from screener.facts import FactValue, Place
    from screener.policy import Policy
    from screener.replay.comparing import Heard, Judged
    from screener.verdict import Verdict

MAX_RUNS = 30
Question: TypeAlias = "tuple[str, Stage]"
Actions: TypeAlias = "Mapping[Question, Action]"


class Outcome(NamedTuple):
    """What became of one call: `setup` was decided before it rang, `end` at last.

    `through_s` is the time in a challenge, 0 without one; `symbols` are those that counted at setup.
    """

    kind: str
    campaign: str
    person: bool
    setup: Action
    end: Action
    through_s: float
    symbols: tuple[str, ...]


class World:
    """One history, and the private store at `url` on which it is run."""

    def __init__(self, history: Sequence[Attempt | Dialling], config: Config, url: str) -> None:
        self._settings, self._url = config.settings, url
        self._facts: dict[Question, _Known] = {}
        self._history = [(f"{n}.1", one) for n, one in enumerate(history)]
        self._met = {
            name: challenge.shipped().meet(one.reaction, random.Random(f"{one.campaign} {name}"))
            for name, one in self._history
            if isinstance(one, Attempt)
        }

    def live(self, policy: Policy, actions: Actions | None = None) -> tuple[list[Outcome], Actions]:
        """What becomes of each call under a policy; `actions` of a similar policy make it quicker."""
        known: dict[Question, Action] = dict(actions or {})
        judged: dict[Question, tuple[Mapping[str, FactValue], Verdict]] = {}
        for _ in range(MAX_RUNS):
            guessed: dict[Question, Action] = {}
            bench = _Bench(policy, self._settings.place, known, self._facts, judged)
            self._run(_Told(self._calls(known, guessed)), bench)
            found = {key: verdict.action for key, verdict in bench.verdicts.items()}
            if all(guessed.get(key, Action.ALLOW) is action for key, action in found.items()):
                return list(self._outcomes(bench.verdicts)), found
        raise AssertionError(f"the history does not come to rest in {MAX_RUNS} runs")

    def _run(self, source: _Told, bench: _Bench) -> None:
        with closing(Redis.from_url(self._url)) as client:
            client.flushall()
        learning = self._settings.trust
        with Rehearsal(self._url, half_life_days=learning.half_life_days) as state:
            region_of, long_call_s = self._settings.place.region_of, learning.long_call_s
            deque(rerun(source, state, bench.judge, region_of, long_call_s=long_call_s), maxlen=0)

    def _calls(self, known: Actions, guessed: dict[Question, Action]) -> Iterator[PastCall | PastDial]:
        """The history under the verdicts that are known when a call is taken; without one it rings."""
        done: set[str] = set()
        for name, one in self._history:
            if isinstance(one, Dialling):
                ended = one.at + timedelta(seconds=one.talk_s)
                yield PastDial(one.number, ended, one.answered, round(one.talk_s))
                continue
            if one.errand in done:
                continue
            guessed |= {key: known[key] for stage in Stage if (key := (name, stage)) in known}
            setup = guessed.get((name, Stage.SETUP), Action.ALLOW)
            passed = self._met[name][0]
            rings = _end(name, guessed, passed=passed) is Action.ALLOW
            answered = rings and one.answered
            if answered and one.errand:
                done.add(one.errand)
            talk_s = round(one.talk_s) if answered else 0
            met = ("passed" if passed else "failed") if setup is Action.CHALLENGE else ""
            asked_s = self._met[name][1] if met else 0.0
            held_s, over_s = _times(one, asked_s, talk_s, rings=rings)
            manner = manner_of(
                "answered" if answered else "", over_s, held_s, by_caller=one.caller_ends or not answered
            )
            yield PastCall(
                _call(name, one, Stage.SETUP, one.at),
                answered,
                talk_s,
                challenge=met,
                over_s=over_s,
                manner=manner,
            )
            if setup is Action.CHALLENGE:
                asked = _call(name, one, Stage.CHALLENGE, one.at, passed=passed)
                yield PastCall(asked, answered, talk_s, challenge=met)

    def _outcomes(self, verdicts: Mapping[Question, Verdict]) -> Iterator[Outcome]:
        actions = {key: verdict.action for key, verdict in verdicts.items()}
        for name, one in self._history:
            if isinstance(one, Attempt) and (setup := verdicts.get((name, Stage.SETUP))):
                passed, through_s = self._met[name]
                yield Outcome(
                    one.kind, one.campaign, one.person, setup.action, _end(name, actions, passed=passed),
                    through_s if setup.action is Action.CHALLENGE else 0.0,
                    tuple(hit.symbol for hit in setup.hits if not hit.shadow),
                )  # fmt: skip


def _times(one: Attempt, asked_s: float, talk_s: float, *, rings: bool) -> tuple[float, float]:
    """How long something of ours held the call, and how long it lasted in all (s)."""
    if not rings:
        return asked_s + one.stays_s, asked_s + one.stays_s
    return asked_s + talk_s, asked_s + one.rings_s + talk_s


def _end(name: str, actions: Actions, *, passed: bool) -> Action:
    """Where a call ends; of the challenge's own verdict, the result decides until it is known."""
    setup = actions.get((name, Stage.SETUP), Action.ALLOW)
    if setup is not Action.CHALLENGE:
        return setup
    return actions.get((name, Stage.CHALLENGE), Action.ALLOW if passed else Action.VOICEMAIL)


def _call(name: str, one: Attempt, stage: Stage, at: datetime, *, passed: bool = False) -> Call:
    return Call(
        id=name, channel=f"{one.trunk}-{int(name.partition('.')[0]):08x}", stage=stage, at=at,
        number=one.number, name=one.name, did=one.did, presentation=one.presentation, asserted=one.asserted,
        diversion=one.diversion, attestation=one.attestation, verified=one.verified, agent=one.agent,
        challenge=("passed" if passed else "failed") if stage is Stage.CHALLENGE else "",
    )  # fmt: skip


class _Told:
    """Past calls that are known already, as a source of a replay."""

    def __init__(self, calls: Iterator[PastCall | PastDial]) -> None:
        self._calls, self.skipped = calls, Counter[str]()

    def calls(self, since: datetime | None) -> Iterator[PastCall | PastDial]:
        del since
        return self._calls

    def total(self, since: datetime | None) -> int:
        del since
        return 0


class _Known(NamedTuple):
    """The facts of a call, and what they were made of."""

    call: Call
    observed: Mapping[str, FactValue]
    facts: Mapping[str, FactValue]


@dataclass(slots=True)
class _Bench:
    """The judge of a replay that keeps every verdict, and says in `known` what it decided.

    What is the same as in an earlier run is not made again: `facts` of any policy, `judged` of this one.
    """

    policy: Policy
    place: Place
    known: dict[Question, Action]
    facts: dict[Question, _Known]
    judged: dict[Question, tuple[Mapping[str, FactValue], Verdict]]
    verdicts: dict[Question, Verdict] = field(default_factory=dict)

    def judge(self, batch: Sequence[Heard]) -> Callable[[], Judged]:
        for past, caller, observed in batch:
            key = past.call.id, past.call.stage
            before = self.facts.get(key)
            if before is None or before.observed != observed or before.call != past.call:
                facts = known_of(past, caller, observed, self.place)
                before = self.facts[key] = _Known(past.call, observed, facts)
            judged = self.judged.get(key)
            if judged is None or judged[0] is not before.facts:
                judged = self.judged[key] = before.facts, self.policy.judge(before.facts)
            self.verdicts[key] = judged[1]
            self.known[key] = judged[1].action
        return lambda: ([], Tally())
