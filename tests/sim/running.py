"""Runs many worlds under one policy after the other, on as many processes as there are cores."""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from screener import config
from screener.policy import compile_policy
from screener.simulation import ABROAD, PLANS, history
from screener.state import EmbeddedServer
from tests.sim.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from screener.config import Config
    from screener.policy import Policy, PolicyDocument
    from tests.sim.world import Outcome

    Results = Sequence[Mapping["Trial", Sequence[Outcome]]]

PER_WORLD: Final = 4
"""Campaigns of each class that one house meets within its four weeks."""
OTHER: Final = {"CN": "HK", "US": "GB"}
"""Where the number of a house is that it has abroad."""
ZONES: Final = {"CN": "Asia/Shanghai", "US": "America/New_York"}


class Trial(NamedTuple):
    """A policy to try: the shipped one, a variant, or one without a rule."""

    variant: str = ""
    without: str = ""


class Job(NamedTuple):
    """Which history, and the trials to run on it."""

    seed: str
    region: str
    trials: tuple[Trial, ...]


def worlds(seed: int, campaigns: int, trials: Sequence[Trial]) -> list[Job]:
    """So many that each class has so many campaigns; every second one stands in another country."""
    regions = tuple(PLANS)
    return [
        Job(f"{seed}.{n}", regions[n % len(regions)], tuple(trials))
        for n in range(-(-campaigns // PER_WORLD))
    ]


def run(plan: Sequence[Job], jobs: int) -> Iterator[dict[Trial, list[Outcome]]]:
    """What became of the calls of each world, under each of its trials."""
    if jobs == 1:
        yield from map(live, plan)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(live, plan)


def live(world: Job) -> dict[Trial, list[Outcome]]:
    """Run one world."""
    return asyncio.run(_live(world))


async def _live(world: Job) -> dict[Trial, list[Outcome]]:
    found: dict[Trial, list[Outcome]] = {}
    with tempfile.TemporaryDirectory(prefix="sim") as directory:
        async with EmbeddedServer(Path(directory) / "store") as server:
            here = site(world.region, "")
            calls = history(world.seed, world.region, here.settings.zone, campaigns=PER_WORLD)
            lived = World(calls, here, server.url)
            shipped = None
            for trial in world.trials:
                after = lived.live(policy(world.region, trial), shipped, trial.without)
                found[trial], shipped = after.outcomes, shipped or after
    return found


@lru_cache(maxsize=8)
def site(region: str, variant: str) -> Config:
    """The shipped configuration in a country."""
    with tempfile.TemporaryDirectory(prefix="sim") as directory:
        Path(directory, "screener.yaml").write_text(
            f'region: {region}\ntimezone: {ZONES[region]}\nvariant: "{variant}"\n'
            f"trunks: {{{ABROAD}: {{region: {OTHER[region]}}}}}\n",
            "utf-8",
        )
        return config.load(Path(directory), environ={})


@lru_cache(maxsize=64)
def policy(region: str, trial: Trial) -> Policy:
    """The policy of a trial; a rule that is left out has not fired, also for rules that build on it."""
    shipped = site(region, trial.variant)
    if not trial.without:
        return shipped.policy
    return compile_policy(_without(shipped.document, trial.without))


def _without(document: PolicyDocument, symbol: str) -> PolicyDocument:
    groups = tuple(
        group.model_copy(
            update={
                "rules": {
                    name: rule.model_copy(update={"enabled": rule.enabled and name != symbol})
                    for name, rule in group.rules.items()
                }
            }
        )
        for group in document.groups
    )
    return document.model_copy(update={"groups": groups})


def fired(results: Results) -> Counter[str]:
    """In how many calls each rule of the shipped policy counted."""
    return Counter(symbol for result in results for one in result[Trial()] for symbol in one.symbols)
