"""Cases: the calls, messages and notes that come from one claimed creditor or campaign. Pure.

Nothing of a case is kept but ledger rows of kind `case`, which are only ever added: a case is what they
make when read in order (`fold`). `case` of a body names it; people say its number, the place of its first
row among those of all cases, so that two who open one at the same moment get two. `do` is one of

open, name    `name`; `debtor`: whether the person called is the debtor
add, remove   `numbers` (a `*` at the end: whatever follows), `campaigns`, `calls`
confirm, close, hold, release
note          `kind`, `at`, `text`, `files` [{name, bytes, sha256}], `number`; of a call: `call`, and `by`,
              robot or person; `refused`: no further contact was asked for; `debtor`: as above, of this one
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal

from screener import number
from screener.call import fits
from screener.ledger import Sought
from screener.ledger.keeping import TAIL_DIGITS
from screener.packs import Contact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from screener.ledger import CallRecord, Row
    from screener.wording import Kind

KIND: Final = "case"
NOTES: Final[Mapping[str, Literal["message", "visit", "letter"]]] = {
    "visit": "visit", "letter": "letter", "sms": "message",
}  # fmt: skip
"""What a person may note as a contact, and what it is to a pack; other notes are remarks."""


@dataclass(frozen=True, slots=True)
class Note:
    """What a person wrote down: a contact of its own (`NOTES`), or a remark, on a call if it names one."""

    id: str
    at: datetime
    kind: str
    text: str
    files: tuple[Mapping[str, Any], ...] = ()
    number: str = ""
    call: str = ""
    by: str = ""
    refused: bool = False
    debtor: bool | None = None

    @property
    def quotes(self) -> bool:
        """Whether the text is the sender's own; of a visit it is what a person remembers."""
        return self.kind in {"letter", "sms"}


@dataclass(slots=True)
class Case:
    """What the rows of a case make of it so far."""

    number: int
    id: str
    opened_at: datetime
    name: str = ""
    debtor: bool | None = None
    confirmed_at: datetime | None = None
    closed_at: datetime | None = None
    held: bool = False
    numbers: set[str] = field(default_factory=set)
    campaigns: set[int] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    notes: list[Note] = field(default_factory=list)

    def has(self, record: CallRecord, region: str) -> bool:
        """Whether a call or message belongs to it: itself, its number or recording; none after it closed."""
        if record.call_id in self.removed or (self.closed_at and record.at > self.closed_at):
            return False
        caller = caller_of(record, region)
        return (
            record.call_id in self.calls
            or campaign_of(record).get("campaign") in self.campaigns
            or any(fits(pattern, caller) for pattern in self.numbers if caller)
        )

    @property
    def sought(self) -> Sought:
        """What tells calls that `has` may take from others, without reading those."""
        # Of a number the end is in every form in which it can be presented, of a prefix all but the plus.
        texts = [one[-TAIL_DIGITS:] if not one.endswith("*") else one[1:-1] for one in sorted(self.numbers)]
        judged = [(kind, text) for text in texts for kind in ("setup", "challenge", "message")]
        heard = [("campaign", f'"campaign":{one}') for one in sorted(self.campaigns)]
        return Sought(sorted(self.calls), [*judged, *heard], unjudged=bool(self.numbers))

    def take(self, row: Row) -> None:
        """Let one more row change it; what a newer screener may have written there changes nothing."""
        body = row.body
        match body.get("do"):
            case "open" | "name":
                self.name = body.get("name") or self.name
                self.debtor = body.get("debtor", self.debtor)
            case "add":
                self.numbers |= set(body.get("numbers", ()))
                self.campaigns |= set(body.get("campaigns", ()))
                self.calls |= set(body.get("calls", ()))
                self.removed -= set(body.get("calls", ()))
            case "remove":
                self.numbers -= set(body.get("numbers", ()))
                self.campaigns -= set(body.get("campaigns", ()))
                self.calls -= set(body.get("calls", ()))
                self.removed |= set(body.get("calls", ()))
            case "confirm":
                self.confirmed_at = row.at
            case "close":
                self.closed_at = row.at
            case "hold" | "release" as done:
                self.held = done == "hold"
            case "note":
                self.notes.append(_note(f"note-{len(self.notes) + 1}", row))


def _note(name: str, row: Row) -> Note:
    told = {one: row.body[one] for one in Note.__slots__ if one in row.body}
    at, files = datetime.fromisoformat(told["at"]), tuple(told.get("files", ()))
    return Note(**{**told, "id": name, "at": at, "files": files})


def fold(rows: Iterable[Row]) -> list[Case]:
    """The cases that rows of kind `case` make, in the order in which they were opened."""
    cases: dict[str, Case] = {}
    for row in rows:
        name = row.body.get("case", "")
        cases.setdefault(name, Case(len(cases) + 1, name, row.at)).take(row)
    return list(cases.values())


def caller_of(record: CallRecord, region: str) -> str:
    """Who called, E.164 where that can be told; empty if withheld. `region` reads a call nobody judged."""
    shown = record.call.get("number") or record.end.get("number", "")
    key: str = record.call.get("e164") or number.parse(shown, region).key
    return key


def is_message(record: CallRecord) -> bool:
    """Whether it is a message, not a call."""
    return any(row.kind == "message" for row in record.rows)


def campaign_of(record: CallRecord) -> Mapping[str, Any]:
    """How the caller's leg sounded, empty if nobody listened."""
    return next((row.body for row in record.rows if row.kind == "campaign"), {})


def contacts_of(
    case: Case,
    records: Sequence[CallRecord],
    region: str,
    found: Callable[[str, datetime], frozenset[Kind]],
) -> list[Contact]:
    """The contacts of a case as the law counts them: its calls (`records`) and what was noted.

    `found` tells what kinds of things are said in a text. A call is known to be a robot's when its recording
    was heard in another call of the case, or a person noted it.
    """
    heard: dict[Any, int] = defaultdict(int)
    for record in records:
        heard[campaign_of(record).get("campaign")] += 1
    contacts = {
        one.call_id: _contact(one, case, region, again=heard[campaign_of(one).get("campaign")] > 1)
        for one in records
    }
    for note in case.notes:
        debtor = case.debtor if note.debtor is None else note.debtor
        if note.kind in NOTES:
            contacts[note.id] = Contact(
                note.id,
                note.at,
                NOTES[note.kind],
                note.number,
                refused=note.refused,
                to_debtor=debtor,
                wording=found(note.text, note.at) if note.quotes else None,
            )
        elif call := contacts.get(note.call):
            contacts[note.call] = replace(
                call,
                refused=call.refused or note.refused,
                to_debtor=call.to_debtor if note.debtor is None else note.debtor,
                robot=note.by == "robot" if note.by else call.robot,
            )
    return sorted(contacts.values(), key=lambda one: (one.at, one.id))


def _contact(record: CallRecord, case: Case, region: str, *, again: bool) -> Contact:
    end, heard = record.end, campaign_of(record)
    said = record.transcript
    contact = Contact(
        record.call_id,
        record.at,
        number=caller_of(record, region),
        called=record.call.get("did") or end.get("did", ""),
        to_debtor=case.debtor,
        wording=frozenset(one["kind"] for one in said.get("wording", ())) if said else None,
    )
    if is_message(record):
        return replace(contact, kind="message")
    lasted, held = end.get("lasted_s"), end.get("held_s")
    # The challenge and the voicemail answer too: `held_s` counts from then on.
    answered = record.disposition in {"answered", "recorded"} or bool(held)
    robot = True if again and heard.get("campaign") else None
    if end.get("challenge") == "passed":
        robot = False
    silent = heard.get("onset_s", inf if heard else None)
    return replace(
        contact,
        answered=answered if end else None,
        talk_s=(float(end.get("talk_s") or 0) if record.disposition == "answered" else 0.0) if end else None,
        ring_s=None if lasted is None else lasted - (held or 0.0),
        ended_by_caller=end.get("by_caller"),
        robot=robot,
        live_after_s=inf if heard and silent is None else silent,
    )
