"""Laws of the sum that hold for every policy and all facts."""

from __future__ import annotations

import copy
import unicodedata
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from screener.config import load
from screener.facts import CATALOGUE, FactValue
from screener.policy import Policy, PolicyDocument, compile_policy
from screener.policy.templates import MAX_TEXT
from screener.verdict import Action

Facts = dict[str, FactValue]

# Laws hold however busy the machine is; each example of COMPILES compiles a policy or two.
LAW = settings(deadline=None)
COMPILES = settings(LAW, max_examples=50)

SHIPPED = load(None, environ={}).policy
SEVERITY = list(Action)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.sampled_from(["", "x", "mobile", "withheld", "passed", "failed", "C", "17712345678"])
    | st.text(),
    "int": st.integers(-1, 12) | st.integers(),
    "double": st.floats(),
    "bool": st.booleans(),
}
FACTS = st.fixed_dictionaries({}, optional={fact.name: VALUES[fact.type] for fact in CATALOGUE})
# Text as it comes from an event that is not UTF-8, and values of types that nobody promised.
HOSTILE = st.dictionaries(
    st.sampled_from([fact.name for fact in CATALOGUE]),
    st.text(st.characters(codec=None)) | st.integers() | st.floats() | st.booleans(),
)
FORCE: st.SearchStrategy[Action | None] = st.sampled_from([None, None, None, *Action])
SIMPLE = st.sampled_from(
    [
        "true",
        "false",
        "caller.valid",
        "caller.valid || caller.calls_1d > 3",
        "caller.calls_1d > 3",
        "12 / caller.calls_1d > 3",
        "caller.kind == 'mobile' && list.block",
        "caller.name.startsWith('x') // with a comment",
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Three groups of rules, some of them over symbols of earlier ones."""
    groups: list[dict[str, Any]] = []
    earlier: list[str] = []
    for group in ("a", "b", "c"):
        rules: dict[str, dict[str, Any]] = {}
        for number in range(draw(st.integers(0, 4))):
            when = draw(SIMPLE)
            if earlier:
                composite = st.builds(
                    "{}symbol.{}".format, st.sampled_from(["", "!"]), st.sampled_from(earlier)
                )
                when = draw(st.just(when) | composite)
            symbol = f"{group.upper()}{number}"
            rules[symbol] = {
                "when": when,
                "score": draw(st.integers(-50, 100)) / 10,
                "because": "{caller.name}",
                "shadow": draw(st.sampled_from([False, False, True])),
                "force": draw(FORCE),
                "enabled": draw(st.sampled_from([True, True, True, False])),
            }
            earlier.append(symbol)
        cap = draw(st.integers(1, 10))
        groups.append({"group": group, "description": "-", "enabled": True, "max_score": cap, "rules": rules})
    return {"actions": {"challenge": 4, "voicemail": 8, "reject": 12}, "groups": groups}


def compiled(document: dict[str, Any]) -> Policy:
    return compile_policy(PolicyDocument.model_validate(document))


@LAW
@given(FACTS)
def test_judge__same_facts__same_verdict(facts: Facts) -> None:
    assert SHIPPED.judge(facts) == SHIPPED.judge(dict(reversed(facts.items())))


@LAW
@given(HOSTILE)
def test_judge__facts_of_any_type_and_text__never_raises(facts: Facts) -> None:
    verdict = SHIPPED.judge(facts)
    assert verdict.action in {Action.ALLOW, Action.CHALLENGE, Action.VOICEMAIL}


@COMPILES
@given(documents(), FACTS)
def test_judge__asked_at_once__same_as_one_by_one(document: dict[str, Any], facts: Facts) -> None:
    policy = compiled(document)
    layers = {
        stage: tuple(
            replace(
                layer,
                batches=tuple(
                    replace(
                        batch, at_once=None, rules=tuple(replace(one, names=ALWAYS) for one in batch.rules)
                    )
                    for batch in layer.batches
                ),
            )
            for layer in stage_layers
        )
        for stage, stage_layers in policy.layers.items()
    }
    assert replace(policy, layers=layers).judge(facts) == policy.judge(facts)


class _Always(frozenset[str]):
    """Names of which some are always known, so that no answer is taken from those known beforehand."""

    def isdisjoint(self, _: object, /) -> bool:
        return False


ALWAYS = _Always()


@COMPILES
@given(documents(), FACTS, st.sampled_from("abc"), st.integers(0, 100))
def test_judge__one_more_positive_hit__never_lowers_the_score(
    document: dict[str, Any], facts: Facts, group: str, tenths: int
) -> None:
    more = copy.deepcopy(document)
    rules = next(one for one in more["groups"] if one["group"] == group)["rules"]
    rules["MORE"] = {"when": "true", "score": tenths / 10, "because": "-"}
    before, after = compiled(document).judge(facts), compiled(more).judge(facts)
    assert after.score >= before.score
    if before.forced_by is None:
        assert SEVERITY.index(after.action) >= SEVERITY.index(before.action)


@COMPILES
@given(documents(), FACTS)
def test_judge__rules_in_shadow_taken_out__same_decision(document: dict[str, Any], facts: Facts) -> None:
    without = copy.deepcopy(document)
    for group in without["groups"]:
        for rule in group["rules"].values():
            rule["enabled"] = rule["enabled"] and not rule["shadow"]
    with_shadow, sound = compiled(document).judge(facts), compiled(without).judge(facts)
    assert [hit for hit in with_shadow.hits if not hit.shadow] == list(sound.hits)
    assert (with_shadow.action, with_shadow.score, with_shadow.forced_by) == (
        sound.action,
        sound.score,
        sound.forced_by,
    )


@COMPILES
@given(documents(), FACTS)
def test_judge__every_asked_rule__fired_or_skipped_or_neither_but_not_both(
    document: dict[str, Any], facts: Facts
) -> None:
    verdict = compiled(document).judge(facts)
    fired, skipped = {hit.symbol for hit in verdict.hits}, {skip.symbol for skip in verdict.skipped}
    assert not fired & skipped
    assert len(fired) == len(verdict.hits)


@COMPILES
@given(documents(), st.randoms(use_true_random=False), FACTS)
def test_policy__written_in_another_order__same_hash_and_verdict(
    document: dict[str, Any], chance: Any, facts: Facts
) -> None:
    shuffled = copy.deepcopy(document)
    chance.shuffle(shuffled["groups"])
    for group in shuffled["groups"]:
        rows = list(group["rules"].items())
        chance.shuffle(rows)
        group["rules"] = dict(rows)
    first, second = compiled(document), compiled(shuffled)
    assert first.hash == second.hash
    assert first.judge(facts) == second.judge(facts)


@LAW
@given(st.text(st.characters(codec=None)))
def test_because__any_caller_name__no_control_bidi_or_invisible_character(name: str) -> None:
    rule = {"when": "true", "score": 1, "because": "called {caller.name} twice: {caller.name}"}
    group = {"group": "g", "description": "-", "enabled": True, "max_score": 1, "rules": {"A": rule}}
    actions = {"challenge": 4, "voicemail": 8, "reject": "off"}
    (hit,) = compiled({"actions": actions, "groups": [group]}).judge({"caller.name": name}).hits
    assert len(hit.because) <= MAX_TEXT
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in hit.because)
