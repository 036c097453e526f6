"""Commands that put the screener beside an Asterisk, and take it out again."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from screener import asterisk, dialplan, installing
from screener.asterisk import Asterisk
from screener.cli.common import Site, show
from screener.config import SITE
from screener.errors import InstallRefused
from screener.installing import disk, pbx, service

Etc = Annotated[
    Path | None,
    typer.Option(
        "--asterisk-etc", show_default=False, help="Asterisk's configuration directory, if not found."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show every change and make none.")]
Force = Annotated[bool, typer.Option("--force", help="Also files that somebody has changed or put there.")]


def install(
    site: Site = None,
    etc: Etc = None,
    dry_run: DryRun = False,
    trunk: Annotated[
        list[str] | None, typer.Option(help="Screen the calls of this PJSIP endpoint; may be repeated.")
    ] = None,
    context: Annotated[
        list[str] | None,
        typer.Option(help="Make [screened-CONTEXT], for trunks whose context you set yourself."),
    ] = None,
    region: Annotated[str, typer.Option(help="Country of the numbering plan, such as DE.")] = "",
    timezone: Annotated[str, typer.Option(help="Whose clock counts, such as Europe/Berlin.")] = "",
    sounds: Annotated[
        Path | None, typer.Option(show_default=False, help="Ready prompts: DIR/LANGUAGE/screener/NAME.wav.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option("--state-dir", show_default=False, help="Where ledger and store go.")
    ] = None,
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="Touch no file of yours; say what to add to it.")
    ] = False,
    reload: Annotated[
        bool, typer.Option(help="Have Asterisk load it, and take it back if Asterisk does not.")
    ] = True,
    with_service: Annotated[
        bool, typer.Option("--service/--no-service", help="A systemd service, where systemd runs.")
    ] = True,
    force: Force = False,
) -> None:
    """Put the screener beside an Asterisk, or bring it up to date: all of it or nothing."""
    _need_root(dry_run, "install")
    found = asterisk.find(etc)
    options = installing.Options(
        disk.real(site or SITE), tuple(trunk or ()), tuple(context or ()), region, timezone, sounds, state,
        by_hand, with_service,
    )  # fmt: skip
    old = installing.recorded(options.site)
    plan = installing.plan(found, options, old)
    changes = installing.to_install(plan, old, force=force)
    state_now = "running" if found.running else "down"
    show(f"Asterisk {found.version or 'of unknown version'} in {found.etc}, {state_now}")
    for line in installing.shown(changes, plan.secret):
        show(line)
    if dry_run:
        show("nothing was changed" if changes else "nothing would change")
        return
    if changes or old != plan.record:
        installing.install(found, plan, old, changes, reload=reload)
    show(f"installed {plan.record.version}" if changes else "nothing to do: all is as this version has it")
    if changes and plan.record.service and service.here():
        _start()
    for line in _next(found, plan, reload=reload):
        show(line)


def uninstall(
    site: Site = None,
    dry_run: DryRun = False,
    force: Force = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Also the ledger, the lists and all recordings.")
    ] = False,
) -> None:
    """Take out what `screener install` has put in, and nothing else, without losing a call."""
    _need_root(dry_run, "uninstall")
    directory = disk.real(site or SITE)
    old = installing.recorded(directory)
    if not old.etc:
        raise InstallRefused(
            f"{directory}: nothing is installed; --config names another directory of settings"
        )
    found = asterisk.find(Path(old.etc))
    changes = installing.to_remove(old, force=force)
    for line in installing.shown(changes, ""):
        show(line)
    if dry_run:
        show("nothing was changed")
        return
    last = list[list[str]]()

    def waiting(channels: list[str]) -> None:
        if [channels] != last[-1:]:
            last.append(channels)
            show(f"waiting for calls that are with the screener: {', '.join(channels)}")

    installing.uninstall(found, directory, old, changes, waiting)
    for line in installing.clear(old, purge=purge):
        show(line)
    if not found.running:
        show("Asterisk is down: once it runs, `asterisk -rx 'database deltree screener'` removes the rest")
    show("uninstalled: calls ring as before")


def _start() -> None:
    try:
        service.start()
    except InstallRefused as error:
        raise InstallRefused(
            f"installed, but the service does not start, so calls ring unscreened: {error}; see "
            "`journalctl -u screener`, then `systemctl restart screener`"
        ) from error
    show("the service is started: `systemctl status screener`, `screener status`")


def _need_root(dry_run: bool, command: str) -> None:
    if os.geteuid() != 0 and not dry_run:
        raise InstallRefused(f"this needs root: sudo {Path(sys.argv[0]).resolve()} {command}")


def _next(found: Asterisk, plan: installing.Plan, *, reload: bool) -> list[str]:
    """What is left to do by hand, if anything."""
    lines, record = list[str](), plan.record
    if not pbx.manager_enabled(found):
        lines += [
            f"{record.etc}/manager.conf: the manager interface is off, so NO CALL CAN BE SCREENED: set",
            "  enabled = yes and bindaddr = 127.0.0.1 in [general], then `asterisk -rx 'manager reload'`",
        ]
    if record.by_hand:
        lines += ["add by hand, each at the top of the file, before its first section:",
                  f"  {record.etc}/manager.conf:    #include screener/manager.conf",
                  f"  {record.etc}/extensions.conf: #include screener/site.conf"]  # fmt: skip
        if record.trunks:
            lines.append(f"  {record.etc}/pjsip.conf (at its end): #include screener/pjsip.conf")
        lines.append("then `asterisk -rx 'core reload'`")
    elif not (found.running and reload):
        lines.append(
            "Asterisk has not loaded it yet: it does at its start, or by `asterisk -rx 'core reload'`"
        )
    if not record.contexts and not pbx.leads_here(found):
        lines += [
            "NO CALL IS SCREENED YET: say which trunk's calls are, `screener install --trunk NAME`",
            *(f"  which may be a trunk: {name}" for name in pbx.trunks(found)),
            "or add to your own dialplan, where calls from outside arrive, before the telephone rings:",
            f"  {dialplan.LINE}",
        ]
    lines += [
        f"for a trunk that is not in pjsip.conf: set its context to screened-{context}"
        for context in record.contexts
        if context not in record.trunks.values()
    ]
    return lines
