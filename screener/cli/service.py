"""Commands that run the service, check that it could run, and speak to it while it runs."""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer

from screener import __version__, app, control, dialplan, notifying, telemetry, transcribing
from screener.cli.common import AsJson, Site, chosen, load, show, show_json, show_table
from screener.config import failing, failing_packs, state_dir
from screener.errors import ConfigError, KeyUnusable, ScreenerError
from screener.pseudonyms import Pseudonyms
from screener.signing import Signer

if TYPE_CHECKING:
    from collections.abc import Iterator

Dialplan = Annotated[
    Path | None,
    typer.Option("--dialplan", show_default=False, help="The installed dialplan instead of the shipped one."),
]


def version() -> None:
    """Print the version."""
    show(f"screener {__version__}")


def run(site: Site = None) -> None:
    """Screen calls until stopped (SIGTERM, Ctrl-C). Refuses to start on a bad configuration."""
    loaded = load(site)
    secrets_ = [one.get_secret_value() for one in loaded.ami_secrets().values()]
    secrets_ += [loaded.settings.redis.url, loaded.settings.ledger.url]
    log, asterisks = loaded.settings.log, loaded.settings.asterisks.values()
    # Where there are several, their names stand on the lines instead.
    pbx = ", ".join(f"{one.host}:{one.port}" for one in asterisks) if len(asterisks) == 1 else ""
    hide, problem = _pseudonyms(loaded.settings.state_dir) if log.personal == "hashed" else (None, "")
    with telemetry.configure(
        level=log.level, as_json=log.format == "json", secrets=secrets_, pbx=pbx, hide=hide
    ) as outlet:
        if problem:
            structlog.get_logger().warning("hashes in the log are of this run alone", reason=problem)
        asyncio.run(app.serve(loaded, log_lost=lambda: outlet.dropped))


def _pseudonyms(state: Path) -> tuple[Pseudonyms, str]:
    """What hides people in the log, by the installation's key; why by another one, empty if it is not."""
    try:
        return Pseudonyms(Signer.of(state).sign(b"pseudonyms in the log")), ""
    except KeyUnusable as error:
        return Pseudonyms(secrets.token_bytes(64)), str(error)


def check(site: Site = None, plan: Dialplan = None) -> None:
    """Check configuration, its examples and the dialplan; exit code 2 and every error if not good."""
    from screener import listening  # noqa: PLC0415 - numpy

    loaded = load(site)
    for one in [*failing(loaded, own=False), *failing_packs(loaded, own=False)]:
        show(f"note: by your changes an example does not hold any more: {one}")
    if broken := [*failing(loaded, own=True), *failing_packs(loaded, own=True)]:
        raise ConfigError(broken)
    loaded.ami_secrets()
    directory = plan or (dialplan.INSTALLED if dialplan.INSTALLED.is_dir() else dialplan.shipped_dir())
    dialplan.check(directory)
    if loaded.settings.transcription.enabled:
        try:
            asyncio.run(transcribing.ready(loaded.settings.transcription.model))
        except ScreenerError as error:
            raise ConfigError([f"{loaded.origin('screener.transcription.model')}: {error}"]) from None
    if loaded.settings.notify.urls and not notifying.installed():
        missing = f"the extra notify is not installed: {notifying.INSTALL}"
        raise ConfigError([f"{loaded.origin('screener.notify.urls')}: notify.urls: {missing}"])
    policy, variant = loaded.policy, loaded.settings.variant
    show(
        f"good: {len(policy.rules)} rules in {len(policy.groups)} groups, policy {policy.hash}"
        f"{f', variant {variant}' * bool(variant)}; {len(loaded.examples)} examples; "
        f"{len(loaded.packs)} packs; the dialplan in {directory} has every action"
    )
    if not listening.INSTALLED:
        show(f"not installed: the extra audio, so recordings are not compared ({listening.INSTALL})")


def status(site: Site = None, as_json: AsJson = False) -> None:
    """Show what the running screener does: policy, connections, verdicts, rules. Exit code 7: none runs."""
    answer = control.ask(state_dir(chosen(site)), "status")
    if as_json:
        show_json(answer)
        return
    show(f"screener {answer['version']}, running since {answer['started_at']}")
    variant = f", variant {answer['variant']}" if answer["variant"] else ""
    show(f"policy {answer['policy']}{variant}, {answer['rule_count']} rules, loaded {answer['loaded_at']}")
    if answer["problems"]:
        show(f"NOT in order at {answer['reload_failed_at']}, the policy above is in force all the same:")
        for problem in answer["problems"]:
            show(f"  {problem}")
    if answer["restart_needed"]:
        show(f"changed, but only in force after a restart: {', '.join(answer['restart_needed'])}")
    for line in _parts(answer):
        show(line)
    show_table(
        ("rule", "hits", "in shadow", "verdicts it would have changed", ""),
        ((symbol, *_counts(one)) for symbol, one in answer["rules"].items() if one["hits"] or one["shadow"]),
    )


def reload(site: Site = None) -> None:
    """Let the running screener take over the changed files. Exit code 2 and every error if it refuses."""
    answer = control.ask(state_dir(chosen(site)), "reload")
    if answer["restart_needed"]:
        sys.stderr.write(f"only in force after a restart: {', '.join(answer['restart_needed'])}\n")
    if answer["problems"]:
        raise ConfigError([*answer["problems"], f"the old policy stays in force: {answer['policy']}"])
    show(f"policy {answer['policy']} is in force")


def _of_pbx(name: str, pbx: dict[str, Any]) -> Iterator[str]:
    ami, kept = pbx["ami"], pbx["recordings"]
    since = f"connected since {ami['connected_since']}" if ami["connected_since"] else "NOT connected"
    if ami["standing_by"]:
        since = "standing by, another screener answers"
    prefix = f"{name}, " * bool(name)
    yield f"{prefix}Asterisk at {ami['address']}: {since}, {ami['reconnects']} reconnects"
    if ami.get("rival_age_s") is not None:
        yield f"{prefix}another screener answers its calls, TOO: see `screener doctor`"
    yield f"recordings: {kept['filed']} filed, {kept['lost']} lost, {kept['refused']} not made: too many"
    for alarm in kept["alarms"]:
        yield f"recordings NOT in order: {alarm}"


def _parts(answer: dict[str, Any]) -> list[str]:
    store, ledger = answer["store"], answer["ledger"]
    written = "good" if ledger["healthy"] else f"NOT writing: {ledger['trouble']}"
    forwarded = f"{ledger['outbox']} in the outbox, " * bool(ledger["outbox"])
    verdicts = [
        f"{stage}: " + ", ".join(f"{times} {action}" for action, times in actions.items())
        for stage, actions in answer["verdicts"].items()
    ]
    failures = [f"{times} {name}" for name, times in answer["failures"].items()]
    ended = [f"{times} {name}" for name, times in answer["dispositions"].items()]
    missed = [f"{times} {name}" for name, times in answer["missed"].items()]
    unfiled = [f"{times} {name}, not filed" for name, times in answer["unfiled_messages"].items()]
    profiles = [f"{name} {times}" for name, times in answer["profiles"].items()]
    return [
        *(line for name, pbx in answer["pbxs"].items() for line in _of_pbx(name, pbx)),
        "store: " + ("reachable" if store["reachable"] else f"NOT reachable, {store['reason']}"),
        *([f"store: {store['risk']}"] if store["risk"] else []),
        *([f"trust: {lost} lessons lost"] if (lost := store["lost_lessons"]) else []),
        f"ledger: {written}, {ledger['waiting']} rows waiting, {forwarded}{ledger['dropped']} lost",
        *(
            f"ledger: ANOTHER key, {key}, signed rows up to {seq}: see `screener ledger verify`"
            for key, seq in ledger["other_keys"].items()
        ),
        f"verdicts: {'; '.join(verdicts) or 'none yet'}",
        *([f"without a verdict: {', '.join(failures)}"] if failures else []),
        *([f"calls that are over: {', '.join(ended)}"] if ended else []),
        *([f"of these unscreened: {', '.join(missed)}"] if missed else []),
        *([f"messages beyond their bound: {', '.join(unfiled)}"] if unfiled else []),
        *([f"by profile: {', '.join(profiles)}"] if profiles else []),
    ]


def _counts(one: dict[str, Any]) -> tuple[Any, ...]:
    shadow = one["shadow"] or one["shadow_hits"]
    return (
        one["hits"],
        one["shadow_hits"] if shadow else "",
        one["would_change"] if shadow else "",
        "shadow" if one["shadow"] else "" if one["in_policy"] else "not in the policy any more",
    )
