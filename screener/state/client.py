"""Redis or Valkey in the path of a call: one round trip, bounded, and never an exception.

A caller waits on the line while we ask. So a question has one deadline over all that it may need
(connecting, sending, the answer), nothing is tried twice, and after a failure the store is left
alone for a second: a hung store delays one call, not every call.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

import structlog
from redis.exceptions import RedisError, ResponseError

from screener.errors import StateUnavailable
from screener.facts import UNLISTED
from screener.state.asking import SCRIPT, Observed, answer, question, without_store
from screener.state.connecting import MAX_CONNECTIONS, UNREACHABLE, describe, open_client, unavailable
from screener.state.memory import risk_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from screener.state.asking import Asked, Fact
    from screener.state.weighing import Terms

DEADLINE_S = 0.2
PAUSE_S = 1.0
"""How long the store is left alone after it did not answer."""
MISSED_MAX = 2
"""So many unanswered pings, a second apart, and the store is taken for out of reach."""
LOG_PAUSE_S = 1.0
_log = structlog.get_logger(__name__)


class State:
    """The store as the path of a call sees it; one object for the life of the service.

    `url` is redis://, rediss:// (TLS) or unix://; it is not connected to before the first question.
    `deadline_s` bounds every question; after a failure the store is left alone for `pause_s`.
    `feeds` are those that are asked, and may be replaced at any time.
    """

    def __init__(
        self,
        url: str,
        *,
        feeds: Sequence[Terms] = (),
        deadline_s: float = DEADLINE_S,
        pause_s: float = PAUSE_S,
    ) -> None:
        self.feeds = feeds
        self.reachable = True
        """What `watch` has seen; another screener answers rather than one without its store."""
        self._client = open_client(url, timeout_s=deadline_s)
        self._observe = self._client.register_script(SCRIPT)
        self._deadline_s = deadline_s
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        self._pause_s = pause_s
        self._retry_at: float | None = None
        self._failure = ""
        self.incomplete = 0
        """Questions that were not answered, or not in full."""
        self._log_at = 0.0

    async def observe(  # noqa: PLR0913 - all that the store is asked for
        self,
        caller: str | None,
        did: str,
        call_id: str,
        *,
        trunk: str = "",
        agent: str = "",
        count: bool = True,
        at: float | None = None,
    ) -> Observed:
        """Count this call and say what is known of its caller: lists, feeds, trust, and how he dials.

        `caller` is `CallerNumber.key`: E.164, or the bare digits of a short code; None or empty if
        there is none, which has no counters: then only what is known of `trunk` and house is asked. `agent`
        is the software that he says he calls by. A call id is counted once within an hour, so a repeated
        event changes nothing; with `count=False` nothing is written, and the facts are what counting would
        give. `at` (Unix time) replaces the server's clock, for simulations.

        Never raises. A store that is down, hung or slow gives no facts, within the deadline; during
        the pause after a failure at once. A store that refuses writes still gives the list entries.
        """
        key = caller or ""
        if key and (known := without_store(key)) is not None:
            return known
        # In turns, each with its own deadline: the queue of a flood of calls is not the store's fault, and
        # must not make it look dead, or who calls behind three hundred others passes the block list.
        async with self._turns:
            feeds = self.feeds if key else ()
            asked = question(key, did, call_id, trunk=trunk, agent=agent, count=count, at=at, feeds=feeds)
            observed = await self._in_turn(asked, feeds, at)
        self.incomplete += observed.missing is not None
        # Of a caller without a number no list and no counter knows anything, with or without a store.
        return observed if key else Observed({**UNLISTED, **observed.facts}, observed.missing)

    async def _in_turn(self, asked: Asked, feeds: Sequence[Terms], at: float | None) -> Observed:
        if self._left_alone():
            return Observed(missing=self._failure)
        try:
            async with asyncio.timeout(self._deadline_s):
                reply = await self._observe(*asked)
        except UNREACHABLE as error:
            self._retry_at = time.monotonic() + self._pause_s
            return self._failed(error)
        except RedisError as error:
            return self._failed(error)
        if self._retry_at is not None:
            self._retry_at = None
            _log.info("state is reachable again")
        facts = answer(cast("dict[str, Any]", reply), feeds, time.time() if at is None else at)
        refused = facts.pop("missing", None)
        return Observed(facts) if refused is None else self._failed(str(refused), facts)

    def _left_alone(self) -> bool:
        if self._retry_at is None:
            return False
        now = time.monotonic()
        if now < self._retry_at:
            return True
        # This call asks whether the store is back; those that come meanwhile do not wait for it.
        self._retry_at = now + max(self._pause_s, self._deadline_s)
        return False

    def _failed(self, error: Exception | str, facts: Mapping[str, Fact] | None = None) -> Observed:
        reason = describe(error)
        self._failure = f"{reason} (a moment ago)"
        now = time.monotonic()
        if now >= self._log_at:
            self._log_at = now + LOG_PAUSE_S
            _log.warning("state gave no full answer, calls are judged without what is missing", reason=reason)
        return Observed(facts or {}, reason)

    async def watch(self) -> None:
        """See once a second whether the store is there, for those who are not asked about calls, too."""
        missed = 0
        while True:
            try:
                await self.memory_risk()
                missed = 0
            except StateUnavailable:
                missed += 1
            self.reachable = missed < MISSED_MAX
            await asyncio.sleep(PAUSE_S)

    async def memory_risk(self) -> str:
        """What will go wrong when the store's memory is full, empty if nothing.

        Raises StateUnavailable, with the reason, unless the store answers within the deadline.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                await cast("Awaitable[Any]", self._client.ping())
                try:
                    return risk_of(await self._client.info("memory"))
                except ResponseError:
                    return ""  # an account without the right to ask
        except (RedisError, *UNREACHABLE) as error:
            raise unavailable(error) from error

    async def close(self) -> None:
        """Close the connections. The store keeps what was counted."""
        await self._client.aclose()
