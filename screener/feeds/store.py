"""Snapshots in the store: a hash for each feed, one for the snapshot before, and the state of its refreshing.

A snapshot is written beside the one in force, under a name of its own that expires if nobody comes
back for it, and put in force by renaming, in one step. Its fields are patterns; `@` says when it was
new (what a call needs), `@about` the rest.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar, cast

from redis.exceptions import RedisError

from screener.state.client import FEED_KEY, KEYS, UNREACHABLE, open_client, unavailable
from screener.state.weighing import Listing, fields_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator, Mapping

T = TypeVar("T")

STATUS_KEY = KEYS + "feeds"
TIMEOUT_S = 5.0
STAGED_S = 3600

_AS_OF, _ABOUT = "@", "@about"
_BEFORE = ":before"
_BATCH = 500
_SWITCH = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('UNLINK', KEYS[3])
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[3]) end
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('PERSIST', KEYS[2])
return 1
"""
_SWAP = """
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[3]) end
redis.call('RENAME', KEYS[2], KEYS[1])
if redis.call('EXISTS', KEYS[3]) == 1 then redis.call('RENAME', KEYS[3], KEYS[2]) end
return 1
"""


@dataclass(frozen=True, slots=True)
class About:
    """A snapshot: when it was new and when we took it (Unix times), what its server called it, its size."""

    as_of: int = 0
    taken_at: int = 0
    source: str = ""
    etag: str = ""
    modified: str = ""
    digest: str = ""
    version: int | None = None
    entries: int = 0
    bad: int = 0
    first_bad: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """How refreshing goes; `problem` is the alarm, empty when all is well. Times are Unix times.

    `avoid` is the digest of a snapshot that was rolled back: it is not taken again.
    """

    checked_at: int = 0
    next_at: int = 0
    failures: int = 0
    problem: str = ""
    avoid: str = ""


class FeedStore:
    """The snapshots as jobs and commands see them. All methods raise StateUnavailable if the store is."""

    def __init__(self, url: str) -> None:
        self._client = open_client(url, timeout_s=TIMEOUT_S)
        self._switch = self._client.register_script(_SWITCH)
        self._swap = self._client.register_script(_SWAP)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def about(self, name: str, *, before: bool = False) -> About | None:
        """The snapshot in force, or the one before it; None if there is none."""
        with needed():
            key = FEED_KEY + name + _BEFORE * before
            return _read(About, await cast("Awaitable[str | None]", self._client.hget(key, _ABOUT)))

    async def statuses(self) -> Mapping[str, Status]:
        """The state of every feed that was ever refreshed."""
        with needed():
            held = await cast("Awaitable[dict[str, str]]", self._client.hgetall(STATUS_KEY))
        return {name: status for name, text in held.items() if (status := _read(Status, text))}

    async def note(self, name: str, status: Status) -> None:
        """Remember how it went."""
        with needed():
            await self._client.hset(STATUS_KEY, name, json.dumps(asdict(status)))

    async def find(self, key: str, names: Iterable[str]) -> dict[str, tuple[str, Listing]]:
        """What each feed says of a caller: the deciding pattern and its listing."""
        found: dict[str, tuple[str, Listing]] = {}
        for name in names if (wanted := list(fields_of(key))) else ():
            with needed():
                values = await cast("Awaitable[list[Any]]", self._client.hmget(FEED_KEY + name, wanted))
            pairs = zip(wanted, values, strict=True)
            first = next(((pattern, value) for pattern, value in pairs if value is not None), None)
            if first:
                found[name] = first[0], Listing.stored(first[1])
        return found

    async def forget(self, name: str) -> None:
        """Remove a feed with all that is known of it."""
        with needed():
            await self._client.unlink(FEED_KEY + name, FEED_KEY + name + _BEFORE)
            await self._client.hdel(STATUS_KEY, name)

    async def roll_back(self, name: str) -> bool:
        """Swap the snapshot in force with the one before; False if there is none."""
        key = FEED_KEY + name
        with needed():
            return bool(await self._swap([key, key + _BEFORE, f"{key}:{secrets.token_hex(8)}"], []))

    def stage(self, name: str) -> Staged:
        """Begin a new snapshot."""
        return Staged(self, name, f"{FEED_KEY}{name}:{secrets.token_hex(8)}")


@dataclass(frozen=True, slots=True)
class Staged:
    """A snapshot that is being written; nobody sees it before `put_in_force`."""

    store: FeedStore
    name: str
    key: str

    async def write(self, batch: Mapping[str, str | None]) -> None:
        """Add entries, and take out those whose value is None."""
        new = {field: value for field, value in batch.items() if value is not None}
        gone = [field for field, value in batch.items() if value is None]
        with needed():
            async with self.store._client.pipeline(transaction=False) as pipe:  # noqa: SLF001 - one store, two classes
                if new:
                    pipe.hset(self.key, mapping=cast("dict[Any, Any]", new))
                if gone:
                    pipe.hdel(self.key, *gone)
                pipe.expire(self.key, STAGED_S)
                await pipe.execute()

    async def size(self) -> int:
        """How many entries there are by now."""
        with needed():
            return await self.store._client.hlen(self.key)  # noqa: SLF001

    async def change(self) -> float:
        """Share of the entries, of this and the snapshot in force together, that are not in both."""
        client, in_force = self.store._client, FEED_KEY + self.name  # noqa: SLF001
        with needed():
            held = await client.hlen(in_force) - len((_AS_OF, _ABOUT))
            new = kept = cursor = 0
            while True:
                cursor, batch = await client.hscan(self.key, cursor, count=_BATCH)
                if batch:
                    values = await cast("Awaitable[list[Any]]", client.hmget(in_force, list(batch)))
                    new, kept = new + len(values), kept + sum(value is not None for value in values)
                if cursor == 0:
                    return 1 - kept / (held + new - kept)

    async def put_in_force(self, about: About) -> None:
        """Let calls see it from now on; the snapshot that was in force is kept for a roll-back."""
        in_force = FEED_KEY + self.name
        await self.write({_AS_OF: str(about.as_of), _ABOUT: json.dumps(asdict(about))})
        with needed():
            await self.store._switch([self.key, in_force, in_force + _BEFORE], [])  # noqa: SLF001

    async def discard(self) -> None:
        """Drop what was written; if the store is away it expires by itself."""
        with needed():
            await self.store._client.unlink(self.key)  # noqa: SLF001


@contextmanager
def needed() -> Iterator[None]:
    """Turn what a store out of reach raises into StateUnavailable."""
    try:
        yield
    except (RedisError, *UNREACHABLE) as error:
        raise unavailable(error) from error
    # The client loses a cancellation that comes with the last bytes of a reply: the service would not stop.
    if (task := asyncio.current_task()) and task.cancelling():
        raise asyncio.CancelledError


def _read(kind: type[T], text: str | None) -> T | None:
    """The object from its JSON; None for nothing, and for what another program left there."""
    try:
        held = json.loads(text or "null")
        return kind(**{key.name: held[key.name] for key in fields(cast("Any", kind))})
    except (ValueError, TypeError, KeyError):
        return None
