"""Keeping the feeds fresh: a task beside the calls, which never waits for them nor makes them wait.

When each feed is due stands in the store, so that restarts do not hammer the publishers. Rows are
read in a thread, a few milliseconds at a time, and written in small batches.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import structlog

from screener import number
from screener.errors import FeedRefused, ScreenerError
from screener.feeds.fetch import fetch
from screener.feeds.firewall import Snapshot
from screener.feeds.store import About, FeedStore, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from screener.config.feeds import Feed

log = structlog.get_logger(__name__)

TICK_S = 30.0
SLICE = 200
"""Rows that are read in one go: about 15 ms of a thread."""
FIRST_PAUSE_S = 300.0
JITTER = 0.1
HOUR_S, DAY_S = 3600.0, 86400.0


class Refresher:
    """Refreshes the feeds that are enabled; `feeds` may be replaced at any time."""

    def __init__(
        self,
        store: FeedStore,
        feeds: Mapping[str, Feed],
        region: str,
        own_numbers: Iterable[str],
        *,
        clock: Callable[[], float],
    ) -> None:
        self.store, self.feeds, self._region, self._clock = store, feeds, region, clock
        self._own = tuple(key for own in own_numbers if (key := number.parse(own, region).key))

    async def close(self) -> None:
        """Close the connections of the store."""
        await self.store.close()

    async def run(self) -> None:
        """Refresh what is due, for ever; raises StateUnavailable when the store is."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.refresh_due()

    async def refresh_due(self) -> None:
        """Refresh each feed whose time has come, and forget those that are switched off or gone."""
        statuses = await self.store.statuses()
        for name in statuses.keys() - {name for name, feed in self.feeds.items() if feed.enabled}:
            await self.store.forget(name)
        for name, feed in list(self.feeds.items()):
            status = statuses.get(name, Status())
            latest = status.checked_at + feed.refresh_hours * HOUR_S * (1 + JITTER)
            if feed.enabled and self._clock() >= min(status.next_at, latest):
                with contextlib.suppress(FeedRefused):  # it is logged, and stands in the status
                    await self.refresh(name)

    async def refresh(self, name: str) -> About:
        """Fetch a feed and put it in force; its snapshot, which may still be the old one.

        Raises FeedRefused, after an alarm in the log and the status, when the snapshot before stays.
        """
        feed = self.feeds[name]
        status = (await self.store.statuses()).get(name, Status())
        try:
            about = await self._taken(name, feed, status)
        except FeedRefused as refusal:
            failures = status.failures + 1
            pause_s = min(FIRST_PAUSE_S * 2 ** min(failures - 1, 16), feed.refresh_hours * HOUR_S)
            log.error(
                "a feed was refused, its snapshot before stays in force",
                feed=name,
                reason=str(refusal),
                failures=failures,
            )
            await self._note(name, replace(status, failures=failures, problem=str(refusal)), pause_s)
            raise
        await self._note(name, replace(status, failures=0, problem=""), feed.refresh_hours * HOUR_S)
        return about

    async def roll_back(self, name: str) -> About:
        """Put the snapshot before in force again; the present one is not taken a second time."""
        bad = await self.store.about(name)
        if (about := await self.store.roll_back(name)) is None:
            raise FeedRefused(f"there is no snapshot of {name} before the present one")
        status = (await self.store.statuses()).get(name, Status())
        await self.store.note(name, replace(status, avoid=bad.digest if bad else ""))
        log.warning("a feed was rolled back", feed=name, entries=about.entries)
        return about

    async def _note(self, name: str, status: Status, pause_s: float) -> None:
        spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - so that not all sites ask at once
        now = int(self._clock())
        await self.store.note(name, replace(status, checked_at=now, next_at=now + int(pause_s * spread)))

    async def _taken(self, name: str, feed: Feed, status: Status) -> About:
        """Fetch, judge and put in force what is new; the snapshot that we hold if nothing is."""
        held = await self.store.about(name)
        if held is None or held.source != feed.source:
            held = About()  # whoever changed the source knows that it is another list
        fetched = await fetch(feed, held.etag, held.modified)
        digest = await asyncio.to_thread(_digest, fetched.raw) if fetched else held.digest
        if fetched is None or digest == held.digest:
            return self._unchanged(feed, held)
        if digest == status.avoid:
            raise FeedRefused("still the snapshot that was rolled back")
        now = self._clock()
        as_of = int(min(now, now if fetched.as_of is None else fetched.as_of))
        if now - as_of > feed.max_age_days * DAY_S:
            raise FeedRefused(f"is {(now - as_of) / DAY_S:.0f} days old (max_age_days)")
        if fetched.as_of is not None and as_of < held.as_of:
            raise FeedRefused("is older than the snapshot that we hold")
        about = About(as_of, int(now), feed.source, fetched.etag, fetched.modified, digest)
        staged = self.store.stage(name)
        try:
            about = await self._staged(staged, Snapshot(fetched.raw, feed, self._region, self._own), about)
            await self._judge(name, feed, held, about, staged)
            await self.store.put_in_force(staged, name, about)
        except BaseException:
            with contextlib.suppress(ScreenerError):
                await self.store.discard(staged)
            raise
        log.info("feed taken", feed=name, entries=about.entries, bad=about.bad, first_bad=about.first_bad)
        return about

    def _unchanged(self, feed: Feed, held: About) -> About:
        """The snapshot that we hold; an alarm if its publisher has gone to sleep."""
        if not held.entries:
            raise FeedRefused("the server says that nothing has changed, but we hold no snapshot")
        if (age_s := self._clock() - held.as_of) > feed.max_age_days * DAY_S:
            raise FeedRefused(f"has not changed for {age_s / DAY_S:.0f} days (max_age_days)")
        return held

    async def _staged(self, staged: str, snapshot: Snapshot, about: About) -> About:
        """Write the new snapshot, and say what is in it."""
        fields = snapshot.fields()
        while batch := await asyncio.to_thread(lambda: dict(islice(fields, SLICE))):
            await self.store.write(staged, batch)
        return replace(
            about,
            version=snapshot.version,
            entries=await self.store.size(staged),
            bad=snapshot.bad,
            first_bad=snapshot.first_bad,
        )

    async def _judge(self, name: str, feed: Feed, held: About, about: About, staged: str) -> None:
        """Refuse a whole that does not look like the next snapshot of this feed."""
        if about.entries == 0:
            raise FeedRefused("holds no entry")
        if held.version and about.version is not None and about.version < held.version:
            raise FeedRefused(f"is version {about.version}, older than {held.version} that we hold")
        if held.entries and (change := await self.store.change(staged, name)) > feed.max_change:
            raise FeedRefused(
                f"would change {change:.0%} of the entries, more than {feed.max_change:.0%} (max_change); "
                f"if that is right: screener feed refresh {name} --any-change"
            )


def _digest(raw: bytes) -> str:
    return hashlib.blake2b(raw, digest_size=16).hexdigest()
