"""The commands: each parses its arguments, calls one part of the program and prints.

`install` puts all of it beside an Asterisk and takes it out, `service` runs, checks and speaks to the running
service, `top` watches it, `doctor` looks for what is wrong with it, `looking` shows what is configured,
decided and recorded, `lists` keeps the allow and block entries, `feeds` those of others, `trust` what calls
taught, `recordings` what was recorded, `campaigns` what is the same in it, `packs` what laws say; `ledger`
proves the record of calls and erases from it, `cases` shows what belongs together, `casework` gathers it,
`erasing` erases it, `evidence` takes it to an authority; `messages` are SIP messages; `replay` judges past
calls, `simulate` writes calls to try rules on; `common` is what they share.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from functools import cache
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import structlog
import typer
from typer.main import get_command

from screener.cli import (
    campaigns,
    casework,
    doctor,
    evidence,
    feeds,
    install,
    ledger,
    lists,
    looking,
    messages,
    packs,
    recordings,
    replay,
    service,
    simulate,
    top,
    trust,
)
from screener.errors import ScreenerError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO}

cli = typer.Typer(
    help="Call screener for Asterisk: every incoming call gets a verdict that a person can read.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        service.version()
        raise typer.Exit


@cli.callback()
def _screener(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


cli.command()(service.version)
cli.command()(install.install)
cli.command()(install.uninstall)
cli.command()(service.run)
cli.command()(service.check)
cli.command()(doctor.doctor)
cli.command()(service.status)
cli.command()(service.reload)
cli.command()(top.top)
cli.command()(looking.explain)
cli.command()(looking.calls)
cli.command()(looking.facts)
cli.command()(replay.replay)
cli.command()(simulate.simulate)
cli.add_typer(looking.config_cli, name="config")
cli.add_typer(lists.cli, name="list")
cli.add_typer(feeds.cli, name="feed")
cli.add_typer(campaigns.cli, name="campaigns")
cli.add_typer(recordings.cli, name="recordings")
cli.add_typer(trust.cli, name="trust")
cli.add_typer(messages.cli, name="messages")
cli.add_typer(ledger.cli, name="ledger")
cli.add_typer(packs.cli, name="packs")
cli.add_typer(casework.cli, name="case")
cli.add_typer(evidence.cli, name="evidence")


# Typer builds all commands at each call, in 40 ms; a process that runs several needs them once.
_program = cache(lambda: get_command(cli))


def main() -> None:
    """Run a command; what goes wrong is said in plain lines and by the exit code, never by a traceback."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who calls: no file of ours may come into its place
            setattr(sys, name, Path(os.devnull).open("r+", encoding="utf-8"))  # noqa: SIM115 - as long as we run
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal of an old locale does not have every letter
            stream.reconfigure(errors="backslashreplace")
    # What a command prints may be read by a program; `run` has a log of its own.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    try:
        try:
            _program()()
        finally:
            sys.stdout.flush()
    except ScreenerError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno in _FULL and not error.filename:
            sys.stderr.write(f"the output cannot be written: {error.strerror}; make room where it goes\n")
            with suppress(OSError):
                sys.stdout.close()  # else Python itself tries once more, and complains
        else:
            named = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error
            sys.stderr.write(f"{named}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
