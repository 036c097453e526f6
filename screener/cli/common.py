"""What the commands share: finding the configuration, and printing what strangers wrote safely."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.table import Table
from rich.text import Text

from screener import app, config
from screener.config import SITE, Config, Settings
from screener.state import serving
from screener.text import escaped

Site = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="SCREENER_CONFIG",
        show_default=False,
        help=f"Directory with your own settings. Without it {SITE}, if that exists.",
    ),
]
Caller = Annotated[str, typer.Argument(help="A number as it would call.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

T = TypeVar("T")

# Of days not more than there are in the calendar, which begins with the year 1.
_SPAN = re.compile(r"(\d{1,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_WIDE = 160


def load(site: Path | None) -> Config:
    """Load the shipped configuration and the site's over it; ConfigError with every problem."""
    return config.load(chosen(site))


def chosen(site: Path | None) -> Path | None:
    """The site directory that was asked for, or the usual one if it exists."""
    return SITE if site is None and SITE.is_dir() else site


def whoami() -> str:
    """The user who gives this command; his number where he has no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"#{os.getuid()}"


def span(text: str) -> timedelta:
    """Read 90m, 12h or 30d; anything else ends the command with a plain message."""
    match = _SPAN.fullmatch(text)
    if not match:
        raise typer.BadParameter(
            f"{text!r} is not a length of time such as 90m, 12h or 30d; five digits at most"
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def said(text: str) -> str:
    """A reason; one that is empty ends the command with a plain message."""
    if not text.strip():
        raise typer.BadParameter("say why")
    return text


class Part(Protocol):
    """Something of ours that is connected to the store."""

    async def close(self) -> None:
        """Close the connections."""


P = TypeVar("P", bound=Part)


def has_store(settings: Settings) -> bool:
    """Whether there is a store to ask, if only in vain; without one nobody has called before."""
    try:
        return bool(settings.redis.url or app.store_directory(settings).stat())
    except FileNotFoundError:
        return False
    except OSError:  # closed, or below a file
        return True


@asynccontextmanager
async def store(settings: Settings) -> AsyncIterator[str]:
    """Where the store is that the configuration names, started for the time of a command if need be."""
    if settings.redis.url:
        yield settings.redis.url
        return
    async with serving(app.store_directory(settings), memory_bytes=settings.redis.memory_bytes) as url:
        yield url


def on_store(settings: Settings, part: Callable[[str], P], work: Callable[[P], Awaitable[T]]) -> T:
    """Do the work with a part of ours on the store that the configuration names."""

    async def there() -> T:
        async with store(settings) as url:
            opened = part(url)
            try:
                return await work(opened)
            finally:
                await opened.close()

    return asyncio.run(there())


def minute(unix_time: int | None, otherwise: str = "") -> str:
    """A Unix time for people, or what stands in place of none."""
    return f"{datetime.fromtimestamp(unix_time, UTC):%Y-%m-%d %H:%M}Z" if unix_time else otherwise


def show(line: str) -> None:
    """Print one line, whatever it holds."""
    sys.stdout.write(escaped(line) + "\n")


def show_json(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print plain values as JSON that any terminal survives."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def width(usual: int) -> int:
    """How wide to print where there is no terminal: what $COLUMNS says, if it says a width."""
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if re.fullmatch("[1-9][0-9]{0,4}", columns) else usual


def show_table(columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    """Print a table; texts are shown as they are, never as markup or as terminal commands."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(escaped(str(cell))) for cell in row))
    # Into a pipe there is no width to fit: whole lines for grep and awk.
    console = Console(width=None if sys.stdout.isatty() else width(_WIDE))
    console.print(table)


def progress(*columns: ProgressColumn) -> Progress:
    """A bar for people who wait at a terminal, with further columns."""
    console = Console(stderr=True)
    return Progress(
        *Progress.get_default_columns(),
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),
    )
