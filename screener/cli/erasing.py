"""Erasing what cases have: a case with all of it, and what cases know of a number."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from screener import app, cases
from screener.cli.cases import Which, cli
from screener.cli.common import Site, said, show
from screener.cli.desk import Desk
from screener.cli.outlook import counted, told
from screener.errors import LedgerError
from screener.evidence import discard
from screener.text import escaped

__all__ = ["cli"]


@cli.command()
def erase(
    which: Which,
    because: Annotated[str, typer.Option(help="Why. It stays for ever: name nobody.", callback=said)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    site: Site = None,
) -> None:
    """Erase a case that nobody holds: its calls, messages, recordings, notes and attached files, for ever."""
    desk = Desk.of(site)
    case, region = desk.case(which), desk.config.settings.region
    if desk.is_held(case):
        raise LedgerError(f"nothing was erased, case {which} is held: screener case release {which}")
    others = [one for one in desk.every if one.number != which]
    found = desk.records(case)
    shared = [one for one in found if any(other.has(one, region) for other in others)]
    own = [one for one in found if one not in shared]
    done = desk.keeper.erase_all([one.call_id for one in own], because, dry_run=dry_run)
    for failure in done.failed:
        sys.stderr.write(escaped(f"not erased: {failure}") + "\n")
    files = desk.files_of_none_but(case.notes)
    if not dry_run and not done.failed:
        discard(desk.attached, files)
        done.failed += desk.keeper.strike(
            (cases.KIND, "hold", "release"), cases.without(case, app.now()), because
        ).failed
    show(
        f"{'would be erased' if dry_run else 'erased'}: {told(*counted(own))} of case {which}"
        f"{f', but {done.held} that are held otherwise' * bool(done.held)}; {done.recordings} recordings "
        f"({done.bytes} bytes), {len(case.notes)} notes, {len(files)} attached files"
    )
    if shared:
        show(f"not erased, for another case has them too: {told(*counted(shared))}")
    if done.failed:
        show(f"case {which} is not erased as a whole: mend that and repeat the command")
        raise typer.Exit(1)


def forget_caller(desk: Desk, caller: str, because: str) -> tuple[int, int]:
    """Erase what cases have of a number in E.164: that it is one of theirs, notes from it and their files.

    Returns how many rows and how many files.
    """
    notes = [note for case in desk.every for note in case.notes if note.number == caller]
    files = discard(desk.attached, desk.files_of_none_but(notes))
    done = desk.keeper.strike((cases.KIND,), cases.without_caller(caller, app.now()), because)
    return done.rows, files
