"""A case as plain values: what happened in order of time, what it broke, what was claimed, which files."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from screener import disk, recordings, spool
from screener.cases import caller_of, contacts_of, is_message
from screener.errors import ScreenerError
from screener.packs import evaluate
from screener.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, tzinfo

    from screener.cases import Case, Note
    from screener.ledger import CallRecord
    from screener.packs import Contact, Pack
    from screener.wording import Finding

BLANK: Final = "■■■"
RECORDED: Final = ("sha256", "bytes", "seconds", "notice_played_at")
CLAIMS: Final = ("company", "amount", "due", "call_back", "threat", "collection", "pretext")
SAFE_ENDINGS: Final = frozenset(
    {"jpg", "jpeg", "png", "heic", "pdf", "txt", "wav", "mp3", "m4a", "mp4", "eml"}
)
"""Attached files of other kinds end in .bin, so that none of them runs when it is opened."""


@dataclass(frozen=True, slots=True)
class Gathering:
    """What a case is gathered with: the site's region, zone and packs, where recordings and attachments are.

    `find` tells what is said in a text at some time. `blank`, if not None: the numbers called and these names
    are blanked in all that is written; sounds and attached files are not changed.
    """

    region: str
    zone: tzinfo
    packs: Sequence[Pack]
    recordings: Sequence[Path]
    attached: Path
    find: Callable[[str, datetime], Sequence[Finding]]
    blank: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Dossier:
    """`data` is JSON, fit to be shown; `files` are the places of the files that it names, by those names."""

    data: dict[str, Any]
    files: dict[str, Path]


def gather(case: Case, records: Sequence[CallRecord], how: Gathering) -> Dossier:
    """Gather the calls of a case (`records`), its notes, incidents, claims and files."""
    records = sorted(records, key=lambda one: (one.at, one.call_id))
    contacts = contacts_of(
        case, records, how.region, lambda text, at: frozenset(one.kind for one in how.find(text, at))
    )
    by_id = {one.id: one for one in contacts}
    moments: list[CallRecord | Note] = sorted([*records, *case.notes], key=lambda one: (one.at, _id(one)))
    places, files = {_id(one): place for place, one in enumerate(moments, 1)}, dict[str, Path]()
    entries = [_entry(places, one, by_id, how, files) for one in moments]
    incidents = [
        {
            "pack": one.pack,
            "rule": one.rule,
            "clause": one.clause,
            "decided": one.decided,
            "soft": one.soft,
            "at": one.at.isoformat(timespec="seconds"),
            "because": one.because,
            "source": pack.written.rules[one.rule].source,
            "unless": pack.written.rules[one.rule].unless,
            "proof": [places[contact] for contact in one.contacts],
        }
        for pack in how.packs
        for one in evaluate(pack, contacts, how.zone)
    ]
    data = {
        "case": case.number,
        "name": escaped(case.name),
        "confirmed": case.confirmed_at is not None,
        "numbers": sorted({one.number for one in contacts} - {""}),
        "calls": sum(one.kind == "call" for one in contacts),
        "packs": [pack.name for pack in how.packs],
        "entries": entries,
        "incidents": incidents,
        "claims": _claims(entries),
    }
    return Dossier(_blanked(data, _names(contacts, how)), files)


def _id(one: CallRecord | Note) -> str:
    return getattr(one, "call_id", "") or getattr(one, "id", "")


def _entry(
    places: dict[str, int],
    one: CallRecord | Note,
    contacts: dict[str, Contact],
    how: Gathering,
    files: dict[str, Path],
) -> dict[str, Any]:
    place, contact = places[_id(one)], contacts.get(_id(one))
    entry: dict[str, Any] = {
        "n": place,
        "id": _id(one),
        "at": one.at.astimezone(how.zone).isoformat(timespec="seconds"),
        "at_utc": one.at.astimezone(UTC).isoformat(timespec="seconds"),
        "kind": contact.kind if contact else "remark",
        "robot": contact and contact.robot,
        "refused": bool(contact and contact.refused),
    }
    if isinstance(getattr(one, "files", None), tuple):
        return entry | _of_note(place, places, one, how, files)  # type: ignore[arg-type]
    return entry | _of_call(place, one, how, files)  # type: ignore[arg-type]


def _of_note(
    place: int, places: dict[str, int], note: Note, how: Gathering, files: dict[str, Path]
) -> dict[str, Any]:
    gone, kept = note.withdrawn, []
    for at, one in enumerate(() if gone else note.files, 1):
        ending = Path(one["name"]).suffix.lower().removeprefix(".")
        name = f"attachments/{place:04}-{at}.{ending if ending in SAFE_ENDINGS else 'bin'}"
        with suppress(OSError):  # what lies behind a link of somebody else counts as missing
            files[name] = disk.place(how.attached) / one["sha256"]
        kept.append({"file": name, "name": escaped(one["name"]), "sha256": one["sha256"]})
    told = {}
    if gone:
        at_told = gone.at.astimezone(how.zone).isoformat(timespec="seconds")
        told = {
            "kind": "withdrawn",
            "withdrawn": {"at": at_told, "by": gone.who, "because": escaped(gone.because)},
        }
    return told | {
        "note": note.kind,
        "number": escaped(note.number),
        "of": places.get(note.call),
        "text": escaped(note.text),
        "wording": _said(how.find(note.text, note.at)) if note.quotes and not gone else [],
        "files": kept,
    }


def _of_call(place: int, call: CallRecord, how: Gathering, files: dict[str, Path]) -> dict[str, Any]:
    kept = []
    # The rows have a path as it was filed, the record as it may be shown.
    paths = {escaped(str(row.body["path"])): row.body["path"] for row in call.rows if row.kind == "recording"}
    for at, one in enumerate(call.recordings, 1):
        leg = one.get("leg") if one.get("leg") in recordings.LEGS else "other"
        name = f"recordings/{place:04}-{at}-{leg}.wav"
        with suppress(ScreenerError):  # what lies elsewhere counts as missing
            path = Path(paths[one["path"]])
            files[name] = spool.kept(recordings.root_of(how.recordings, path), path)
        kept.append({"file": name} | {key: one.get(key) for key in RECORDED})
    said, caller = call.transcript, caller_of(call, how.region)
    named = call.call.get("shown", "") if is_message(call) and not caller else ""
    return {
        "number": caller,
        "name": call.call.get("name", named),
        "called": call.call.get("did") or call.end.get("did", ""),
        "verdict": call.verdict.get("action", ""),
        "reasons": [hit["symbol"] for hit in call.verdict.get("hits", ())],
        "ended": call.disposition,
        "talk_s": call.end.get("talk_s"),
        "text": said.get("text", ""),
        "wording": [{key: one[key] for key in ("kind", "value", "quote")} for one in said.get("wording", ())],
        "files": kept,
    }


def _said(found: Sequence[Finding]) -> list[dict[str, str]]:
    return [{"kind": one.kind, "value": one.value, "quote": one.quote} for one in found]


def _claims(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was said of company, amount, date and consequences: each thing once, and in which entries."""
    claims: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        for one in entry["wording"]:
            if one["kind"] in CLAIMS:
                claim = claims.setdefault((one["kind"], one["value"] or one["quote"]), {**one, "in": []})
                claim["in"].append(entry["n"])
    return sorted(claims.values(), key=lambda one: (CLAIMS.index(one["kind"]), one["in"][0]))


def _names(contacts: Sequence[Contact], how: Gathering) -> list[str]:
    """What is to be blanked, the longest first: a part of a name must not keep the rest of it."""
    if how.blank is None:
        return []
    called = {form for one in contacts for form in (one.called, one.called.lstrip("+")) if form}
    return sorted({*called, *filter(None, how.blank)}, key=lambda one: (-len(one), one))


def _blanked(value: Any, names: list[str]) -> Any:  # noqa: ANN401 - any JSON value
    if not names:
        return value
    # The number 100 is not to be blanked in 1000.
    forms = (rf"(?<!\d){re.escape(one)}(?!\d)" if one[-1].isdigit() else re.escape(one) for one in names)
    pattern = re.compile("|".join(forms), re.IGNORECASE)

    def blanked(value: Any) -> Any:  # noqa: ANN401 - any JSON value
        match value:
            case str():
                return pattern.sub(BLANK, value)
            case list():
                return [blanked(one) for one in value]
            case dict():
                kept = {"file", "sha256", "at", "at_utc", "kind", "id", "pack", "rule"}
                return {key: one if key in kept else blanked(one) for key, one in value.items()}
        return value

    return blanked(value)
