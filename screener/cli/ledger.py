"""Commands on the ledger as a whole: prove it, erase from it, keep from being erased."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from screener import app, ledger, number, retention
from screener.cli.common import AsJson, Site, load, said, show, show_json, show_table
from screener.cli.desk import Desk
from screener.cli.erasing import forget_caller
from screener.cli.outlook import told
from screener.config import Settings
from screener.errors import KeyUnusable
from screener.ledger import Erased, Keeper
from screener.signing import Public, Signer
from screener.text import escaped

BROKEN = 3
"""The exit code of `verify` when the ledger is not what was written."""

cli = typer.Typer(
    help="The record of every call: prove that nobody changed it, erase from it, hold what must stay.",
    no_args_is_help=True,
)
Call = Annotated[str, typer.Option(help="The Uniqueid of a call.")]
Number = Annotated[str, typer.Option("--caller", help="All calls of this number.")]
Because = Annotated[str, typer.Option(help="Why. It stays for ever: name nobody.", callback=said)]
_HEAD = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})", re.ASCII)


@cli.command()
def verify(
    file: Annotated[
        Path | None, typer.Option(show_default=False, help="Another ledger than the own.")
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(show_default=False, help="Public key (PEM) that was kept elsewhere; any of several."),
    ] = None,
    head: Annotated[list[str] | None, typer.Option(help="SEQ:HASH that was kept elsewhere.")] = None,
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Walk the whole ledger and name every row that is not what was written. Exit code 3 if there is one."""
    settings = load(site).settings
    heads = [_HEAD.fullmatch(one) for one in head or []]
    if not all(heads):
        raise typer.BadParameter("--head takes SEQ:HASH, as `screener ledger verify` prints it")
    public = [Public.read(one) for one in key] if key else _own(settings) if file is None else []
    began = time.monotonic()
    place = file or app.ledger_path(settings)
    found = ledger.verify(place, public, [(int(one[1]), one[2]) for one in heads if one])
    took_s = time.monotonic() - began
    problems = found.problems
    if as_json:
        seq, hashed = found.head
        counts = {"rows": found.rows, "erased": found.erased, "signed": found.signed, "took_s": took_s}
        show_json({**counts, "head": f"{seq}:{hashed}", "problems": problems})
    else:
        for problem in problems:
            show(problem)
        for other, seq in found.strangers.items():
            show(
                f"key {other} signed up to row {seq}: was signing.key lost and made anew? Restore it, or "
                "verify with both, --key OLD.pem --key NEW.pem"
            )
        if waiting := ledger.waiting(place):
            show(f"{waiting} rows of this machine wait to be written to {place}")
        signed = f"signed up to row {found.signed}" if public else "signatures were not looked at"
        show(
            f"{'NOT in order' if problems else 'good'}: {found.rows} rows, {found.erased} of them erased, "
            f"{signed}; {took_s:.1f} s, {found.rows / max(took_s, 1e-6):.0f} rows/s"
        )
        show(f"head {found.head[0]}:{found.head[1]}")
    if problems:
        raise typer.Exit(BROKEN)


@cli.command()
def key(site: Site = None) -> None:
    """Print the public key of this installation, to be kept where nobody here can change it."""
    sys.stdout.write(str(Signer.of(load(site).settings.state_dir).public))


@cli.command()
def copy(
    source: Annotated[
        Path | None, typer.Option("--from", show_default=False, help="A file: copied into the own ledger.")
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option("--to", show_default=False, help="A new file: the own ledger is copied there."),
    ] = None,
    site: Site = None,
) -> None:
    """Copy a whole ledger with its chain: a file into PostgreSQL, say. The target must be empty."""
    settings = load(site).settings
    if bool(source) == bool(target):
        raise typer.BadParameter("give either --from FILE or --to FILE")
    if re.match(
        r"\w+:/", str(source or target)
    ):  # else a file of that name would be made, far from any database
        raise typer.BadParameter(
            "that is no file: a database is named by ledger.url, and --from FILE copies there"
        )
    own = app.ledger_path(settings)
    places = (source or own, target or own)
    copied = ledger.copy(*places)
    found = ledger.verify(places[1], heads=[ledger.verify(places[0]).head])
    for problem in found.problems:
        show(problem)
    show(f"{copied} rows copied to {places[1]}; it {'is NOT in order' if found.problems else 'verifies'}")
    show(f"head {found.head[0]}:{found.head[1]}")
    if found.problems:
        raise typer.Exit(BROKEN)


@cli.command()
def erase(because: Because, call: Call = "", caller: Number = "", site: Site = None) -> None:
    """Erase what is known of calls, with their recordings; the empty rows stay in the chain."""
    settings = load(site).settings
    call, caller = _one(settings, call, caller)
    left = ledger.waiting(app.ledger_path(settings))
    done = _keeper(settings).erase(call=call, caller=caller, because=because)
    rows, files = forget_caller(Desk.of(site), caller, because) if caller else (0, 0)
    if rows:
        show(f"erased from cases: {rows} rows, {files} attached files")
    if left:
        sys.stderr.write(
            f"{left} rows of this machine wait to be written, and may be of the same: erase again when "
            "`screener status` shows none\n"
        )
    if not done.rows and not rows:
        show(f"nothing to erase of {call or caller}")
        raise typer.Exit(1)
    _told("erased", done)
    if caller:
        show("what counters and sound know of the number is forgotten by `screener trust forget`")


@cli.command()
def expire(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    site: Site = None,
) -> None:
    """Erase and delete what is older than `retention` allows, as the service does each day."""
    settings = load(site).settings
    done = retention.expire(app.ledger_path(settings), settings, app.now, dry_run=dry_run)
    _told("would be erased" if dry_run else "erased", done)
    if done.failed:
        raise typer.Exit(1)


@cli.command()
def hold(because: Because, call: Call = "", caller: Number = "", site: Site = None) -> None:
    """Keep a call, or all calls of a number, from being erased: by age or by `erase`."""
    settings = load(site).settings
    call, caller = _one(settings, call, caller)
    _keeper(settings).hold([call] if call else [], [caller] if caller else [], because=because)
    show(f"held: {call or caller}")


@cli.command()
def release(because: Because, call: Call = "", caller: Number = "", site: Site = None) -> None:
    """End a hold; what is too old is erased within a day."""
    settings = load(site).settings
    call, caller = _one(settings, call, caller)
    _keeper(settings).release([call] if call else [], [caller] if caller else [], because=because)
    show(f"released: {call or caller}")


@cli.command()
def holds(site: Site = None, as_json: AsJson = False) -> None:
    """Show what is held, by whom and why."""
    found = _keeper(load(site).settings).holds()
    if as_json:
        show_json([one._asdict() for one in found])
        return
    show_table(("call", "number", "by", "because"), found)


def _own(settings: Settings) -> list[Public]:
    try:
        return [Signer.of(settings.state_dir, make=False).public]
    except KeyUnusable as error:
        sys.stderr.write(f"{error}\n")
        return []


def _keeper(settings: Settings) -> Keeper:
    return retention.keeper(app.ledger_path(settings), settings, app.now)


def _one(settings: Settings, call: str, caller: str) -> tuple[str, str]:
    """The call, or the number as the ledger has it."""
    if bool(call) == bool(caller):
        raise typer.BadParameter("give either --call or --caller")
    if not caller:
        return call, ""
    key = number.parse(caller, settings.region).key
    if not key:
        raise typer.BadParameter(f"{caller!r} is no number that could call")
    return "", key


def _told(what: str, done: Erased) -> None:
    for failure in done.failed:
        sys.stderr.write(escaped(f"not erased: {failure}") + "\n")
    show(
        f"{what}: {told(done.calls, done.messages)} ({done.rows} rows), "
        f"{done.recordings} recordings ({done.bytes} bytes)"
        + (f"; {done.held} held and spared" if done.held else "")
    )
