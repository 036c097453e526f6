"""Commands that run the service or check that it could run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from screener import __version__, app, dialplan, listening, telemetry, transcribing
from screener.cli.common import Site, load, show
from screener.config import failing, failing_packs
from screener.errors import ConfigError, ScreenerError

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
    secret = loaded.ami_secret().get_secret_value()
    log = loaded.settings.log
    with telemetry.configure(level=log.level, as_json=log.format == "json", secrets=[secret]):
        asyncio.run(app.serve(loaded))


def check(site: Site = None, plan: Dialplan = None) -> None:
    """Check configuration, its examples and the dialplan; exit code 2 and every error if not good."""
    loaded = load(site)
    for one in [*failing(loaded, own=False), *failing_packs(loaded, own=False)]:
        show(f"note: by your changes an example does not hold any more: {one}")
    if broken := [*failing(loaded, own=True), *failing_packs(loaded, own=True)]:
        raise ConfigError(broken)
    loaded.ami_secret()
    directory = plan or (dialplan.INSTALLED if dialplan.INSTALLED.is_dir() else dialplan.shipped_dir())
    dialplan.check(directory)
    if loaded.settings.transcription.enabled:
        try:
            asyncio.run(transcribing.ready(loaded.settings.transcription.model))
        except ScreenerError as error:
            raise ConfigError([f"{loaded.origin('screener.transcription.model')}: {error}"]) from None
    policy, variant = loaded.policy, loaded.settings.variant
    show(
        f"good: {len(policy.rules)} rules in {len(policy.groups)} groups, policy {policy.hash}"
        f"{f', variant {variant}' * bool(variant)}; {len(loaded.examples)} examples; "
        f"{len(loaded.packs)} packs; the dialplan in {directory} has every action"
    )
    if not listening.INSTALLED:
        show(f"not installed: the extra audio, so recordings are not compared ({listening.INSTALL})")
