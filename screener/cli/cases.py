"""Commands that show cases: contacts of one claimed creditor or campaign, over all its numbers."""

from __future__ import annotations

from datetime import tzinfo
from typing import Annotated, Any

import typer

from screener import app, cases
from screener.cli.common import AsJson, Site, show, show_json, show_table, span
from screener.cli.desk import Desk
from screener.cli.outlook import Outlook, told
from screener.text import printable

cli = typer.Typer(help="Calls and notes that belong together, for a complaint.", no_args_is_help=True)

Which = Annotated[int, typer.Argument(metavar="CASE", help="The case's number, as the list shows it.", min=1)]


@cli.command()
def suggest(
    last: Annotated[str, typer.Option(help="Only calls and messages of the last 90m, 12h or 30d.")] = "90d",
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Suggest cases: what has the same recording, company, call-back number or block of collectors."""
    found = Desk.of(site).suggestions(app.now() - span(last))
    if as_json:
        show_json([{name: getattr(one, name) for name in one.__slots__} for one in found])
        return
    show_table(
        ("in common", "case", "calls and messages", "numbers", "first", "last"),
        (
            (
                "\n".join(one.keys),
                one.case or "new",
                len(one.calls),
                " ".join(one.numbers),
                *(f"{at:%Y-%m-%d %H:%MZ}" for at in (one.first, one.last)),
            )
            for one in found
        ),
    )


@cli.command("list")
def show_all(site: Site = None, as_json: AsJson = False) -> None:
    """List the cases, with what was erased of each and from when on more will be."""
    desk = Desk.of(site)
    every = list(zip(desk.every, desk.outlooks(*desk.every), strict=True))
    if as_json:
        show_json(
            [
                {"case": one.number, "name": one.name, "state": _state(one), "numbers": sorted(one.numbers)}
                | about.as_dict()
                for one, about in every
            ]
        )
        return
    zone = desk.config.settings.zone
    show_table(
        (
            "case",
            "name",
            "state",
            "opened",
            "numbers",
            "campaigns",
            "calls",
            "messages",
            "notes",
            "erased",
            "not held",
        ),
        (
            (
                one.number,
                one.name,
                _state(one),
                f"{one.opened_at:%Y-%m-%d %H:%MZ}",
                " ".join(sorted(one.numbers)),
                " ".join(map(str, sorted(one.campaigns))),
                about.calls,
                about.messages,
                len(one.notes),
                about.gone,
                _loose(about, zone),
            )
            for one, about in every
        ),
    )


def _loose(about: Outlook, zone: tzinfo) -> str:
    if not about.loose_calls and not about.loose_messages:
        return ""
    first = min(filter(None, (about.first, about.sounds)), default=None)
    until = f", until {first.astimezone(zone):%Y-%m-%d}" if first else ""
    return told(about.loose_calls, about.loose_messages) + until


def _state(case: cases.Case) -> str:
    if case.erased:
        return "erased"
    words = ["closed" if case.closed_at else "open", "confirmed" if case.confirmed_at else "to be confirmed"]
    return ", ".join(words + ["held"] * case.held)


@cli.command("show")
def show_one(which: Which, site: Site = None, as_json: AsJson = False) -> None:
    """Show a case: its calls and notes in order of time, what was claimed, which rules were broken."""
    desk = Desk.of(site)
    case = desk.case(which)
    data, (about,) = desk.dossier(case).data, desk.outlooks(case)
    if as_json:
        show_json(data | {"keeping": about.as_dict()})
        return
    show(f"case {case.number}: {case.name} ({_state(case)}); numbers {' '.join(data['numbers'])}")
    show_table(
        ("n", "time", "kind", "number", "ended", "said", "id"),
        (
            (
                one["n"],
                one["at"],
                one["kind"] + ", robot" * bool(one["robot"]),
                one["number"],
                one.get("ended", ""),
                printable(one["text"], 60),
                one["id"],
            )
            for one in data["entries"]
        ),
    )
    for line in about.lines(which, desk.config.settings.zone):
        show(line)
    for one in data["claims"]:
        show(f"{one['kind']}: {one['value'] or one['quote']} (entries {', '.join(map(str, one['in']))})")
    _show_incidents(data)


@cli.command()
def incidents(which: Which, site: Site = None, as_json: AsJson = False) -> None:
    """Show which rules of the packs that are on (`packs` in screener.yaml) were broken, and the proof."""
    data = (desk := Desk.of(site)).dossier(desk.case(which)).data
    if as_json:
        show_json(data["incidents"])
        return
    _show_incidents(data)


def _show_incidents(data: dict[str, Any]) -> None:
    if not data["packs"]:
        show("no rule pack is on: see `packs` in screener.yaml")
    for one in data["incidents"]:
        marks = ["not decided"] * (not one["decided"]) + ["recommended"] * one["soft"]
        show(f"{one['at']} {one['pack']} {one['rule']}" + f" ({', '.join(marks)})" * bool(marks))
        show(f"  {one['because']}; {one['clause']}; entries {', '.join(map(str, one['proof']))}")
