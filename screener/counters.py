"""What the service has decided since it was started, counted; `screener status` and metrics show it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from screener.call import Stage
    from screener.policy import Policy
    from screener.verdict import Verdict


@dataclass(slots=True)
class RuleCount:
    """How often a rule fired; of that in shadow, and how many verdicts would have changed had it counted."""

    hits: int = 0
    shadow: int = 0
    would_change: int = 0


@dataclass(slots=True)
class Counters:
    """Counts since the start; a reload keeps them, also those of rules that are gone.

    `verdicts` is by stage and action, `reached` by what `Ami.decide` said of a verdict's way to the
    dialplan, `failures` counts questions that were too late to judge or could not be judged,
    `unfiled` messages beyond their bound, delivered or dropped.
    """

    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    profiles: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    unfiled: Counter[str] = field(default_factory=Counter)
    rules: dict[str, RuleCount] = field(default_factory=dict)

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
