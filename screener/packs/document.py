"""A pack as it is written in `config/packs/NAME.yaml`: rules with their clauses, as plain, frozen data."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from screener.policy import Flag, Symbol, Text, Written
from screener.policy.profiles import Date, Days, Hours


def _whole(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,3}", value, re.ASCII):
        return int(value)
    raise PydanticCustomError("whole", "expected a whole number from 1 to 9999")


Whole = Annotated[
    int, BeforeValidator(_whole), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 9999})
]


def _within_a_day(hours: str) -> str:
    if hours[:5] >= hours[6:]:
        raise PydanticCustomError("hours", "goes over midnight; write 22:00-24:00 and 00:00-06:00")
    return hours


HoursOfDay = Annotated[Hours, AfterValidator(_within_a_day)]


class Limit(Written):
    """At most so many contacts within so many calendar days, the last of them being today."""

    more_than: Whole = Field(description="So many are within the limit, the next one is not.")
    days: Whole = Field(description="Calendar days; 1 is from midnight to midnight.")
    each: Literal["called", ""] = Field(default="", description="called: each person or number called alone.")


class After(Written):
    """No contact for so many calendar days after an event, whose own day is the first of them."""

    event: Text = Field(description="Which earlier contact is the event, in CEL.")
    days: Whole | None = Field(default=None, description="Calendar days; left out: for good.")


class Rule(Written):
    """One rule of a pack: which contacts it looks at, what breaks it, and who says so.

    With none of `hours`, `limit` and `after` each contact that it looks at breaks it.
    """

    clause: Text = Field(description="Where it stands, as a complaint cites it.")
    source: Text = Field(description="Where it was read, and since when it is in force.")
    secondary: Flag = Field(default=False, description="true: the text itself has not been read.")
    decided_by: Literal["D", "T", "X"] = Field(
        description="D: call records alone. T: a transcript or note. X: never by one person called."
    )
    soft: Flag = Field(default=False, description="true: it recommends, it does not oblige.")
    when: Text = Field(description="Which contacts it looks at, in CEL.")
    hours: dict[Days, tuple[HoursOfDay, ...]] | None = Field(
        default=None, description="When contact is allowed; a day not named has no limit, [] allows none."
    )
    limit: Limit | None = Field(default=None, description="How many contacts are too many.")
    after: After | None = Field(default=None, description="After which event there is to be no contact.")
    because: Text = Field(description="What the incident says.")
    unless: str = Field(default="", description="What would excuse it and no record shows.")

    @model_validator(mode="after")
    def _breaks_in_one_way(self) -> Self:
        if sum(one is not None for one in (self.hours, self.limit, self.after)) > 1:
            raise PydanticCustomError("condition", "has more than one of hours, limit and after")
        return self


class Holidays(Written):
    """The public holidays between two dates; of a day before or after it is not known whether it is one."""

    since: Date = Field(description="The first day that is covered.")
    until: Date = Field(description="The last day that is covered.")
    dates: tuple[Date, ...] = Field(description="The holidays.")


class PackFile(Written):
    """What a pack says of contacts; config adds its examples."""

    title: Text = Field(description="What it is about, in a line.")
    about: Text = Field(description="To whom it applies, and what it cannot see.")
    holidays: Holidays | None = Field(default=None, description="For rules whose hours name holiday.")
    rules: dict[Symbol, Rule] = Field(description="The rules by their symbols, in capitals.")
