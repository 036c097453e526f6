"""The contacts of a case as the law counts them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal

from screener.cases.records import caller_of, campaign_of, is_message
from screener.packs import Contact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from screener.cases.case import Case
    from screener.ledger import CallRecord
    from screener.wording import Kind

NOTES: Final[Mapping[str, Literal["message", "visit", "letter"]]] = {
    "visit": "visit", "letter": "letter", "sms": "message",
}  # fmt: skip
"""What a person may note as a contact, and what it is to a pack; other notes are remarks."""


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
        if note.withdrawn:
            continue
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
