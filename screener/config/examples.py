"""Examples: imagined calls and what must come of them, written beside the policy that they test.

The store of an imagined call is empty: its caller was never seen, unless `facts` says otherwise. The
verdict comes about as that of a real call does; an example tests all of the way but Asterisk and the store.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema, create_model
from pydantic_core import PydanticCustomError

from screener import number
from screener.call import Call, Stage
from screener.config.validating import key_place, locate
from screener.config.values import Line, OptionalLine, Region, such, whole
from screener.facts import CATALOGUE, NO_TEXT, PRESENTATIONS, facts_of, never_seen
from screener.policy import Flag, Number, Symbol, Written
from screener.verdict import Action  # noqa: TC001 - pydantic reads annotations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from screener.config.loading import Config
    from screener.config.nodes import Tree
    from screener.facts import Place
    from screener.policy import PolicyDocument
    from screener.verdict import Verdict

_SCORE = r"-?[0-9]+(?:\.[0-9]+)?"
_RANGE = re.compile(rf"({_SCORE})(?:\.\.({_SCORE}))?", re.ASCII)

NO_PROFILE: Final = "none"
"""What an example expects where no profile may be in force."""


def _moment(value: object) -> datetime:
    if isinstance(value, str) and re.fullmatch(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}", value, re.ASCII
    ):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    raise PydanticCustomError("moment", "expected a local time such as 2026-03-04 12:00")


def _range(value: object) -> tuple[float, float]:
    if isinstance(value, str) and (found := _RANGE.fullmatch(value)):
        low = float(found[1])
        high = float(found[2] or low)
        if low <= high:
            return low, high
    raise PydanticCustomError("range", "expected a score such as 4, or the least and the most: 4..7.5")


Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string"})]
Whole = Annotated[
    int, whole(999_999_999, 0, "a whole number such as 4"), WithJsonSchema({"type": "integer", "minimum": 0})
]
Range = Annotated[
    tuple[float, float],
    BeforeValidator(_range),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"^{_RANGE.pattern}$"}]}),
]
Presentation = Annotated[
    str, such(PRESENTATIONS.__contains__, f"expected one of {', '.join(sorted(PRESENTATIONS))}")
]
Arrived = Annotated[str, StringConstraints(max_length=1000)]
_TYPES: Final = {"bool": Flag, "int": Whole, "double": Number, "string": str}

if TYPE_CHECKING:
    Known = Written
else:
    Known = create_model(
        "Known",
        __base__=Written,
        __doc__="Facts of the store, where they differ from those of a caller never seen.",
        **{
            fact.name: (_TYPES[fact.type], Field(default=None, description=fact.meaning))
            for fact in CATALOGUE
            if fact.source in {"state", "talk", "message"}
        },
    )


class ImaginedCall(Written):
    """What the dialplan would send."""

    number: Arrived
    name: Arrived
    did: Arrived
    trunk: Line
    trunk_region: Literal[""] | Region
    at: Moment
    presentation: Presentation
    asserted: Arrived
    diversion: Arrived
    attestation: Literal["", "A", "B", "C"]
    challenge: Literal["", "passed", "failed"]
    message: Flag

    def asked(self, zone: Any) -> Call:  # noqa: ANN401 - a tzinfo
        """The question of the dialplan, on the wall clock of this zone."""
        return Call(
            "example",
            f"{self.trunk}-0",
            Stage.MESSAGE if self.message else Stage.CHALLENGE if self.challenge else Stage.SETUP,
            at=self.at.replace(tzinfo=zone),
            **self.model_dump(exclude={"at", "trunk", "trunk_region", "message"}),
        )


class Expected(Written):
    """What must come of it; what is not written is not asked."""

    action: Action = Field(description="The action taken.")
    symbols: tuple[Symbol, ...] = Field(default=(), description="Rules that must fire, in shadow or not.")
    without: tuple[Symbol, ...] = Field(default=(), description="Rules that must not fire.")
    score: Range | None = Field(default=None, description="The score, or the least and the most: 4..7.")
    profile: OptionalLine = Field(default="", description=f"The profile in force, or {NO_PROFILE}.")


class Defaults(Written):
    """What holds for an example that does not say otherwise."""

    call: ImaginedCall
    facts: Known


class Example(Defaults):
    """One imagined call and what must come of it."""

    expect: Expected = Field(description="What must come of it.")
    enabled: Flag = Field(default=True, description="false: not tried.")


class ExamplesFile(Written):
    """The contents of `examples.yaml`, once `defaults` is laid under each example."""

    defaults: Defaults
    examples: dict[Line, Example] = Field(description="The examples, each by a sentence that is its name.")


def unknown_names(examples: Mapping[str, Example], tree: Tree, document: PolicyDocument) -> Iterator[str]:
    """A problem for each symbol and profile in the examples that the policy does not have."""
    symbols = [symbol for group in document.groups for symbol in group.rules]
    profiles = [*document.profiles.profiles, NO_PROFILE]
    for name, example in examples.items():
        at = ("examples", name, "expect")
        for key in ("symbols", "without"):
            for place, symbol in enumerate(getattr(example.expect, key)):
                yield from _unknown("symbol", symbol, symbols, tree, (*at, key, place))
        if example.expect.profile:
            yield from _unknown("profile", example.expect.profile, profiles, tree, (*at, "profile"))


def _unknown(
    what: str, name: str, names: list[str], tree: Tree, path: tuple[str | int, ...]
) -> Iterator[str]:
    if name not in names:
        close = get_close_matches(name, names, 1, 0.6)
        meant = f"; did you mean {close[0]}?" if close else ""
        yield f"{locate(tree, path).place}: {'.'.join(map(str, path))}: unknown {what} {name}{meant}"


def failing(config: Config, *, own: bool) -> list[str]:
    """The examples that do not hold, each as `file:line:col: key: what was expected and what came`.

    `own`: those that the site wrote or changed; else all others, which only its own changes can break.
    """
    tree = config.trees["examples.yaml"]
    where = config.settings.place
    if not own:
        # Who lives elsewhere has not thereby broken what was written for the country of the shipped files.
        where = replace(where, region=config.made_for, trunks=())
    told = []
    for name, example in config.examples.items():
        place = key_place(tree, ("examples", name))
        is_own = config.site is not None and place.file.startswith(f"{config.site}/")
        if example.enabled and is_own is own and (said := _said(example, config, where)):
            told.append(f"{place}: examples.{name}: {said}")
    return told


def _said(example: Example, config: Config, where: Place) -> str:
    call, expect = example.call.asked(where.zone), example.expect
    if example.call.trunk_region:
        where = replace(where, trunks=((call.trunk, example.call.trunk_region),))
    caller = number.parse(call.number, where.region_of(call.trunk), call.presentation)
    empty = NO_TEXT if example.call.message else {}
    observed = {**never_seen(caller), **empty} | example.facts.model_dump(exclude_unset=True)
    verdict = config.policy.judge(facts_of(call, caller, observed, where))
    differences = list(_differences(expect, verdict))
    if not differences:
        return ""
    profile = f", profile {verdict.profile}" if verdict.profile else ""
    got = f"{verdict.action}, score {verdict.score:g}{profile}: {verdict.reasons or 'nothing against it'}"
    return f"expected {', '.join(differences)}; got {got}"


def _differences(expect: Expected, verdict: Verdict) -> Iterator[str]:
    fired = {hit.symbol for hit in verdict.hits}
    if verdict.action is not expect.action:
        yield str(expect.action)
    yield from (symbol for symbol in expect.symbols if symbol not in fired)
    yield from (f"no {symbol}" for symbol in expect.without if symbol in fired)
    if expect.score and not expect.score[0] <= verdict.score <= expect.score[1]:
        yield "score " + "..".join(f"{score:g}" for score in dict.fromkeys(expect.score))
    if expect.profile and expect.profile != (verdict.profile or NO_PROFILE):
        yield f"profile {expect.profile}"
