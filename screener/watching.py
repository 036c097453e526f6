"""How those who watch the service see that it is well: Prometheus, a container's health check, systemd.

The pages are answered by another thread than calls are, so that `/healthy` tells of an event loop that hangs.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from contextlib import nullcontext, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from screener import metrics
from screener.probing import Page, Server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BEAT_S: Final = 0.25
BEATS: Final = 120
"""So many beats, half a minute, are remembered."""
HANGS_S: Final = 2.0
"""An event loop that has not run for so long is not healthy; callers have rung unscreened by then."""
ASK_S: Final = 2.0
FRESH_S: Final = 0.5
"""So long a status is shown again, however often it is asked for."""

Status: TypeAlias = "Callable[[], Awaitable[dict[str, Any]]]"


class Pulse:
    """Beats in the event loop that screens calls, and tells systemd; what it knows, any thread may ask."""

    def __init__(self) -> None:
        self._beat_at = time.monotonic()
        self._late_s: deque[float] = deque(maxlen=BEATS)

    @property
    def silent_s(self) -> float:
        """Since the latest beat, beyond the pause between two."""
        return max(0.0, time.monotonic() - self._beat_at - BEAT_S)

    def status(self) -> dict[str, float]:
        """Plain values for `screener status`: the worst delay of the latest beats."""
        return {"worst_ms": round(max(self._late_s, default=0.0) * 1000, 3)}

    async def run(self) -> None:
        """Beat until cancelled."""
        tell_systemd("READY=1")
        watchdog_s = _watchdog_s()
        told_at = 0.0
        while True:
            self._beat_at = time.monotonic()
            if watchdog_s and self._beat_at - told_at >= watchdog_s / 2 - BEAT_S:
                told_at = self._beat_at
                tell_systemd("WATCHDOG=1")
            await asyncio.sleep(BEAT_S)
            self._late_s.append(self.silent_s)


class Watch:
    """Serves `/metrics`, `/healthy` and `/ready` at `listen`, nothing if that is empty."""

    def __init__(self, listen: str, status: Status, pulse: Pulse) -> None:
        self._listen, self._status, self._pulse = listen, status, pulse
        self._one_at_a_time = asyncio.Lock()
        self._known: dict[str, Any] = {}
        self._shown: tuple[dict[str, Any], bytes] = ({}, b"")
        self._known_until = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Beat, and answer, until cancelled."""
        self._loop = asyncio.get_running_loop()
        pages = {"/metrics": self._metrics, "/healthy": self._healthy, "/ready": self._ready}
        with Server(self._listen, pages) if self._listen else nullcontext():
            await self._pulse.run()

    async def _latest(self) -> dict[str, Any] | None:
        """The status, asked for in the loop of the calls; None if that does not answer."""
        assert self._loop is not None  # noqa: S101 - `run` has set it before it serves
        async with self._one_at_a_time:
            if time.monotonic() >= self._known_until:
                asked = asyncio.run_coroutine_threadsafe(_awaited(self._status), self._loop)
                try:
                    self._known = await asyncio.wait_for(asyncio.wrap_future(asked), ASK_S)
                except TimeoutError:
                    return None
                self._known_until = time.monotonic() + FRESH_S
            return self._known

    async def _metrics(self) -> Page:
        if (status := await self._latest()) is None:
            return self._hangs()
        if self._shown[0] is not status:
            self._shown = (status, metrics.exposition(status))
        return Page(HTTPStatus.OK, self._shown[1], metrics.CONTENT_TYPE)

    async def _ready(self) -> Page:
        if (status := await self._latest()) is None:
            return self._hangs()
        missing = [part for part, is_there in status["parts"].items() if not is_there]
        if missing:
            return Page(HTTPStatus.SERVICE_UNAVAILABLE, f"not ready: {', '.join(missing)}\n".encode())
        return Page(HTTPStatus.OK, b"ready\n")

    async def _healthy(self) -> Page:
        return self._hangs() if self._pulse.silent_s > HANGS_S else Page(HTTPStatus.OK, b"healthy\n")

    def _hangs(self) -> Page:
        text = f"the event loop has not run for {self._pulse.silent_s:.1f} s\n"
        return Page(HTTPStatus.SERVICE_UNAVAILABLE, text.encode())


async def _awaited(status: Status) -> dict[str, Any]:
    return await status()


def tell_systemd(state: str) -> None:
    """Tell systemd, if it has started us and wants to know (Type=notify); never blocks, never raises."""
    if not (address := os.environ.get("NOTIFY_SOCKET", "")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as line:
        line.sendto(state.encode(), f"\0{address[1:]}" if address.startswith("@") else address)


def _watchdog_s() -> float:
    """After how long without a word systemd starts us again; 0 if it does not."""
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    if not microseconds.isdigit() or pid not in {None, str(os.getpid())}:
        return 0.0
    return int(microseconds) / 1e6
