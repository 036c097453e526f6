"""What the shipped packs must say of a history, written a second time and plainly: slow, and sure.

Nothing of `screener/packs` or of the YAML is used. Moments are seconds since 1970; the rules of daylight
saving, the weekday and Easter are reckoned by hand. What is not known is tried with every value that it
might have: a contact that breaks a rule with each of them surely does, with some of them perhaps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from screener.packs import Contact

DAY = 86_400
HOUR = 3_600
Local = tuple[int, int]
"""Days since 1970-01-01 and seconds on the wall since midnight (which may be passed twice)."""


# ---------------------------------------------------------------- the wall


def days_of(year: int, month: int, day: int) -> int:
    return (date(year, month, day) - date(1970, 1, 1)).days


def weekday(days: int) -> int:
    """0 is Monday; 1970 began on a Thursday."""
    return (days + 3) % 7


def sunday(year: int, month: int, which: int) -> int:
    """The first, second, … Sunday of a month; -1 is the last one."""
    found = [day for day in range(days_of(year, month, 1), days_of(year, month, 1) + 31) if weekday(day) == 6]
    inside = [day for day in found if (date(1970, 1, 1) + timedelta(day)).month == month]
    return inside[which - 1] if which > 0 else inside[which]


@lru_cache(maxsize=1000)
def summer(zone: str, year: int) -> tuple[int, int]:
    """When summer time begins and ends, in seconds of UTC."""
    if zone.startswith("America/"):
        standard = int(WINTER_H[zone] * HOUR)
        begin = sunday(year, 3, 2) * DAY + 2 * HOUR - standard
        return begin, sunday(year, 11, 1) * DAY + 2 * HOUR - standard - HOUR
    if zone.startswith("Europe/"):
        return sunday(year, 3, -1) * DAY + HOUR, sunday(year, 10, -1) * DAY + HOUR
    return 0, 0


WINTER_H = {
    "America/New_York": -5,
    "America/Chicago": -6,
    "Europe/London": 0,
    "Europe/Berlin": 1,
    "Europe/Paris": 1,
    "Asia/Kolkata": 5.5,
    "Asia/Shanghai": 8,
}


def local(zone: str, utc_s: int) -> Local:
    begin, end = summer(zone, datetime.fromtimestamp(utc_s, UTC).year)
    wall = utc_s + int(WINTER_H[zone] * HOUR) + (HOUR if begin <= utc_s < end else 0)
    return wall // DAY, wall % DAY


@lru_cache(maxsize=1000)
def easter(year: int) -> int:
    """Gauss' way, with Lichtenberg's correction; days since 1970."""
    k = year // 100
    m, s = 15 + (3 * k + 3) // 4 - (8 * k + 13) // 25, 2 - (3 * k + 3) // 4
    a = year % 19
    d = (19 * a + m) % 30
    og = 21 + d - (d // 29 + (d // 28 - d // 29) * (a // 11))
    sz = 7 - (year + year // 4 + s) % 7
    return days_of(year, 3, 1) - 1 + og + 7 - (og - sz) % 7


def holiday(country: str, days: int) -> bool | None:
    day = date(1970, 1, 1) + timedelta(days)
    if not 2024 <= day.year <= 2031:
        return None
    after = days - easter(day.year)
    if country == "FR":
        fixed = {(1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25)}
        return (day.month, day.day) in fixed or after in {1, 39, 50}
    return (day.month, day.day) in {(1, 1), (5, 1), (10, 3), (12, 25), (12, 26)} or after in {-2, 1, 39, 50}


# ---------------------------------------------------------------- what is not known

POSSIBLE: dict[str, tuple[Any, ...]] = {
    "number": ("", "+8617712345678", "+33612345678", "+12125550101"),
    "answered": (True, False),
    "talk_s": (0.0, 5.0, 10.0, 59.0, 60.0, 900.0),
    "ring_s": (0.0, 9.0, 10.0, 14.0, 15.0, 90.0),
    "ended_by_caller": (True, False),
    "robot": (True, False),
    "live_after_s": (0.0, 2.0, 3.0, 6.0, 1e9),
    "to_debtor": (True, False),
    "wording": (
        frozenset(),
        frozenset({"threat"}),
        frozenset({"collection"}),
        frozenset({"threat", "collection"}),
    ),
}


def known(contact: Contact, name: str) -> tuple[Any, ...]:
    value = getattr(contact, name)
    return POSSIBLE[name] if value is None or (name == "number" and value == "") else (value,)


class Plain:
    """A contact of which everything is known."""

    def __init__(self, names: tuple[str, ...], values: tuple[Any, ...]) -> None:
        self.__dict__.update(zip(names, values, strict=True))

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the rule asks for {name}, which it does not name")


Question = Callable[[Any], bool]


def tried(question: Question, names: tuple[str, ...], contact: Contact) -> str:
    """yes, no, or maybe."""
    return _tried(question, names, tuple(known(contact, name) for name in names))


@lru_cache(maxsize=100_000)
def _tried(question: Question, names: tuple[str, ...], choices: tuple[tuple[Any, ...], ...]) -> str:
    answers = {question(Plain(names, values)) for values in product(*choices)}
    return "maybe" if len(answers) == 2 else "yes" if answers == {True} else "no"


# ---------------------------------------------------------------- the three ways to break a rule

Outcome = tuple[str, bool, int, tuple[str, ...]]
"""Rule, decided, when (seconds of UTC), ids of the contacts."""


@dataclass
class Case:
    """The contacts in order of time, with what the wall shows."""

    contacts: list[Contact]
    utc_s: list[int]
    wall: list[Local]

    @classmethod
    def of(cls, zone: str, contacts: list[Contact]) -> Case:
        numbered = sorted(enumerate(contacts), key=lambda one: (one[1].at.timestamp(), one[0]))
        ordered = [one for _, one in numbered]
        utc_s = [int(one.at.timestamp()) for one in ordered]
        return cls(ordered, utc_s, [local(zone, one) for one in utc_s])

    def outcome(self, rule: str, begun: int, proof: set[int], *, decided: bool) -> Outcome:
        return rule, decided, self.utc_s[begun], tuple(self.contacts[one].id for one in sorted(proof))

    def acts(self, rule: str, breaks: list[str], *, never: bool = False) -> list[Outcome]:
        """Each contact for itself."""
        sure = [place for place, one in enumerate(breaks) if one == "yes"]
        unsure = [place for place, one in enumerate(breaks) if one == "maybe"]
        found = [self.outcome(rule, one, {one}, decided=not never) for one in sure]
        return [*found, *([self.outcome(rule, unsure[0], set(unsure), decided=False)] if unsure else [])]

    def runs(self, rule: str, steps: list[tuple[int, str, set[int]]]) -> list[Outcome]:
        """One after another that is not within the rule: (contact, yes/maybe/no, proof)."""
        found, run = [], []
        for step in [*steps, (0, "no", set[int]())]:
            if step[1] != "no":
                run.append(step)
                continue
            worst = [one for one in run if one[1] == "yes"] or run
            if worst:
                proof = set().union(*(one[2] for one in worst))
                found.append(self.outcome(rule, worst[0][0], proof, decided=worst[0][1] == "yes"))
            run = []
        return found

    def limit(
        self, rule: str, counts: list[str], most: int, days: int, *, each: bool = False
    ) -> list[Outcome]:
        found = []
        for called in sorted({one.called if each else "" for one in self.contacts}):
            mine = [
                place
                for place, one in enumerate(self.contacts)
                if counts[place] != "no" and (not each or one.called == called)
            ]
            steps = []
            for last in mine:
                today = self.wall[last][0]
                window = {one for one in mine if one <= last and self.wall[one][0] > today - days}
                sure = {one for one in window if counts[one] == "yes"}
                if counts[last] == "yes" and len(sure) > most:
                    steps.append((last, "yes", sure))
                else:
                    steps.append((last, "maybe" if len(window) > most else "no", window))
            found += self.runs(rule, steps)
        return found

    def after(self, rule: str, counts: list[str], events: list[str], days: int) -> list[Outcome]:
        steps = []
        for last, matched in enumerate(counts):
            if matched == "no":
                continue
            before = [one for one in range(last) if self.wall[last][0] < self.wall[one][0] + days]
            sure = [one for one in before if events[one] == "yes"]
            perhaps = [one for one in before if events[one] == "maybe"]
            if sure:
                steps.append((last, matched, {sure[-1], last}))
            elif perhaps:
                steps.append((last, "maybe", {perhaps[-1], last}))
            else:
                steps.append((last, "no", set()))
        return self.runs(rule, steps)

    def ask(self, question: Question, *names: str) -> list[str]:
        return [tried(question, names, one) for one in self.contacts]

    def calls(self) -> list[str]:
        return ["yes" if one.kind == "call" else "no" for one in self.contacts]


def within(wall: Local, *spans: tuple[int, int]) -> bool:
    return any(start * HOUR <= wall[1] <= end * HOUR for start, end in spans)


# ---------------------------------------------------------------- the packs


def us_fdcpa(case: Case) -> list[Outcome]:
    talks = case.ask(_conversation, "kind", "talk_s", "robot")
    night = [
        "yes" if one.kind in {"call", "message"} and not within(wall, (8, 21)) else "no"
        for one, wall in zip(case.contacts, case.wall, strict=True)
    ]
    return [
        *case.limit("CALLS_IN_7_DAYS", case.calls(), 7, 7),
        *case.after("CALL_AFTER_TALK", case.calls(), talks, 7),
        *case.acts("HOURS", night),
    ]


def _conversation(one: Any) -> bool:
    if one.kind != "call" or one.talk_s < 10:
        return False
    return bool(one.talk_s >= 60 or not one.robot)


def us_tcpa(case: Case) -> list[Outcome]:
    robots = case.ask(_robot_call, "kind", "robot")
    abandoned = case.ask(_abandoned, "kind", "answered", "talk_s", "robot", "live_after_s")
    return [
        *case.acts("SHORT_RING", case.ask(_gave_up_15, "kind", "answered", "ended_by_caller", "ring_s")),
        *case.acts("ABANDONED", abandoned, never=True),
        *case.limit("RECORDED_IN_30_DAYS", robots, 3, 30, each=True),
    ]


def _robot_call(one: Any) -> bool:
    return bool(one.kind == "call" and one.robot)


def _abandoned(one: Any) -> bool:
    if one.kind != "call" or not one.answered or one.talk_s == 0:
        return False
    return bool(one.robot or one.live_after_s > 2)


def _gave_up_15(one: Any) -> bool:
    return bool(one.kind == "call" and not one.answered and one.ended_by_caller and one.ring_s < 15)


def uk_ofcom(case: Case) -> list[Outcome]:
    return [
        *case.acts("SHORT_RING", case.ask(_gave_up_15, "kind", "answered", "ended_by_caller", "ring_s")),
        *case.acts("SILENT", case.ask(_silent_2, "kind", "answered", "talk_s", "live_after_s")),
    ]


def _silent_2(one: Any) -> bool:
    return bool(one.kind == "call" and one.answered and one.talk_s > 0 and one.live_after_s > 2)


def in_rbi(case: Case) -> list[Outcome]:
    both = zip(case.contacts, case.wall, strict=True)
    return case.acts(
        "HOURS", ["yes" if one.kind == "call" and not within(wall, (8, 19)) else "no" for one, wall in both]
    )


def de_bnetza(case: Case) -> list[Outcome]:
    breaks = []
    for one, wall in zip(case.contacts, case.wall, strict=True):
        free = holiday("DE", wall[0])
        if one.kind != "call" or weekday(wall[0]) == 6 or within(wall, (8, 20)) or free:
            breaks.append("no")
        else:
            breaks.append("maybe" if free is None else "yes")
    dropped = case.ask(_gave_up_10, "kind", "answered", "ended_by_caller", "ring_s")
    return [
        *case.acts("HOURS", breaks),
        *case.limit("CALLS_A_DAY", case.calls(), 3, 1),
        *case.acts("DROPPED_CALL", dropped),
        *case.acts("LOST_CALL", case.ask(_silent_5, "kind", "answered", "talk_s", "live_after_s")),
    ]


def _gave_up_10(one: Any) -> bool:
    return bool(one.kind == "call" and not one.answered and one.ended_by_caller and one.ring_s < 10)


def _silent_5(one: Any) -> bool:
    return bool(one.kind == "call" and one.answered and one.talk_s > 0 and one.live_after_s > 5)


def fr_demarchage(case: Case) -> list[Outcome]:
    breaks = []
    for one, wall in zip(case.contacts, case.wall, strict=True):
        free = holiday("FR", wall[0])
        if one.kind != "call":
            breaks.append("no")
        elif weekday(wall[0]) >= 5 or free or not within(wall, (10, 13), (14, 20)):
            breaks.append("yes")
        else:
            breaks.append("maybe" if free is None else "no")
    refusals = ["yes" if one.refused else "no" for one in case.contacts]
    return [
        *case.acts("HOURS", breaks),
        *case.limit("CALLS_IN_30_DAYS", case.calls(), 4, 30),
        *case.after("CALL_AFTER_REFUSAL", case.calls(), refusals, 61),
        *case.acts("ROBOT_FROM_MOBILE", case.ask(_french_mobile, "kind", "robot", "number")),
    ]


def _french_mobile(one: Any) -> bool:
    return bool(one.kind == "call" and one.robot and one.number[:4] in {"+336", "+337"})


def cn_collection(case: Case) -> list[Outcome]:
    both = zip(case.contacts, case.wall, strict=True)
    night = ["yes" if one.kind != "letter" and not within(wall, (8, 22)) else "no" for one, wall in both]
    others = case.ask(_to_another, "to_debtor")
    refused = case.ask(_refused, "refused", "to_debtor")
    return [
        *case.acts("NIGHT", night),
        *case.limit("CALLS_A_DAY", case.ask(_effective, "kind", "answered", "talk_s"), 3, 1),
        *case.limit("INFORMING_CALLS_A_DAY", case.ask(_informing, "kind", "answered", "robot"), 3, 1),
        *case.limit("UNANSWERED_A_DAY", case.ask(_unanswered, "kind", "answered"), 6, 1, each=True),
        *case.acts("PRIVATE_MOBILE", case.ask(_chinese_mobile, "kind", "wording", "number")),
        *case.acts("THREAT", case.ask(_threat, "wording")),
        *case.after("CONTACT_AFTER_REFUSAL", others, refused, 10**9),
        *case.acts("CONTACT_PERSON", others, never=True),
    ]


def _to_another(one: Any) -> bool:
    return not one.to_debtor


def _refused(one: Any) -> bool:
    return bool(one.refused and not one.to_debtor)


def _effective(one: Any) -> bool:
    return bool(one.kind == "call" and one.answered and one.talk_s >= 10)


def _informing(one: Any) -> bool:
    return bool(one.kind == "call" and one.answered and one.robot)


def _unanswered(one: Any) -> bool:
    return one.kind == "call" and not one.answered


def _chinese_mobile(one: Any) -> bool:
    mobile = one.number.startswith("+861") and one.number[4:5] in set("3456789") and len(one.number) == 14
    return one.kind in {"call", "message"} and "collection" in one.wording and mobile


def _threat(one: Any) -> bool:
    return "threat" in one.wording


ORACLES: dict[str, Callable[[Case], list[Outcome]]] = {
    "cn-collection": cn_collection,
    "de-bnetza": de_bnetza,
    "fr-demarchage": fr_demarchage,
    "in-rbi": in_rbi,
    "uk-ofcom": uk_ofcom,
    "us-fdcpa": us_fdcpa,
    "us-tcpa": us_tcpa,
}
