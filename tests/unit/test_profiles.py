"""Profiles: when one is in force, what it changes, and every mistake in it at its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from screener.config import Config, load
from screener.errors import ConfigError
from screener.policy import Policy, PolicyDocument, compile_policy, explain
from screener.verdict import Action

if TYPE_CHECKING:
    from screener.facts import FactValue

Facts = dict[str, "FactValue"]
RULES: dict[str, Any] = {
    "A": {"score": 5, "when": "caller.valid", "because": "-"},
    "B": {"score": 5, "when": "true", "because": "-", "enabled": False},
    "TWICE": {"score": 1, "when": "symbol.A && symbol.B", "because": "-"},
}


def policy(holidays: list[str] | None = None, **profiles: dict[str, Any]) -> Policy:
    document = {
        "actions": {"challenge": 4, "voicemail": 8, "reject": "off"},
        "groups": [{"group": "g", "description": "-", "enabled": True, "max_score": 100, "rules": RULES}],
        "profiles": {
            "holidays": holidays or [],
            "profiles": {name: {"description": "-"} | one for name, one in profiles.items()},
        },
    }
    return compile_policy(PolicyDocument.model_validate(document))


def moment(day: str, clock: str, date: str = "2026-10-05") -> Facts:
    hour, minute = map(int, clock.split(":"))
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    weekday = 1 + days.index(day)
    return {"call.local_weekday": weekday, "call.local_minute": hour * 60 + minute, "call.local_date": date}


# ---------------------------------------------------------------- the language of the prompts


def test_language__of_a_profile__is_in_its_verdicts_and_in_the_hash_and_in_no_other() -> None:
    silent, speaking = policy(a={"did": ["1"]}), policy(a={"did": ["1"], "language": "zh"})
    assert silent.hash != speaking.hash
    verdict = speaking.judge({"called.did": "1"})
    assert (verdict.language, verdict.as_dict()["language"]) == ("zh", "zh")
    for other in (speaking.judge({"called.did": "2"}), silent.judge({"called.did": "1"})):
        assert other.language == ""
        assert "language" not in other.as_dict(), "rows of before stay byte for byte the same"


@pytest.mark.parametrize("language", ["", "ZH", "zh_CN", "z:x", "../en", "mandarin"])
def test_language__that_is_none__is_refused(language: str) -> None:
    with pytest.raises(ValidationError, match="language of the prompts"):
        policy(a={"did": ["1"], "language": language})


# ---------------------------------------------------------------- conditions

CALLED: Facts = {"called.did": "02062345678", "called.e164": "+862062345678", "trunk.name": "PJSIP/carrier"}
OFFICE = {"days": ["mon-fri"], "hours": ["08:00-12:00", "14:00-18:00"]}
NIGHT = {"days": ["fri"], "hours": ["22:00-06:00"]}


@pytest.mark.parametrize(
    ("condition", "facts", "holds"),
    [
        ({"did": ["02062345678"]}, CALLED, True),
        ({"did": ["+862062345678"]}, CALLED, True),
        ({"did": ["0206234567"]}, CALLED, False),
        ({"did": ["0206234567*"]}, CALLED, True),
        ({"did": ["100", "+8620*"]}, CALLED, True),
        ({"did": ["+8621*"]}, CALLED, False),
        ({"did": ["02062345678"]}, {}, False),
        ({"trunk": ["PJSIP/carrier"]}, CALLED, True),
        ({"trunk": ["PJSIP/car"]}, CALLED, False),
        ({"trunk": ["PJSIP/car*"]}, CALLED, True),
        ({"trunk": ["PJSIP/carrier"], "did": ["100"]}, CALLED, False),
        (OFFICE, moment("mon", "08:00"), True),
        (OFFICE, moment("mon", "07:59"), False),
        (OFFICE, moment("fri", "17:59"), True),
        (OFFICE, moment("fri", "18:00"), False),
        (OFFICE, moment("wed", "13:00"), False),
        (OFFICE, moment("sat", "10:00"), False),
        (OFFICE, {}, False),
        (NIGHT, moment("fri", "22:00"), True),
        (NIGHT, moment("sat", "05:59"), True),
        (NIGHT, moment("sat", "06:00"), False),
        (NIGHT, moment("sat", "22:00"), False),
        (NIGHT, moment("fri", "05:00"), False),
        ({"hours": ["22:00-06:00"]}, moment("mon", "00:00"), True),
        ({"hours": ["00:00-24:00"]}, moment("mon", "23:59"), True),
        ({"days": ["sat-mon"]}, moment("sun", "12:00"), True),
        ({"days": ["sat-mon"]}, moment("tue", "12:00"), False),
        ({"days": ["sun"], "hours": ["23:00-01:00"]}, moment("mon", "00:30"), True),
    ],
)
def test_profile__conditions__in_force_when_all_hold(
    condition: dict[str, Any], facts: Facts, *, holds: bool
) -> None:
    assert policy(p=condition).judge(facts).profile == ("p" if holds else "")


@pytest.mark.parametrize(
    ("days", "facts", "holds"),
    [
        (["mon-fri"], moment("thu", "12:00", "2026-10-01"), False),
        (["mon-fri"], moment("thu", "12:00", "2026-10-08"), True),
        (["sat", "sun", "holiday"], moment("thu", "12:00", "2026-10-01"), True),
        (["holiday"], moment("fri", "05:00", "2026-10-02"), False),
        (["holiday"], {"call.local_weekday": 4, "call.local_minute": 0}, False),
    ],
)
def test_profile__holiday__is_no_weekday(days: list[str], facts: Facts, *, holds: bool) -> None:
    assert policy(["2026-10-01"], p={"days": days}).judge(facts).profile == ("p" if holds else "")


def test_profile__night_of_a_holiday__belongs_to_the_day_on_which_it_began() -> None:
    one = policy(["2026-10-01"], p={"days": ["holiday"], "hours": ["22:00-06:00"]})
    assert one.judge(moment("fri", "05:00", "2026-10-02")).profile == "p"
    assert one.judge(moment("thu", "05:00", "2026-10-01")).profile == ""


def test_profile__several_hold__first_in_the_order_of_writing_wins() -> None:
    wide, narrow = {"did": ["0206*"]}, {"did": ["02062345678"], "trunk": ["PJSIP/carrier"]}
    assert policy(wide=wide, narrow=narrow).judge(CALLED).profile == "wide"
    assert policy(narrow=narrow, wide=wide).judge(CALLED).profile == "narrow"


# ---------------------------------------------------------------- what it changes

HERE = {"did": ["100"]}
VALID: Facts = {"called.did": "100", "caller.valid": True}


@pytest.mark.parametrize(
    ("change", "score", "action"),
    [
        ({}, 5, Action.CHALLENGE),
        ({"actions": {"challenge": 6}}, 5, Action.ALLOW),
        ({"actions": {"challenge": "off", "voicemail": 5}}, 5, Action.VOICEMAIL),
        ({"actions": {"reject": 9}, "rules": {"A": {"score": 9}}}, 9, Action.REJECT),
        ({"rules": {"A": {"score": -1}}}, -1, Action.ALLOW),
        ({"rules": {"A": {"enabled": False}}}, 0, Action.ALLOW),
        ({"rules": {"B": {"enabled": True}}}, 11, Action.VOICEMAIL),
        ({"groups": {"g": {"max_score": 3}}}, 3, Action.ALLOW),
        ({"groups": {"g": {"enabled": False}}}, 0, Action.ALLOW),
    ],
)
def test_profile__changes__only_what_it_names_and_only_its_calls(
    change: dict[str, Any], score: float, action: Action
) -> None:
    one = policy(p=HERE | change)
    verdict = one.judge(VALID)
    assert (verdict.score, verdict.action, verdict.profile) == (score, action, "p")
    other = one.judge({"caller.valid": True, "called.did": "101"})
    assert (other.score, other.action, other.profile) == (5, Action.CHALLENGE, "")


def test_profile__explained__by_its_own_caps_and_thresholds() -> None:
    one = policy(
        other={"did": ["1"]}, p=HERE | {"actions": {"challenge": 2}, "groups": {"g": {"max_score": 3}}}
    )
    shown = explain(one.judge(VALID), one, VALID)
    assert shown["profile"] == "p"
    assert shown["profiles"] == [{"profile": "other", "holds": False}, {"profile": "p", "holds": True}]
    assert shown["groups"][0]["max_score"] == 3
    assert shown["thresholds"][-1] == {"action": "challenge", "at": 2, "reached": True}


@pytest.mark.parametrize(
    "change",
    [
        {"did": ["101"]},
        {"actions": {"challenge": 5}},
        {"rules": {"A": {"score": 6}}},
        {"rules": {"B": {"enabled": True}}},
        {"rules": {"A": {"enabled": False}}},
        {"groups": {"g": {"max_score": 3}}},
        {"hours": ["08:00-09:00"]},
    ],
)
def test_hash__anything_in_a_profile_that_decides__other_hash(change: dict[str, Any]) -> None:
    assert policy(p=HERE | change).hash != policy(p=HERE).hash


def test_hash__order_and_holidays__decide_words_do_not() -> None:
    a, b = {"did": ["1"]}, {"did": ["2"]}
    assert policy(a=a, b=b).hash != policy(b=b, a=a).hash
    assert policy(["2026-10-01"], a=a).hash != policy(a=a).hash
    assert policy(a=a | {"description": "other words"}).hash == policy(a=a).hash
    assert {one.hash for _, one in policy(a=a).profiles} == {policy(a=a).hash}


# ---------------------------------------------------------------- mistakes

SITE = """\
profiles:
  desk:
    description: the front desk
    did: [+862062345600]
    hours: [08:00-18:00]
    actions: {challenge: 6}
    groups:
      velocity: {max_score: 4}
    rules:
      DID_FANOUT: {score: 2}
"""


def loaded(tmp_path: Path, content: str, **files: str) -> Config:
    for name, text in {"profiles": content, **files}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return load(tmp_path, environ={})


def test_site__nothing_but_profiles__is_merged_with_the_shipped_policy(tmp_path: Path) -> None:
    config = loaded(tmp_path, SITE)
    desk = config.policy.in_force({"called.e164": "+862062345600", **moment("mon", "09:00")})
    assert (desk.profile, desk.actions.challenge, desk.actions.voicemail) == ("desk", 6, 8)
    assert desk.rules["DID_FANOUT"].score == 2
    assert config.origin("profiles.profiles.desk.hours") == f"{tmp_path}/profiles.yaml:5"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("DID_FANOUT", "DID_FANOT", "10:7: profiles.desk.rules.DID_FANOT: unknown symbol DID_FANOT; did y"),
        ("velocity", "velocty", "8:7: profiles.desk.groups.velocty: unknown group velocty; did"),
        ("challenge", "chalenge", "6:15: profiles.desk.actions.chalenge: unknown key; did you mean chall"),
        ("challenge: 6", "challenge: 9", "6:5: profiles.desk.actions: voicemail (8) must be above challenge"),
        ("score: 2", "when: 2", "10:20: profiles.desk.rules.DID_FANOUT.when: unknown key"),
        ("score: 2", "score: x", "10:27: profiles.desk.rules.DID_FANOUT.score: expected a number such as"),
        ("max_score: 4", "max_score: 0", "8:29: profiles.desk.groups.velocity.max_score: expected a number"),
        ("08:00-18:00", "8-18", "5:13: profiles.desk.hours.0: expected hours such as 08:00-18:00"),
        ("08:00-18:00", "08:00-08:00", "5:13: profiles.desk.hours.0: expected hours"),
        ("08:00-18:00", "08:60-18:00", "5:13: profiles.desk.hours.0: expected hours"),
        ("08:00-18:00", "24:00-06:00", "5:13: profiles.desk.hours.0: expected hours"),
        ("hours: [08:00-18:00]", "days: [monday]", "5:12: profiles.desk.days.0: expected a day (mon)"),
        ("hours: [08:00-18:00]", "days: [mon-]", "5:12: profiles.desk.days.0: expected a day (mon)"),
        ("+862062345600", "'*'", "4:11: profiles.desk.did.0: expected one of our numbers"),
        ("+862062345600", "+86 20", "4:11: profiles.desk.did.0: expected one of our numbers"),
        ("did: [+862062345600]", "trunk: ['a b']", "4:13: profiles.desk.trunk.0: expected a trunk"),
        ("    did: [+862062345600]\n    hours: [08:00-18:00]\n", "", "2:3: profiles.desk: needs a condition"),
        ("desk:", "Desk:", "2:3: profiles.Desk: the name of a profile is written in small letters"),
        ("profiles:", "holidays: [2026-02-30]\nprofiles:", "1:12: holidays.0: expected a date such as"),
        ("    description: the front desk\n", "", "2:3: profiles.desk.description: is required, but missing"),
    ],
)  # fmt: skip
def test_site__mistake_in_a_profile__named_with_file_line_column_and_key(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, SITE.replace(old, new, 1))
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path}/profiles.yaml:{expected}")


def test_site__rule_file_is_broken__its_symbols_in_profiles_are_not_called_unknown(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, SITE, **{"rules/velocity": "group: ["})
    (problem,) = caught.value.problems
    assert "rules/velocity.yaml" in problem


def test_shipped_examples__uncommented__are_good(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "config" / "profiles.yaml"
    lines = shipped.read_text().split("may hold, for example:\n", 1)[1].splitlines()
    example = "\n".join(line.removeprefix("#   ") for line in lines if line.startswith("#   "))
    (tmp_path / "rules").mkdir()
    rule = "group: own\ndescription: ours\nenabled: true\nmax_score: 9\nrules:\n  HONEYPOT:\n    score: 0\n"
    rule += '    when: "true"\n    because: nobody calls this\n    force: voicemail\n    enabled: false\n'
    config = loaded(tmp_path, example, **{"rules/own": rule})
    assert [one.profile for _, one in config.policy.profiles] == ["honeypot", "reception", "night"]
    verdict = config.policy.judge({"called.did": "+862062345699", "caller.valid": True})
    assert (verdict.profile, verdict.action) == ("honeypot", Action.VOICEMAIL)
