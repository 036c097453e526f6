"""Connections to Redis or Valkey, and what is said where one gives no answer."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from screener.errors import ConfigError, StateUnavailable
from screener.text import printable, without_password

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S = 5.0
"""For one command of a person or a job; never in the path of a call."""
MAX_CONNECTIONS = 8
SENTINEL = "redis+sentinel://"
CLUSTER = "redis+cluster://"
UNKNOWN_TO_CLUSTER = frozenset(("retry", "driver_info", "maint_notifications_config"))
SENTINEL_CONNECTIONS = 64
"""Nobody waits for a free connection there: one more than these is an error."""
ESCAPES = "within a password write %2F for /, %23 for #, %3F for ?, %40 for @"
_SENTINEL_CLIENT = re.compile(r"<redis\..*?\bhost=([^,]+),port=(\d+).*?\)> - ")
UNREACHABLE = (OSError, TimeoutError, RedisConnectionError, RedisTimeoutError, RedisClusterException)
"""What a store that is dead, hung, loading or out of reach looks like; TimeoutError is also asyncio's.

That of a cluster without a node that answers is no RedisError.
"""


def open_client(url: str, *, timeout_s: float, max_connections: int = MAX_CONNECTIONS) -> Redis:
    """A client without retries, not yet connected; ConfigError for a URL that names no store.

    A wait for a free connection, connecting, and each reply take `timeout_s` at most. With sentinels,
    `redis+sentinel://user:password@host:26379,host:26379/MASTER`, each new connection asks them who the
    master is, so that a switch costs the questions at hand and no more.
    """
    how: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 3,
        "decode_responses": True,
        "encoding_errors": "replace",
        # Each of these would cost a round trip on every new connection; with notifications on, a
        # connection that the server has closed is not noticed either when it is taken for a call.
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    try:
        if url.startswith(SENTINEL):
            return _by_sentinel(url, timeout_s, how)
        if url.startswith(CLUSTER):
            return _of_cluster(url, max_connections, how)
        pool = BlockingConnectionPool.from_url(url, max_connections=max_connections, timeout=timeout_s, **how)
    except ValueError as error:
        schemes = f"redis://, rediss://, unix://, {SENTINEL} or {CLUSTER}"
        # Python's own words show a part of a password that has a slash in it.
        why = str(error) if str(error).startswith("expected ") else ESCAPES
        raise ConfigError([f"redis.url: {without_password(url)} is not {schemes}: {why}"]) from None
    return Redis.from_pool(pool)


class _OfMaster(SentinelConnectionPool):
    """Connections to the master, which end together with those to the sentinels."""

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Close them; each is made again when it is needed."""
        await super().disconnect(inuse_connections)
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


def _by_sentinel(url: str, timeout_s: float, how: dict[str, Any]) -> Redis:
    """A client of whoever is the master; ValueError for a URL without a sentinel or a master's name."""
    master, _, database = urlsplit(url).path.strip("/").partition("/")
    if not master:
        raise ValueError("expected host:port,host:port/MASTER")
    asked = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": how["retry"]}
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        _places(url), sentinel_kwargs=asked
    )
    pool = _OfMaster(  # type: ignore[no-untyped-call]
        master, sentinels, max_connections=SENTINEL_CONNECTIONS, db=int(database or 0),
        **_account(url), **how,
    )  # fmt: skip
    return Redis.from_pool(pool)


def _of_cluster(url: str, max_connections: int, how: dict[str, Any]) -> Redis:
    """A client of a cluster: all our keys have one hash tag, so that one node has them all."""
    nodes = [ClusterNode(host, port) for host, port in _places(url)]
    kept = {name: value for name, value in how.items() if name not in UNKNOWN_TO_CLUSTER}
    made = RedisCluster(startup_nodes=nodes, max_connections=max_connections, **_account(url), **kept)
    return cast("Redis", made)  # it has the same commands


def _places(url: str) -> list[tuple[str, int]]:
    """The hosts and ports in a URL of several; ValueError where one is missing."""
    places = [place.rpartition(":") for place in urlsplit(url).netloc.rpartition("@")[2].split(",")]
    if not all(host and port.isascii() and port.isdigit() for host, _, port in places):
        raise ValueError("expected host:port,host:port")
    return [(host.strip("[]"), int(port)) for host, _, port in places]


def _account(url: str) -> dict[str, Any]:
    """Name and password in a URL."""
    read = urlsplit(url)
    return {
        "username": unquote(read.username) if read.username else None,
        "password": unquote(read.password) if read.password else None,
    }


def describe(error: Exception | str) -> str:
    """Why the store gave no answer, on one line; the bare timeout of asyncio has no words of its own."""
    # redis-py puts its client with all its settings before what each sentinel said.
    text = printable(_SENTINEL_CLIENT.sub(r"\1:\2 ", str(error)), 200).rstrip(".")
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
