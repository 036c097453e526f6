"""The policy as it is written: actions, groups and rules as plain, frozen data.

Values arrive as the text that stands in the YAML files and are typed here, and only
here; `04` is never octal and `no` is never false. Optional keys of a rule have their
default here, everything else must be written down.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from screener.call import Stage
from screener.verdict import Action

MAX_SCORE = 1000.0
"""No score is larger than this, so that no sum can overflow or drown the others."""

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)


def _number(value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise PydanticCustomError("number", "expected a number such as 4 or -2.5")
    number = float(str(value))
    if not math.isfinite(number) or abs(number) > MAX_SCORE:
        raise PydanticCustomError("number", "expected a number between -1000 and 1000")
    return number


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise PydanticCustomError("flag", "expected true or false")


def _positive(value: float) -> float:
    if value <= 0:
        raise PydanticCustomError("positive", "expected a number above 0")
    return value


def _off(value: object) -> float | None:
    return None if value in ("off", None) else _positive(_number(value))


def _forced(value: object) -> Action | None:
    if value in ("none", None):
        return None
    if isinstance(value, str) and value in tuple(Action):
        return Action(value)
    raise PydanticCustomError("force", "expected allow, challenge, voicemail, reject or none")


def _stage(value: object) -> Stage:
    if isinstance(value, str) and value in tuple(Stage):
        return Stage(value)
    raise PydanticCustomError("stage", "expected setup or challenge")


def _symbol(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", value, re.ASCII):
        return value
    raise PydanticCustomError("symbol", "a symbol is written in capitals, such as DID_FANOUT")


def _group_name(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9_]{0,63}", value, re.ASCII):
        return value
    raise PydanticCustomError("group", "the name of a group is written in small letters, such as velocity")


Number = Annotated[float, BeforeValidator(_number)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Threshold = Annotated[float | None, BeforeValidator(_off)]
Symbol = Annotated[str, BeforeValidator(_symbol)]
GroupName = Annotated[str, BeforeValidator(_group_name)]


class Written(BaseModel):
    """Frozen, and a key that nobody reads is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Rule(Written):
    """One symbol: what it asks, what it adds, and what it says to the person who reads the verdict.

    `stage` is the first stage at which the rule is asked; it is asked at all later ones too.
    """

    score: Number
    when: Text
    because: Text
    source: str = ""
    shadow: Flag = False
    force: Annotated[Action | None, BeforeValidator(_forced)] = None
    enabled: Flag = True
    stage: Annotated[Stage, BeforeValidator(_stage)] = Stage.SETUP


class Group(Written):
    """Rules of one subject, whose positive scores together add at most `max_score`."""

    group: GroupName
    description: Text
    enabled: Flag
    max_score: Annotated[Number, AfterValidator(_positive)]
    rules: dict[Symbol, Rule]


class Actions(Written):
    """The score from which on each action is taken, mildest first; None (`off`): no score leads to it."""

    challenge: Threshold
    voicemail: Threshold
    reject: Threshold

    @model_validator(mode="after")
    def _severity_rises_with_score(self) -> Self:
        rows = [(name, at) for name, at in self if at is not None]
        for (milder, low), (harsher, high) in pairwise(rows):
            if high <= low:
                raise PydanticCustomError(
                    "order",
                    "{harsher} ({high}) must be above {milder} ({low}), or {milder} off",
                    {"harsher": harsher, "high": f"{high:g}", "milder": milder, "low": f"{low:g}"},
                )
        return self


class PolicyFile(Written):
    """The contents of `policy.yaml`."""

    actions: Actions


class PolicyDocument(Written):
    """The whole policy as written, before its expressions are compiled."""

    actions: Actions
    groups: tuple[Group, ...]
