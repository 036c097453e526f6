"""Commands about campaigns: recordings that were heard from several numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from screener.cli.common import Site, T, load, minute, on_store, show, show_table
from screener.state import Campaigns
from screener.state.campaigns import MAX_NAME
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

cli = typer.Typer(help="Recordings that were heard from several numbers, and what they are.")

Id = Annotated[int, typer.Argument(help="The campaign's number, as the list shows it.", min=1)]
Every = Annotated[bool, typer.Option("--all", help="Also what only one number has spoken so far.")]


@cli.callback(invoke_without_command=True)
def show_all(context: typer.Context, every: Every = False, site: Site = None) -> None:
    """Show the campaigns, the one heard last first."""
    if context.invoked_subcommand:
        return
    found = [one for one in _with_campaigns(site, lambda campaigns: campaigns.all()) if every or one.known]
    show_table(
        ("id", "calls", "numbers", "blocks", "first heard", "last heard", "verdict", "name"),
        (
            (
                one.id,
                one.calls,
                one.callers,
                one.blocks,
                minute(one.first),
                minute(one.last),
                one.verdict,
                one.name,
            )
            for one in sorted(found, key=lambda one: -one.last)
        ),
    )
    from screener import listening  # noqa: PLC0415 - numpy

    if not listening.INSTALLED:
        show(f"nothing is compared: the extra audio is not installed ({listening.INSTALL})")


@cli.command()
def name(
    campaign: Id,
    text: Annotated[str, typer.Argument(help="What to call it.")],
    site: Site = None,
) -> None:
    """Name a campaign; from then on it is never forgotten."""
    if not (text := printable(text, MAX_NAME)):
        raise typer.BadParameter("a name has letters", param_hint="text")
    _with_campaigns(site, lambda campaigns: campaigns.name(campaign, text))
    show(f"campaign {campaign} is called {text}")


@cli.command()
def harmless(campaign: Id, site: Site = None) -> None:
    """Say that a campaign does no harm (a carrier, a school, a pharmacy): it raises no suspicion."""
    _with_campaigns(site, lambda campaigns: campaigns.judge(campaign, "harmless"))
    show(f"campaign {campaign} is harmless")


@cli.command()
def robocall(campaign: Id, site: Site = None) -> None:
    """Say that a campaign is a robocall."""
    _with_campaigns(site, lambda campaigns: campaigns.judge(campaign, "robocall"))
    show(f"campaign {campaign} is a robocall")


@cli.command()
def forget(campaign: Id, site: Site = None) -> None:
    """Forget a campaign, its name and who spoke it."""
    _with_campaigns(site, lambda campaigns: campaigns.forget(campaign))
    show(f"campaign {campaign} is forgotten")


def _with_campaigns(site: Path | None, work: Callable[[Campaigns], Awaitable[T]]) -> T:
    return on_store(load(site).settings, Campaigns, work)
