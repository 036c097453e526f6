"""Allow and block entries: who may always ring, who is known for what, until when, and who said so.

All entries are fields of one hash: the list's letter and the pattern (`b+86177*`), so that the
script of a call asks for every pattern that could match its caller at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from screener.errors import ListEntryRefused, StateUnavailable
from screener.number import parse
from screener.state.asking import LISTS_CHANGES_KEY, LISTS_KEY
from screener.state.connecting import TIMEOUT_S, needed, open_client
from screener.state.patterns import Pattern, matching_fields, read
from screener.state.rows import HEADER, Entry, ListKind, Row, row_of, rows_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

DISK_WAIT_MS = 3000

IMPORTED = Row("", source="import")

_BATCH = 500
_MAX_REPORTED = 1000


@dataclass(slots=True)
class ImportReport:
    """What became of an import; `refused` holds line and reason of the first thousand of all `refusals`."""

    added: int = 0
    refusals: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)

    def refuse(self, line: int, reason: str) -> None:
        """Remember a row that was skipped."""
        self.refusals += 1
        if len(self.refused) < _MAX_REPORTED:
            self.refused.append((line, reason))


class Lists:
    """The lists as commands and jobs see them. All methods raise StateUnavailable if the store is.

    `region` reads national forms; entries that match `own_numbers` (our DIDs) are refused. With
    `durable`, a change is acknowledged only when it is on the store's disk (up to a second, for
    a store that keeps an append-only file).
    """

    def __init__(
        self,
        url: str,
        region: str,
        own_numbers: Iterable[str] = (),
        *,
        durable: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = open_client(url, timeout_s=TIMEOUT_S)
        self._region = region
        self._own = tuple(key for own in own_numbers if (key := parse(own, region).key))
        self._durable = durable
        self._clock = clock

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def add(self, row: Row, *, force: bool = False, alone: bool = False) -> tuple[Entry, ...]:
        """Add or replace an entry, from the next call on; a range gives several.

        `alone`: and remove the entry of exactly the same pattern from the other list.
        Raises ListEntryRefused, with the reason, for what is not a number or prefix, and unless
        `force` for what would do harm (see `patterns`).
        """
        entries = self._entries(row, force=force)
        with needed():
            other = {"block": "a", "allow": "b"}[row.kind]
            gone = [other + entry.pattern for entry in entries] if alone else []
            await self._write({entry.field: entry.value for entry in entries}, gone)
        return entries

    async def remove(self, text: str, kind: ListKind | None = None) -> tuple[Entry, ...]:
        """Remove the entry of exactly this pattern and return it; from both lists unless `kind` names one."""
        there = await self.show(text, kind)
        if there:
            with needed():
                await self._write({}, [entry.field for entry in there])
        return there

    async def show(self, text: str, kind: ListKind | None = None) -> tuple[Entry, ...]:
        """The entries of exactly this pattern, expired ones included."""
        letters = "ab" if kind is None else kind[0]
        return await self._fetch([a + pattern.text for pattern in read(text, self._region) for a in letters])

    async def find(self, number: str) -> tuple[Entry, ...]:
        """Every entry that matches a call from this number and has not expired; the first one decides."""
        key = parse(number, self._region).key
        now = self._clock()
        return tuple(entry for entry in await self._fetch(matching_fields(key)) if entry.valid_at(now))

    async def all(self, at_once: int = _BATCH) -> AsyncIterator[Entry]:
        """Every entry in no order, expired ones included, while the lists stay in use.

        About `at_once` are read in one go, 5 µs each in which nothing else is done.
        Entries that are added or removed meanwhile may be missed, and where many are removed others may come
        twice: to remember a million of them would cost more than a line too many.
        """
        with needed():
            async for name, value in self._client.hscan_iter(LISTS_KEY, count=at_once):
                if (entry := Entry.stored(name, value)) is not None:
                    yield entry

    async def changes(self) -> int:
        """A number that is another after every change of the lists."""
        with needed():
            return int(await self._client.get(LISTS_CHANGES_KEY) or 0)

    async def purge(self) -> int:
        """Forget expired entries, which match nothing but take memory; how many there were."""
        now = self._clock()
        expired = [entry.field async for entry in self.all() if not entry.valid_at(now)]
        with needed():
            for start in range(0, len(expired), _BATCH):
                await self._write({}, expired[start : start + _BATCH])
        return len(expired)

    async def load(
        self,
        lines: Iterable[str],
        *,
        like: Row = IMPORTED,
        force: bool = False,
    ) -> ImportReport:
        """Import lines of text or CSV (see `rows`); bad rows are skipped and reported, the others are added.

        `like` stands in for what a row leaves open: list, reason, source, who, expiry.
        """
        report = ImportReport()
        batch: dict[str, str] = {}
        for line, row in rows_in(lines):
            try:
                entries = self._imported(row, like, force=force)
            except ListEntryRefused as refusal:
                report.refuse(line, str(refusal))
                continue
            if len(batch) >= _BATCH:
                with needed():
                    await self._write(batch, durable=False)
                batch.clear()
            batch.update((entry.field, entry.value) for entry in entries)
            report.added += len(entries)
        with needed():
            await self._write(batch)
        return report

    async def export(self) -> AsyncIterator[str]:
        """Every entry as a line of CSV after a header; `load` takes them back as they were."""
        yield HEADER
        async for entry in self.all():
            yield row_of(entry)

    def _imported(self, row: Row | str, like: Row, *, force: bool) -> tuple[Entry, ...]:
        if isinstance(row, str):
            raise ListEntryRefused(row)
        return self._entries(row.completed(like), force=force)

    def _entries(self, row: Row, *, force: bool) -> tuple[Entry, ...]:
        patterns = read(row.text, self._region, self._own)
        for pattern in patterns:
            if not force and _harms(pattern, row.kind):
                raise ListEntryRefused(f"{pattern.harm}; --force if you mean it")
        now = int(self._clock())
        return tuple(Entry.of(pattern.text, row, now) for pattern in patterns)

    async def _fetch(self, fields: Iterable[str]) -> tuple[Entry, ...]:
        names = list(fields)
        if not names:
            return ()
        with needed():
            values = await cast("Awaitable[list[str | None]]", self._client.hmget(LISTS_KEY, names))
        pairs = zip(names, values, strict=True)
        found = (Entry.stored(name, value) for name, value in pairs if value is not None)
        return tuple(entry for entry in found if entry is not None)

    async def _write(self, new: dict[str, str], gone: Iterable[str] = (), *, durable: bool = True) -> None:
        names = list(gone)
        if not new and not names:
            return
        # One connection for all: WAITAOF waits for what was written through its own, by any command before.
        async with self._client.pipeline(transaction=False) as pipe:
            if new:
                pipe.hset(LISTS_KEY, mapping=cast("dict[Any, Any]", new))
            if names:
                pipe.hdel(LISTS_KEY, *names)
            pipe.incr(LISTS_CHANGES_KEY)
            if durable and self._durable:
                pipe.waitaof(1, 0, DISK_WAIT_MS)
            replies = await pipe.execute(raise_on_error=False)
        for reply in replies[: bool(new) + bool(names)]:
            if isinstance(reply, Exception):
                raise reply
        # An error reply: the store keeps no append-only file, or is too old to be asked; it promises nothing.
        on_disk = replies[-1] if durable and self._durable else None
        if isinstance(on_disk, list) and on_disk[0] < 1:
            raise StateUnavailable(f"the change is made, but was not on disk after {DISK_WAIT_MS} ms")


def _harms(pattern: Pattern, kind: ListKind) -> bool:
    return bool(pattern.harm) and (kind == "block" or pattern.harms_allow)
