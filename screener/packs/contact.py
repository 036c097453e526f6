"""One contact of a case as the law counts it, and the names by which a rule of a pack asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from screener.wording import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from screener.facts import FactValue

ContactKind = Literal["call", "message", "visit", "letter"]
SAYS: Final = "says."
"""Before each kind of wording: `says.threat`."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A call, message, visit or letter that came from those whom a case is about; None is not known.

    `at` is aware, in any zone. `number` is the caller's as shown, E.164; empty if withheld. `called` is whom
    it was for: our number, or a person's name; a limit that holds for each of them compares it.

    `answered` is true whoever took the call, voicemail too; `talk_s` is how long a person of ours was
    connected with the caller, so 0 if only a machine was. `live_after_s` is how long after the answer, or
    the end of what was said in greeting, the caller's side was silent; infinite if it never spoke.
    `refused`: the person called said not to be contacted again, and somebody noted it. `to_debtor` is false
    for relatives, colleagues and others. `wording` holds what kinds of things were found in the transcript.
    """

    id: str
    at: datetime
    kind: ContactKind = "call"
    number: str = ""
    called: str = ""
    answered: bool | None = None
    talk_s: float | None = None
    ring_s: float | None = None
    ended_by_caller: bool | None = None
    robot: bool | None = None
    live_after_s: float | None = None
    refused: bool = False
    to_debtor: bool | None = None
    wording: frozenset[Kind] | None = None


_FIELDS: Final = {
    "kind": "string",
    "number": "string",
    "answered": "bool",
    "talk_s": "double",
    "ring_s": "double",
    "ended_by_caller": "bool",
    "robot": "bool",
    "live_after_s": "double",
    "refused": "bool",
    "to_debtor": "bool",
}
NAMES: Final[Mapping[str, str]] = {**_FIELDS, **{SAYS + kind: "bool" for kind in get_args(Kind)}}
"""What a rule may ask of a contact, with the type of each in CEL."""


def asked(contact: Contact) -> dict[str, FactValue]:
    """What is known of a contact, by the names above; what is not known is left out."""
    values = {name: getattr(contact, name) for name in _FIELDS}
    known = {name: value for name, value in values.items() if value is not None and value != ""}
    said = contact.wording
    return known if said is None else known | {SAYS + kind: kind in said for kind in get_args(Kind)}
