"""Commands for the running service."""

from __future__ import annotations

import sys
from typing import Any

from screener import control
from screener.cli.common import AsJson, Site, chosen, show, show_json, show_table
from screener.config import state_dir
from screener.errors import ConfigError


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


def _parts(answer: dict[str, Any]) -> list[str]:
    ami, store, ledger, kept = (answer[name] for name in ("ami", "store", "ledger", "recordings"))
    since = f"connected since {ami['connected_since']}" if ami["connected_since"] else "NOT connected"
    written = "good" if ledger["healthy"] else "NOT writing"
    verdicts = [
        f"{stage}: " + ", ".join(f"{times} {action}" for action, times in actions.items())
        for stage, actions in answer["verdicts"].items()
    ]
    failures = [f"{times} {name}" for name, times in answer["failures"].items()]
    profiles = [f"{name} {times}" for name, times in answer["profiles"].items()]
    return [
        f"Asterisk at {ami['address']}: {since}, {ami['reconnects']} reconnects",
        "store: " + ("reachable" if store["reachable"] else f"NOT reachable, {store['reason']}"),
        *([f"store: {store['risk']}"] if store["risk"] else []),
        *([f"trust: {lost} lessons lost"] if (lost := store["lost_lessons"]) else []),
        f"ledger: {written}, {ledger['waiting']} rows waiting, {ledger['dropped']} lost",
        f"recordings: {kept['filed']} filed, {kept['lost']} lost, {kept['refused']} not made: too many",
        *(f"recordings NOT in order: {alarm}" for alarm in kept["alarms"]),
        f"verdicts: {'; '.join(verdicts) or 'none yet'}",
        *([f"without a verdict: {', '.join(failures)}"] if failures else []),
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
