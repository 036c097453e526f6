"""Commands that keep the allow and block entries."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import DownloadColumn

from screener import app
from screener.cli.common import (
    Caller,
    Site,
    T,
    load,
    minute,
    on_store,
    progress,
    show,
    show_table,
    span,
    whoami,
)
from screener.state import Entry, ListKind, Lists, Row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from screener.state import ImportReport

cli = typer.Typer(
    help="Keep the allow and block entries: numbers and prefixes (+86177*).", no_args_is_help=True
)


Which = Annotated[ListKind, typer.Argument(help="Which list.")]
Pattern = Annotated[str, typer.Argument(help="A number in any usual form, or a prefix such as +86177*.")]
Force = Annotated[bool, typer.Option("--force", help="Accept also what would do harm.")]


@cli.command()
def add(
    kind: Which,
    pattern: Pattern,
    reason: Annotated[str, typer.Option(help="Why; shown with every verdict that it causes.")] = "",
    expires: Annotated[str, typer.Option(help="After 90m, 12h or 30d; never if not given.")] = "",
    force: Force = False,
    site: Site = None,
) -> None:
    """Add or replace an entry; refused if it would hit our own, emergency or far too many numbers."""
    until = int((app.now() + span(expires)).timestamp()) if expires else None
    row = Row(pattern, kind, reason=reason, source="cli", by=whoami(), expires_at=until)
    for entry in _with_lists(site, lambda lists: lists.add(row, force=force)):
        show(f"added to the {entry.kind} list: {entry.pattern}")


@cli.command()
def remove(kind: Which, pattern: Pattern, site: Site = None) -> None:
    """Remove the entry of exactly this pattern."""
    gone = _with_lists(site, lambda lists: lists.remove(pattern, kind))
    for entry in gone:
        show(f"removed from the {entry.kind} list: {entry.pattern}")
    if not gone:
        show(f"there was no such entry on the {kind} list")
        raise typer.Exit(1)


@cli.command()
def find(caller: Caller, site: Site = None) -> None:
    """Show every entry that matches a caller; the first one decides."""
    found = _with_lists(site, lambda lists: lists.find(caller))
    _show(found)
    if not found:
        show("no entry matches")
        raise typer.Exit(1)


@cli.command("show")
def show_all(site: Site = None) -> None:
    """Show all entries, expired ones too."""

    async def collect(lists: Lists) -> list[Entry]:
        return [entry async for entry in lists.all()]

    _show(sorted(_with_lists(site, collect), key=lambda entry: (entry.kind, entry.pattern)))


@cli.command()
def purge(site: Site = None) -> None:
    """Forget expired entries, which match nothing but take memory."""
    show(f"{_with_lists(site, lambda lists: lists.purge())} expired entries forgotten")


@cli.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="Text or CSV, an entry a line.", exists=True, dir_okay=False)],
    kind: Annotated[ListKind, typer.Option(help="The list for lines that name none.")] = "block",
    force: Force = False,
    site: Site = None,
) -> None:
    """Import entries. Bad lines are told and skipped; the exit code is 1 if there were any."""
    like = Row("", kind, source=file.name, by=whoami())

    async def take(lists: Lists) -> ImportReport:
        with (
            progress(DownloadColumn()) as bar,
            bar.open(file, "r", encoding="utf-8-sig", errors="replace", description="importing") as lines,
        ):
            return await lists.load(lines, like=like, force=force)

    report = _with_lists(site, take)
    for line, reason in report.refused:
        sys.stderr.write(f"{file}:{line}: {reason}\n")
    show(f"{report.added} entries added, {report.refusals} lines refused")
    if report.refusals:
        raise typer.Exit(1)


@cli.command()
def export(site: Site = None) -> None:
    """Print all entries as CSV, which `import` takes back."""

    async def give(lists: Lists) -> None:
        async for line in lists.export():
            show(line)

    _with_lists(site, give)


def _with_lists(site: Path | None, work: Callable[[Lists], Awaitable[T]]) -> T:
    settings = load(site).settings
    return on_store(settings, lambda url: Lists(url, settings.region, settings.own_numbers), work)


def _show(entries: Iterable[Entry]) -> None:
    show_table(
        ("list", "pattern", "reason", "source", "by", "expires"),
        (
            (one.kind, one.pattern, one.reason, one.source, one.by, minute(one.expires_at, "never"))
            for one in entries
        ),
    )
