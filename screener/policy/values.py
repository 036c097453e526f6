"""The kinds of values that a policy is written with: numbers, switches, names.

Values arrive as the text that stands in the YAML files and are typed here, and only
here; `04` is never octal and `no` is never false. Each kind says beside its check what an
editor is told about it (`WithJsonSchema`).
"""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    WithJsonSchema,
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
    raise PydanticCustomError("stage", "expected setup, challenge or message")


def _symbol(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", value, re.ASCII):
        return value
    raise PydanticCustomError("symbol", "a symbol is written in capitals, such as DID_FANOUT")


def _group_name(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9_]{0,63}", value, re.ASCII):
        return value
    raise PydanticCustomError("group", "the name of a group is written in small letters, such as velocity")


_ON_OR_OFF = {"type": "boolean"}
_A_NUMBER = {"type": "number", "minimum": -MAX_SCORE, "maximum": MAX_SCORE}
_A_THRESHOLD = {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": MAX_SCORE}, {"enum": ["off"]}]}

Number = Annotated[float, BeforeValidator(_number), WithJsonSchema(_A_NUMBER)]
Positive = Annotated[Number, AfterValidator(_positive), WithJsonSchema({**_A_NUMBER, "exclusiveMinimum": 0})]
Flag = Annotated[bool, BeforeValidator(_flag), WithJsonSchema(_ON_OR_OFF)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Threshold = Annotated[float | None, BeforeValidator(_off), WithJsonSchema(_A_THRESHOLD)]
Symbol = Annotated[str, BeforeValidator(_symbol)]
GroupName = Annotated[str, BeforeValidator(_group_name)]
Forced = Annotated[
    Action | None, BeforeValidator(_forced), WithJsonSchema({"enum": [*map(str, Action), "none"]})
]
FirstStage = Annotated[Stage, BeforeValidator(_stage), WithJsonSchema({"enum": [*map(str, Stage)]})]


class Written(BaseModel):
    """Frozen, and a key that nobody reads is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
