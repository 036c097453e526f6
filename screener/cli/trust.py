"""Commands that show and forget what calls taught about one number."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from screener import app, number
from screener.cli.common import AsJson, Site, load, show, show_json
from screener.errors import StateUnavailable
from screener.facts import BY_NAME, NO_CHALLENGES, NO_DEALINGS
from screener.state import Learning, State, serving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from screener.config import Config

cli = typer.Typer(help="What our own calls taught about a number.", no_args_is_help=True)

T = TypeVar("T")
Caller = Annotated[str, typer.Argument(help="A number as it would call.")]


@cli.command("show")
def show_one(caller: Caller, site: Site = None, as_json: AsJson = False) -> None:
    """Show what is known of a number by our own calls; rules/trust.yaml says what it counts."""
    loaded = load(site)
    key = _key(caller, loaded)

    async def ask(url: str) -> dict[str, object]:
        state = State(url)
        try:
            observed = await state.observe(key, "", "trust", count=False)
        finally:
            await state.close()
        shown = (*NO_DEALINGS, *NO_CHALLENGES)
        if not observed.facts.keys() >= set(shown):
            raise StateUnavailable(f"the store does not tell what was learned: {observed.missing}")
        return {name: observed.facts[name] for name in shown}

    known = asyncio.run(_on_store(loaded, ask))
    if as_json:
        show_json({"number": key, **known})
        return
    for name, value in known.items():
        show(f"{name} = {value:g}    # {BY_NAME[name].meaning}")


@cli.command()
def forget(caller: Caller, site: Site = None) -> None:
    """Forget what calls taught about a number, the recording it is known for too. Exit code 1: nothing."""
    loaded = load(site)
    key = _key(caller, loaded)

    async def drop(url: str) -> bool:
        learning = Learning(url, loaded.settings.trust.half_life_days)
        try:
            return await learning.forget(key)
        finally:
            await learning.close()

    if not asyncio.run(_on_store(loaded, drop)):
        show(f"nothing was known of {key}")
        raise typer.Exit(1)
    show(f"forgotten: {key}")


def _key(caller: str, loaded: Config) -> str:
    key = number.parse(caller, loaded.settings.region).key
    if not key:
        raise typer.BadParameter(f"{caller!r} is no number that could call")
    return key


async def _on_store(loaded: Config, work: Callable[[str], Awaitable[T]]) -> T:
    """Do the work on the store that the configuration names, starting it if need be."""
    settings = loaded.settings
    if settings.redis.url:
        return await work(settings.redis.url)
    async with serving(app.store_directory(settings), memory_bytes=settings.redis.memory_bytes) as url:
        return await work(url)
