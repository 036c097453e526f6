"""Commands that show the rule packs."""

from __future__ import annotations

from typing import Annotated

import typer

from screener.cli.common import AsJson, Site, load, show, show_json, show_table

cli = typer.Typer(help="What laws and guidelines say of calls, as rules.", no_args_is_help=True)


@cli.command("list")
def show_all(site: Site = None) -> None:
    """List the packs and which are on (`packs` in screener.yaml)."""
    loaded = load(site)
    show_table(
        ("pack", "on", "rules", "title"),
        (
            (name, "on" if name in loaded.settings.packs else "", len(pack.rules), pack.written.title)
            for name, pack in loaded.packs.items()
        ),
    )


@cli.command("show")
def show_one(
    name: Annotated[str, typer.Argument(help="The pack's name, as the list shows it.")],
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Show a pack: each rule with its clause, what decides it, and what would excuse it."""
    packs = load(site).packs
    if name not in packs:
        raise typer.BadParameter(f"{name!r} is no pack; there are {', '.join(packs)}")
    written = packs[name].written
    if as_json:
        show_json(written.model_dump(exclude={"examples", "zone"}, exclude_unset=True))
        return
    show(f"{name}: {written.title}")
    show(written.about)
    for symbol, rule in written.rules.items():
        kind = f"{rule.decided_by}, recommended" if rule.soft else rule.decided_by
        show("")
        show(f"{symbol} ({kind}): {rule.because}" + f"; unless {rule.unless}" * bool(rule.unless))
        show(f"  {rule.clause}")
        show(f"  {rule.source}" + " (the text itself has not been read)" * rule.secondary)
