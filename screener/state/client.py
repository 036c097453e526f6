"""Redis or Valkey in the path of a call: one round trip, bounded, and never an exception.

A caller waits on the line while we ask. So a question has one deadline over all that it may need
(connecting, sending, the answer), nothing is tried twice, and after a failure the store is left
alone for a second: a hung store delays one call, not every call.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import urlsplit

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from screener.errors import ConfigError, StateUnavailable
from screener.facts import UNLISTED
from screener.state.memory import risk_of
from screener.state.patterns import matching_fields
from screener.state.trust import known
from screener.state.weighing import fields_of, weigh
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Mapping, Sequence

    from screener.state.weighing import Terms

Fact: TypeAlias = str | int | float | bool
Asked: TypeAlias = tuple[list[str], list[str]]
"""The keys and the arguments of a script."""

KEYS = "{screener}:"
"""Before every key; the braces keep them on one node of a cluster, where one script may use them all."""
LISTS_KEY = KEYS + "lists"
LISTS_CHANGES_KEY = KEYS + "lists:changes"
FEED_KEY = KEYS + "feed:"
CAMPAIGNS_KEY = KEYS + "campaigns"
SPOKE_KEY = KEYS + "spoke:"
"""Before a number or a block: the id of the campaign that it spoke last."""
TRUST_KEY = KEYS + "trust:"
CALLER_KEY = KEYS + "caller:"
CALL_KEY = KEYS + "call:"
LIVE_KEY = KEYS + "live:"
SHORT_KEY = KEYS + "short:"
LEAST_IN_BLOCK = 9
"""Characters of a number, its plus sign included, that has a block of 10,000 around it."""
CHALLENGES_KEY = KEYS + "challenges:"
GUESSES_KEY = KEYS + "guesses:"
"""Of callers without a number, by trunk."""
DEADLINE_S = 0.2
TIMEOUT_S = 5.0
"""For one command of a person or a job; never in the path of a call."""
PAUSE_S = 1.0
"""How long the store is left alone after it did not answer."""
LOG_PAUSE_S = 1.0
MAX_CONNECTIONS = 8

UNREACHABLE = (OSError, TimeoutError, RedisConnectionError, RedisTimeoutError)
"""What a store that is dead, hung, loading or out of reach looks like; TimeoutError is also asyncio's."""

SCRIPT = Path(__file__).with_name("observe.lua").read_text(encoding="utf-8")
_SAFE = re.compile(r"[A-Za-z0-9+_.-]{1,64}")
_CALLER = re.compile(r"\+?[0-9]{1,32}")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Observed:
    """What the store knows about a caller; `missing` says why facts are absent, None if none are."""

    facts: Mapping[str, Fact] = field(default_factory=dict)
    missing: str | None = None


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
        self._client = open_client(url, timeout_s=deadline_s)
        self._observe = self._client.register_script(SCRIPT)
        self._deadline_s = deadline_s
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        self._pause_s = pause_s
        self._retry_at: float | None = None
        self._failure = ""
        self._log_at = 0.0

    async def observe(  # noqa: PLR0913 - all that the store is asked for
        self,
        caller: str | None,
        did: str,
        call_id: str,
        *,
        trunk: str = "",
        count: bool = True,
        at: float | None = None,
    ) -> Observed:
        """Count this call and say what is known of its caller: lists, feeds, trust, and how he dials.

        `caller` is `CallerNumber.key`: E.164, or the bare digits of a short code; None or empty if
        there is none, which has no counters: then only what is known of `trunk` and house is asked. A
        call id is counted once within an hour, so a repeated event changes nothing; with `count=False`
        nothing is written, and the facts are what counting would give. `at` (Unix time) replaces the
        server's clock, for simulations.

        Never raises. A store that is down, hung or slow gives no facts, within the deadline; during
        the pause after a failure at once. A store that refuses writes still gives the list entries.
        """
        key = caller or ""
        if key and (known := without_store(key)) is not None:
            return known
        # In turns, each with its own deadline: the queue of a flood of calls is not the store's fault, and
        # must not make it look dead, or who calls behind three hundred others passes the block list.
        feeds = self.feeds
        asked = question(key, did, call_id, trunk=trunk, count=count, at=at, feeds=feeds)
        async with self._turns:
            feeds = self.feeds if key else ()
            asked = question(key, did, call_id, trunk=trunk, count=count, at=at, feeds=feeds)
            observed = await self._in_turn(asked, feeds, at)
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


def without_store(caller: str) -> Observed | None:
    """What is known of a caller whom the store cannot know; None if it must be asked."""
    if not caller:
        return Observed(UNLISTED)
    if not is_key(caller):
        return Observed(missing="the caller's number is not a key: only digits after a plus sign are")
    return None


def is_key(caller: str) -> bool:
    """Whether a caller's number may be part of a key: a plus sign and digits."""
    return _CALLER.fullmatch(caller) is not None


def question(  # noqa: PLR0913 - all that the script asks for
    caller: str,
    did: str,
    call_id: str,
    *,
    trunk: str = "",
    count: bool,
    at: float | None,
    feeds: Sequence[Terms] | None,
) -> Asked:
    """The keys and arguments of `observe.lua`, as `State.observe`; no `feeds`: nor lists."""
    this, block, by = key_part(call_id), block_of(caller), key_part(trunk)
    keys = [LISTS_KEY, CALLER_KEY + caller, f"{KEYS}dids:{caller}", CALL_KEY + this, TRUST_KEY + caller]
    keys += [LIVE_KEY + caller, f"{KEYS}block:{block}", SHORT_KEY + caller, f"{KEYS}trunk:{by}"]
    keys += [CHALLENGES_KEY + caller, GUESSES_KEY + by, EXPECTING_KEY]
    keys += [FEED_KEY + feed.name for feed in feeds or ()]
    keys += [CAMPAIGNS_KEY, SPOKE_KEY + caller, SPOKE_KEY + block]
    arguments = [key_part(did), "1" if count else "", "" if at is None else repr(at)]
    arguments.append(" ".join(matching_fields(caller)) if caller and feeds is not None else "")
    arguments.append(" ".join(fields_of(caller)) if feeds else "")
    return keys, [*arguments, this, caller[len(block) :], caller]


def block_of(caller: str) -> str:
    """The caller's block of 10,000 numbers; a short code is a block of its own."""
    return caller[:-4] if caller.startswith("+") and len(caller) >= LEAST_IN_BLOCK else caller


def answer(reply: dict[str, Any], feeds: Sequence[Terms], now: float) -> dict[str, Fact]:
    """The facts in a reply of `observe.lua` to a question about these feeds."""
    trust, found = known(reply.pop("trust", None), now), reply.pop("feeds", [])
    return reply | trust | weigh(found, feeds, now)


def open_client(url: str, *, timeout_s: float, max_connections: int = MAX_CONNECTIONS) -> Redis:
    """A client without retries, not yet connected; ConfigError for a URL that names no store.

    A wait for a free connection, connecting, and each reply take `timeout_s` at most.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=3,
            decode_responses=True,
            encoding_errors="replace",
            # Each of these would cost a round trip on every new connection; with notifications on, a
            # connection that the server has closed is not noticed either when it is taken for a call.
            driver_info=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
    except ValueError as error:
        raise ConfigError(
            [f"redis.url: {shown_url(url)} is not redis://, rediss:// or unix://: {error}"]
        ) from error
    return Redis.from_pool(pool)


def shown_url(url: str) -> str:
    """The URL without its password."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return "the URL"
    return url.replace(f":{password}@", ":…@") if password else url


def describe(error: Exception | str) -> str:
    """Why the store gave no answer, on one line; the bare timeout of asyncio has no words of its own."""
    text = printable(str(error), 200).rstrip(".")
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return f"no answer in time{': ' + text if text else ''}"
    return text or type(error).__name__


def unavailable(error: Exception) -> StateUnavailable:
    """The error of a command that needs the store."""
    if isinstance(error, UNREACHABLE):
        return StateUnavailable(
            f"the store is out of reach: {describe(error)}. Is it running, is redis.url right?"
        )
    return StateUnavailable(f"the store refused: {describe(error)}")


@contextmanager
def needed() -> Iterator[None]:
    """Raise StateUnavailable where a command's question gets no answer."""
    try:
        yield
    except (RedisError, *UNREACHABLE) as error:
        raise unavailable(error) from error


def key_part(text: str) -> str:
    """The text if it is short and harmless, else a digest of it: nobody writes our keys for us."""
    if _SAFE.fullmatch(text):
        return text
    return "h-" + hashlib.blake2s(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


HERE = key_part(platform.node() or "here")
"""This machine: several PBXs may share a store, but each has telephones and mailboxes of its own."""
EXPECTING_KEY = f"{KEYS}expecting:{HERE}"
