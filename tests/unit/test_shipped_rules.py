"""The shipped rules: one row for each story of a call, and where it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from screener.call import Stage
from screener.config import load
from screener.facts import CATALOGUE, NO_CHALLENGES, NO_DEALINGS, QUIET, FactValue
from screener.verdict import Action

if TYPE_CHECKING:
    from pathlib import Path

    from screener.policy import Policy

Facts = dict[str, FactValue]

ORDINARY: Facts = {
    "caller.e164": "+8613812345678",
    "caller.national": "13812345678",
    "caller.kind": "mobile",
    "caller.region": "CN",
    "caller.valid": True,
    "caller.possible": True,
    "caller.is_neighbour": False,
    "caller.asserted_differs": False,
    "caller.domestic_on_foreign_trunk": False,
    "called.did": "+862062345678",
    "call.stage": "setup",
    "call.local_hour": 12,
    "list.allow": False,
    "list.block": False,
    "feed.asked": 1,
    "feed.count": 0,
    "feed.weight": 0.0,
    "feed.max_votes": 0,
    "campaign.calls": 0,
    "campaign.callers": 0,
    "caller.calls_1m": 1,
    "caller.calls_1h": 1,
    "caller.calls_1d": 1,
    "caller.calls_7d": 1,
    "caller.dids_1h": 1,
    "caller.first_seen_days": 0.0,
    "caller.is_new": True,
    "caller.sweep_run": 1,
    "caller.block_new_1h": 1,
    "caller.live": 1,
    "caller.gap_cv": 9.0,
    "caller.unanswered_1d": 0,
    "caller.short_ring_dids": 0,
    "caller.answered_n": 0,
    "caller.cut_short_n": 0,
    "caller.abandon_ratio": 0.0,
    "trunk.rate_ratio": 1.0,
    **NO_DEALINGS,
    **NO_CHALLENGES,
    **QUIET,
}
STATE = frozenset(fact.name for fact in CATALOGUE if fact.source == "state")
KNOWN: Facts = {"caller.good_calls": 1.0, "caller.talk_s_total": 70, "caller.trust": 0.2}
DIALLED: Facts = {"caller.dialled_by_us_days": 0.5}
TRUSTED: Facts = {"caller.good_calls": 5.0, "caller.talk_s_total": 600, "caller.trust": 0.56}
FEED_SURE: Facts = {"feed.count": 1, "feed.weight": 1.0}
WITHHELD: Facts = {"caller.kind": "withheld"}
FORGED: Facts = {"caller.domestic_on_foreign_trunk": True, "trunk.region": "DE"}
CALLED_ONLY: Facts = {"caller.kind": "shared_cost", "caller.national": "4008001234"}
NUMBERLESS = frozenset(("caller.e164", "caller.national", "caller.region", "caller.valid", "caller.possible"))


TRUST_RULES = {"DIALLED_BY_US", "KNOWN_CALLER", "TRUSTED", "KNOWN_BUT_UNPROVEN", "MESSAGES_DELETED"}


def swept(dids: int, days: float) -> Facts:
    return {
        "caller.dids_1h": dids,
        "caller.calls_1h": dids,
        "caller.calls_1d": dids,
        "caller.calls_7d": dids,
        "caller.first_seen_days": days,
    }


@pytest.fixture(scope="module")
def shipped() -> Policy:
    return load(None, environ={}).policy


@pytest.mark.parametrize(
    ("story", "facts", "action"),
    [
        ("nobody has called before", {}, Action.ALLOW),
        ("a friend at the worst moment", {"list.allow": True, **WITHHELD, **swept(30, 0)}, Action.ALLOW),
        ("blocked", {"list.block": True, "caller.first_seen_days": 5.0}, Action.VOICEMAIL),
        ("withheld", WITHHELD, Action.CHALLENGE),
        ("no number at all", {"caller.kind": "invalid", "caller.valid": False}, Action.CHALLENGE),
        ("premium rate", {"caller.kind": "premium"}, Action.CHALLENGE),
        ("unassigned range", {"caller.valid": False}, Action.ALLOW),
        ("a bank's short code", {"caller.kind": "short_code"}, Action.ALLOW),
        ("a real neighbour", {"caller.is_neighbour": True}, Action.ALLOW),
        ("a false neighbour", {"caller.is_neighbour": True, "stir.attestation": "C"}, Action.CHALLENGE),
        ("our country's number from abroad", FORGED, Action.ALLOW),
        (
            "… that the network does not confirm",
            {**FORGED, "caller.asserted_differs": True},
            Action.CHALLENGE,
        ),
        ("a 400 number calls", CALLED_ONLY, Action.ALLOW),
        (
            "a shared cost number that may call",
            {**CALLED_ONLY, "caller.national": "95013123456"},
            Action.ALLOW,
        ),
        ("the signature is false", {"stir.verified": "failed"}, Action.ALLOW),
        ("the signature is good", {"stir.verified": "passed"}, Action.ALLOW),
        ("forged in every way", {**FORGED, **CALLED_ONLY, "stir.verified": "failed"}, Action.CHALLENGE),
        ("weakly signed", {"stir.attestation": "C"}, Action.ALLOW),
        (
            "odd in every way",
            {**WITHHELD, "caller.is_neighbour": True, "stir.attestation": "C"},
            Action.CHALLENGE,
        ),
        ("fourth number of a sweep", swept(4, 0), Action.ALLOW),
        ("fifth number of a sweep", swept(5, 0), Action.CHALLENGE),
        ("a school we know calls five", swept(5, 30), Action.CHALLENGE),
        ("… in a busy week", {**swept(5, 8), "caller.calls_7d": 20, "caller.calls_1m": 3}, Action.CHALLENGE),
        ("ten numbers", swept(10, 30), Action.VOICEMAIL),
        ("a family in worry", {"caller.calls_1d": 6, "caller.calls_7d": 6}, Action.ALLOW),
        ("again and again for days", {"caller.calls_1d": 9, "caller.calls_7d": 40}, Action.CHALLENGE),
        (
            "… and within a minute",
            {"caller.calls_1m": 5, "caller.calls_1d": 9, "caller.calls_7d": 40},
            Action.CHALLENGE,
        ),
        ("a 177 mobile, collection rules off", {"caller.national": "17712345678"}, Action.ALLOW),
        ("listed by an old feed", {"feed.count": 1, "feed.weight": 0.1}, Action.ALLOW),
        ("listed by one feed", {"feed.count": 1, "feed.weight": 0.5, "feed.max_votes": 5}, Action.ALLOW),
        ("… that is sure", {"feed.count": 1, "feed.weight": 1.0, "feed.max_votes": 50}, Action.CHALLENGE),
        ("listed by many feeds", {"feed.count": 9, "feed.weight": 9.0}, Action.CHALLENGE),
        ("… but a friend", {"feed.count": 9, "feed.weight": 9.0, "list.allow": True}, Action.ALLOW),
        ("a friend who withholds his number", {**WITHHELD, **KNOWN}, Action.ALLOW),
        ("… half forgotten", {**WITHHELD, **KNOWN, "caller.good_calls": 0.44}, Action.CHALLENGE),
        ("… whose messages we delete", {**WITHHELD, **KNOWN, "caller.bad_calls": 1.0}, Action.CHALLENGE),
        ("returns our call, withheld", {**WITHHELD, **DIALLED}, Action.ALLOW),
        ("… a fortnight later", {**WITHHELD, "caller.dialled_by_us_days": 14.0}, Action.CHALLENGE),
        ("called back at a premium rate", {"caller.kind": "premium", **DIALLED}, Action.CHALLENGE),
        ("a friend whom somebody blocked", {"list.block": True, **TRUSTED, **DIALLED}, Action.VOICEMAIL),
        ("known, new and sweeping", {**swept(5, 0), **KNOWN}, Action.ALLOW),
        ("… through ten numbers", {**swept(10, 0), **KNOWN}, Action.CHALLENGE),
        ("a courier whom we cut short", {"caller.answered_n": 2, "caller.cut_short_n": 2}, Action.CHALLENGE),
        (
            "… and who hung up on us as well",
            {"caller.answered_n": 5, "caller.cut_short_n": 3, "caller.abandon_ratio": 0.61},
            Action.CHALLENGE,
        ),
        ("known, sweeping and listed", {**swept(5, 30), **KNOWN, **FEED_SURE}, Action.CHALLENGE),
        ("dialled, sweeping and listed", {**swept(5, 30), **DIALLED, **FEED_SURE}, Action.CHALLENGE),
        ("trusted, sweeping and listed", {**swept(5, 30), **TRUSTED, **FEED_SURE}, Action.CHALLENGE),
        ("a trusted school calls five", {**swept(5, 30), **TRUSTED}, Action.ALLOW),
        (
            "borrows a friend's withheld number",
            {**WITHHELD, **KNOWN, "stir.attestation": "C"},
            Action.CHALLENGE,
        ),
        ("a friend whom the network does not know", {**KNOWN, "stir.attestation": "C"}, Action.ALLOW),
        ("all messages deleted", {"caller.bad_calls": 3.0}, Action.ALLOW),
        ("challenge passed", {**WITHHELD, "challenge.result": "passed"}, Action.ALLOW),
        ("challenge passed while sweeping", {**swept(5, 0), "challenge.result": "passed"}, Action.ALLOW),
        ("challenge failed", {**WITHHELD, "challenge.result": "failed"}, Action.VOICEMAIL),
        ("passed, blocked meanwhile", {"list.block": True, "challenge.result": "passed"}, Action.VOICEMAIL),
        ("failed, but a friend", {"list.allow": True, "challenge.result": "failed"}, Action.ALLOW),
    ],
)
def test_shipped_rules__story__ends_where_it_should(
    shipped: Policy, story: str, facts: Facts, action: Action
) -> None:
    stage = "challenge" if "challenge.result" in facts else "setup"
    verdict = shipped.judge(ORDINARY | facts | {"call.stage": stage})
    assert verdict.action is action, f"{story}: {verdict}"


@pytest.mark.parametrize(
    ("facts", "symbol"),
    [
        (FORGED, "FOREIGN_TRUNK"),
        (CALLED_ONLY, "CALLED_ONLY_NUMBER"),
        ({"caller.kind": "toll_free", "caller.national": "8008101234"}, "CALLED_ONLY_NUMBER"),
        ({**CALLED_ONLY, "caller.national": "95013123456"}, None),
        ({**CALLED_ONLY, "caller.national": "40012345", "caller.region": "DE"}, None),
        ({"stir.verified": "failed"}, "STIR_FAILED"),
        ({"stir.verified": "passed"}, None),
        ({}, None),
    ],
)
def test_shipped_rules__a_forged_identity__is_named(
    shipped: Policy, facts: Facts, symbol: str | None
) -> None:
    identity = {hit.symbol for hit in shipped.judge(ORDINARY | facts).hits if hit.group == "identity"}
    assert identity == ({symbol} if symbol else set())


def test_shipped_rules__trust__takes_four_points_at_most_or_six(shipped: Policy) -> None:
    for facts, least in ((KNOWN | DIALLED, -4), (TRUSTED | DIALLED, -6), (TRUSTED | FEED_SURE, -4 + 4)):
        assert shipped.judge(ORDINARY | {"caller.first_seen_days": 30.0} | facts).score == least


def test_shipped_rules__unknown_caller__skips_no_rule_of_trust(shipped: Policy) -> None:
    skipped = {skip.symbol for skip in shipped.judge(ORDINARY).skipped}
    assert not skipped & TRUST_RULES
    assert set(shipped.rules) >= TRUST_RULES


def test_shipped_rules__sweep_while_a_code_is_expected__is_challenged_still(shipped: Policy) -> None:
    verdict = shipped.judge(ORDINARY | swept(10, 0.0) | {"house.expecting_code": True})
    assert (verdict.action, verdict.score) == (Action.CHALLENGE, 4)


def test_shipped_rules__sweep__first_four_ring_then_a_key_and_ten_are_recorded(shipped: Policy) -> None:
    actions = [shipped.judge(ORDINARY | swept(dids, 0.0)).action for dids in range(1, 13)]
    assert actions == [Action.ALLOW] * 4 + [Action.CHALLENGE] * 5 + [Action.VOICEMAIL] * 3


@pytest.mark.parametrize(
    ("facts", "action"),
    [
        ({}, Action.ALLOW),
        (WITHHELD, Action.CHALLENGE),
        ({**WITHHELD, "call.stage": "challenge", "challenge.result": "passed"}, Action.ALLOW),
        ({**WITHHELD, "call.stage": "challenge", "challenge.result": "failed"}, Action.VOICEMAIL),
    ],
)
def test_shipped_rules__store_is_dead__judged_by_the_rest_and_listed(
    shipped: Policy, facts: Facts, action: Action
) -> None:
    known = {name: value for name, value in (ORDINARY | facts).items() if name not in STATE}
    verdict = shipped.judge(known)
    assert verdict.action is action
    assert {"ALLOWLISTED", "BLOCKLISTED", "DID_FANOUT"} <= {skip.symbol for skip in verdict.skipped}


def test_shipped_rules__withheld_without_number__only_what_needs_facts_is_skipped(shipped: Policy) -> None:
    known = {name: value for name, value in (ORDINARY | WITHHELD).items() if name not in NUMBERLESS}
    assert [skip.symbol for skip in shipped.judge(known).skipped] == [
        "ATTESTATION_C",
        "SHARED_AGENT",
        "STIR_FAILED",
    ]


@pytest.mark.parametrize(
    ("facts", "action"),
    [
        ({}, Action.CHALLENGE),
        ({"call.local_hour": 22}, Action.VOICEMAIL),
        ({"call.local_hour": 7}, Action.VOICEMAIL),
        ({"call.local_hour": 8}, Action.CHALLENGE),
        ({"caller.calls_1d": 4}, Action.VOICEMAIL),
        ({"caller.national": "13812345678", "call.local_hour": 23}, Action.ALLOW),
        ({"caller.region": "DE"}, Action.ALLOW),
        ({"list.allow": True, "call.local_hour": 23}, Action.ALLOW),
    ],
)
def test_collection_rules__switched_on__judge_the_manner(
    tmp_path: Path, facts: Facts, action: Action
) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "collection.yaml").write_text("enabled: true\n")
    collection = load(tmp_path, environ={}).policy
    assert collection.judge(ORDINARY | {"caller.national": "17712345678"} | facts).action is action


def test_shipped_rules__every_rule__says_where_its_score_comes_from() -> None:
    groups = load(None, environ={}).document.groups
    assert [symbol for group in groups for symbol, rule in group.rules.items() if not rule.source] == []


def test_shipped_rules__nothing__is_ever_rejected(shipped: Policy) -> None:
    assert shipped.actions.reject is None
    assert {str(one.force) for one in shipped.rules.values()} == {"None", "allow", "voicemail"}


def test_shipped_rules__setup__skips_no_rule_of_the_challenge(shipped: Policy) -> None:
    asked = {
        one.symbol for layer in shipped.layers[Stage.SETUP] for batch in layer.batches for one in batch.rules
    }
    assert not {"CHALLENGE_PASSED", "CHALLENGE_FAILED"} & asked
