"""What is counted of verdicts, and what rules in shadow would have done."""

from __future__ import annotations

from typing import Any

import pytest

from screener.call import Stage
from screener.counters import Counters
from screener.policy import Policy, PolicyDocument, compile_policy


def policy(**rules: dict[str, Any]) -> Policy:
    group = {"group": "g", "description": "-", "enabled": True, "max_score": 9}
    written = {name: {"when": "caller.valid", "because": "-"} | one for name, one in rules.items()}
    actions = {"challenge": 4, "voicemail": 8, "reject": "off"}
    profile = {"description": "-", "did": ["1"], "actions": {"challenge": 2}}
    return compile_policy(
        PolicyDocument.model_validate(
            {
                "actions": actions,
                "groups": [group | {"rules": written}],
                "profiles": {"profiles": {"strict": profile}},
            }
        )
    )


@pytest.mark.parametrize(
    ("shadow", "did", "would_change"),
    [
        ({"score": 1}, "", 0),
        ({"score": 2}, "", 1),
        ({"score": -3}, "", 0),
        ({"score": 1}, "1", 0),
        ({"score": -3}, "1", 1),
        ({"score": 0, "force": "voicemail"}, "", 1),
        ({"score": 0, "force": "allow"}, "", 0),
    ],
)
def test_counters__rule_in_shadow__counts_the_verdicts_that_it_would_have_changed(
    shadow: dict[str, Any], did: str, would_change: int
) -> None:
    one, counters = policy(A={"score": 3 if did else 2}, S={"shadow": True, **shadow}), Counters()
    counters.count(Stage.SETUP, one.judge({"caller.valid": True, "called.did": did}), one, "sent")
    shown = counters.as_dict(one)["rules"]
    assert shown["S"] == {
        "hits": 1, "shadow_hits": 1, "would_change": would_change, "shadow": True, "in_policy": True,
    }  # fmt: skip
    assert shown["A"]["would_change"] == 0


def test_counters__after_a_reload__keep_what_was_and_say_that_the_rule_is_gone() -> None:
    old, new, counters = policy(A={"score": 5}), policy(B={"score": 5}), Counters()
    counters.count(Stage.SETUP, old.judge({"caller.valid": True}), old, "sent")
    counters.count(Stage.CHALLENGE, new.judge({"called.did": "1", "caller.valid": False}), new, "gone")
    shown = counters.as_dict(new)
    assert shown["verdicts"] == {"challenge": {"allow": 1}, "setup": {"challenge": 1}}
    assert (shown["reached"], shown["profiles"]) == ({"sent": 1, "gone": 1}, {"strict": 1})
    assert (shown["rules"]["A"]["hits"], shown["rules"]["A"]["in_policy"]) == (1, False)
    assert (shown["rules"]["B"]["hits"], shown["rules"]["B"]["in_policy"]) == (0, True)
