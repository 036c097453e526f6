"""A verdict taken apart, so that a person can repeat the sum with pencil and paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from screener.policy.judging import FORCE_PRECEDENCE, stage_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from screener.facts import FactValue
    from screener.policy.judging import Policy
    from screener.verdict import Verdict


def explain(verdict: Verdict, policy: Policy, facts: Mapping[str, FactValue]) -> dict[str, Any]:
    """The verdict as plain values for a table or JSON, with all that led to it.

    Beside the parts of `Verdict.as_dict`: each hit with its rule (`when`, `source`), `groups`
    with the sums before and after the cap, the `thresholds` that the score was held against,
    harshest first, the `profiles` in the order in which they are tried, and the `facts` that were known.
    """
    stage, whole, policy = stage_of(facts), policy, policy.under(verdict.profile)
    hits = []
    for hit, shown in zip(verdict.hits, verdict.as_dict()["hits"], strict=True):
        rule = policy.rules[hit.symbol]
        hits.append({**shown, "when": rule.when, "source": rule.source})
    return {
        **verdict.as_dict(),
        "stage": str(stage),
        "hits": hits,
        "groups": [
            {
                "group": group.group,
                "description": policy.groups[group.group].description,
                "max_score": group.max_score,
                "raw": group.raw,
                "capped": group.capped,
                "trust": group.trust,
                "total": group.total,
            }
            for group in policy.sums(verdict.hits)
        ],
        "thresholds": [
            {"action": str(action), "at": at, "reached": verdict.score >= at}
            for action, at in policy.thresholds(stage)
        ],
        "force_precedence": [str(action) for action in FORCE_PRECEDENCE],
        "profiles": [
            {"profile": one.profile, "holds": condition.holds(facts)} for condition, one in whole.profiles
        ],
        "facts": {name: facts[name] for name in sorted(facts)},
    }
