"""Commands that keep the allow and block entries."""

from __future__ import annotations

import getpass
import sys
from datetime import UTC, datetime
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn

from screener import app
from screener.cli.common import Site, load, on_store, show, show_table, span
from screener.state import Entry, ListKind, Lists, Row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from screener.state import ImportReport

cli = typer.Typer(
    help="Keep the allow and block entries: numbers and prefixes (+86177*).", no_args_is_help=True
)


T = TypeVar("T")


class Kind(StrEnum):
    """The two lists."""

    ALLOW = "allow"
    BLOCK = "block"


Which = Annotated[Kind, typer.Argument(help="Which list.")]
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
    row = Row(pattern, _kind(kind), reason=reason, source="cli", by=getpass.getuser(), expires_at=until)
    for entry in _with_lists(site, lambda lists: lists.add(row, force=force)):
        show(f"added to the {entry.kind} list: {entry.pattern}")


@cli.command()
def remove(kind: Which, pattern: Pattern, site: Site = None) -> None:
    """Remove the entry of exactly this pattern."""
    gone = _with_lists(site, lambda lists: lists.remove(pattern, _kind(kind)))
    for entry in gone:
        show(f"removed from the {entry.kind} list: {entry.pattern}")
    if not gone:
        show(f"there was no such entry on the {kind} list")
        raise typer.Exit(1)


@cli.command()
def find(
    caller: Annotated[str, typer.Argument(help="A number as it would call.")], site: Site = None
) -> None:
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
    kind: Annotated[Kind, typer.Option(help="The list for lines that name none.")] = Kind.BLOCK,
    force: Force = False,
    site: Site = None,
) -> None:
    """Import entries. Bad lines are told and skipped; the exit code is 1 if there were any."""
    like = Row("", _kind(kind), source=file.name, by=getpass.getuser())

    async def take(lists: Lists) -> ImportReport:
        columns = (*Progress.get_default_columns(), TextColumn("{task.fields[line]:,} lines"))
        with (
            Progress(*columns, console=Console(stderr=True), transient=True) as progress,
            file.open("rb") as raw,
            TextIOWrapper(raw, "utf-8-sig", errors="replace") as lines,
        ):
            task = progress.add_task("importing", total=file.stat().st_size or None, line=0)

            def told(line: int) -> None:
                progress.update(task, completed=raw.tell() if raw.seekable() else 0, line=line)

            return await lists.load(lines, like=like, force=force, progress=told)

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
    """Do the work on the lists of the store that the configuration names."""
    settings = load(site).settings

    async def on(url: str) -> T:
        lists = Lists(url, settings.region, settings.own_numbers)
        try:
            return await work(lists)
        finally:
            await lists.close()

    return on_store(settings, on)


def _show(entries: Iterable[Entry]) -> None:
    show_table(
        ("list", "pattern", "reason", "source", "by", "expires"),
        ((one.kind, one.pattern, one.reason, one.source, one.by, _day(one.expires_at)) for one in entries),
    )


def _day(unix_time: int | None) -> str:
    return f"{datetime.fromtimestamp(unix_time, UTC):%Y-%m-%d %H:%M}Z" if unix_time else "never"


def _kind(kind: Kind) -> ListKind:
    return "allow" if kind is Kind.ALLOW else "block"
