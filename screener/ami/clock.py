"""Asterisk's clock as its pongs tell it: two machines' clocks need not agree."""

from __future__ import annotations

import asyncio

PRECISE_S = 0.1
"""A pong within this time tells the clock well enough to know whether an answer is late."""


class Clock:
    """The clock of one Asterisk, over all connections to it."""

    def __init__(self) -> None:
        self._time = asyncio.get_running_loop().time
        self._offset: float | None = None
        self.round_trip_s: float | None = None
        """Of the latest ping, None before the first."""

    def told(self, stamp: float, sent: float) -> None:
        """Take what a pong says, seconds since 1970, that has just come; its ping was `sent` at (loop time).

        A slow pong is imprecise, so what was known before stands unless it must be wrong: a clock was set.
        """
        now = self._time()
        offset, self.round_trip_s = stamp - now, now - sent
        known, trip = self._offset, self.round_trip_s
        if known is None or trip < PRECISE_S or abs(offset - known) > trip:
            self._offset = offset

    def since_s(self, moment: float) -> float:
        """How long ago a moment of this clock was, seconds since 1970; 0 while the clock is unknown."""
        return 0.0 if self._offset is None else max(0.0, self._time() + self._offset - moment)
