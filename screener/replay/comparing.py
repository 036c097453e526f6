"""Verdicts that past calls would have had, beside those they had, and what to think of the difference."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from screener.call import Stage
from screener.facts import BY_NAME, facts_of
from screener.state import LISTED
from screener.verdict import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from screener.facts import FactValue, Place
    from screener.number import CallerNumber
    from screener.policy import Policy
    from screener.replay.past import PastCall
    from screener.verdict import Verdict

BLOCKED_TALK_S: Final = 60
"""A caller to whom somebody talked for longer is wanted: a change that would block him is refused."""

_BLOCKING = frozenset((Action.VOICEMAIL, Action.REJECT))
_MAX_DIFFERING = 20

Heard = tuple["PastCall", "CallerNumber", "Mapping[str, FactValue]"]
"""A past call, its caller, and what the store knew."""


class Side(NamedTuple):
    """A verdict as far as it is compared; `reasons` as in `Verdict.reasons`."""

    action: str
    score: float
    reasons: str
    symbols: tuple[str, ...] = ()

    @classmethod
    def of(cls, verdict: Verdict) -> Side:
        """Of a verdict of now."""
        symbols = tuple(hit.symbol for hit in verdict.hits)
        return cls(str(verdict.action), verdict.score, verdict.reasons, symbols)

    @classmethod
    def recorded(cls, verdict: Mapping[str, Any]) -> Side:
        """Of a verdict in the ledger, of whatever version."""
        hits = [hit for hit in verdict.get("hits", ()) if isinstance(hit, dict)]
        symbols = tuple(str(hit.get("symbol")) for hit in hits)
        score = verdict.get("score")
        return cls(
            str(verdict.get("action")), score if isinstance(score, float) else 0.0, " ".join(symbols), symbols
        )


UNSCREENED: Final = Side(Action.ALLOW, 0.0, "was not screened")


@dataclass(frozen=True, slots=True)
class Changed:
    """A call whose verdict changes; `blocked`: somebody answered it and talked for longer than a minute."""

    past: PastCall
    caller: str
    old: Side
    new: Side
    blocked: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, in a fixed order."""
        call = self.past.call
        return {
            "id": call.id, "at": call.at.isoformat(), "stage": str(call.stage), "caller": self.caller,
            "did": call.did, "answered": self.past.answered, "talk_s": self.past.talk_s,
            "blocked": self.blocked, "old": self.old._asdict(), "new": self.new._asdict(),
        }  # fmt: skip


@dataclass(slots=True)
class Tally:
    """The counts of a whole replay.

    `blocked`: answered, talked for longer than a minute, and now routed away; `challenged`: the same
    and now challenged. `differing` verdicts are the ledger's that the same policy does not give again.
    """

    calls: int = 0
    changed: int = 0
    rescored: int = 0
    blocked: int = 0
    challenged: int = 0
    not_asked: int = 0
    differing: list[str] = field(default_factory=list)
    differ: int = 0
    actions: Counter[tuple[str, str]] = field(default_factory=Counter)
    old_hits: Counter[str] = field(default_factory=Counter)
    new_hits: Counter[str] = field(default_factory=Counter)
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Add the counts of a further part of the replay."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        del self.differing[_MAX_DIFFERING:]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, in a fixed order."""
        old, new = self.old_hits, self.new_hits
        return {
            **{name: n for name in self.__slots__ if isinstance(n := getattr(self, name), int)},
            "differing": self.differing,
            "actions": [[*pair, n] for pair, n in sorted(self.actions.items())],
            "rules": [[symbol, old[symbol], new[symbol]] for symbol in sorted(old.keys() | new.keys())],
            "missing": [[*pair, n] for pair, n in sorted(self.missing.items())],
        }


Judged = tuple[list[Changed], Tally]
"""What changes in a batch, and its counts."""
Judge = Callable[[Sequence[Heard]], Callable[[], Judged]]
"""Takes a batch in the order of time, and gives what waits for its result: one batch at a time."""


class Bench:
    """Judges past calls by the policy `new`, and by `before` where they have no verdict of their own.

    Without `before`, such calls are compared with what happened: they were let through.
    """

    def __init__(self, new: Policy, before: Policy | None, place: Place) -> None:
        self._new, self._before, self._place = new, before, place
        self._tally = Tally()
        self._last = ("", "")

    def judge(self, batch: Sequence[Heard]) -> Judged:
        """The changes in a batch, which follows the one before in the order of time, and its counts."""
        self._tally = Tally()
        return [change for one in batch for change in self._judge(*one)], self._tally

    def _judge(
        self, past: PastCall, caller: CallerNumber, observed: Mapping[str, FactValue]
    ) -> Iterable[Changed]:
        """Judge one question; a change, or nothing."""
        call, tally = past.call, self._tally
        if call.stage is Stage.CHALLENGE and self._last[0] == call.id and self._last[1] != Action.CHALLENGE:
            tally.not_asked += 1
            return ()
        facts = _known_of(past, caller, observed, self._place)
        verdict = self._new.judge(facts)
        self._verify(past, verdict, facts)
        new, old = Side.of(verdict), self._old(past, verdict, facts)
        self._last = (call.id, new.action)
        tally.calls += 1
        tally.actions[old.action, new.action] += 1
        tally.old_hits.update(old.symbols)
        tally.new_hits.update(new.symbols)
        tally.missing.update((skip.symbol, skip.missing) for skip in verdict.skipped)
        if old.action == new.action:
            tally.rescored += old.score != new.score
            return ()
        wanted = past.answered and past.talk_s > BLOCKED_TALK_S
        blocked = wanted and new.action in _BLOCKING and old.action not in _BLOCKING
        tally.changed += 1
        tally.blocked += blocked
        tally.challenged += wanted and new.action == Action.CHALLENGE
        return (Changed(past, caller.shown, old, new, blocked),)

    def _old(self, past: PastCall, verdict: Verdict, facts: Mapping[str, FactValue]) -> Side:
        if past.verdict is not None:
            return Side.recorded(past.verdict)
        before = self._before
        if before is None:
            return UNSCREENED
        return Side.of(verdict if before.hash == verdict.policy else before.judge(facts))

    def _verify(self, past: PastCall, verdict: Verdict, facts: Mapping[str, FactValue]) -> None:
        """Hold us to the promise: the same facts and policy give the same verdict, byte for byte."""
        recorded = past.verdict
        if recorded is None or recorded.get("policy") != verdict.policy:
            return
        again = verdict if facts == past.facts else self._new.judge(past.facts or {})
        if json.dumps(again.as_dict(), sort_keys=True) != json.dumps(recorded, sort_keys=True):
            self._tally.differ += 1
            if len(self._tally.differing) < _MAX_DIFFERING:
                self._tally.differing.append(past.call.id)


def _known_of(
    past: PastCall, caller: CallerNumber, observed: Mapping[str, FactValue], place: Place
) -> dict[str, FactValue]:
    """The facts of a past call: computed from the call, else as recorded, else as rebuilt."""
    if past.facts is not None:
        # A list that gave no reason then must not be given the reason of today.
        spoken = {name.partition(".")[0] + "." for name in past.facts}
        silent = tuple(space for space in LISTED if space in spoken)
        younger = (
            {} if past.blind else {name: observed[name] for name in observed if not name.startswith(silent)}
        )
        observed = {**younger, **{name: value for name, value in past.facts.items() if name in BY_NAME}}
    facts = facts_of(past.call, caller, observed, place)
    for name in past.unknown:
        facts.pop(name, None)
    return facts
