"""Another screener that answers the same calls: one from before the lease, or with an account of its own.

Both set the heartbeat, so each finds the other's there. While both set the same second it does not; their
turns last differently, so that this ends within minutes.
"""

from __future__ import annotations

import asyncio

import structlog

log = structlog.get_logger(__name__)

LATELY_S = 300.0


class Rivals:
    """What is known of such a one at the Asterisk of this `address`."""

    def __init__(self, address: str) -> None:
        self._address, self._time = address, asyncio.get_running_loop().time
        self._suspected_at = self._seen_at = float("-inf")

    @property
    def age_s(self) -> float | None:
        """Since it was last seen; None if it was not lately."""
        age_s = self._time() - self._seen_at
        return age_s if age_s < LATELY_S else None

    def look(self, there: str | None, ours: str) -> None:
        """Take the heartbeat that is there in place of `ours`. The dialplan sets 0, a reload may clear it.

        Once proves nothing: the last beat of a screener that has just given way may come late.
        """
        if there in {None, "", "0", ours}:
            return
        suspected_at, self._suspected_at = self._suspected_at, self._time()
        if self._time() - suspected_at > LATELY_S:
            return
        if self.age_s is None:
            log.error(
                "another screener answers the calls of this Asterisk, too: stop it, it is older than the "
                "lease or logs in with an account of its own (docs/scale.md)",
                ami=self._address,
            )
        self._seen_at = self._time()
