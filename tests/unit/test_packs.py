"""Rule packs: what is counted as one incident, what is not known, and what is refused in a file."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from screener.config import failing_packs, load, shipped_dir
from screener.errors import ConfigError
from screener.packs import NAMES, Contact, Incident, Pack, PackFile, compile_pack, evaluate

if TYPE_CHECKING:
    from tests.commandline import Command

ROOT = Path(__file__).parents[2]
PACKS = load(None, environ={}).packs
NEW_YORK, BERLIN = ZoneInfo("America/New_York"), ZoneInfo("Europe/Berlin")
RULE = {
    "clause": "§ 1",
    "source": "here",
    "decided_by": "D",
    "when": 'kind == "call"',
    "because": "too much",
}


def pack(**rule: object) -> Pack:
    """A pack of one rule R."""
    written = PackFile.model_validate({"title": "t", "about": "a", "rules": {"R": RULE | rule}})
    made, problems = compile_pack("test", written)
    assert problems == []
    return made


def calls(*at: str, **known: object) -> list[Contact]:
    """Calls at moments of UTC, named by their place from 1 on."""
    moments = [datetime.fromisoformat(f"{one}+00:00") for one in at]
    return [Contact(str(place), one, **known) for place, one in enumerate(moments, 1)]  # type: ignore[arg-type]


def told(incidents: list[Incident]) -> list[tuple[str, bool, tuple[str, ...]]]:
    return [(one.rule, one.decided, one.contacts) for one in incidents]


# ---------------------------------------------------------------- incidents


def test_incident__eight_calls_from_three_numbers__says_who_where_when_and_why() -> None:
    eight = [
        Contact(
            f"call-{hour}",
            datetime(2026, 3, 2, 14 + hour, tzinfo=UTC),
            number=f"+1212555010{hour % 3}",
            talk_s=0,
        )
        for hour in range(8)
    ]
    (incident,) = evaluate(PACKS["us-fdcpa"], reversed(eight), NEW_YORK)
    assert incident == Incident(
        "us-fdcpa",
        "CALLS_IN_7_DAYS",
        "12 CFR 1006.14(b)(2)(i)(A)",
        decided=True,
        soft=False,
        at=datetime(2026, 3, 2, 16, tzinfo=NEW_YORK),
        contacts=tuple(one.id for one in eight),
        because="more than seven calls within seven consecutive days",
    )


def test_incident__limit_kept_in_between__is_two() -> None:
    days = [f"2026-03-{day:02} 12:00" for day in (1, 1, 1, 2, 3, 3, 3)]
    found = evaluate(pack(limit={"more_than": "2", "days": "1"}), calls(*days), UTC)
    assert told(found) == [("R", True, ("1", "2", "3")), ("R", True, ("5", "6", "7"))]


def test_incident__limit_broken_day_after_day__is_one_and_grows() -> None:
    days = [f"2026-03-{day:02} 12:00" for day in (1, 1, 2, 2, 3)]
    (found,) = evaluate(pack(limit={"more_than": "2", "days": "2"}), calls(*days), UTC)
    assert (found.contacts, found.at.day) == (("1", "2", "3", "4", "5"), 2)


def test_incident__perhaps_and_then_surely__is_what_is_sure() -> None:
    when = {"when": "answered", "limit": {"more_than": "1", "days": "1"}}
    unsure, sure = calls("2026-03-01 09:00"), calls("2026-03-01 10:00", "2026-03-01 11:00", answered=True)
    found = evaluate(pack(**when), [*unsure, *sure], UTC)
    assert told(found) == [("R", True, ("1", "2"))]
    assert found[0].at.hour == 11


def test_incident__not_known__says_what() -> None:
    (found,) = evaluate(PACKS["uk-ofcom"], calls("2026-03-02 12:00", answered=True, talk_s=5), UTC)
    assert not found.decided
    assert found.because.endswith("; not known: live_after_s")


def test_incident__no_one_called_can_decide__is_evidence_only() -> None:
    silent = calls("2026-03-02 18:00", answered=True, talk_s=5, live_after_s=9, robot=False)
    (found,) = evaluate(PACKS["us-tcpa"], silent, NEW_YORK)
    assert (found.rule, found.decided) == ("ABANDONED", False)
    assert "cannot tell" in found.because


def test_evaluate__no_contacts__nothing() -> None:
    assert [evaluate(one, [], UTC) for one in PACKS.values()] == [[]] * len(PACKS)


def test_evaluate__thousands_of_contacts__takes_no_square_of_them() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    many = [Contact(str(one), start + timedelta(hours=one)) for one in range(3_000)]
    found = evaluate(PACKS["us-fdcpa"], many, NEW_YORK)
    assert sum(one.rule == "CALLS_IN_7_DAYS" for one in found) == 1


# ---------------------------------------------------------------- the wall


@pytest.mark.parametrize(
    ("at", "outside"),
    [
        pytest.param("2026-03-08 12:59:59", 0, id="08:59:59 on the first day of summer time"),
        pytest.param("2026-03-08 11:59:59", 1, id="07:59:59 on that day"),
        pytest.param("2026-03-07 12:59:59", 1, id="07:59:59 the day before"),
        pytest.param("2026-03-09 01:00:00", 0, id="21:00 in the evening"),
        pytest.param("2026-03-09 01:00:01", 1, id="and a second later"),
        pytest.param("2026-11-01 12:59:59", 1, id="07:59:59 on the first day of winter time"),
        pytest.param("2026-11-01 13:00:00", 0, id="08:00 on that day"),
        pytest.param("2028-02-29 04:59:59", 1, id="the last second before a leap day"),
    ],
)
def test_hours__clock_of_the_person_called__decides(at: str, outside: int) -> None:
    found = evaluate(PACKS["us-fdcpa"], calls(at), NEW_YORK)
    assert [one.rule for one in found] == ["HOURS"] * outside


def test_hours__in_time_whatever_is_not_known__nothing() -> None:
    by_robots = pack(when="robot", hours={"mon-sun": ["08:00-20:00"]})
    assert evaluate(by_robots, calls("2026-03-02 12:00"), UTC) == []
    assert told(evaluate(by_robots, calls("2026-03-02 21:00"), UTC)) == [("R", False, ("1",))]


def test_order__hour_that_comes_twice__is_that_of_time_not_of_the_wall() -> None:
    first, second = (datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1))
    later = Contact("later", second.replace(minute=10))
    found = evaluate(
        pack(after={"event": "refused", "days": "1"}), [later, Contact("first", first, refused=True)], BERLIN
    )
    assert told(found) == [("R", True, ("first", "later"))]
    assert found[0].at.utcoffset() == timedelta(hours=1)


def test_limit__day_of_twenty_five_hours__is_one_day() -> None:
    four = calls("2026-10-24 22:00", "2026-10-25 00:30", "2026-10-25 01:30", "2026-10-25 22:59:59")
    found = evaluate(PACKS["de-bnetza"], [*four, *calls("2026-10-25 23:00")], BERLIN)
    assert [one.contacts for one in found if one.rule == "CALLS_A_DAY"] == [("1", "2", "3", "4")]


# ---------------------------------------------------------------- hostile content


def test_contact__number_and_names_that_look_like_expressions__are_text() -> None:
    hostile = '" || true || "'
    one = Contact(hostile, datetime(2026, 3, 2, 12, tzinfo=UTC), number=hostile, called=hostile, robot=True)
    found = evaluate(PACKS["fr-demarchage"], [one], ZoneInfo("Europe/Paris"))
    assert "ROBOT_FROM_MOBILE" not in [one.rule for one in found]


# ---------------------------------------------------------------- files


def test_packs__as_shipped__each_example_holds_and_none_is_on() -> None:
    config = load(None, environ={})
    assert list(failing_packs(config, own=False)) == []
    assert sorted(config.packs) == sorted(path.stem for path in (shipped_dir() / "packs").iterdir())
    assert config.settings.packs == ()


def test_packs__debt_harassment__turns_the_chinese_one_on(tmp_path: Path) -> None:
    (tmp_path / "screener.yaml").write_text("variant: debt-harassment\n")
    assert load(tmp_path, environ={}).settings.packs == ("cn-collection",)


@pytest.mark.parametrize(
    ("file", "line", "problem"),
    [
        (
            "rules: {HOURS: {when: answred}}",
            "1:23",
            "rules.HOURS.when: unknown fact answred; did you mean answered?",
        ),
        ("rules: {HOURS: {when: says.threat}}", "", "decided_by: call records alone do not tell says.threat"),
        (
            "rules: {HOURS: {hours: {holiday: []}}}",
            "1:34",
            "rules.HOURS.hours.holiday: the pack has no holidays",
        ),
        ("rules: {HOURS: {hours: {mon: [22:00-06:00]}}}", "1:31", "goes over midnight"),
        ("rules: {HOURS: {limit: {more_than: 1, days: 1}}}", "", "more than one of hours, limit and after"),
        ("rules: {HOURS: {limit: {more_than: 0, days: 1}}}", "1:36", "expected a whole number"),
        ("rules: {HOURS: {claus: x}}", "1:17", "unknown key; did you mean clause?"),
        ("examples: {one: {contacts: [{at: tomorrow}], incidents: []}}", "1:34", "expected a local time"),
        ("zone: Mars/Base", "1:7", "no such time zone"),
    ],
)
def test_pack__with_a_mistake__is_named_with_its_place(
    tmp_path: Path, file: str, line: str, problem: str
) -> None:
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "in-rbi.yaml").write_text(file)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, environ={})
    assert any(problem in one for one in caught.value.problems), caught.value.problems
    if line:
        assert caught.value.problems[0].startswith(f"{tmp_path}/packs/in-rbi.yaml:{line}: ")


def test_settings__unknown_pack__is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "screener.yaml").write_text("packs: [us-fdcpa, us-fdpca]\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, environ={})
    (problem,) = caught.value.problems
    assert problem.startswith(
        f"{tmp_path}/screener.yaml:1:19: packs.1: no such pack; there are cn-collection, "
    )


def test_pack__of_the_site__is_checked_by_its_examples(tmp_path: Path, command: Command) -> None:
    (tmp_path / "packs").mkdir()
    own = tmp_path / "packs" / "own.yaml"
    shutil.copy(shipped_dir() / "packs" / "in-rbi.yaml", own)
    (tmp_path / "screener.yaml").write_text("packs: [own]\nami: {secret: s3cret}\n")
    assert command("check", "--config", tmp_path).code == 0
    own.write_text(own.read_text().replace("incidents: [HOURS 1, HOURS 4]", "incidents: [HOURS 1]"))
    code, _, err = command("check", "--config", tmp_path)
    assert code == 2
    assert f"{own}:" in err
    assert "expected HOURS 1; got HOURS 1, HOURS 4" in err


def test_pack__of_the_documentation__is_good_and_every_name_of_a_contact_is_told(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "packs.md").read_text()
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "own.yaml").write_text(
        "title" + page.partition("```yaml\ntitle")[2].partition("```")[0]
    )
    config = load(tmp_path, environ={})
    assert list(config.packs["own"].written.rules) == ["NIGHT", "TOO_MANY", "AFTER_REFUSAL"]
    assert list(failing_packs(config, own=True)) == []
    assert [name for name in NAMES if f"| `{name}`" not in page and not name.startswith("says.")] == []
    assert [name for name in PACKS if f"| `{name}` |" not in page] == []


def test_pack__rule_changed_by_the_site__shipped_examples_are_only_noted(
    tmp_path: Path, command: Command
) -> None:
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "us-fdcpa.yaml").write_text("rules: {CALLS_IN_7_DAYS: {limit: {more_than: 3}}}\n")
    (tmp_path / "screener.yaml").write_text("ami: {secret: s3cret}\n")
    code, out, _ = command("check", "--config", tmp_path)
    assert code == 0
    assert "an example does not hold any more: shipped/packs/us-fdcpa.yaml:" in out


def test_packs_list__marks_those_that_are_on(tmp_path: Path, command: Command) -> None:
    (tmp_path / "screener.yaml").write_text("packs: [us-tcpa]\n")
    code, out, _ = command("packs", "list", "--config", tmp_path)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line.split()[1] == "on"][1:] == ["us-tcpa"]


def test_packs_show__each_rule_has_its_clause(command: Command) -> None:
    code, out, _ = command("packs", "show", "cn-collection")
    assert code == 0
    assert "UNANSWERED_A_DAY (D, recommended): " in out
    assert out.count("(the text itself has not been read)") == len(PACKS["cn-collection"].rules)
    shown = json.loads(command("packs", "show", "cn-collection", "--json").out)
    assert shown["rules"]["NIGHT"]["hours"] == {"mon-sun": ["08:00-22:00"]}


def test_packs_show__unknown_name__says_which_there_are(command: Command) -> None:
    code, _, err = command("packs", "show", "us-fdpca")
    assert code == 2
    assert "us-fdcpa" in err
