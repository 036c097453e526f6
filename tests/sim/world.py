"""A history as a screened house lives it: what the policy decides changes what happens next.

A call that is routed away is not answered and teaches nothing; the caller tries again, and people do about
him what they do. So each call is judged when its turn comes, with what all those before it have left behind.
"""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from redis import Redis

from screener.call import Call, Stage
from screener.codes import EXPECTING_S
from screener.facts import facts_of
from screener.number import parse
from screener.screening import EMERGENCY_S
from screener.simulation import MAILBOX_S, Attempt, Awaiting, Complaint
from screener.state import is_emergency, manner_of, trust
from screener.verdict import Action
from tests.sim import challenge
from tests.sim.store import Store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from screener.config import Config
    from screener.facts import FactValue
    from screener.policy import Policy
    from screener.simulation import Dialling, Event
    from screener.verdict import Verdict

COMPARABLE_S = 6.0
"""Speech in a recording that is compared with others (screener/audio)."""
CODE_S = 30.0
"""From the end of a talk to the star code that blocks the caller. proposal"""
Key: TypeAlias = "tuple[str, Stage]"


class Outcome(NamedTuple):
    """What became of one call: `setup` was decided before it rang, `end` at last.

    `through_s` is the time in a challenge, 0 without one; `symbols` are those that counted, at any stage.
    """

    kind: str
    campaign: str
    person: bool
    setup: Action
    end: Action
    through_s: float
    symbols: tuple[str, ...]


class _Judged(NamedTuple):
    """What the store answered to a question, the facts made of it, and the verdict."""

    observed: Mapping[str, FactValue]
    facts: Mapping[str, FactValue]
    verdict: Verdict


class Lived(NamedTuple):
    """What became of a history: for people, and to save what is the same under another policy."""

    outcomes: list[Outcome]
    judged: Mapping[Key, _Judged]


class World:
    """One history, and the private store at `url` on which it is run."""

    def __init__(self, history: Sequence[Event], config: Config, url: str) -> None:
        self._config, self._url, self._place = config, url, config.settings.place
        self._history = [(f"{n}.1", one) for n, one in enumerate(history)]
        attempts = [(name, one) for name, one in self._history if isinstance(one, Attempt)]
        self._met = {
            name: challenge.shipped().meet(one.reaction, random.Random(f"{one.campaign} {name}"))
            for name, one in attempts
        }
        self._callers = {
            name: parse(one.number, self._place.region_of(one.trunk), one.presentation)
            for name, one in attempts
        }

    def live(self, policy: Policy, like: Lived | None = None, without: str = "") -> Lived:
        """What becomes of each call under a policy.

        What is known from a run under one that is `like` it is not worked out again. If all that this one
        lacks is a rule, then `without` it no verdict is another one to which it had added nothing.
        """
        before = like.judged if like else {}
        known = {
            key: one._replace(verdict=policy.judge(one.facts))
            if not without or without in {hit.symbol for hit in one.verdict.hits}
            else one
            for key, one in before.items()
        }
        other = {key for key, one in known.items() if _follows(one.verdict) != _follows(before[key].verdict)}
        # Each call depends on those before it: where none ends or teaches otherwise, no fact can be another.
        if like and not other:
            return Lived(list(self._outcomes(known)), known)
        with closing(Redis.from_url(self._url)) as client:
            client.flushall()
        with Store(self._url, self._config) as store:
            judged = self._run(policy, store, known, other)
        return Lived(list(self._outcomes(judged)), judged)

    def _run(
        self, policy: Policy, store: Store, known: Mapping[Key, _Judged], other: Collection[Key]
    ) -> dict[Key, _Judged]:
        """Judge each call in its turn; until the first of the `other` ones all is as it is `known`."""
        judged: dict[Key, _Judged] = {}
        done: set[str] = set()
        as_known = bool(known)

        def ask(name: str, one: Attempt, stage: Stage) -> Action:
            nonlocal as_known
            key, call = (name, stage), _call(name, one, stage, passed=self._met[name][0])
            before = known.get(key)
            foreseen = before.observed if before and as_known else None
            observed = store.observe(self._callers[name].key, call, foreseen)
            if before is None or before.observed != observed:
                passed, through_s = self._met[name]
                asked = stage is Stage.CHALLENGE
                talk = challenge.shipped().talk(one.reaction, through_s, passed=passed) if asked else {}
                facts = facts_of(call, self._callers[name], {**observed, **talk}, self._place)
                before = _Judged(observed, facts, policy.judge(facts))
            as_known = as_known and key not in other
            judged[key] = before
            return before.verdict.action

        for name, one in self._history:
            if not isinstance(one, Attempt):
                self._beside(one, store)
            elif one.errand not in done:
                end = ask(name, one, Stage.SETUP)
                challenged = end is Action.CHALLENGE
                if challenged:
                    end = ask(name, one, Stage.CHALLENGE)
                    if _follows(judged[name, Stage.CHALLENGE].verdict)[1] and self._callers[name].key:
                        at = one.at.timestamp() + self._met[name][1]
                        store.taught(at, self._callers[name].key, trust.of_challenge(trust.FAILED))
                self._follow(name, one, store, end, challenged=challenged)
                if one.errand and end is Action.ALLOW and one.answered:
                    done.add(one.errand)
        return judged

    def _beside(self, one: Dialling | Awaiting | Complaint, store: Store) -> None:
        """What happens beside the calls that come in."""
        at = one.at.timestamp()
        if isinstance(one, Awaiting):
            store.expecting(at, EXPECTING_S)
            return
        other = parse(one.number, self._place.region)
        if isinstance(one, Complaint):
            store.reported(at, other.key, one.feed, one.votes)
            return
        over = at + one.talk_s
        if is_emergency(other.digits, self._place.region):
            store.expecting(over, EMERGENCY_S)
        long_call_s = self._config.settings.trust.long_call_s
        lesson = trust.of_dialling(answered=one.answered, talk_s=round(one.talk_s), long_call_s=long_call_s)
        store.taught(over, other.key, lesson)

    def _follow(self, name: str, one: Attempt, store: Store, end: Action, *, challenged: bool) -> None:
        """What a call leaves behind, and what people then do about it."""
        at, key, rings = one.at.timestamp(), self._callers[name].key, end is Action.ALLOW
        passed, asked_s = self._met[name] if challenged else (False, 0.0)
        answered = rings and one.answered
        talk_s = round(one.talk_s) if answered else 0
        held_s, over_s = _times(one, asked_s, talk_s, rings=rings)
        manner = manner_of(
            "answered" if answered else "",
            over_s,
            held_s,
            by_caller=one.caller_ends or not answered,
            peer="one of us",
        )
        over = at + over_s
        store.over(over, key, one.did, name, manner)
        if challenged:
            met = trust.of_challenge("passed" if passed else trust.FAILED)
            store.taught(at + asked_s, key, met, one.trunk)
        long_call_s = self._config.settings.trust.long_call_s
        lesson = trust.of_call(answered=answered, talk_s=talk_s, passed=passed, long_call_s=long_call_s)
        store.taught(over, key, lesson)
        if rings and not answered and one.message:
            store.taught(over + one.heard_after_s, key, trust.of_message(kept=one.message == "kept"))
        notice_s = challenge.notice_s()
        recorded = not rings and one.stays_s >= notice_s
        if recorded and one.plays and one.stays_s >= notice_s + COMPARABLE_S:
            store.heard(over, one.plays, self._callers[name])
            store.judged(over + one.heard_after_s, one.plays, one.judged)
        if recorded:
            store.listed(over + one.heard_after_s, key, one.listed)
        elif answered and one.listed == "block":
            store.listed(over + CODE_S, key, one.listed)

    def _outcomes(self, judged: Mapping[Key, _Judged]) -> Iterator[Outcome]:
        for name, one in self._history:
            if not isinstance(one, Attempt) or (name, Stage.SETUP) not in judged:
                continue
            verdicts = [judged[key].verdict for stage in Stage if (key := (name, stage)) in judged]
            hits = dict.fromkeys(hit.symbol for verdict in verdicts for hit in verdict.hits if not hit.shadow)
            setup, end = verdicts[0].action, verdicts[-1].action
            through_s = self._met[name][1] if setup is Action.CHALLENGE else 0.0
            yield Outcome(one.kind, one.campaign, one.person, setup, end, through_s, tuple(hits))


def _follows(verdict: Verdict) -> tuple[Action, bool]:
    """What follows from a verdict: where the call goes, and whether its challenge counts twice."""
    counted = {hit.symbol for hit in verdict.hits if not hit.shadow}
    return verdict.action, trust.of_talk(trust.FAILED, counted) is not None


def _times(one: Attempt, asked_s: float, talk_s: float, *, rings: bool) -> tuple[float, float]:
    """How long something of ours held the call, and how long it lasted in all (s)."""
    if not rings:
        return asked_s + one.stays_s, asked_s + one.stays_s
    if not one.answered and one.message:
        return asked_s + one.stays_s, asked_s + MAILBOX_S + one.stays_s
    return asked_s + talk_s, asked_s + one.rings_s + talk_s


def _call(name: str, one: Attempt, stage: Stage, *, passed: bool = False) -> Call:
    return Call(
        id=name, channel=f"{one.trunk}-{int(name.partition('.')[0]):08x}", stage=stage, at=one.at,
        number=one.number, name=one.name, did=one.did, presentation=one.presentation, asserted=one.asserted,
        diversion=one.diversion, attestation=one.attestation, verified=one.verified, agent=one.agent,
        challenge=("passed" if passed else "failed") if stage is Stage.CHALLENGE else "",
    )  # fmt: skip
