"""What a policy makes of facts: the sum, force, skipping, shadow, stages, templates, hash."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from screener.errors import ConfigError
from screener.policy import FORCE_PRECEDENCE, Policy, PolicyDocument, compile_policy, explain
from screener.policy.templates import MAX_FACT, MAX_TEXT
from screener.verdict import Action, Verdict

if TYPE_CHECKING:
    from screener.facts import FactValue

Facts = dict[str, "FactValue"]
Rows = dict[str, dict[str, Any]]


def rule(when: str, score: object = 1, **more: object) -> dict[str, Any]:
    return {"score": score, "when": when, "because": "-"} | more


def document(
    actions: dict[str, Any] | None = None, caps: dict[str, int] | None = None, **groups: Rows
) -> Any:
    return {
        "actions": {"challenge": 4, "voicemail": 8, "reject": "off"} | (actions or {}),
        "groups": [
            {
                "group": name,
                "description": "-",
                "enabled": True,
                "max_score": (caps or {}).get(name, 100),
                "rules": rules,
            }
            for name, rules in groups.items()
        ],
    }


def policy(
    actions: dict[str, Any] | None = None, caps: dict[str, int] | None = None, **groups: Rows
) -> Policy:
    return compile_policy(PolicyDocument.model_validate(document(actions, caps, **groups)))


def symbols(verdict: Verdict) -> list[str]:
    return [hit.symbol for hit in verdict.hits]


# ---------------------------------------------------------------- the sum


@pytest.mark.parametrize(
    ("score", "action"),
    [
        (0, Action.ALLOW),
        (3.9, Action.ALLOW),
        (4, Action.CHALLENGE),
        (7.9, Action.CHALLENGE),
        (8, Action.VOICEMAIL),
        (99, Action.VOICEMAIL),
        (-5, Action.ALLOW),
    ],
)
def test_judge__score_against_thresholds__highest_reached_wins(score: float, action: Action) -> None:
    verdict = policy(g={"A": rule("true", score)}).judge({})
    assert (verdict.action, verdict.score) == (action, score)


def test_judge__reject_switched_on__is_reached_by_score() -> None:
    assert policy({"reject": 15}, g={"A": rule("true", 15)}).judge({}).action is Action.REJECT


def test_judge__challenge_off__next_threshold_still_holds() -> None:
    judged = policy({"challenge": "off"}, g={"A": rule("true", 7)}).judge({})
    assert judged.action is Action.ALLOW


def test_judge__tenths_add_up_to_the_threshold__reached() -> None:
    # In binary 0.1 + 4 - 0.1 is a little less than 4.
    verdict = policy(g={"A": rule("true", "0.1"), "B": rule("true", 4), "C": rule("true", "-0.1")}).judge({})
    assert (verdict.score, verdict.action) == (4, Action.CHALLENGE)


def test_judge__group_over_its_cap__cut_before_trust_is_added() -> None:
    one = policy(
        caps={"g": 5},
        g={"A": rule("true", 4), "B": rule("true", 4), "C": rule("true", -3)},
        h={"D": rule("true")},
    )
    verdict = one.judge({})
    assert verdict.score == 3
    assert [(s.group, s.raw, s.capped, s.trust, s.total) for s in one.sums(verdict.hits)] == [
        ("g", 8, 5, -3, 2),
        ("h", 1, 1, 0, 1),
    ]


def test_judge__score_zero__observed_only() -> None:
    verdict = policy(g={"A": rule("true", 0)}).judge({})
    assert (symbols(verdict), verdict.score, verdict.action) == (["A"], 0, Action.ALLOW)


def test_judge__hits__in_the_order_of_groups_and_symbols() -> None:
    verdict = policy(z={"A": rule("true")}, a={"C": rule("symbol.A"), "B": rule("true")}).judge({})
    assert symbols(verdict) == ["B", "C", "A"]


# ---------------------------------------------------------------- missing facts


def test_judge__fact_missing__rule_skipped_and_fact_named() -> None:
    verdict = policy(g={"A": rule("caller.calls_1d > 3"), "B": rule("caller.valid")}).judge(
        {"caller.valid": True}
    )
    assert symbols(verdict) == ["B"]
    assert [(skip.symbol, skip.missing) for skip in verdict.skipped] == [("A", "caller.calls_1d")]


@pytest.mark.parametrize("known", [{}, {"call.local_hour": 3}])
def test_judge__decided_without_the_missing_fact__not_skipped(known: Facts) -> None:
    rules = {
        "A": rule("caller.valid || true"),
        "B": rule("caller.valid && false || call.local_hour > 23 && false"),
    }
    verdict = policy(g=rules).judge(known)
    assert (symbols(verdict), verdict.skipped) == (["A"], ())


def test_judge__composite_over_skipped_symbol__skipped_unless_decided_without() -> None:
    rules = {
        "A": rule("caller.valid"),
        "NEEDS_A": rule("!symbol.A"),
        "NEEDS_NONE": rule("symbol.A || call.local_hour == 3"),
    }
    verdict = policy(g=rules).judge({"call.local_hour": 3})
    assert symbols(verdict) == ["NEEDS_NONE"]
    assert [(skip.symbol, skip.missing) for skip in verdict.skipped] == [
        ("A", "caller.valid"),
        ("NEEDS_A", "symbol.A"),
    ]


@pytest.mark.parametrize(
    ("when", "facts", "missing"),
    [
        ("10 / call.local_hour == 1", {"call.local_hour": 0}, "divide by zero"),
        ("caller.calls_1d > 3", {"caller.calls_1d": "many"}, "Unexpected value type for 'caller.calls_1d'"),
        ("caller.calls_1d > 3", {"caller.calls_1d": 2**80}, "int too big to convert"),
        ("caller.calls_1d + 9223372036854775807 > 3", {"caller.calls_1d": 1}, "integer overflow"),
    ],
)
def test_judge__evaluation_fails__rule_skipped_with_the_reason(when: str, facts: Facts, missing: str) -> None:
    (skip,) = policy(g={"A": rule(when)}).judge(facts).skipped
    assert skip.missing.startswith(missing)


def test_judge__fact_with_lone_surrogates__judged_like_any_other() -> None:
    verdict = policy(g={"A": rule("caller.name.startsWith('x')"), "B": rule("caller.name == ''")}).judge(
        {"caller.name": "x\udcff"}
    )
    assert (symbols(verdict), verdict.skipped) == (["A"], ())


# ---------------------------------------------------------------- force


@pytest.mark.parametrize("count", range(1, 5))
def test_judge__several_force__first_of_the_precedence_wins(count: int) -> None:
    forcing = FORCE_PRECEDENCE[-count:]
    verdict = policy(g={f"X_{one.upper()}": rule("true", 0, force=str(one)) for one in forcing}).judge({})
    assert (verdict.action, verdict.forced_by) == (forcing[0], f"X_{forcing[0].upper()}")


def test_force__precedence__a_friend_rings_whatever_else_is_said() -> None:
    assert FORCE_PRECEDENCE == (Action.ALLOW, Action.REJECT, Action.VOICEMAIL, Action.CHALLENGE)


def test_judge__two_force_the_same__first_by_group_and_name_is_named() -> None:
    rules = {"B": rule("true", force="voicemail"), "A": rule("true", force="voicemail")}
    assert policy(g=rules).judge({}).forced_by == "A"


def test_judge__force_none__decides_by_score() -> None:
    assert policy(g={"A": rule("true", force="none")}).judge({}).forced_by is None


# ---------------------------------------------------------------- shadow, enabled, stage


def test_judge__shadow__shown_but_neither_added_nor_forced() -> None:
    verdict = policy(g={"A": rule("true", 9, shadow=True, force="reject")}).judge({})
    assert (verdict.action, verdict.score, verdict.forced_by) == (Action.ALLOW, 0, None)
    assert verdict.reasons == "A(+9 shadow)"


def test_judge__composites_over_a_shadow_symbol__only_those_in_shadow_see_it() -> None:
    rules = {
        "A": rule("true", shadow=True),
        "COUNTS": rule("symbol.A"),
        "COUNTS_NOT": rule("!symbol.A"),
        "SHADOW": rule("symbol.A", shadow=True),
    }
    assert symbols(policy(g=rules).judge({})) == ["A", "COUNTS_NOT", "SHADOW"]


def test_judge__shadow_symbol_skipped__what_counts_is_not_skipped_with_it() -> None:
    rules = {
        "A": rule("caller.valid", shadow=True),
        "B": rule("!symbol.A"),
        "C": rule("!symbol.A", shadow=True),
    }
    verdict = policy(g=rules).judge({})
    assert (symbols(verdict), [skip.symbol for skip in verdict.skipped]) == (["B"], ["A", "C"])


def test_judge__rule_switched_off__symbol_is_known_and_has_not_fired() -> None:
    rules = {"A": rule("true", enabled=False), "B": rule("!symbol.A")}
    assert symbols(policy(g=rules).judge({})) == ["B"]


def test_judge__rule_of_the_challenge_stage__neither_hit_nor_skipped_at_setup() -> None:
    one = policy(g={"A": rule("challenge.result == 'passed'", stage="challenge"), "B": rule("true")})
    assert one.judge({}).skipped == ()
    assert symbols(one.judge({"call.stage": "challenge", "challenge.result": "passed"})) == ["A", "B"]


@pytest.mark.parametrize("challenged", [rule("true", 5), rule("true", 0, force="challenge")])
def test_judge__after_the_challenge__never_a_second_one(challenged: dict[str, Any]) -> None:
    one = policy(g={"A": challenged})
    assert one.judge({"call.stage": "setup"}).action is Action.CHALLENGE
    assert one.judge({"call.stage": "challenge"}).action is Action.ALLOW


# ---------------------------------------------------------------- reasons


@pytest.mark.parametrize(
    ("because", "value", "expected"),
    [
        ("called {caller.name}!", "Ann", "called Ann!"),
        ("called {caller.name}!", None, "called ?!"),
        ("{caller.name}", "a\r\nAction: Hangup", "a Action: Hangup"),
        ("{caller.name}", "a\u202egnp.exe\u2066\u200b\x1b[31m", "agnp.exe[31m"),
        ("{caller.name}", "{caller.e164} {0.__class__} %s", "{caller.e164} {0.__class__} %s"),
        ("{caller.name}", "x" * 1000, "x" * (MAX_FACT - 1) + "…"),
        ("{caller.name}" * 5, "x" * 64, "x" * (MAX_TEXT - 1) + "…"),
        ("a\nb {caller.name}", "c", "a b c"),
        ("\x1b[1mbold", None, "[1mbold"),
    ],
)
def test_because__hostile_or_missing_fact__one_safe_line(
    because: str, value: str | None, expected: str
) -> None:
    facts: Facts = {} if value is None else {"caller.name": value}
    (hit,) = policy(g={"A": rule("true", because=because)}).judge(facts).hits
    assert hit.because == expected


def test_because__facts_of_every_type__written_plainly() -> None:
    because = "{caller.valid} {caller.calls_1d} {caller.first_seen_days}"
    facts: Facts = {"caller.valid": True, "caller.calls_1d": 3, "caller.first_seen_days": 2.5}
    assert policy(g={"A": rule("true", because=because)}).judge(facts).hits[0].because == "true 3 2.5"


# ---------------------------------------------------------------- compiling


def test_compile__dependencies_against_the_order_of_writing__evaluated_in_order() -> None:
    one = policy(
        a={"A": rule("symbol.B && symbol.C")}, b={"B": rule("symbol.C"), "C": rule("call.local_hour == 3")}
    )
    assert symbols(one.judge({"call.local_hour": 3})) == ["A", "B", "C"]
    assert symbols(one.judge({"call.local_hour": 4})) == []


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("symbol.B", ["g.A.when:1:1: symbols in a circle: A needs B needs C needs A"]),
        (
            "caller . kind == 'x' && caller.knid == 'y'",
            ["g.A.when:1:25: unknown fact caller.knid; did you mean"],
        ),
        ("// only words", ["g.A.when:1:14: the expression ends too early"]),
        ("true)", ["g.A.when:1:5: extraneous input ')'"]),
        ("(" * 60 + "true" + ")" * 60, ["g.A.when:1:1: Expression recursion limit exceeded"]),
        ("matches('a', '(')", ["g.A.when:1:14: invalid regular expression: missing ): ("]),
        (
            "'a'.matches('a' + caller.kind)",
            ["g.A.when:1:13: the pattern of matches() must be a text in quotes"],
        ),
        (
            "caller.x || called.y",
            ["g.A.when:1:1: unknown fact caller.x", "g.A.when:1:13: unknown fact called.y"],
        ),
    ],
)
def test_compile__expression_that_cannot_be_used__every_reason_with_its_place(
    when: str, expected: list[str]
) -> None:
    rules = {"A": rule(when), "B": rule("symbol.C"), "C": rule("symbol.A")}
    with pytest.raises(ConfigError) as caught:
        policy(g=rules)
    assert len(caught.value.problems) == len(expected)
    assert all(found.startswith(start) for found, start in zip(caught.value.problems, expected, strict=True))


@pytest.mark.parametrize(
    "when",
    [
        "true // so it is",
        "caller.kind.matches('^(mobile|voip)$') || 'symbol.NOBODY' == 'caller.nothing'",
        r"caller.kind == r'\d' || caller.kind == '\'' || caller.kind == '''it's'''",
        "[1, 2].exists(n, n == caller.calls_1d)",
        "caller.carrier in ['a', \"b\"] || caller.kind.size() > 3 || size(caller.kind) > 3",
    ],
)
def test_compile__all_that_cel_can_say__accepted_and_asked_at_once_with_others(when: str) -> None:
    one = policy(
        g={"A": rule(when), "B": rule("caller.calls_1d == 2 || caller.kind == 'mobile'"), "C": rule("true")}
    )
    verdict = one.judge({"caller.kind": "mobile", "caller.calls_1d": 2, "caller.carrier": "b"})
    assert {"B", "C"} <= set(symbols(verdict))
    assert verdict.skipped == ()


def test_compile__rules_switched_off__checked_too() -> None:
    with pytest.raises(ConfigError):
        policy(g={"A": rule("caller.nothing", enabled=False)})


# ---------------------------------------------------------------- hash


def test_hash__words_that_decide_nothing__same_hash() -> None:
    plain_policy = document(g={"A": rule("true"), "B": rule("false")})
    other = document(
        g={"B": rule("false", source="a book"), "A": rule("true"), "OFF": rule("true", enabled=False)}
    )
    other["groups"][0]["description"] = "in other words"
    first, second = (compile_policy(PolicyDocument.model_validate(one)) for one in (plain_policy, other))
    assert first.hash == second.hash
    assert len(first.hash) == 12
    assert first.judge({}) == second.judge({})


@pytest.mark.parametrize(
    "change",
    [
        {"actions": {"voicemail": 9}},
        {"caps": {"g": 3}},
        {"g": {"A": rule("true", 2)}},
        {"g": {"A": rule("1 == 1")}},
        {"g": {"A": rule("true", shadow=True)}},
        {"g": {"A": rule("true", force="allow")}},
        {"g": {"A": rule("true", because="other")}},
        {"g": {"A": rule("true", stage="challenge")}},
        {"g": {"A": rule("true"), "B": rule("false")}},
    ],
)
def test_hash__anything_that_decides__other_hash(change: dict[str, Any]) -> None:
    assert policy(**({"g": {"A": rule("true")}} | change)).hash != policy(g={"A": rule("true")}).hash


def test_verdict__of_any_policy__carries_its_hash() -> None:
    one = policy(g={})
    assert one.judge({}).policy == one.hash
    assert json.loads(one.document)["rules"] == {}


# ---------------------------------------------------------------- explain


def test_explain__verdict__holds_every_step_of_the_sum() -> None:
    one = policy(
        caps={"g": 5},
        g={"A": rule("true", 4, source="a book"), "B": rule("true", 4), "C": rule("caller.valid")},
        h={"D": rule("true", -2), "E": rule("true", 9, shadow=True)},
    )
    facts: Facts = {"call.stage": "setup"}
    shown = explain(one.judge(facts), one, facts)
    assert [(group["group"], group["raw"], group["capped"], group["total"]) for group in shown["groups"]] == [
        ("g", 8, 5, 5),
        ("h", 0, 0, -2),
    ]
    assert shown["thresholds"] == [
        {"action": "voicemail", "at": 8, "reached": False},
        {"action": "challenge", "at": 4, "reached": False},
    ]
    assert shown["hits"][0] | {"because": ""} == {
        "symbol": "A",
        "group": "g",
        "score": 4,
        "because": "",
        "force": None,
        "shadow": False,
        "when": "true",
        "source": "a book",
    }
    assert shown["skipped"] == [{"symbol": "C", "missing": "caller.valid"}]
    assert shown["force_precedence"] == ["allow", "reject", "voicemail", "challenge"]
    assert (shown["score"], shown["facts"]) == (3, facts)
    json.dumps(shown)
