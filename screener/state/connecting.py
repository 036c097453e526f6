"""Connections to Redis or Valkey, and what is said where one gives no answer."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from screener.errors import ConfigError, StateUnavailable
from screener.text import printable, without_password

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S = 5.0
"""For one command of a person or a job; never in the path of a call."""
MAX_CONNECTIONS = 8
UNREACHABLE = (OSError, TimeoutError, RedisConnectionError, RedisTimeoutError)
"""What a store that is dead, hung, loading or out of reach looks like; TimeoutError is also asyncio's."""


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
    except ValueError:
        # Of a password with a slash in it Python's own error shows a part.
        shown, how = (
            without_password(url),
            "within a password write %2F for /, %23 for #, %3F for ?, %40 for @",
        )
        raise ConfigError([f"redis.url: {shown} is not redis://, rediss:// or unix://; {how}"]) from None
    return Redis.from_pool(pool)


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
