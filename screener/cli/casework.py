"""Commands that change cases; each adds a row to the ledger, and none takes one away."""

from __future__ import annotations

import secrets
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from screener import app, cases, ledger, number
from screener.cli.cases import Which, cli
from screener.cli.common import Site, said, show, whoami
from screener.cli.desk import Desk, moment
from screener.cli.outlook import counted, told
from screener.evidence import attach
from screener.ledger import Row
from screener.text import printable

__all__ = ["cli"]

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
    if not printable(name, NAME_BOUND):
        raise typer.BadParameter("a name has letters", param_hint="name")
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
    (about,) = desk.outlooks(opened)
    show(f"case {opened.number} is open with {told(about.calls, about.messages)}")
    for line in about.lines(opened.number, desk.config.settings.zone):
        show(line)


def _changes(do: str, doc: str) -> Any:  # noqa: ANN401 - a command
    def change(
        which: Which,
        numbers: Numbers = [],  # noqa: B006
        campaigns: Campaigns = [],  # noqa: B006
        calls: Calls = [],  # noqa: B006
        site: Site = None,
    ) -> None:
        if not (numbers or campaigns or calls):
            raise typer.BadParameter("give a --number, a --campaign or a --call")
        desk = Desk.of(site)
        case = desk.case(which)
        desk.write(case.id, {"do": do, **desk.members(numbers, campaigns, calls)})
        case = Desk.of(site).case(which)
        show(f"case {which} has {told(*counted(desk.records(case)))}")
        if ended := desk.release_strangers(case) if do == "remove" else 0:
            show(f"what is no longer in it is held no longer: {ended} holds of this case ended")

    change.__doc__ = doc
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
    if not printable(name, NAME_BOUND) and debtor is None:
        raise typer.BadParameter("give a name, --debtor or --not-debtor")
    desk = Desk.of(site)
    by_hand = {"debtor": debtor} if debtor is not None else {}
    desk.write(desk.case(which).id, {"do": "name", "name": printable(name, NAME_BOUND), **by_hand})


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
    instead: Annotated[str, typer.Option(metavar="NOTE", help="The note that this one corrects.")] = "",
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
    name = f"note-{secrets.token_hex(3)}"
    corrected = [_withdrawal(case, instead, f"corrected by {name}")] if instead else []
    written = {
        "do": "note",
        "id": name,
        "kind": str(kind),
        "at": when.isoformat(),
        "text": text,
        "files": [attach(desk.attached, one) for one in files],
        "number": number.parse(sender, settings.region).key or printable(sender, NAME_BOUND),
        "call": call,
        "by": str(by or ""),
        "refused": refused,
        "debtor": debtor,
    }
    desk.write(case.id, written, *corrected)
    standing = sum(not one.withdrawn for one in Desk.of(site).case(which).notes)
    show(f"{name}: case {which} has {standing} note{'s' * (standing != 1)}")


@cli.command()
def withdraw(
    which: Which,
    name: Annotated[str, typer.Argument(metavar="NOTE", help="The note, as `case show` names it.")],
    because: Annotated[str, typer.Option(help="What is wrong with it.", callback=said)],
    site: Site = None,
) -> None:
    """Withdraw a note: it is shown as withdrawn and counts no more; `note --instead` corrects one."""
    desk = Desk.of(site)
    case = desk.case(which)
    desk.write(case.id, _withdrawal(case, name, because))
    show(f"{name} of case {which} is withdrawn")


def _withdrawal(case: cases.Case, name: str, because: str) -> dict[str, Any]:
    note = next((one for one in case.notes if one.id == name), None)
    if note is None:
        raise typer.BadParameter(f"there is no {name!r} in case {case.number}; `case show` has their names")
    if note.withdrawn:
        raise typer.BadParameter(f"{name} has been withdrawn already, by {note.withdrawn.who}")
    why = printable(because, TEXT_BOUND)
    return {"do": "withdraw", "note": name, "who": printable(whoami(), NAME_BOUND), "because": why}


@cli.command()
def confirm(which: Which, site: Site = None) -> None:
    """Say that its contacts belong together; they are held from then on, until `release`."""
    desk = Desk.of(site)
    desk.write(desk.case(which).id, {"do": "confirm"})
    _hold(desk, which)


@cli.command()
def hold(which: Which, site: Site = None) -> None:
    """Keep its calls, and all to come of its numbers, beyond their time; again for what joined it since."""
    _hold(Desk.of(site), which)


def _hold(desk: Desk, which: int) -> None:
    calls, messages, numbers = desk.hold(desk.case(which))
    show(f"case {which} is held: {told(calls, messages)} and {numbers} numbers more")


@cli.command()
def release(which: Which, site: Site = None) -> None:
    """Keep its calls no longer than others."""
    desk = Desk.of(site)
    show(f"case {which} is released: {desk.release(desk.case(which))} holds")


@cli.command()
def close(which: Which, site: Site = None) -> None:
    """Close a case: later calls do not join it."""
    desk = Desk.of(site)
    desk.write(desk.case(which).id, {"do": "close"})


@cli.command()
def reopen(which: Which, site: Site = None) -> None:
    """Open a case again: calls that came since it was closed join it as well."""
    desk = Desk.of(site)
    if not desk.case(which).closed_at:
        raise typer.BadParameter(f"case {which} is open")
    desk.write(desk.case(which).id, {"do": "reopen"})
    show(f"case {which} is open again with {told(*counted(desk.records(Desk.of(site).case(which))))}")
