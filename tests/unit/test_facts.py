"""One row, one fact: when it is known, what it is, and when it is absent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from screener.call import Call, Stage
from screener.facts import BY_NAME, CATALOGUE, PYTHON_TYPES, FactValue, Place, facts_of
from screener.number import parse

TRUNKS = (("PJSIP/berlin", "DE"), ("PJSIP/us*", "US"), ("PJSIP/usual", "FR"))
SHANGHAI = Place("CN", ZoneInfo("Asia/Shanghai"), TRUNKS, city=True)
BERLIN = {"channel": "PJSIP/berlin-00000001"}
ABSENT = None

CALL = Call(
    id="1700000000.1",
    channel="PJSIP/carrier-00000001",
    stage=Stage.SETUP,
    at=datetime(2026, 3, 1, 16, 45, tzinfo=UTC),
    number="17712345678",
    did="02161234567",
)

VALID, FAILED = "TN-Validation-Passed", "TN-Validation-Failed"
SAYS_PASSED = f"<sip:1@h;verstat={VALID}>"
OTHER, BEIJING = "<sip:+8613912345678@h>", "<sip:+861012345678@h>"

ROWS: list[tuple[str, dict[str, str], FactValue | None]] = [
    # fact, what differs from CALL, its value
    ("caller.e164", {}, "+8617712345678"),
    ("caller.e164", {"presentation": "prohib"}, "+8617712345678"),
    ("caller.e164", {"number": "anonymous"}, ABSENT),
    ("caller.kind", {}, "mobile"),
    ("caller.kind", {"presentation": "prohib"}, "withheld"),
    ("caller.kind", {"number": "1-800-FLOWERS"}, "invalid"),
    ("caller.valid", {}, True),
    ("caller.valid", {"number": "12712345678"}, False),
    ("caller.valid", {"number": "alice"}, False),
    ("caller.valid", {"presentation": "prohib"}, True),
    ("caller.valid", {"number": ""}, ABSENT),
    ("caller.valid", {"number": "201"}, ABSENT),
    ("caller.possible", {"number": "12712345678"}, True),
    ("caller.possible", {"number": "+861"}, False),
    ("caller.possible", {"number": ""}, ABSENT),
    ("caller.region", {"number": "+4930123456"}, "DE"),
    ("caller.region", {"number": "alice"}, ABSENT),
    ("caller.from_abroad", {}, False),
    ("caller.from_abroad", {"number": "+4930123456"}, True),
    ("caller.from_abroad", {"number": "+881612345678"}, True),
    ("caller.from_abroad", {"number": "95588"}, False),
    ("caller.from_abroad", {"number": "anonymous"}, ABSENT),
    ("caller.carrier", {}, "China Telecom"),
    ("caller.carrier", {"number": "01012345678"}, ABSENT),
    ("caller.city", {"number": "01012345678"}, "Beijing"),
    ("caller.city", {"number": "95588"}, ABSENT),
    ("caller.city", {"number": "12712345678"}, ABSENT),
    ("caller.national", {"number": "+4930123456"}, "30123456"),
    ("caller.national", {"number": "95588"}, ABSENT),
    ("caller.short_code", {"number": "95588"}, "95588"),
    ("caller.short_code", {"number": "+8695588"}, ABSENT),
    ("caller.short_code", BERLIN | {"number": "95588"}, ABSENT),
    ("caller.short_code", {}, ABSENT),
    ("caller.block", {}, "+861771234"),
    ("caller.block", {"number": "95588"}, ABSENT),
    ("caller.is_neighbour", {}, False),
    ("caller.is_neighbour", {"number": "02161239999"}, True),
    ("caller.is_neighbour", {"number": "+862161234567"}, True),
    ("caller.is_neighbour", {"did": "201"}, ABSENT),
    ("caller.is_neighbour", {"number": ""}, ABSENT),
    ("caller.asserted_differs", {"asserted": '"Bank" <sip:+8617712345678@carrier>'}, False),
    ("caller.asserted_differs", {"asserted": "<sip:017712345678@carrier>"}, False),
    ("caller.asserted_differs", {"asserted": "<tel:+861012345678>"}, True),
    ("caller.asserted_differs", {"asserted": "<sip:95588@carrier>"}, True),
    ("caller.asserted_differs", {"asserted": "sip:company@carrier"}, ABSENT),
    ("caller.asserted_differs", {}, ABSENT),
    ("caller.asserted_differs", {"number": "anonymous", "asserted": "<tel:+861012345678>"}, ABSENT),
    ("caller.asserted_differs", {"asserted": "<tel:+861012345678>", "sender": OTHER}, True),
    ("caller.asserted_differs", {"number": "01012345678", "asserted": BEIJING, "sender": OTHER}, True),
    ("caller.asserted_differs", {"number": "01012345678", "asserted": BEIJING, "sender": BEIJING}, False),
    ("caller.asserted_differs", {"asserted": BEIJING, "sender": "<sip:anonymous@h>"}, ABSENT),
    ("caller.asserted_differs", {**BERLIN, "number": "030123456", "asserted": "<tel:+4930123456>"}, False),
    ("caller.domestic_on_foreign_trunk", {}, False),
    ("caller.domestic_on_foreign_trunk", {"number": "anonymous"}, False),
    ("caller.domestic_on_foreign_trunk", BERLIN | {"number": "+8617712345678"}, True),
    ("caller.domestic_on_foreign_trunk", BERLIN | {"number": "008617712345678"}, True),
    ("caller.domestic_on_foreign_trunk", BERLIN | {"number": "030123456"}, False),
    ("caller.domestic_on_foreign_trunk", BERLIN | {"number": "anonymous"}, ABSENT),
    ("caller.name", {"name": " Dr.\x1b[1m \u202eWang\r\n"}, "Dr.[1m Wang"),
    ("caller.name", {"name": "x" * 100}, "x" * 79 + "…"),
    ("caller.name", {}, ABSENT),
    ("caller.has_name", {"name": "王医生"}, True),
    ("caller.has_name", {"name": "17712345678"}, False),
    ("caller.has_name", {"name": "Anonymous"}, False),
    ("caller.has_name", {}, False),
    ("called.did", {}, "02161234567"),
    ("called.did", {"did": "+862161234567"}, "+862161234567"),
    ("called.did", {"did": ""}, ABSENT),
    ("called.e164", {}, "+862161234567"),
    ("called.e164", {"did": "201"}, ABSENT),
    ("trunk.name", {}, "PJSIP/carrier"),
    ("trunk.region", {}, "CN"),
    ("trunk.region", BERLIN, "DE"),
    ("trunk.region", {"channel": "PJSIP/us-2-00000001"}, "US"),
    ("trunk.region", {"channel": "PJSIP/usual-00000001"}, "US"),
    ("trunk.region", {"channel": "PJSIP/berlin2-00000001"}, "CN"),
    ("called.e164", BERLIN | {"did": "030123456"}, "+4930123456"),
    ("call.stage", {}, "setup"),
    ("call.presentation", {"presentation": "allowed_passed_screen"}, "allowed_passed_screen"),
    ("call.presentation", {"presentation": "prohib"}, "prohib"),
    ("call.presentation", {"presentation": "nonsense"}, ABSENT),
    ("call.diverted", {"diversion": "02161234000"}, True),
    ("call.diverted", {}, False),
    ("call.diverted_from", {"diversion": "02161234000"}, "+862161234000"),
    ("call.diverted_from", BERLIN | {"diversion": "<sip:030123456@h>"}, "+4930123456"),
    ("call.diverted_from", {"diversion": "alice"}, ABSENT),
    ("call.diverted_from", {}, ABSENT),
    ("call.local_hour", {}, 0),
    ("call.local_weekday", {}, 1),
    ("call.local_minute", {}, 45),
    ("call.local_date", {}, "2026-03-02"),
    ("stir.attestation", {"attestation": " a"}, "A"),
    ("stir.attestation", {"attestation": "C"}, "C"),
    ("stir.attestation", {"attestation": "AB"}, ABSENT),
    ("stir.attestation", {}, ABSENT),
    ("stir.attestation", {"asserted": f"<sip:1@h;verstat={VALID}-B>"}, "B"),
    ("stir.attestation", {"asserted": "<sip:1@h>;attest=c"}, "C"),
    ("stir.attestation", {"asserted": "<sip:1@h>;attest=c", "attestation": "A"}, "A"),
    ("stir.attestation", {"sender": "<sip:1@h>;attest=A"}, ABSENT),
    ("stir.attestation", {"verified": "cid_orig_tn_mismatch", "attestation": "A"}, ABSENT),
    ("stir.verified", {}, ABSENT),
    ("stir.verified", {"asserted": f"<sip:+8617712345678;verstat={VALID}@h;user=phone>"}, "passed"),
    ("stir.verified", {"asserted": f"<tel:+8617712345678;verstat={VALID}-C>"}, "passed"),
    ("stir.verified", {"asserted": f"<sip:1@h> ; VERSTAT = {VALID.upper()}"}, "passed"),
    ("stir.verified", {"asserted": f"<sip:1@h;verstat={FAILED}>"}, "failed"),
    ("stir.verified", {"sender": f'"Bob" <sip:1@h;verstat={FAILED}>;tag=1'}, "failed"),
    ("stir.verified", {"sender": "<sip:1@h;verstat=No-TN-Validation>"}, ABSENT),
    ("stir.verified", {"asserted": "<sip:1@h;verstat=nonsense>"}, ABSENT),
    ("stir.verified", {"asserted": f"<sip:1@h;xverstat={FAILED}>"}, ABSENT),
    # the network's word before the caller's
    ("stir.verified", {"asserted": f"<sip:1@h;verstat={FAILED}>", "sender": SAYS_PASSED}, "failed"),
    ("stir.verified", {"asserted": "<sip:1@h;verstat=No-TN-Validation>", "sender": SAYS_PASSED}, ABSENT),
    ("stir.verified", {"sender": f'"x;verstat={VALID}" <sip:1@h>'}, ABSENT),
    ("stir.verified", {"sender": f'"x\\";verstat={VALID}" <sip:1@h>'}, ABSENT),
    ("stir.verified", {"sender": f'"x;verstat={VALID}'}, ABSENT),
    ("stir.verified", {"sender": f"x;verstat={VALID} <sip:1@h>"}, ABSENT),
    # Asterisk's own before both
    ("stir.verified", {"verified": "success"}, "passed"),
    ("stir.verified", {"verified": "Verification passed"}, "passed"),
    ("stir.verified", {"verified": "signature_validation", "sender": SAYS_PASSED}, "failed"),
    ("stir.verified", {"verified": "cid_orig_tn_mismatch"}, "failed"),
    ("stir.verified", {"verified": "cert_retrieval_failure", "sender": SAYS_PASSED}, ABSENT),
    ("challenge.result", {"challenge": "passed"}, "passed"),
    ("challenge.result", {"challenge": "failed"}, "failed"),
    ("challenge.result", {"challenge": "maybe"}, ABSENT),
    ("challenge.result", {}, ABSENT),
]

OBSERVED: dict[str, FactValue] = {
    "talk.over_share": 0.75,
    "talk.through_s": 2.5,
    "talk.monologue_s": 14.0,
    "talk.silent_s": 0.5,
    "message.sender": "mobile",
    "message.chars": 70,
    "message.links": 1,
    "message.amounts": 1,
    "message.dates": 2,
    "message.debts": 3,
    "message.threats": 1,
    "message.pretexts": 0,
    "list.allow": False,
    "list.block": True,
    "list.entry": "+86177*",
    "list.reason": "collection calls",
    "list.source": "operator",
    "feed.asked": 2,
    "feed.count": 1,
    "feed.names": "phoneblock",
    "feed.weight": 0.5,
    "feed.max_votes": 12,
    "campaign.id": "7",
    "campaign.calls": 9,
    "campaign.callers": 3,
    "campaign.name": "warranty",
    "campaign.verdict": "robocall",
    "caller.calls_1m": 1,
    "caller.calls_1h": 2,
    "caller.calls_1d": 3,
    "caller.calls_7d": 4,
    "caller.dids_1h": 2,
    "caller.first_seen_days": 0.5,
    "caller.is_new": False,
    "caller.sweep_run": 2,
    "caller.block_new_1h": 1,
    "caller.live": 2,
    "caller.gap_cv": 0.5,
    "caller.unanswered_1d": 3,
    "caller.short_rings": 1,
    "caller.short_ring_dids": 1,
    "caller.answered_n": 4,
    "caller.cut_short_n": 1,
    "caller.abandon_ratio": 0.25,
    "agent.strangers_7d": 12,
    "agent.stranger_share": 0.95,
    "trunk.rate_ratio": 1.5,
    "caller.dialled_by_us_days": 3.5,
    "caller.talk_s_total": 90,
    "caller.good_calls": 1.5,
    "caller.bad_calls": 0.5,
    "caller.trust": 0.25,
    "caller.challenge_passed_days": 7.5,
    "caller.challenges_failed_1d": 2,
    "trunk.challenges_failed_1h": 3,
    "house.expecting_code": True,
}


def facts(
    changes: dict[str, str] | None = None, observed: dict[str, FactValue] | None = None
) -> dict[str, FactValue]:
    call = replace(CALL, **(changes or {}))  # type: ignore[arg-type]  # str fields only
    caller = parse(call.number, SHANGHAI.region_of(call.trunk), call.presentation)
    return facts_of(call, caller, observed or {}, SHANGHAI)


@pytest.mark.parametrize(("name", "changes", "value"), ROWS)
def test_facts_of__call__fact_has_its_value(
    name: str, changes: dict[str, str], value: FactValue | None
) -> None:
    found = facts(changes).get(name)
    assert found == value
    assert type(found) is (PYTHON_TYPES[BY_NAME[name].type] if value is not None else type(None))


@pytest.mark.parametrize("name", OBSERVED)
def test_facts_of__store_answers__fact_is_passed_on(name: str) -> None:
    assert facts(observed=OBSERVED)[name] == OBSERVED[name]


def test_facts_of__store_down__state_facts_absent_and_the_rest_known() -> None:
    known = facts()
    assert not [name for name in known if BY_NAME[name].source == "state"]
    assert known["caller.e164"] == "+8617712345678"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("caller.e164", "+861000000000"),
        ("caller.colour", "red"),
        ("caller.calls_1m", "7"),
        ("caller.calls_1m", True),
        ("caller.calls_1m", 7.0),
        ("caller.calls_1m", 2**63),
        ("caller.first_seen_days", float("nan")),
        ("caller.first_seen_days", float("inf")),
        ("caller.first_seen_days", 10**400),
        ("caller.is_new", 1),
        ("list.reason", 5),
        ("list.reason", "\x00\x1b"),
    ],
)
def test_facts_of__store_holds_nonsense__dropped(name: str, value: FactValue) -> None:
    assert facts(observed={name: value}) == facts()


def test_facts_of__store_gives_whole_days__still_a_double() -> None:
    days = facts(observed={"caller.first_seen_days": 3})["caller.first_seen_days"]
    assert (days, type(days)) == (3.0, float)


def test_facts_of__reason_from_a_feed__cleaned_and_cut() -> None:
    reason = facts(observed={"list.reason": "spam\r\n\x1b[2J" + "x" * 1000})["list.reason"]
    assert isinstance(reason, str)
    assert reason.startswith("spam [2Jxx")
    assert len(reason) == 200


def test_facts_of__challenged_call__stage_says_so() -> None:
    call = replace(CALL, stage=Stage.CHALLENGE)
    assert facts_of(call, parse(call.number, "CN"), {}, SHANGHAI)["call.stage"] == "challenge"


def test_facts_of__other_time_zone__clock_follows_it() -> None:
    new_york = replace(SHANGHAI, zone=ZoneInfo("America/New_York"))
    known = facts_of(CALL, parse(CALL.number, "CN"), {}, new_york)
    assert (known["call.local_hour"], known["call.local_weekday"], known["call.local_minute"]) == (11, 7, 705)


def test_facts_of__did_of_another_country__read_by_the_plan_of_the_trunk() -> None:
    call = replace(CALL, number="030 1234567", did="030 1239999")
    known = facts_of(call, parse(call.number, "DE"), {}, SHANGHAI)
    assert (known["called.e164"], known["caller.is_neighbour"]) == ("+49301239999", True)


def test_catalogue__names__unique_and_each_derived_in_a_row_of_this_file() -> None:
    names = [fact.name for fact in CATALOGUE]
    assert len(names) == len(set(names))
    known = {name for name, _, value in ROWS if value is not None} | set(OBSERVED)
    assert known == set(names)


def test_catalogue__rows__say_what_they_mean() -> None:
    for fact in CATALOGUE:
        assert fact.meaning, fact.name
        assert not fact.meaning.endswith("."), fact.name
        assert fact.unit or fact.type not in {"int", "double"}, fact.name
