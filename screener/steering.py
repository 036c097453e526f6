"""What an administrator sees of the running service, and how it is told to take over changed files."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import structlog

from screener import __version__, config, control
from screener.errors import StateUnavailable
from screener.feeds import terms_of
from screener.reloading import Reloader, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from screener.config import Config
    from screener.config.feeds import Feed
    from screener.control import Commands
    from screener.counters import Counters
    from screener.feeds import About, Refresher, Status
    from screener.ledger import Ledger
    from screener.pbx import Pbx
    from screener.state import Learning, State

log = structlog.get_logger(__name__)

FEEDS_S = 1.0
DAY_S = 86_400


class Steering:
    """Takes SIGHUP (`hangup`), changed files and the commands `status` and `reload`.

    `further` gives what else is to be shown, of the parts beside the calls.
    """

    def __init__(  # noqa: PLR0913 - the parts whose state is shown, each once
        self,
        running: Config,
        *,
        pbxs: Sequence[Pbx],
        state: State,
        ledger: Ledger,
        learning: Learning,
        counters: Counters,
        feeds: Refresher,
        hangup: asyncio.Event,
        clock: Callable[[], datetime],
        commands: Commands,
        further: Callable[[], dict[str, Any]],
    ) -> None:
        self._commands, self._further = commands, further
        self.pbxs, self.state, self.ledger, self.feeds = pbxs, state, ledger, feeds
        self.learning, self.counters = learning, counters
        self._config, self._hangup, self._clock = running, hangup, clock
        self._started_at = clock()
        self.reloader = Reloader(
            running, load=lambda: config.load(running.site), install=self._install, clock=clock
        )

    async def run(self) -> None:
        """Listen until cancelled. What goes wrong here is logged; calls are screened all the same."""
        settings = self._config.settings
        commands = {
            "status": self.status,
            "reload": lambda: self.reloader.reload("screener reload"),
            **self._commands,
        }
        async with control.serving(settings.state_dir, commands), asyncio.TaskGroup() as group:
            if self._config.site and settings.watch != "off":
                group.create_task(self.reloader.watch(self._config.site, poll=settings.watch == "poll"))
            while True:
                await self._hangup.wait()
                self._hangup.clear()
                await self.reloader.reload("SIGHUP")

    async def status(self) -> dict[str, Any]:
        """All that is worth knowing of the running service, as plain values for JSON."""
        pbxs, store = {pbx.name: pbx.status() for pbx in self.pbxs}, await self._store()
        for about in pbxs.values():
            if since := about["ami"]["connected_since"]:
                about["ami"]["connected_since"] = shown(since)
        parts = {
            "asterisk": all(pbx.is_there for pbx in self.pbxs),
            "store": store["reachable"],
            "ledger": self.ledger.healthy,
        }
        return {
            "ready": all(parts.values()),
            "parts": parts,
            "version": __version__,
            "started_at": shown(self._started_at),
            **self.reloader.status(),
            "pbxs": pbxs,
            "store": {**store, "incomplete": self.state.incomplete, "lost_lessons": self.learning.lost},
            "ledger": {
                "healthy": self.ledger.healthy,
                "waiting": self.ledger.waiting,
                "lag_s": round(self.ledger.lag_s, 3),
                "outbox": self.ledger.outbox,
                "dropped": self.ledger.dropped,
                "trouble": self.ledger.trouble,
                "other_keys": self.ledger.strangers,
            },
            "feeds": await self._feeds() if store["reachable"] else {},
            **self._further(),
            **self.counters.as_dict(self.pbxs[0].screener.policy),
        }

    async def _store(self) -> dict[str, Any]:
        began = time.perf_counter()
        try:
            risk = await self.state.memory_risk()
        except StateUnavailable as error:
            return {"reachable": False, "reason": str(error), "risk": ""}
        took_ms = round((time.perf_counter() - began) * 1000, 3)
        return {"reachable": True, "reason": "", "risk": risk, "latency_ms": took_ms}

    async def _feeds(self) -> dict[str, Any]:
        """Those that are switched on; none if the store stops answering meanwhile."""
        shown: dict[str, Any] = {}
        try:
            async with asyncio.timeout(FEEDS_S):
                statuses = await self.feeds.store.statuses()
                for name, feed in self.feeds.feeds.items():
                    if feed.enabled:
                        shown[name] = about_feed(
                            feed, await self.feeds.store.about(name), statuses.get(name), self._clock()
                        )
        except (StateUnavailable, TimeoutError):
            return {}
        return shown

    def _install(self, config: Config) -> None:
        for pbx in self.pbxs:
            pbx.screener.policy = config.policy
        self.state.feeds = terms_of(config.feeds)
        self.feeds.feeds = config.feeds


def about_feed(feed: Feed, held: About | None, status: Status | None, now: datetime) -> dict[str, Any]:
    """Plain values for JSON about a feed: its snapshot in force, if there is one, and how refreshing goes."""
    return {
        "entries": held.entries if held else 0,
        "age_s": now.timestamp() - held.as_of if held else None,
        "max_age_s": feed.max_age_days * DAY_S,
        "failures": status.failures if status else 0,
    }
