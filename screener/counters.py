"""What the service has decided since it was started, counted; `screener status` and metrics show it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from screener.call import Ending, Stage
    from screener.policy import Policy
    from screener.verdict import Verdict

BOUNDS_MS: Final = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
"""Upper bounds of the delays that are counted; the dialplan waits 500 ms as shipped."""
PHASES: Final = ("queue", "state", "judge", "send", "total")
RECENT: Final = 500
"""So many of the latest delays make the percentiles."""
MISSED: Final = frozenset({"away", "late"})
CHALLENGES: Final = frozenset({"passed", "failed", "broken"})


@dataclass(slots=True)
class RuleCount:
    """How often a rule fired; of that in shadow, and how many verdicts would have changed had it counted."""

    hits: int = 0
    shadow: int = 0
    would_change: int = 0


class Delays:
    """How long one phase took, in milliseconds: a histogram of all times, and the latest."""

    def __init__(self) -> None:
        self._counts, self._sum_ms = [0] * (len(BOUNDS_MS) + 1), 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)

    def add(self, took_ms: float) -> None:
        """Count one; what is no length of time is passed over."""
        if math.isfinite(took_ms):
            self._counts[bisect_left(BOUNDS_MS, took_ms)] += 1
            self._sum_ms += took_ms
            self._recent.append(took_ms)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `buckets` counts by upper bound, each with those below it."""
        ranked = sorted(self._recent)
        return {
            "count": sum(self._counts),
            "sum_ms": round(self._sum_ms, 3),
            "buckets": dict(zip(map(str, BOUNDS_MS), accumulate(self._counts), strict=False)),
            "p50_ms": ranked[len(ranked) // 2] if ranked else None,
            "p99_ms": ranked[len(ranked) * 99 // 100] if ranked else None,
        }


@dataclass(slots=True)
class Counters:
    """Counts since the start; a reload keeps them, also those of rules that are gone.

    `verdicts` is by stage and action, `reached` by what `Ami.decide` said of a verdict's way to the
    dialplan, `failures` counts questions that were too late to judge or could not be judged. Of calls that
    are over there are `dispositions`, `missed` (why no verdict came) and what became of `challenges`; of SIP
    messages what was done with them. `delays` is by phase: those of our own, and `total`, what the dialplan
    measured. `restarts` counts what beside the calls failed and was begun again. `unfiled` counts
    messages beyond their bound, delivered or dropped.
    """

    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    profiles: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    dispositions: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    challenges: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    unfiled: Counter[str] = field(default_factory=Counter)
    rules: dict[str, RuleCount] = field(default_factory=dict)
    delays: dict[str, Delays] = field(default_factory=lambda: {phase: Delays() for phase in PHASES})

    def count(self, stage: Stage, verdict: Verdict, policy: Policy, reached: str) -> None:
        """Count a verdict that `policy` gave; the caller waits no more."""
        self.verdicts[stage, verdict.action] += 1
        self.reached[reached] += 1
        self.profiles[verdict.profile] += 1
        for hit in verdict.hits:
            rule = self.rules.setdefault(hit.symbol, RuleCount())
            rule.hits += 1
            if hit.shadow:
                rule.shadow += 1
                rule.would_change += policy.if_it_counted(verdict, hit.symbol, stage) is not verdict.action

    def took(self, phases_ms: Mapping[str, float]) -> None:
        """Count how long each phase of a verdict took, by names such as `queue_ms`."""
        for name, took_ms in phases_ms.items():
            self.delays[name.removesuffix("_ms")].add(took_ms)

    def over(self, ending: Ending) -> None:
        """Count a call that is over. Words of the dialplan that are not known here count as `other`."""
        self.dispositions[ending.disposition] += 1
        if ending.missed:
            self.missed[ending.missed if ending.missed in MISSED else "other"] += 1
        if ending.challenge:
            self.challenges[ending.challenge if ending.challenge in CHALLENGES else "other"] += 1
        if ending.delay_ms is not None:
            self.delays["total"].add(ending.delay_ms)

    def as_dict(self, policy: Policy) -> dict[str, Any]:
        """Plain values for JSON, with every rule of `policy`, also those that never fired."""
        verdicts: dict[str, dict[str, int]] = {}
        for (stage, action), times in sorted(self.verdicts.items()):
            verdicts.setdefault(str(stage), {})[str(action)] = times
        symbols = policy.rules.keys() | self.rules.keys()
        rules = {symbol: self.rules.get(symbol, RuleCount()) for symbol in sorted(symbols)}
        return {
            "verdicts": verdicts,
            "reached": dict(self.reached),
            "failures": dict(self.failures),
            "dispositions": dict(self.dispositions),
            "missed": dict(self.missed),
            "challenges": dict(self.challenges),
            "messages": dict(self.messages),
            "restarts": dict(self.restarts),
            "delays": {phase: one.as_dict() for phase, one in self.delays.items()},
            "unfiled_messages": dict(self.unfiled),
            "profiles": {name: times for name, times in self.profiles.items() if name},
            "rules": {
                symbol: {
                    "hits": one.hits,
                    "shadow_hits": one.shadow,
                    "would_change": one.would_change,
                    "shadow": symbol in policy.rules and policy.rules[symbol].shadow,
                    "in_policy": symbol in policy.rules,
                }
                for symbol, one in rules.items()
            },
        }
