"""A changed configuration is taken over as a whole or not at all, however the change is noticed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from screener import config, reloading
from screener.reloading import Reloader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from screener.config import Config
    from screener.policy import Policy

AT = datetime(2026, 10, 1, tzinfo=UTC)


class Site:
    """A site directory, and the service's policy as far as reloading is concerned."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write("screener.yaml", "region: CN\n")
        running = config.load(directory, environ={})
        self.policy = running.policy
        self.changed = asyncio.Event()
        self.reloader = Reloader(
            running,
            load=lambda: config.load(directory, environ={}),
            install=self.install,
            clock=lambda: AT,
        )

    @staticmethod
    def status_at_start(directory: Path) -> dict[str, Any]:
        running = config.load(directory, environ={})
        reloader = Reloader(running, load=lambda: running, install=lambda _: None, clock=lambda: AT)
        return reloader.status()

    def install(self, config: Config) -> None:
        self.policy = config.policy
        self.changed.set()

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @contextlib.asynccontextmanager
    async def watched(self, *, poll: bool = False) -> AsyncIterator[None]:
        task = asyncio.get_running_loop().create_task(self.reloader.watch(self.directory, poll=poll))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def becomes(self, wanted: Callable[[Policy], bool]) -> None:
        async with asyncio.timeout(15):
            while not wanted(self.policy):
                self.changed.clear()
                await self.changed.wait()

    async def refuses(self) -> None:
        async with asyncio.timeout(15):
            while not self.reloader.problems:  # noqa: ASYNC110 - a refusal installs nothing
                await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def _watch_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "POLL_S", 0.05)


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def challenges_from(score: int, policy: Policy) -> bool:
    return policy.actions.challenge == score


def challenge(score: int) -> str:
    return f"actions:\n  challenge: {score}\n"


async def test_reload__good_change__is_in_force(site: Site) -> None:
    site.write("policy.yaml", challenge(5))
    status = await site.reloader.reload("test")
    assert (site.policy.actions.challenge, status["problems"]) == (5, [])
    assert status["policy"] == site.policy.hash


async def test_reload__mistake__all_of_the_old_stays_until_it_is_mended(site: Site) -> None:
    old = site.policy
    site.write("policy.yaml", challenge(5))
    site.write("rules/velocity.yaml", "rules:\n  BURST:\n    when: caller.calls_1x > 1\n")
    status = await site.reloader.reload("test")
    assert site.policy is old
    place = f"{site.directory}/rules/velocity.yaml:3:11"
    assert status["problems"][0].startswith(f"{place}: rules.BURST.when")
    assert status["policy"] == old.hash
    assert status["reload_failed_at"] == AT.isoformat()
    (site.directory / "rules/velocity.yaml").unlink()
    status = await site.reloader.reload("test")
    assert site.policy.actions.challenge == 5
    assert (status["problems"], status["reload_failed_at"]) == ([], None)


async def test_reload__setting_that_needs_a_restart__is_named_without_its_value(site: Site) -> None:
    site.write("screener.yaml", "ami: {port: 5039, secret: s3cret}\nregion: DE\n")
    site.write("policy.yaml", challenge(5))
    status = await site.reloader.reload("test")
    assert status["restart_needed"] == ["ami.port", "ami.secret", "region"]
    assert site.policy.actions.challenge == 5
    site.write("screener.yaml", "")
    assert (await site.reloader.reload("test"))["restart_needed"] == []


OWN_EXAMPLE = "examples: {withheld: {call: {number: anonymous}, expect: {action: challenge}}}\n"


async def test_reload__example_of_the_site_does_not_hold__refused_as_a_mistake_is(site: Site) -> None:
    old = site.policy
    site.write("examples.yaml", OWN_EXAMPLE)
    site.write("policy.yaml", challenge(5))
    status = await site.reloader.reload("test")
    assert site.policy is old
    (problem,) = status["problems"]
    assert problem == (
        f"{site.directory}/examples.yaml:1:12: examples.withheld: expected challenge; "
        "got allow, score 4: WITHHELD(+4)"
    )
    site.write("policy.yaml", challenge(4))
    assert (await site.reloader.reload("test"))["problems"] == []


async def test_reload__example_of_the_shipped_files_does_not_hold__taken_over(site: Site) -> None:
    site.write("policy.yaml", challenge(5))
    assert (await site.reloader.reload("test"))["problems"] == []
    assert site.policy.actions.challenge == 5


async def test_start__example_of_the_site_does_not_hold__screens_and_says_so(site: Site) -> None:
    site.write("examples.yaml", OWN_EXAMPLE)
    site.write("policy.yaml", challenge(5))
    status = Site.status_at_start(site.directory)
    assert status["problems"][0].startswith(f"{site.directory}/examples.yaml:1:12: examples.withheld: ")
    assert status["reload_failed_at"] == AT.isoformat()


async def test_reload__another_variant__is_in_force_without_a_restart(site: Site) -> None:
    site.write("screener.yaml", "region: CN\nvariant: home\n")
    assert (await site.reloader.reload("test"))["restart_needed"] == []
    assert "FROM_ABROAD" in site.policy.rules
    assert site.reloader.status()["variant"] == "home"
    site.write("screener.yaml", "region: CN\nvariant: hom\n")
    (problem,) = (await site.reloader.reload("test"))["problems"]
    assert problem.startswith(f"{site.directory}/screener.yaml:2:10: variant: no such variant; there are ")
    assert "FROM_ABROAD" in site.policy.rules


async def test_reload__several_at_once__end_with_the_last_files(site: Site) -> None:
    first = site.reloader.reload("test")
    site.write("policy.yaml", challenge(6))
    await asyncio.gather(first, *(site.reloader.reload("test") for _ in range(3)))
    assert site.policy.actions.challenge == 6


async def test_reload__defect_of_ours__old_policy_stays(site: Site) -> None:
    old = site.policy
    shutil.rmtree(site.directory)
    assert (await site.reloader.reload("test"))["problems"]
    assert site.policy is old


async def test_reload__old_policy__is_taken_apart_once_nobody_judges_by_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "RETIRE_S", 0.0)
    site.write("policy.yaml", challenge(5))
    await site.reloader.reload("test")
    await asyncio.gather(*site.reloader._retired)
    assert site.policy.judge({"caller.kind": "withheld"}).hits


@pytest.mark.parametrize("poll", [False, True])
async def test_watch__file_changed_broken_and_mended__follows(site: Site, *, poll: bool) -> None:
    async with site.watched(poll=poll):
        site.write("policy.yaml", challenge(5))
        await site.becomes(partial(challenges_from, 5))
        site.write("policy.yaml", "actions: [")
        site.write("rules/velocity.yaml", "rules: {BURST: {score: 3}}\n")
        await site.refuses()
        assert site.policy.actions.challenge == 5
        site.write("policy.yaml", challenge(6))
        await site.becomes(partial(challenges_from, 6))
        assert site.policy.rules["BURST"].score == 3


async def test_watch__saved_by_renaming_as_editors_do__follows(site: Site) -> None:
    site.write("policy.yaml", challenge(5))
    async with site.watched():
        await site.becomes(partial(challenges_from, 5))
        for score in (6, 7):
            new = site.directory / ".policy.yaml.swp"
            new.write_text(challenge(score))
            new.replace(site.directory / "policy.yaml")
            await site.becomes(partial(challenges_from, score))


async def test_watch__whole_directory_exchanged__follows(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "LOOK_S", 0.1)
    async with site.watched():
        site.write("policy.yaml", challenge(5))
        await site.becomes(partial(challenges_from, 5))
        other = tmp_path / "other"
        shutil.copytree(site.directory, other)
        (other / "policy.yaml").write_text(challenge(6))
        site.directory.rename(tmp_path / "old")
        other.rename(site.directory)
        await site.becomes(partial(challenges_from, 6))


async def test_watch__nothing_of_ours_changed__no_reload(site: Site) -> None:
    async with site.watched(poll=True):
        site.write("README.md", "hello")
        os.utime(site.directory)
        await asyncio.sleep(0.3)
    assert not site.changed.is_set()
