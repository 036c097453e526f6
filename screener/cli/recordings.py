"""Commands for what was recorded: list it, play it, compare it with what the ledger says of it."""

from __future__ import annotations

import shutil
import subprocess
from datetime import date, datetime
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from screener import app, ledger, number, recordings, spool
from screener.cli.common import AsJson, Site, load, show, show_json, show_table, span
from screener.errors import ScreenerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from screener.config.settings import Settings
    from screener.ledger import CallRecord

cli = typer.Typer(help="What was recorded: list, play, compare with the ledger.", no_args_is_help=True)

PLAYERS = (
    ("play", "-q"),
    ("aplay", "-q"),
    ("paplay",),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
)
"""Programs that play a WAV, in the order in which they are tried."""
UNFILED_S = 60
"""A file that was written to so lately may not have been filed yet."""


class Leg(StrEnum):
    """What of a call: the caller alone, or everything that he said and heard."""

    CALLER = "caller"
    MIX = "mix"


@cli.command("list")
def list_(
    caller: Annotated[str, typer.Option(help="Only of this number.")] = "",
    since: Annotated[str, typer.Option(help="Only of the last 90m, 12h or 30d, or since 2026-11-01.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Of how many calls, newest first.")] = 20,
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Show recordings, newest first, and whether each file is what was filed."""
    settings = load(site).settings
    key = number.parse(caller, settings.region).key or caller
    gone = ledger.deleted(app.ledger_path(settings))
    found: list[dict[str, Any]] = []
    for record in ledger.calls(app.ledger_path(settings), since=_moment(since, settings), caller=key):
        if record.recordings:
            found += (_about(settings, record, one, gone) for one in record.recordings)
            limit -= 1
            if not limit:
                break
    if as_json:
        show_json(found)
        return
    columns = ("at", "call", "caller", "leg", "seconds", "hash", "path")
    show_table(columns, (tuple(one[column] for column in columns) for one in found))


@cli.command()
def play(
    call: Annotated[str, typer.Argument(help="The call, as `recordings list` names it.")],
    leg: Annotated[Leg, typer.Option(help="The caller alone, or the mix of all that was heard.")] = Leg.MIX,
    path: Annotated[bool, typer.Option("--path", help="Print the path instead.")] = False,
    site: Site = None,
) -> None:
    """Play what was recorded of a call, if the file is still what was filed."""
    settings = load(site).settings
    record = ledger.call(app.ledger_path(settings), call)
    gone = ledger.deleted(app.ledger_path(settings))
    about = (
        [_about(settings, record, one, gone) for one in record.recordings if one.get("leg") == leg]
        if record
        else []
    )
    if not record or not about:
        raise ScreenerError(f"{call}: nothing was recorded of such a call; see `screener recordings list`")
    one = about[-1]
    if one["hash"] != "ok":
        raise ScreenerError(
            f"{one['path']}: {one['hash']}, so it is not played; see `screener recordings verify`"
        )
    if path:
        show(one["path"])
        return
    player = next((player for player in PLAYERS if shutil.which(player[0])), None)
    if not player:
        raise ScreenerError(f"no player here ({', '.join(name for name, *_ in PLAYERS)}); use --path")
    show(f"{one['at']}, {one['caller']}, {one['seconds']} s")
    # The path is absolute, and was found below recordings_dir: no player takes it for an option.
    if subprocess.run([*player, one["path"]], check=False).returncode:  # noqa: S603
        raise ScreenerError(
            f"{player[0]} could not play {one['path']}; is there a sound device? Else use --path"
        )


@cli.command()
def verify(site: Site = None, as_json: AsJson = False) -> None:
    """Compare all files with the ledger. Exit code 1: some are changed, missing, or in no ledger."""
    settings = load(site).settings
    path = app.ledger_path(settings)
    counts = {"ok": 0}
    gone = ledger.deleted(path)
    findings: list[dict[str, Any]] = []
    for record in ledger.calls(path):
        for one in record.recordings:
            about = _about(settings, record, one, gone)
            counts[about["hash"]] = counts.get(about["hash"], 0) + 1
            if about["hash"] not in {"ok", "erased"}:
                findings.append(about)
    for file in chain.from_iterable(_unfiled(root, path) for root in settings.recordings_dirs):
        counts["unfiled"] = counts.get("unfiled", 0) + 1
        findings.append({"hash": "unfiled", "call": file.stem.rpartition("-")[0], "path": str(file)})
    if as_json:
        show_json({"counts": counts, "findings": findings})
    else:
        for about in findings:
            show(f"{about['hash']}: {about['path']}, call {about['call']}")
        show(", ".join(f"{count} {state}" for state, count in counts.items()))
    if findings:
        raise typer.Exit(1)


def _about(settings: Settings, record: CallRecord, one: dict[str, Any], gone: set[str]) -> dict[str, Any]:
    """A recording in plain values; `hash` says what its file is: ok, changed, missing, erased."""
    path, filed = str(one.get("path") or ""), str(one.get("sha256") or "")
    state = _state(settings.recordings_dir_of(Path(path)), path, filed)
    return {
        "at": record.at.astimezone(settings.zone).strftime("%Y-%m-%d %H:%M:%S"),
        "call": record.call_id,
        "caller": record.call.get("shown") or record.end.get("number", ""),
        "leg": one.get("leg", ""),
        "seconds": round(float(one.get("seconds") or 0), 1),
        "hash": "erased" if state == "missing" and filed in gone else state,
        "path": path,
    }


def _state(root: Path, path: str, filed: str) -> str:
    try:
        now = spool.digest(root, Path(path))
    except ScreenerError as error:
        return f"refused ({error})"
    return "missing" if not now else "ok" if now == filed else "changed"


def _unfiled(root: Path, path: ledger.Place) -> Iterator[Path]:
    """Files of which the ledger knows nothing, though nobody writes to them any more."""
    known = ledger.filed(path)
    before = app.now().timestamp() - UNFILED_S
    for stem in recordings.adopt(root, {}):
        for leg in recordings.LEGS:
            file = stem.with_name(f"{stem.name}-{leg}.wav")
            if file.name not in known and file.exists() and file.stat().st_mtime < before:
                yield file


def _moment(text: str, settings: Settings) -> datetime | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return app.now() - span(text)
    return datetime(day.year, day.month, day.day, tzinfo=settings.zone)
