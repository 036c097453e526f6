"""Commands that show what is configured, what would be decided, and what was."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from screener import app, ledger, number
from screener.call import Call, Stage
from screener.cli.common import AsJson, Site, has_store, load, on_store, show, show_json, show_table, span
from screener.config import schemas
from screener.facts import CATALOGUE, facts_of, never_seen
from screener.feeds import terms_of
from screener.policy import explain as taken_apart
from screener.state import Observed, State
from screener.text import printable
from screener.verdict import Action

if TYPE_CHECKING:
    from screener.config import Config
    from screener.ledger import CallRecord
    from screener.number import CallerNumber

config_cli = typer.Typer(help="Show the configuration in force.", no_args_is_help=True)

SchemaName = StrEnum("Name", {name.upper(): name for name in schemas.MODELS})  # type: ignore[misc]


def facts(as_json: AsJson = False) -> None:
    """List every fact that a rule may use, with its type, unit, source and meaning."""
    if as_json:
        show_json([asdict(fact) for fact in CATALOGUE])
        return
    show_table(
        ("fact", "type", "unit", "source", "meaning"),
        ((fact.name, fact.type, fact.unit, fact.source, fact.meaning) for fact in CATALOGUE),
    )


def explain(
    caller: Annotated[str, typer.Argument(help="The caller ID as it would arrive; anonymous for none.")],
    did: Annotated[str, typer.Option(help="The number that is called.")] = "",
    trunk: Annotated[str, typer.Option(help="The trunk, as in the channel's name.")] = "PJSIP/trunk",
    name: Annotated[str, typer.Option(help="The caller's name as presented.")] = "",
    at: Annotated[
        datetime | None,
        typer.Option(
            show_default=False, help="When, in the PBX's time zone: 2026-03-05T18:30; now if not given."
        ),
    ] = None,
    challenge: Annotated[str, typer.Option(help="passed or failed: the verdict after a challenge.")] = "",
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Show what an imagined call would get, and the whole sum behind it. Nothing is counted."""
    if challenge not in ("", "passed", "failed"):
        raise typer.BadParameter(f"{challenge!r} is neither passed nor failed", param_hint="--challenge")
    loaded = load(site)
    place = loaded.settings.place
    moment = at.replace(tzinfo=place.zone) if at else app.now()
    stage = Stage.CHALLENGE if challenge else Stage.SETUP
    call = Call(
        "explain", f"{trunk}-0", stage, moment, number=caller, name=name, did=did, challenge=challenge
    )
    parsed = number.parse(caller, place.region_of(call.trunk))
    observed = _observe(loaded, parsed, did, call.trunk)
    known = facts_of(call, parsed, observed.facts, place)
    shown = taken_apart(loaded.policy.judge(known), loaded.policy, known)
    if as_json:
        show_json({**shown, "missing": observed.missing})
    else:
        _show_sum(parsed.shown, shown, observed.missing)


def _observe(loaded: Config, caller: CallerNumber, did: str, trunk: str) -> Observed:
    if not has_store(loaded.settings):
        where = app.store_directory(loaded.settings)
        return Observed(never_seen(caller), f"there is none yet in {where}, so nobody has called before")

    async def ask(state: State) -> Observed:
        return await state.observe(caller.key, did, "explain", trunk=trunk, count=False)

    return on_store(loaded.settings, lambda url: State(url, feeds=terms_of(loaded.feeds)), ask)


def _show_sum(caller: str, shown: dict[str, Any], missing: str | None) -> None:
    profile = f"profile {shown['profile']}, " if shown["profile"] else ""
    show(f"{caller} → {shown['action']}, score {shown['score']:g}, {profile}policy {shown['policy']}")
    if missing:
        show(f"judged without the store: {missing}")
    if shown["hits"]:
        ranked = sorted(shown["hits"], key=lambda hit: (-abs(hit["score"]), hit["symbol"]))
        show_table(
            ("symbol", "group", "score", "because"),
            ((hit["symbol"], hit["group"], _score(hit), hit["because"]) for hit in ranked),
        )
    for group in shown["groups"]:
        if group["raw"] != group["capped"]:
            show(f"group {group['group']}: {group['raw']:g} is cut at {group['max_score']:g}")
    marks = ", ".join(f"{row['action']} at {row['at']:g}" for row in reversed(shown["thresholds"]))
    show(f"thresholds: {marks or 'none'}; forced actions: {' before '.join(shown['force_precedence'])}")
    if shown["profiles"]:
        tried = ", ".join(f"{one['profile']} {'yes' if one['holds'] else 'no'}" for one in shown["profiles"])
        show(f"profiles, the first that holds is in force: {tried}")
    if shown["forced_by"]:
        show(f"decided by {shown['forced_by']}, whatever the score")
    for skip in shown["skipped"]:
        show(f"skipped: {skip['symbol']}, for {skip['missing']} is not known")


def _score(hit: dict[str, Any]) -> str:
    if hit["shadow"]:
        return "shadow"
    return f"{hit['score']:+g}" + (f" forces {hit['force']}" if hit["force"] else "")


def calls(
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    last: Annotated[str, typer.Option(help="Only the last 90m, 12h or 30d.")] = "",
    caller: Annotated[str, typer.Option(help="Only from this number.")] = "",
    action: Annotated[Action | None, typer.Option(help="Only with this verdict.")] = None,
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Show past calls: verdict and reasons, where they ended, what was recorded."""
    settings = load(site).settings
    since = app.now() - span(last) if last else None
    found = ledger.calls(
        app.ledger_path(settings),
        limit=limit,
        since=since,
        caller=number.parse(caller, settings.region).key or caller,
        action=str(action or ""),
    )
    if as_json:
        show_json([_record(record) for record in found])
        return
    show_table(
        ("time", "caller", "called", "verdict", "score", "reasons", "ended", "delay ms", "recording", "said"),
        (_row(record, settings.zone) for record in found),
    )


def _record(record: CallRecord) -> dict[str, Any]:
    plain = asdict(record)
    del plain["rows"]
    return {**plain, "disposition": record.disposition}


def _row(record: CallRecord, zone: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a tzinfo
    verdict, delay = record.verdict, record.end.get("delay_ms")
    recording = next((one for one in record.recordings if one.get("leg") == "caller"), None)
    return (
        record.at.astimezone(zone).strftime("%m-%d %H:%M:%S"),
        record.call.get("shown") or record.end.get("number", ""),
        record.call.get("did") or record.end.get("did", ""),
        verdict.get("action") or f"none ({record.end.get('missed') or '?'})",
        f"{verdict['score']:g}" if verdict else "",
        " ".join(f"{hit['symbol']}({hit['score']:+g})" for hit in verdict.get("hits", [])),
        record.disposition or "…",
        "" if delay is None else f"{delay:.1f}",
        f"{recording.get('seconds', 0):.0f} s {recording['path']}" if recording else "",
        _said(record.transcript),
    )


def _said(transcript: dict[str, Any]) -> str:
    found = (f"{one['kind']} {one['value'] or one['name']}" for one in transcript.get("wording", []))
    return ", ".join(found) or printable(transcript.get("text", ""), 60)


@config_cli.command("show")
def config_show(
    site: Site = None,
    origin: Annotated[bool, typer.Option("--origin", help="Add the file and line of each value.")] = False,
) -> None:
    """Print every value in force; secrets are hidden."""
    for one in load(site).effective():
        show(f"{one.path} = {one.value}" + (f"    # {one.origin}" if origin else ""))


@config_cli.command("schema")
def schema(
    name: Annotated[SchemaName | None, typer.Argument(help="Which file; all of them if not given.")] = None,
    to: Annotated[
        Path | None,
        typer.Option(show_default=False, help="Write NAME.schema.json into this directory instead."),
    ] = None,
) -> None:
    """Print JSON schemas, for an editor that completes and checks the files while they are written."""
    made = {one: schemas.schema(one) for one in ([str(name)] if name else schemas.MODELS)}
    if to is None:
        show_json(made[str(name)] if name else made)
        return
    to.mkdir(parents=True, exist_ok=True)
    for one, content in made.items():
        path = to / f"{one}.schema.json"
        path.write_text(json.dumps(content, indent=2) + "\n")
        show(f"{path}, for {schemas.MODELS[one][0]}: # yaml-language-server: $schema={path}")
