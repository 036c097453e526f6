"""What the commands share: finding the configuration, and printing what strangers wrote safely."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from screener import app, config
from screener.config import Config
from screener.state import serving
from screener.text import escaped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from screener.config.settings import Settings

T = TypeVar("T")
SITE = Path("/etc/screener")
Site = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="SCREENER_CONFIG",
        show_default=False,
        help=f"Directory with your own settings. Without it {SITE}, if that exists.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_SPAN = re.compile(r"(\d{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_WIDE = 160


def load(site: Path | None) -> Config:
    """Load the shipped configuration and the site's over it; ConfigError with every problem."""
    return config.load(chosen(site))


def chosen(site: Path | None) -> Path | None:
    """The site directory that was asked for, or the usual one if it exists."""
    return SITE if site is None and SITE.is_dir() else site


def on_store(settings: Settings, work: Callable[[str], Awaitable[T]]) -> T:
    """Do the work on the store that the configuration names, given its URL, starting it if need be."""

    async def somewhere() -> T:
        if settings.redis.url:
            return await work(settings.redis.url)
        async with serving(app.store_directory(settings), memory_bytes=settings.redis.memory_bytes) as url:
            return await work(url)

    return asyncio.run(somewhere())


def span(text: str) -> timedelta:
    """Read 90m, 12h or 30d; anything else ends the command with a plain message."""
    match = _SPAN.fullmatch(text)
    if not match:
        raise typer.BadParameter(f"{text!r} is not a length of time such as 90m, 12h or 30d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def show(line: str) -> None:
    """Print one line, whatever it holds."""
    sys.stdout.write(escaped(line) + "\n")


def show_json(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print plain values as JSON that any terminal survives."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def show_table(columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    """Print a table; texts are shown as they are, never as markup or as terminal commands."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(escaped(str(cell))) for cell in row))
    # Into a pipe there is no width to fit: whole lines for grep and awk.
    console = Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", _WIDE)))
    console.print(table)
