"""What the rows of a case make of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from screener.call import fits
from screener.cases.records import caller_of, campaign_of
from screener.ledger import Sought
from screener.ledger.keeping import TAIL_DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from screener.ledger import CallRecord, Row

KIND: Final = "case"


class Withdrawal(NamedTuple):
    """That a note is wrong, as somebody said later."""

    at: datetime
    who: str
    because: str


@dataclass(frozen=True, slots=True)
class Note:
    """What a person wrote down: a contact of its own (`NOTES`), or a remark, on a call if it names one.

    One that was `withdrawn` is still shown and counts for nothing.
    """

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
    withdrawn: Withdrawal | None = None

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
    lost: dict[str, set[str]] = field(default_factory=lambda: {"calls": set(), "messages": set()})
    erased: bool = False

    @property
    def holder(self) -> str:
        """Whose its holds are."""
        return f"case {self.number}"

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
            case "close" | "reopen" as done:
                self.closed_at = row.at if done == "close" else None
            case "hold" | "release" as done:
                self.held = done == "hold"
            case "lost":
                for kind, ids in self.lost.items():
                    ids |= set(body.get(kind, ()))
            case "note" | "withdraw":
                self._annotate(row)

    def _annotate(self, row: Row) -> None:
        if row.body["do"] == "note":
            self.notes.append(_note(f"note-{len(self.notes) + 1}", row))
            return
        why = Withdrawal(row.at, row.body.get("who", ""), row.body.get("because", ""))
        self.notes = [
            replace(one, withdrawn=why) if one.id == row.body.get("note") else one for one in self.notes
        ]


def _note(name: str, row: Row) -> Note:
    """A note from its row; `name` is its id if the row, of an earlier version, has none."""
    told = {one: row.body[one] for one in Note.__slots__ if one in row.body and one != "withdrawn"}
    at, files = datetime.fromisoformat(told["at"]), tuple(told.get("files", ()))
    return Note(**{"id": name, **told, "at": at, "files": files})


def fold(rows: Iterable[Row]) -> list[Case]:
    """The cases that rows of kind `case` make, by their numbers: in the order in which they were opened."""
    rows, cases = list(rows), dict[str, Case]()
    gone = {row.body["case"]: row.body["number"] for row in rows if row.body.get("do") == "erase"}
    free = (number for number in count(1) if number not in gone.values())
    for row in rows:
        name = row.body.get("case", "")
        if name not in cases:
            cases[name] = Case(gone.get(name) or next(free), name, row.at, erased=name in gone)
        cases[name].take(row)
    return sorted(cases.values(), key=lambda one: one.number)
