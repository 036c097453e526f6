"""Commands that show and refresh the feeds, which the service otherwise does by itself."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from screener import app, number
from screener.cli.common import Caller, Site, T, load, minute, on_store, show, show_table
from screener.errors import FeedRefused
from screener.feeds import About, Refresher, Status, terms_of
from screener.state.weighing import weight_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from screener.config import Config

cli = typer.Typer(help="Feeds: numbers that others complain about (feeds.yaml).", no_args_is_help=True)

_COLUMNS = ("feed", "entries", "bad rows", "snapshot of", "checked", "due", "alarm")

Name = Annotated[str, typer.Argument(help="The feed, as named in feeds.yaml.")]


@cli.command("list")
def list_feeds(site: Site = None) -> None:
    """Show every feed: its size and age, when it is due, and the alarm if it was refused."""
    loaded = load(site)

    async def look(feeds: Refresher) -> list[tuple[str, ...]]:
        statuses = await feeds.store.statuses()
        return [
            _row(name, await feeds.store.about(name) or About(), statuses.get(name, Status()))
            if feed.enabled
            else (name, "off", *[""] * (len(_COLUMNS) - 2))
            for name, feed in loaded.feeds.items()
        ]

    show_table(_COLUMNS, _with_feeds(loaded, look))


@cli.command()
def refresh(
    name: Annotated[str, typer.Argument(help="One feed; all that are enabled if not given.")] = "",
    any_change: Annotated[
        bool, typer.Option("--any-change", help="Accept it however many entries come and go.")
    ] = False,
    site: Site = None,
) -> None:
    """Fetch now. A feed that is refused stays as it was; the exit code is 2 if there was one."""
    loaded = load(site)
    names = [_known(loaded, name)] if name else [one.name for one in terms_of(loaded.feeds)]
    if not names:
        show("no feed is switched on: set feeds.NAME.enabled in feeds.yaml")
        return

    async def each(feeds: Refresher) -> list[str]:
        refused = []
        if any_change:
            accepting = {"max_change": 1.0}
            feeds.feeds = {one: feed.model_copy(update=accepting) for one, feed in feeds.feeds.items()}
        for one in names:
            try:
                about = await feeds.refresh(one)
                show(f"{one}: {about.entries} entries" + f", bad rows: {about.bad}" * bool(about.bad))
            except FeedRefused as refusal:
                refused.append(f"{one}: {refusal}")
        return refused

    if refused := _with_feeds(loaded, each):
        raise FeedRefused("\n".join(refused))


@cli.command()
def rollback(name: Name, site: Site = None) -> None:
    """Put the snapshot before in force; the present one is not taken again, a newer one is."""
    loaded = load(site)
    known = _known(loaded, name)
    about = _with_feeds(loaded, lambda feeds: feeds.roll_back(known))
    show(f"{name}: {about.entries} entries of {minute(about.as_of)} are in force again")


@cli.command("show")
def show_number(caller: Caller, site: Site = None) -> None:
    """Show what each feed says of a caller, and what it weighs."""
    loaded = load(site)
    key = number.parse(caller, loaded.settings.region).key
    if not key:
        raise typer.BadParameter(f"{caller!r} is no number that could call")
    terms = {one.name: one for one in terms_of(loaded.feeds)}
    now = app.now().timestamp()

    async def look(feeds: Refresher) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for name, (pattern, listing) in (await feeds.store.find(key, terms)).items():
            about = await feeds.store.about(name)
            weight = weight_of(listing, terms[name], about.as_of if about else 0, now)
            seen = minute(listing.seen_at)
            rows.append((name, pattern, str(listing.votes), seen, f"{weight:.2f}", listing.label))
        return rows

    rows = _with_feeds(loaded, look)
    show_table(("feed", "entry", "votes", "last complaint", "weighs", "label"), rows)
    if not rows:
        show("no feed lists this caller")
        raise typer.Exit(1)


def _with_feeds(loaded: Config, work: Callable[[Refresher], Awaitable[T]]) -> T:
    return on_store(loaded.settings, partial(app.refresher, loaded), work)


def _known(loaded: Config, name: str) -> str:
    feed = loaded.feeds.get(name)
    if feed is None:
        raise typer.BadParameter(f"there is no feed {name!r}; there are {', '.join(loaded.feeds)}")
    if not feed.enabled:
        raise FeedRefused(f"{name} is switched off: set feeds.{name}.enabled in feeds.yaml")
    return name


def _row(name: str, about: About, status: Status) -> tuple[str, ...]:
    return (
        name,
        str(about.entries or "none"),
        str(about.bad) if about.entries else "",
        minute(about.as_of),
        minute(status.checked_at, "never"),
        minute(status.next_at, "now"),
        status.problem,
    )
