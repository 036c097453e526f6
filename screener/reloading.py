"""A new policy in place of the old one while calls are being screened: all of it, or none.

The files are read and compiled in a thread, then one reference is exchanged: calls are judged by the
old policy up to that moment. A configuration with a mistake leaves everything as it was and is told in
the log and in `screener status`, until a good one is loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from typing import TYPE_CHECKING, Any

import structlog
from watchfiles import awatch

from screener.config import failing, stamps
from screener.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from screener.config import Config
    from screener.policy import Policy

log = structlog.get_logger(__name__)

QUIET_MS = 200
LOOK_S = 5.0
POLL_S = 1.0
RETIRE_S = 10.0
"""When an old policy is taken apart; no call that it judged is under way any more."""


class Reloader:
    """Loads the configuration again when told to.

    `load` reads it (in a thread; raises ConfigError), `install` puts its policy and feeds in force. `restart`
    names the settings that were changed in the files and wait for a restart.
    """

    def __init__(
        self,
        running: Config,
        *,
        load: Callable[[], Config],
        install: Callable[[Config], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._running, self._load, self._install, self._clock = running, load, install, clock
        self._policy, self._stamps = running.policy, running.stamps
        self._variant = running.settings.variant
        self._one_at_a_time = asyncio.Lock()
        self._retired: set[asyncio.Task[None]] = set()
        self._loaded_at = clock()
        # At a start there is no older policy to keep, and any is better than none.
        self.problems = failing(running, own=True)
        self._failed_at = clock() if self.problems else None
        self.restart: list[str] = []
        if self.problems:
            log.error("examples of your own do not hold; this policy is in force", problems=self.problems)

    async def reload(self, why: str) -> dict[str, Any]:
        """Read everything anew and put its policy in force; on any mistake nothing changes. Never raises.

        The answer is the `status` after it.
        """
        async with self._one_at_a_time:
            gc.disable()  # a collection that walks over a new policy holds callers up for 20 ms
            try:
                self._take(await asyncio.to_thread(self._read), why)
            except ConfigError as error:
                self._refuse(error.problems, why)
            except Exception as error:
                log.exception("the configuration could not be loaded")
                self._refuse([f"{type(error).__name__}: {error}"], why)
            finally:
                gc.enable()
            return self.status()

    async def watch(self, directory: Path, *, poll: bool) -> None:
        """Reload whenever a file of the site differs from what was loaded, until cancelled.

        The kernel says at once that something happened, but not on every file system and not once the
        directory is another one; so there is a look every few seconds too, and with `poll` nothing else.
        """
        touched, stop = asyncio.Event(), threading.Event()
        async with asyncio.TaskGroup() as group:
            if not poll:
                group.create_task(_notice(directory, touched, stop))
            try:
                while True:
                    touched.clear()
                    if await asyncio.to_thread(stamps, directory) != self._stamps:
                        await _settled(directory)
                        await self.reload("a file was changed")
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(POLL_S if poll else LOOK_S):
                            await touched.wait()
            finally:
                stop.set()  # watchfiles' thread does not end by being cancelled

    def status(self) -> dict[str, Any]:
        """Plain values for JSON: what is in force since when, and why a newer one is not."""
        return {
            "policy": self._policy.hash,
            "variant": self._variant,
            "rule_count": len(self._policy.rules),
            "loaded_at": shown(self._loaded_at),
            "reload_failed_at": shown(self._failed_at),
            "problems": self.problems,
            "restart_needed": self.restart,
        }

    def _read(self) -> Config:
        # Before, so that what is written meanwhile is noticed.
        self._stamps = stamps(self._running.site)
        loaded = self._load()
        if problems := failing(loaded, own=True):  # whoever wrote them said what must not happen
            raise ConfigError(problems)
        return loaded

    def _refuse(self, problems: list[str], why: str) -> None:
        self.problems, self._failed_at = problems, self._clock()
        log.error(
            "the changed configuration has mistakes, the old policy stays in force",
            why=why,
            policy=self._policy.hash,
            problems=problems,
        )

    def _take(self, loaded: Config, why: str) -> None:
        self.restart = _differences("", _needing_restart(self._running), _needing_restart(loaded))
        if self.restart:
            log.warning("settings were changed that need a restart", settings=self.restart)
        # Descriptions and sources are not part of the hash, so that the same hash is exchanged too.
        old, self._policy = self._policy, loaded.policy
        self._variant = loaded.settings.variant
        self._install(loaded)
        gc.freeze()  # as at the start: what is loaded now stays
        changed, recovered = old.hash != loaded.policy.hash, bool(self.problems)
        self.problems, self._loaded_at, self._failed_at = [], self._clock(), None
        (log.info if changed or recovered else log.debug)(
            "policy reloaded" if changed else "reloaded, the policy is the same",
            why=why,
            policy=loaded.policy.hash,
            rules=len(loaded.policy.rules),
        )
        task = asyncio.get_running_loop().create_task(_retire([old]))
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)


def shown(at: datetime | None) -> str | None:
    """A time for JSON, to the second."""
    return at.isoformat(timespec="seconds") if at else None


async def _notice(directory: Path, touched: asyncio.Event, stop: threading.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(OSError, RuntimeError):  # watchfiles' own errors are RuntimeErrors
            async for _ in awatch(directory, watch_filter=None, debounce=QUIET_MS, stop_event=stop):
                touched.set()
        await asyncio.sleep(LOOK_S)


async def _settled(directory: Path) -> None:
    """Wait until nothing changes any more: an editor saves a file in several steps."""
    before, now = None, await asyncio.to_thread(stamps, directory)
    while now != before:
        await asyncio.sleep(QUIET_MS / 1000)
        before, now = now, await asyncio.to_thread(stamps, directory)


async def _retire(old: list[Policy]) -> None:
    """Take an old policy apart, some rules at a time, between the questions of callers."""
    await asyncio.sleep(RETIRE_S)
    pieces = old.pop().pieces()
    while pieces:
        del pieces[-8:]
        await asyncio.sleep(0.001)


def _needing_restart(config: Config) -> dict[str, Any]:
    return config.settings.model_dump(exclude={"variant"})


def _differences(path: str, old: Any, new: Any) -> list[str]:  # noqa: ANN401 - any JSON value
    """The names of settings that differ; their values may be secret."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            name
            for key in sorted(old.keys() | new.keys())
            for name in _differences(f"{path}.{key}".lstrip("."), old.get(key), new.get(key))
        ]
    return [] if old == new else [path]
