"""Rule packs as they stand in `packs/NAME.yaml`, each with histories that are its test."""

from __future__ import annotations

import math
from datetime import UTC
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator

from screener.config.examples import Moment
from screener.config.layers import PACKS, SETTINGS
from screener.config.nodes import Scalar
from screener.config.validating import check, key_place, locate
from screener.config.values import Line, Zone  # noqa: TC001 - pydantic reads annotations
from screener.packs import Contact, ContactKind, Pack, PackFile, compile_pack, evaluate
from screener.policy import Flag, Number, Written
from screener.wording import Kind  # noqa: TC001 - pydantic reads annotations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from screener.config.layers import Layers
    from screener.config.loading import Config
    from screener.config.settings import Settings
    from screener.packs import Incident


def _or_never(value: object, seconds: ValidatorFunctionWrapHandler) -> float:
    return math.inf if value == "never" else float(seconds(value))


Moments = Annotated[
    tuple[Moment, ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}}),
]
Silence = Annotated[
    Number, WrapValidator(_or_never), WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": ["never"]}]})
]


class ImaginedContact(Written):
    """One contact, or several alike; what is not written is not known."""

    at: Moments = Field(description="When, on the wall of the person called; several for several alike.")
    kind: ContactKind = "call"
    number: str = ""
    called: str = ""
    answered: Flag | None = None
    talk_s: Number | None = None
    ring_s: Number | None = None
    ended_by_caller: Flag | None = None
    robot: Flag | None = None
    live_after_s: Silence | None = None
    refused: Flag = False
    to_debtor: Flag | None = None
    wording: frozenset[Kind] | None = None


class History(Written):
    """The contacts of an imagined case and the incidents that must come of them, no more and no less."""

    contacts: tuple[ImaginedContact, ...] = Field(description="Numbered from 1 in order of time.")
    incidents: tuple[Line, ...] = Field(
        description="Each as a rule and its contacts: NIGHT 1 2, or undecided NIGHT 1 2."
    )

    def come(self, pack: Pack, zone: ZoneInfo) -> list[str]:
        """What comes of it, written as `incidents` are."""
        moments: list[tuple[Any, dict[str, Any]]] = [
            (at.replace(tzinfo=zone), one.model_dump(exclude={"at"}))
            for one in self.contacts
            for at in one.at
        ]
        moments.sort(key=lambda one: one[0].astimezone(UTC))
        contacts = [Contact(str(place), at, **told) for place, (at, told) in enumerate(moments, start=1)]
        return [_shown(one) for one in evaluate(pack, contacts, zone)]


class PackDocument(PackFile):
    """The contents of `packs/NAME.yaml`."""

    zone: Zone = Field(description="IANA name of the time zone in which its examples happen.")
    examples: dict[Line, History] = Field(description="Histories, each by a sentence that is its name.")


def packs_of(layers: Layers, settings: Settings | None) -> dict[str, Pack]:
    """All packs by their names, ready to be asked; what is wrong is added to the problems of the layers."""
    packs = {}
    for name, tree in sorted(layers.trees.items()):
        if name.startswith(f"{PACKS}/") and name not in layers.broken:
            document, problems = check(PackDocument, tree)
            layers.problems += problems
            if document is not None:
                pack, wrong = compile_pack(PurePath(name).stem, document)
                for one in wrong:
                    value = locate(tree, one.path)
                    place = value.at(one.line, one.column) if isinstance(value, Scalar) else value.place
                    layers.problems.append(f"{place}: {'.'.join(one.path)}: {one.text}")
                packs[pack.name] = pack
    for index, name in enumerate(settings.packs if settings else ()):
        if f"{PACKS}/{name}.yaml" not in layers.trees.keys() | layers.broken:
            written = locate(layers.trees[SETTINGS], ("packs", index)).place
            layers.problems.append(f"{written}: packs.{index}: no such pack; there are {', '.join(packs)}")
    return packs


def failing_packs(config: Config, *, own: bool) -> Iterator[str]:
    """The examples of packs that do not hold, as `file:line:col: key: what was expected and what came`.

    `own`: those that the site wrote or changed; else all others, which only its own changes can break.
    """
    for name, pack in config.packs.items():
        tree, document = config.trees[f"{PACKS}/{name}.yaml"], pack.written
        if not isinstance(document, PackDocument):
            continue
        for sentence, history in document.examples.items():
            place = key_place(tree, ("examples", sentence))
            is_own = config.site is not None and place.file.startswith(f"{config.site}/")
            if is_own is not own:
                continue
            came = history.come(pack, ZoneInfo(document.zone))
            if sorted(came) != sorted(history.incidents):
                expected = ", ".join(history.incidents) or "nothing"
                yield f"{place}: examples.{sentence}: expected {expected}; got {', '.join(came) or 'nothing'}"


def _shown(incident: Incident) -> str:
    return " ".join([*["undecided"] * (not incident.decided), incident.rule, *incident.contacts])
