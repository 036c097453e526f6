"""Snapshots in the store: a hash for each feed, one for the snapshot before, and the state of its refreshing.

A snapshot is written beside the one in force, under a name of its own that expires if nobody comes
back for it, and put in force by renaming, in one step. Its fields are patterns; `@` says when it was
new (what a call needs), `@about` the rest.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import RedisError

from screener.state.asking import FEED_KEY, KEYS
from screener.state.connecting import TIMEOUT_S, UNREACHABLE, open_client, unavailable
from screener.state.weighing import Listing, fields_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

T = TypeVar("T")

STATUS_KEY = KEYS + "feeds"
STAGED_S = 3600

_AS_OF, _ABOUT = "@", "@about"
_BEFORE = ":before"
_BATCH = 500
_SWITCH = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('RENAME', KEYS[1], KEYS[4])
redis.call('UNLINK', KEYS[3])
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[3]) end
redis.call('RENAME', KEYS[4], KEYS[2])
redis.call('PERSIST', KEYS[2])
return 1
"""
"""Put KEYS[1] in force as KEYS[2], which becomes KEYS[3], the one before; KEYS[1] may be that one itself."""


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


@asynccontextmanager
async def _needed() -> AsyncIterator[None]:
    """Turn what a store out of reach raises into StateUnavailable."""
    try:
        yield
    except (RedisError, *UNREACHABLE) as error:
        raise unavailable(error) from error
    # The client loses a cancellation that comes with the last bytes of a reply: the service would not stop.
    if (task := asyncio.current_task()) and task.cancelling():
        raise asyncio.CancelledError


class FeedStore:
    """The snapshots as jobs and commands see them. All methods raise StateUnavailable if the store is.

    A snapshot that is being written has a key of its own (`stage`); nobody sees it before `put_in_force`.
    """

    def __init__(self, url: str) -> None:
        self._client: Any = open_client(url, timeout_s=TIMEOUT_S)
        self._switch = self._client.register_script(_SWITCH)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    @_needed()
    async def about(self, name: str) -> About | None:
        """The snapshot in force; None if there is none."""
        return _read(About, await self._client.hget(FEED_KEY + name, _ABOUT))

    @_needed()
    async def statuses(self) -> Mapping[str, Status]:
        """The state of every feed that was ever refreshed."""
        held = await self._client.hgetall(STATUS_KEY)
        return {name: status for name, text in held.items() if (status := _read(Status, text))}

    @_needed()
    async def note(self, name: str, status: Status) -> None:
        """Remember how it went."""
        await self._client.hset(STATUS_KEY, name, json.dumps(asdict(status)))

    @_needed()
    async def find(self, key: str, names: Iterable[str]) -> dict[str, tuple[str, Listing]]:
        """What each feed says of a caller: the deciding pattern and its listing."""
        wanted = list(fields_of(key))
        found: dict[str, tuple[str, Listing]] = {}
        for name in names if wanted else ():
            values = await self._client.hmget(FEED_KEY + name, wanted)
            for pattern, value in zip(wanted, values, strict=True):
                if value is not None:
                    found.setdefault(name, (pattern, Listing.stored(value)))
        return found

    @_needed()
    async def forget(self, name: str) -> None:
        """Remove a feed with all that is known of it."""
        await self._client.unlink(FEED_KEY + name, FEED_KEY + name + _BEFORE)
        await self._client.hdel(STATUS_KEY, name)

    async def roll_back(self, name: str) -> About | None:
        """Swap the snapshot in force with the one before, which is returned; None if there is none."""
        return await self.about(name) if await self._put(FEED_KEY + name + _BEFORE, name) else None

    def stage(self, name: str) -> str:
        """The key of a new snapshot."""
        return f"{FEED_KEY}{name}:{secrets.token_hex(8)}"

    @_needed()
    async def write(self, staged: str, batch: Mapping[str, str | None]) -> None:
        """Add entries, and take out those whose value is None."""
        new = {field: value for field, value in batch.items() if value is not None}
        async with self._client.pipeline(transaction=False) as pipe:
            if new:
                pipe.hset(staged, mapping=new)
            if gone := batch.keys() - new.keys():
                pipe.hdel(staged, *gone)
            pipe.expire(staged, STAGED_S)
            await pipe.execute()

    @_needed()
    async def size(self, staged: str) -> int:
        """How many entries there are by now."""
        return int(await self._client.hlen(staged))

    @_needed()
    async def change(self, staged: str, name: str) -> float:
        """Share of the entries, of this and the snapshot in force together, that are not in both."""
        held = await self._client.hlen(FEED_KEY + name) - len((_AS_OF, _ABOUT))
        new = kept = cursor = 0
        while True:
            cursor, batch = await self._client.hscan(staged, cursor, count=_BATCH)
            if batch:
                values = await self._client.hmget(FEED_KEY + name, list(batch))
                new, kept = new + len(values), kept + sum(value is not None for value in values)
            if cursor == 0:
                return float(1 - kept / (held + new - kept))

    async def put_in_force(self, staged: str, name: str, about: About) -> None:
        """Let calls see it from now on; the snapshot that was in force is kept for a roll-back."""
        await self.write(staged, {_AS_OF: str(about.as_of), _ABOUT: json.dumps(asdict(about))})
        await self._put(staged, name)

    @_needed()
    async def discard(self, staged: str) -> None:
        """Drop what was written; if the store is away it expires by itself."""
        await self._client.unlink(staged)

    @_needed()
    async def _put(self, key: str, name: str) -> bool:
        in_force = FEED_KEY + name
        return bool(await self._switch([key, in_force, in_force + _BEFORE, self.stage(name)], []))


def _read(kind: type[T], text: str | None) -> T | None:
    """The object from its JSON; None for nothing, and for what another program left there."""
    try:
        return kind(**json.loads(text or "null"))
    except (ValueError, TypeError):
        return None
