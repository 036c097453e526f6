"""Profiles: other thresholds, scores and groups for some of our numbers, trunks or hours.

The first profile in the order of writing whose conditions all hold is in force, and none other; a
condition whose fact is not known does not hold. What is under no profile is judged by the policy as
it stands. A span of hours over midnight belongs to the day on which it began.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from screener.call import fits
from screener.policy.values import Flag, GroupName, Number, Positive, Symbol, Text, Threshold, Written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from screener.facts import FactValue

HOLIDAY = "holiday"
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN = 24 * 60
_ALWAYS = ((0, DAY_MIN),)
_SPAN = re.compile(r"([0-9]{2}):([0-5][0-9])-([0-9]{2}):([0-5][0-9])", re.ASCII)


def _profile_name(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9_]{0,63}", value, re.ASCII):
        return value
    raise PydanticCustomError("profile", "the name of a profile is written in small letters, such as night")


def _dialled(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"\+?[A-Za-z0-9_.#-]{1,63}\*?", value, re.ASCII):
        return value
    raise PydanticCustomError(
        "did", "expected one of our numbers without blanks, such as +862062345678, or a beginning: 0755*"
    )


def _trunk(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[!-)+-~]{1,63}\*?", value, re.ASCII):
        return value
    raise PydanticCustomError("trunk", "expected a trunk such as PJSIP/carrier, or a beginning: PJSIP/sip*")


def _days(value: object) -> str:
    if isinstance(value, str) and weekdays(value):
        return value
    raise PydanticCustomError("days", "expected a day (mon), a range of days (mon-fri) or holiday")


def _hours(value: object) -> str:
    if isinstance(value, str) and span(value):
        return value
    raise PydanticCustomError(
        "hours", "expected hours such as 08:00-18:00, or over midnight 22:00-06:00, up to 24:00"
    )


def _language(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[a-z]{2,3}", value, re.ASCII):
        return value
    raise PydanticCustomError("language", "expected a language of the prompts, such as en or zh")


def _date(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value, re.ASCII):
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise PydanticCustomError("date", "expected a date such as 2026-10-01")


def weekdays(text: str) -> tuple[int, ...]:
    """The days as 1 to 7, holiday as 0; a range may go over the week's end. Empty if it is neither."""
    if text == HOLIDAY:
        return (0,)
    first, _, last = text.partition("-")
    if first not in WEEKDAYS or (last or first) not in WEEKDAYS or text.endswith("-"):
        return ()
    start, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
    return tuple(1 + (start + day) % 7 for day in range((end - start) % 7 + 1))


def span(text: str) -> tuple[int, int] | None:
    """Minutes from midnight of the day on which the span begins; the end may lie on the next."""
    match = _SPAN.fullmatch(text)
    if not match:
        return None
    start, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if start >= DAY_MIN or end > DAY_MIN or start == end:
        return None
    return start, end if end > start else end + DAY_MIN


_A_RANGE = "^(holiday|({0})(-({0}))?)$".format("|".join(WEEKDAYS))

ProfileName = Annotated[str, BeforeValidator(_profile_name)]
Dialled = Annotated[str, BeforeValidator(_dialled)]
Trunk = Annotated[str, BeforeValidator(_trunk)]
Days = Annotated[str, BeforeValidator(_days), WithJsonSchema({"type": "string", "pattern": _A_RANGE})]
Hours = Annotated[
    str, BeforeValidator(_hours), WithJsonSchema({"type": "string", "pattern": f"^{_SPAN.pattern}$"})
]
PromptLanguage = Annotated[str, BeforeValidator(_language)]
Date = Annotated[str, BeforeValidator(_date), WithJsonSchema({"type": "string", "format": "date"})]


class ActionsChange(Written):
    """The thresholds that differ."""

    challenge: Threshold = None
    voicemail: Threshold = None
    reject: Threshold = None


class GroupChange(Written):
    """What differs in a group."""

    enabled: Flag = Field(default=True, description="Whether its rules are asked.")
    max_score: Positive = Field(default=1.0, description="The most that the positive scores add together.")


class RuleChange(Written):
    """What differs in a rule."""

    enabled: Flag = Field(default=True, description="Whether it is asked.")
    score: Number = Field(default=0.0, description="What it adds to the score.")


class Profile(Written):
    """What differs for calls that meet every condition given; of the keys below, those written count."""

    description: Text = Field(description="Whom or what the profile is for.")
    did: tuple[Dialled, ...] = Field(
        default=(), description="Our numbers, any of them; 0755* is a beginning."
    )
    trunk: tuple[Trunk, ...] = Field(default=(), description="Trunks, any of them; PJSIP/sip* begins.")
    days: tuple[Days, ...] = Field(default=(), description="mon, mon-fri, holiday; a holiday is no weekday.")
    hours: tuple[Hours, ...] = Field(default=(), description="08:00-18:00, or over midnight 22:00-06:00.")
    language: PromptLanguage = Field(
        default="", description="Of the prompts: en or zh; else what the dialplan says."
    )
    actions: ActionsChange = Field(default=ActionsChange(), description="Other thresholds.")
    groups: dict[GroupName, GroupChange] = Field(default={}, description="Other caps, groups on or off.")
    rules: dict[Symbol, RuleChange] = Field(default={}, description="Other scores, rules on or off.")

    @model_validator(mode="after")
    def _has_a_condition(self) -> Self:
        if not (self.did or self.trunk or self.days or self.hours):
            raise PydanticCustomError(
                "condition",
                "needs a condition: did, trunk, days or hours; what holds always is for policy.yaml",
            )
        return self


class ProfilesFile(Written):
    """The contents of `profiles.yaml`; the first profile that matches a call is in force for it."""

    holidays: tuple[Date, ...] = Field(default=(), description="Dates that are a holiday and no weekday.")
    profiles: dict[ProfileName, Profile] = Field(default={}, description="The profiles by their names.")


@dataclass(frozen=True, slots=True)
class Condition:
    """When a profile is in force; what is empty is not asked. Days are 1 to 7, and 0 for a holiday."""

    dids: tuple[str, ...]
    trunks: tuple[str, ...]
    days: frozenset[int]
    spans: tuple[tuple[int, int], ...]
    holidays: frozenset[str]

    @classmethod
    def of(cls, profile: Profile, holidays: tuple[str, ...]) -> Condition:
        """Take a profile's conditions apart, once, so that a call does not have to."""
        return cls(
            profile.did,
            profile.trunk,
            frozenset(day for days in profile.days for day in weekdays(days)),
            tuple(filter(None, map(span, profile.hours))),
            frozenset(holidays),
        )

    def holds(self, facts: Mapping[str, FactValue]) -> bool:
        """Whether the profile is in force for a call; false where a fact that it needs is not known."""
        if self.dids and not _any(self.dids, facts.get("called.did"), facts.get("called.e164")):
            return False
        if self.trunks and not _any(self.trunks, facts.get("trunk.name")):
            return False
        return not (self.days or self.spans) or self._in_time(facts)

    def _in_time(self, facts: Mapping[str, FactValue]) -> bool:
        minute, weekday = facts.get("call.local_minute"), facts.get("call.local_weekday")
        today = facts.get("call.local_date", "")
        if not (isinstance(minute, int) and isinstance(weekday, int) and isinstance(today, str)):
            return False
        if self.holidays and not today:
            return False
        for start, end in self.spans or _ALWAYS:
            if start <= minute < end and self._on(weekday, today):
                return True
            if minute < end - DAY_MIN and self._on((weekday - 2) % 7 + 1, _day_before(today)):
                return True
        return False

    def _on(self, weekday: int, day: str) -> bool:
        return not self.days or (0 if day in self.holidays else weekday) in self.days


def _any(patterns: tuple[str, ...], *values: FactValue | None) -> bool:
    return any(isinstance(value, str) and fits(pattern, value) for value in values for pattern in patterns)


@lru_cache(maxsize=8)
def _day_before(day: str) -> str:
    try:
        return (date.fromisoformat(day) - timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        return ""
