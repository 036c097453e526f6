"""What the commands about cases and evidence work with."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import typer

from screener import app, cases, ledger, number, retention, suggesting
from screener.cli.common import load
from screener.cli.outlook import Outlook, counted, outlook
from screener.config import Config
from screener.evidence import Dossier, Gathering, gather
from screener.ledger import CallRecord, Row

ATTACHED = "evidence"
YEARS = range(1990, 2100)
_PREFIX = re.compile(r"\+[0-9]{4,14}\*", re.ASCII)


def moment(text: str, zone: tzinfo) -> datetime:
    """The time that a person wrote; a year that cannot be meant ends the command.

    What is noted stays: one such time would spoil every page of the case.
    """
    with suppress(ValueError):
        when = datetime.fromisoformat(text)
        if when.year in YEARS:
            return when if when.tzinfo else when.replace(tzinfo=zone)
    raise typer.BadParameter(f"{text!r} is no time such as 2026-03-05 18:30")


@dataclass(frozen=True, slots=True)
class Desk:
    """The configuration, the ledger, and the cases in it."""

    config: Config
    path: ledger.Place
    every: list[cases.Case]

    @classmethod
    def of(cls, site: Path | None) -> Desk:
        """Read the cases; LedgerError if there is no ledger."""
        config = load(site)
        path = app.ledger_path(config.settings)
        return cls(config, path, cases.fold(ledger.rows(path, cases.KIND)))

    def case(self, which: int) -> cases.Case:
        """The case of this number."""
        found = next((one for one in self.every if one.number == which), None)
        if found is None:
            raise typer.BadParameter(f"there is no case {which}; `screener case list` shows them")
        if found.erased:
            raise typer.BadParameter(f"case {which} was erased")
        return found

    def records(self, case: cases.Case) -> list[CallRecord]:
        """Its calls and messages."""
        return [one for one in self._records(case.sought) if case.has(one, self.config.settings.region)]

    def _records(self, sought: ledger.Sought, since: datetime | None = None) -> Iterator[CallRecord]:
        """Calls and messages of the ledger, at least those that are sought."""
        yield from ledger.calls(self.path, since=since, sought=sought)
        yield from ledger.received(self.path, since, sought)

    def outlooks(self, *which: cases.Case) -> list[Outlook]:
        """What these cases have, have lost and will lose, all by one walk through the ledger."""
        settings = self.config.settings
        found: list[list[CallRecord]] = [[] for _ in which]
        for record in self._records(ledger.Sought.of_any([one.sought for one in which])):
            for case, of_case in zip(which, found, strict=True):
                if case.has(record, settings.region):
                    of_case.append(record)
        holds, deleted = self.keeper.holds(), ledger.deleted(self.path)
        return [outlook(*one, holds, deleted, settings) for one in zip(which, found, strict=True)]

    def suggestions(self, since: datetime | None = None) -> list[suggesting.Suggestion]:
        """What might be cases."""
        found = self._records(suggesting.SOUGHT, since)
        return suggesting.suggest(found, self.every, self.config.settings.region)

    @property
    def keeper(self) -> ledger.Keeper:
        """What holds its calls."""
        return retention.keeper(self.path, self.config.settings, app.now)

    @property
    def attached(self) -> Path:
        """Where files that a person added are kept."""
        return self.config.settings.state_dir / ATTACHED

    def hold(self, case: cases.Case) -> tuple[int, int, int]:
        """Hold calls, messages and numbers of a case that are not yet; how many of each."""
        held = {(one.call, one.caller) for one in self._held(case)}
        found = [one for one in self.records(case) if (one.call_id, "") not in held]
        numbers = [one for one in sorted(case.numbers) if ("", one) not in held and not one.endswith("*")]
        calls = [one.call_id for one in found]
        self.keeper.hold(calls, numbers, because="evidence", by=case.holder)
        self.write(case.id, {"do": "hold"})
        return *counted(found), len(numbers)

    def release(self, case: cases.Case) -> int:
        """End its holds; how many."""
        ended = self._release(case, self._held(case))
        self.write(case.id, {"do": "release"})
        return ended

    def release_strangers(self, case: cases.Case) -> int:
        """End its holds of calls and numbers that are in it no more; how many."""
        inside = {one.call_id for one in self.records(case)}
        return self._release(
            case,
            [one for one in self._held(case) if one.call not in inside and one.caller not in case.numbers],
        )

    def _release(self, case: cases.Case, held: list[ledger.Hold]) -> int:
        calls, numbers = [one.call for one in held if one.call], [one.caller for one in held if one.caller]
        self.keeper.release(calls, numbers, because="evidence", by=case.holder)
        return len(held)

    def is_held(self, case: cases.Case) -> bool:
        """Whether anything is held for it."""
        return bool(self._held(case))

    def _held(self, case: cases.Case) -> list[ledger.Hold]:
        return [one for one in self.keeper.holds() if one.by == case.holder]

    def files_of_none_but(self, notes: Collection[cases.Note]) -> set[str]:
        """Attached files, by their SHA-256, that these notes have and no others."""
        every = [note for case in self.every for note in case.notes]
        others = {one["sha256"] for note in every if note not in notes for one in note.files}
        return {one["sha256"] for note in notes for one in note.files} - others

    def write(self, case: str, *bodies: dict[str, Any]) -> None:
        """Add rows to a case, all or none."""
        at = app.now()
        ledger.append(self.path, [Row("", cases.KIND, at, {"case": case, **body}) for body in bodies])

    def gathering(self, blank: tuple[str, ...] | None = None) -> Gathering:
        """What its cases are gathered with."""
        settings, wording = self.config.settings, self.config.wording
        return Gathering(
            settings.region,
            settings.zone,
            [self.config.packs[name] for name in settings.packs],
            settings.recordings_dir_of,
            self.attached,
            lambda text, at: wording.find(
                text, language="", region=settings.region, said_on=at.astimezone(settings.zone).date()
            ),
            blank,
        )

    def dossier(self, case: cases.Case) -> Dossier:
        """All that is known of a case."""
        return gather(case, self.records(case), self.gathering())

    def members(self, numbers: list[str], campaigns: list[int], calls: list[str]) -> dict[str, Any]:
        """What is to be added or removed, in the form of the ledger; a mistake ends the command."""
        region, read = self.config.settings.region, []
        for text in numbers:
            key = text if _PREFIX.fullmatch(text) else number.parse(text, region).key
            if not key:
                raise typer.BadParameter(
                    f"{text!r} is neither a number nor the beginning of one such as +86177*"
                )
            read.append(key)
        for one in calls:
            if not ledger.call(self.path, one):
                raise typer.BadParameter(f"there is no call {one!r} in the ledger")
        return {"numbers": read, "campaigns": campaigns, "calls": calls}
