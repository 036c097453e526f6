"""What a case has lost to erasing, and what it will lose when, unless it is held."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from screener import cases
from screener.config import Settings
from screener.ledger import CallRecord, Hold


def told(calls: int, messages: int) -> str:
    """How many calls and messages, in words; what there is none of is left out."""
    named = ((calls, "call"), (messages, "message"))
    some = [f"{n} {what}{'s' * (n != 1)}" for n, what in named if n]
    return " and ".join(some) or "0 calls"


def counted(records: Iterable[CallRecord]) -> tuple[int, int]:
    """How many of them are calls, and how many messages."""
    kinds = [cases.is_message(one) for one in records]
    return kinds.count(False), kinds.count(True)


@dataclass(frozen=True, slots=True)
class Outlook:
    """Of a case: what it has, what was erased of it, and what will be.

    `loose` calls and messages are held by nobody: the first is erased at `first`, the last that is there now
    at `last`, their recordings from `sounds` on; None: never.
    """

    calls: int
    messages: int
    erased_calls: int
    erased_messages: int
    deleted_recordings: int
    loose_calls: int
    loose_messages: int
    first: datetime | None
    last: datetime | None
    sounds: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        dated = {one for one in ("first", "last", "sounds") if getattr(self, one)}
        return asdict(self) | {one: getattr(self, one).isoformat(timespec="seconds") for one in dated}

    @property
    def gone(self) -> str:
        """What was erased of it, empty if nothing."""
        lost, sounds = [], self.deleted_recordings
        if self.erased_calls or self.erased_messages:
            lost.append(told(self.erased_calls, self.erased_messages))
        if sounds:
            lost.append(f"{sounds} recording{'s' * (sounds != 1)} of what is left")
        return ", ".join(lost)

    def lines(self, number: int, zone: tzinfo) -> Iterator[str]:
        """Sentences for a person; none if nothing is gone and nothing will go."""
        if self.gone:
            yield f"erased, and not to be had again: {self.gone}"
        if not self.loose_calls and not self.loose_messages:
            return
        loose = told(self.loose_calls, self.loose_messages)
        days = [f"{at.astimezone(zone):%Y-%m-%d}" for at in (self.first, self.last) if at]
        if days:
            when = f"on {days[0]}" if days[0] == days[1] else f"from {days[0]} to {days[1]}"
            yield f"not held: {loose}, erased {when}"
        if self.sounds:
            yield f"not held: recordings of {loose}, deleted from {self.sounds.astimezone(zone):%Y-%m-%d} on"
        if days or self.sounds:
            yield f"to keep them: screener case hold {number}"


def outlook(
    case: cases.Case,
    records: Collection[CallRecord],
    holds: Collection[Hold],
    deleted: Collection[str],
    settings: Settings,
) -> Outlook:
    """Of a case with these calls and messages; `deleted` are the SHA-256 of recordings that are gone."""
    calls, callers = {one.call for one in holds}, {one.caller for one in holds} - {""}
    loose = [
        one
        for one in records
        if one.call_id not in calls and cases.caller_of(one, settings.region) not in callers
    ]
    whole, sounds = (
        _days(one) for one in (settings.retention.ledger_days, settings.retention.recordings_days)
    )
    dates = sorted(one.at + whole for one in loose) if whole else []
    filed = [
        row.at + sounds
        for one in loose if sounds
        for row in one.rows if row.kind == "recording" and row.body.get("sha256") not in deleted
    ]  # fmt: skip
    earliest = min(filed, default=None)
    gone = {one.get("sha256") for record in records for one in record.recordings} & set(deleted)
    return Outlook(
        *counted(records),
        len(case.lost["calls"]),
        len(case.lost["messages"]),
        len(gone),
        *counted(loose),
        dates[0] if dates else None,
        dates[-1] if dates else None,
        earliest if earliest and not (dates and dates[0] <= earliest) else None,
    )


def _days(days: int) -> timedelta | None:
    return timedelta(days=days) if days else None
