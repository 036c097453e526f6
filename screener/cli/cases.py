"""Commands about cases: contacts of one claimed creditor or campaign, over all its numbers."""

from __future__ import annotations

import secrets
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from screener import app, cases, ledger, number
from screener.cli.common import AsJson, Site, show, show_json, show_table, span
from screener.cli.desk import Desk, moment
from screener.evidence import attach
from screener.ledger import Row
from screener.text import printable

cli = typer.Typer(help="Calls and notes that belong together, for a complaint.", no_args_is_help=True)

Which = Annotated[int, typer.Argument(metavar="CASE", help="The case's number, as the list shows it.", min=1)]
Numbers = Annotated[
    list[str], typer.Option("--number", help="A number, or its beginning and a star: +86177*.")
]
Campaigns = Annotated[
    list[int], typer.Option("--campaign", help="A campaign, as `screener campaigns` shows it.")
]
Calls = Annotated[
    list[str], typer.Option("--call", help="One call, as `case show` and `calls --json` name it.")
]
Debtor = Annotated[
    bool | None,
    typer.Option(
        "--debtor/--not-debtor", show_default=False, help="Whether the one who was called owes the debt."
    ),
]
NAME_BOUND, TEXT_BOUND = 120, 20_000


class NoteKind(StrEnum):
    """What is noted."""

    VISIT = "visit"
    LETTER = "letter"
    SMS = "sms"
    REMARK = "remark"


class By(StrEnum):
    """Who spoke in a call."""

    ROBOT = "robot"
    PERSON = "person"


@cli.command()
def suggest(
    last: Annotated[str, typer.Option(help="Only calls of the last 90m, 12h or 30d.")] = "90d",
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Suggest cases: calls with the same recording, company, call-back number or block of collectors."""
    found = Desk.of(site).suggestions(app.now() - span(last))
    if as_json:
        show_json([{name: getattr(one, name) for name in one.__slots__} for one in found])
        return
    show_table(
        ("in common", "case", "calls", "numbers", "first", "last"),
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
def show_all(site: Site = None) -> None:
    """List the cases."""
    desk = Desk.of(site)
    show_table(
        ("case", "name", "state", "opened", "numbers", "campaigns", "calls named", "notes"),
        (
            (
                one.number,
                one.name,
                _state(one),
                f"{one.opened_at:%Y-%m-%d %H:%MZ}",
                " ".join(sorted(one.numbers)),
                " ".join(map(str, sorted(one.campaigns))),
                len(one.calls),
                len(one.notes),
            )
            for one in desk.every
        ),
    )


def _state(case: cases.Case) -> str:
    words = ["closed" if case.closed_at else "open", "confirmed" if case.confirmed_at else "to be confirmed"]
    return ", ".join(words + ["held"] * case.held)


@cli.command("open")
def open_one(
    name: Annotated[str, typer.Argument(help="Who they claim to be.")],
    numbers: Numbers = [],  # noqa: B006 - typer copies it
    campaigns: Campaigns = [],  # noqa: B006
    calls: Calls = [],  # noqa: B006
    suggested: Annotated[str, typer.Option(help="All of a suggestion, by one thing in common.")] = "",
    debtor: Debtor = None,
    site: Site = None,
) -> None:
    """Open a case; what is suggested waits for `confirm`."""
    desk = Desk.of(site)
    members = desk.members(numbers, campaigns, calls)
    if suggested:
        found = next((one for one in desk.suggestions() if suggested in one.keys), None)
        if not found:
            raise typer.BadParameter(f"nothing is suggested by {suggested!r}; see `screener case suggest`")
        for kind in members:
            members[kind] = [*members[kind], *getattr(found, kind)]
    # Two commands at the same moment open two cases: each finds its own by this name.
    token = f"case-{secrets.token_hex(8)}"
    at, by_hand = app.now(), {"debtor": debtor} if debtor is not None else {}
    bodies = [{"do": "open", "name": printable(name, NAME_BOUND), **by_hand}, {"do": "add", **members}]
    ledger.append(desk.path, [Row("", cases.KIND, at, {"case": token, **body}) for body in bodies])
    opened = next(one for one in Desk.of(site).every if one.id == token)
    show(f"case {opened.number} is open with {len(desk.records(opened))} calls")
    show(f"they are erased in their time, unless held: screener case confirm|hold {opened.number}")


@cli.command("show")
def show_one(which: Which, site: Site = None, as_json: AsJson = False) -> None:
    """Show a case: its calls and notes in order of time, what was claimed, which rules were broken."""
    desk = Desk.of(site)
    case = desk.case(which)
    data = desk.dossier(case).data
    if as_json:
        show_json(data)
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


def _changes(do: str, told: str) -> Any:  # noqa: ANN401 - a command
    def change(
        which: Which,
        numbers: Numbers = [],  # noqa: B006
        campaigns: Campaigns = [],  # noqa: B006
        calls: Calls = [],  # noqa: B006
        site: Site = None,
    ) -> None:
        desk = Desk.of(site)
        case = desk.case(which)
        desk.write(case.id, do=do, **desk.members(numbers, campaigns, calls))
        case = Desk.of(site).case(which)
        show(f"case {which} has {len(desk.records(case))} calls")

    change.__doc__ = told
    return change


cli.command("add")(_changes("add", "Add numbers, campaigns or single calls."))
cli.command("remove")(
    _changes("remove", "Remove them; a call that is removed stays out, whoever it came from.")
)


@cli.command("name")
def name_one(
    which: Which,
    name: Annotated[str, typer.Argument(help="Who they claim to be.")] = "",
    debtor: Debtor = None,
    site: Site = None,
) -> None:
    """Name a case anew, or say whether the one who was called owes the debt."""
    desk = Desk.of(site)
    told = {"debtor": debtor} if debtor is not None else {}
    desk.write(desk.case(which).id, do="name", name=printable(name, NAME_BOUND), **told)


@cli.command()
def note(
    which: Which,
    kind: Annotated[NoteKind, typer.Option(help="What it was.")],
    text: Annotated[str, typer.Option(help="What happened, or the text of the message.")],
    at: Annotated[
        str, typer.Option(help="When: 2026-03-05 18:30, in the site's time zone. Now if left out.")
    ] = "",
    files: Annotated[list[Path], typer.Option("--file", help="A photograph, a scan: it is copied.")] = [],  # noqa: B006
    sender: Annotated[str, typer.Option("--from", help="The number that it came from.")] = "",
    call: Annotated[str, typer.Option(help="The call that a remark is about.")] = "",
    by: Annotated[By | None, typer.Option(help="Who spoke in that call.")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="You asked not to be contacted again.")] = False,
    debtor: Debtor = None,
    site: Site = None,
) -> None:
    """Note a visit, a letter, a message that came to a mobile, or a remark."""
    desk = Desk.of(site)
    case, settings = desk.case(which), desk.config.settings
    when = moment(at, settings.zone) if at else app.now()
    if len(text) > TEXT_BOUND:
        raise typer.BadParameter(f"more than {TEXT_BOUND} characters; add it as a file")
    if call and call not in {one.call_id for one in desk.records(case)}:
        raise typer.BadParameter(f"{call!r} is no call of case {which}")
    if bool(call or by) != (bool(call) and kind is NoteKind.REMARK):
        raise typer.BadParameter("a call and who spoke in it go with --kind remark and --call ID")
    desk.write(
        case.id,
        do="note",
        kind=str(kind),
        at=when.isoformat(),
        text=text,
        files=[attach(desk.attached, one) for one in files],
        number=number.parse(sender, settings.region).key or printable(sender, NAME_BOUND),
        call=call,
        by=str(by or ""),
        refused=refused,
        debtor=debtor,
    )
    show(f"case {which} has {len(case.notes) + 1} notes")


@cli.command()
def confirm(which: Which, site: Site = None) -> None:
    """Say that its contacts belong together; they are held from then on, until `release`."""
    desk = Desk.of(site)
    desk.write(desk.case(which).id, do="confirm")
    _hold(desk, which)


@cli.command()
def hold(which: Which, site: Site = None) -> None:
    """Keep its calls, and all to come of its numbers, beyond their time; again for what joined it since."""
    _hold(Desk.of(site), which)


def _hold(desk: Desk, which: int) -> None:
    calls, numbers = desk.hold(desk.case(which))
    show(f"case {which} is held: {calls} calls and {numbers} numbers more")


@cli.command()
def release(which: Which, site: Site = None) -> None:
    """Keep its calls no longer than others."""
    desk = Desk.of(site)
    show(f"case {which} is released: {desk.release(desk.case(which))} holds")


@cli.command()
def close(which: Which, site: Site = None) -> None:
    """Close a case: later calls do not join it."""
    desk = Desk.of(site)
    desk.write(desk.case(which).id, do="close")
