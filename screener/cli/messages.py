"""Commands about SIP messages: what was held, and its release."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from screener import app, control, ledger
from screener.cli.common import AsJson, Site, chosen, load, show, show_json, show_table, span
from screener.config import state_dir
from screener.errors import ScreenerError
from screener.ledger import Row
from screener.ledger.shapes import message as message_of
from screener.text import printable

cli = typer.Typer(help="SIP messages: what was delivered and what was held.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The message, as the list shows it.")]
SHOWN = 60


@cli.command("list")
def show_all(
    held: Annotated[bool, typer.Option("--held", help="Only those that reached nobody.")] = False,
    last: Annotated[str, typer.Option(help="Only the last 90m, 12h or 30d.")] = "30d",
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Show messages, the latest first."""
    settings = load(site).settings
    found: list[dict[str, Any]] = []
    for rows in ledger.messages(app.ledger_path(settings), app.now() - span(last)):
        one = _record(rows)
        if not held or one["state"] not in {"delivered", "released"}:
            found.append(one)
        if len(found) == limit:
            break
    if as_json:
        show_json(found)
        return
    show_table(
        ("id", "time", "from", "for", "state", "score", "text"),
        (
            (
                one["id"],
                one["at"].astimezone(settings.zone).strftime("%m-%d %H:%M:%S"),
                one["call"]["shown"],
                one["call"]["did"],
                one["state"],
                f"{one['verdict']['score']:g}" if one["verdict"] else "",
                printable(one["call"]["text"], SHOWN),
            )
            for one in found
        ),
    )


@cli.command("show")
def show_one(message: Id, site: Site = None, as_json: AsJson = False) -> None:
    """Show one message: all of its text, the verdict and what was found in it."""
    settings = load(site).settings
    rows = ledger.message(app.ledger_path(settings), message)
    if not rows:
        raise ScreenerError(f"there is no message {message}")
    one = _record(rows)
    if as_json:
        show_json(one)
        return
    at = one["at"].astimezone(settings.zone)
    show(f"{one['id']} at {at:%Y-%m-%d %H:%M:%S} from {one['call']['shown']} for {one['call']['did']}")
    show(f"{one['state']}" + (f", score {one['verdict']['score']:g}" if one["verdict"] else ", not judged"))
    for hit in one["verdict"].get("hits", []):
        show(f"  {hit['symbol']} ({hit['score']:+g}): {hit.get('because', '')}")
    for finding in one["wording"]:
        show(f"  {finding['kind']} {finding['value'] or finding['name']}: {finding['quote']}")
    for line in one["call"]["text"].splitlines():
        show(f"> {line}")


@cli.command()
def release(message: Id, site: Site = None) -> None:
    """Have a message delivered that was held, by the running screener. Exit code 7: none runs."""
    answer = control.ask(state_dir(chosen(site)), "release", message)
    if "error" in answer:
        raise ScreenerError(answer["error"])
    show(f"message {message} is sent to {answer['to']}")


def _record(rows: tuple[Row, ...]) -> dict[str, Any]:
    first = next(row for row in rows if row.kind == "message")
    about = {"id": first.call_id, "at": first.at, "state": ledger.state_of(rows)}
    return about | message_of(first.body) | {"facts": first.body.get("facts") or {}}
