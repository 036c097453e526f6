"""What an administrator sees of the running service, and how it is told to take over changed files."""

from __future__ import annotations

import asyncio
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
    from screener.control import Commands
    from screener.counters import Counters
    from screener.feeds import Refresher
    from screener.ledger import Ledger
    from screener.pbx import Pbx
    from screener.state import Learning, State

log = structlog.get_logger(__name__)


class Steering:
    """Takes SIGHUP (`hangup`), changed files and the commands `status` and `reload`."""

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
    ) -> None:
        self._commands = commands
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
        pbxs = [pbx.status() for pbx in self.pbxs]
        for pbx in pbxs:
            if since := pbx["ami"]["connected_since"]:
                pbx["ami"]["connected_since"] = shown(since)
        return {
            "version": __version__,
            "started_at": shown(self._started_at),
            **self.reloader.status(),
            "pbxs": pbxs,
            "store": {**await self._store(), "lost_lessons": self.learning.lost},
            "ledger": {
                "healthy": self.ledger.healthy,
                "waiting": self.ledger.waiting,
                "dropped": self.ledger.dropped,
            },
            **self.counters.as_dict(self.pbxs[0].screener.policy),
        }

    async def _store(self) -> dict[str, Any]:
        try:
            return {"reachable": True, "reason": "", "risk": await self.state.memory_risk()}
        except StateUnavailable as error:
            return {"reachable": False, "reason": str(error), "risk": ""}

    def _install(self, config: Config) -> None:
        for pbx in self.pbxs:
            pbx.screener.policy = config.policy
        self.state.feeds = terms_of(config.feeds)
        self.feeds.feeds = config.feeds
