"""The lists in Asterisk's own database, so that the operator's word holds while the screener is away.

Asterisk lets no manager account with the right `call` alone touch its database, and we want no more
rights. So the screener lays what is to be written into global variables, and the dialplan, which may,
writes it: after each call, and before it reads the mirror. `dialplan/README.md` has the names.

The database holds pages, each a list of entries `/FORM=b` or `/FORM=a:EXPIRES` with every form in which
a number can arrive: page `nXXX` the numbers that end in XXX, `pLENGTH-X` the beginnings of that length that
end in X. There are so few pages that all can be written anew when it is unknown what is there.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from screener.call import MIRROR_VARIABLE, MIRRORED_VARIABLE
from screener.errors import AmiError, StateUnavailable
from screener.state import forms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from screener.ami import Ami
    from screener.state import Entry, Lists

log = structlog.get_logger(__name__)

POLL_S = 2.0
"""How often it is asked whether the lists, or what Asterisk holds of them, have changed."""
MAX_ENTRIES = 5_000
PAGE_BYTES = 900
"""Asterisk reads lines of 1,024 bytes from a manager client."""
SLOT_BYTES = 940
SLOTS = 32
PAUSE_S = 0.01
"""After each value that is sent and each SLICE numbers that are written out: calls go first."""
SLICE = 5
SCANNED = 400
"""Entries that are read from the store between two pauses."""
TAIL = 3
LONGEST = 20
"""The dialplan cuts a caller ID to so many characters."""

PAGES = (
    *(f"n{tail:03}" for tail in range(10**TAIL)),
    *(f"p{length}-{last}" for length in range(1, LONGEST + 1) for last in range(10)),
    "lengths",
)


@dataclass(slots=True)
class Selection:
    """What of the lists is mirrored; `dropped` counts what is left out.

    An allow entry is an exception to a shorter block entry. Where not all exceptions fit, no prefix is
    mirrored: a friend must not be taken for one of the blocked.
    """

    allow: dict[str, Entry] = field(default_factory=dict)
    block: dict[str, Entry] = field(default_factory=dict)
    dropped: int = 0
    _exceptions_lost: bool = False

    def add(self, entry: Entry) -> None:
        """Take an entry; of too many the prefixes and the newest are kept."""
        one = self.allow if entry.kind == "allow" else self.block
        one[entry.pattern] = entry
        if len(one) >= 2 * MAX_ENTRIES:
            self._cut(one)

    def entries(self) -> list[Entry]:
        """What is to hold, the exceptions first."""
        for one in (self.allow, self.block):
            self._cut(one)
        if self._exceptions_lost:
            exact = {name: one for name, one in self.block.items() if not name.endswith("*")}
            self.dropped += len(self.block) - len(exact)
            self.block = exact
        stems = {pattern[:-1] for pattern in self.block if pattern.endswith("*")}
        needed = [one for name, one in self.allow.items() if name in self.block or _under(name, stems)]
        excepted = {one.pattern for one in needed}
        chosen = needed + [one for name, one in self.block.items() if name not in excepted]
        self.dropped += max(0, len(chosen) - MAX_ENTRIES)
        return chosen[:MAX_ENTRIES]

    def _cut(self, entries: dict[str, Entry]) -> None:
        if len(entries) <= MAX_ENTRIES:
            return
        ranked = sorted(entries.values(), key=lambda one: (not one.pattern.endswith("*"), -one.added_at))
        self.dropped += len(ranked) - MAX_ENTRIES
        self._exceptions_lost |= entries is self.allow
        for one in ranked[MAX_ENTRIES:]:
            del entries[one.pattern]


class Mirror:
    """Keeps Asterisk's copy of the lists; nothing that fails here is felt by a caller."""

    def __init__(self, ami: Ami, lists: Lists, region: str, clock: Callable[[], float]) -> None:
        self._ami, self._lists, self._region, self._clock = ami, lists, region, clock
        self._wanted: dict[str, str] = {}
        self._there: dict[str, str] = {}
        self._version = self._held = ""
        self._changes: int | None = None
        self._due_at = float("inf")
        self._dropped = self._entries = self._batches = 0
        self._pending: tuple[str, dict[str, str]] | None = None

    async def run(self) -> None:
        """Compare and mirror, until cancelled."""
        while True:
            await self._ami.ready.wait()
            try:
                await self.look()
            except (AmiError, StateUnavailable) as error:
                log.warning("the block entries could not be mirrored; trying again", reason=str(error))
            except Exception:
                log.exception("the block entries could not be mirrored; trying again")
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """See what is wanted and what is there, and hand the difference to the dialplan."""
        changed = await self._learn_wanted()
        held = (await self._ami.act("Getvar", Variable=f"GLOBAL({MIRRORED_VARIABLE})")).value or ""
        if held.partition(".")[0] == self._version:
            if self._there != self._wanted:
                log.info("Asterisk holds the block entries", entries=self._entries)
            self._there, self._pending, self._held = dict(self._wanted), None, held
            return
        if self._pending and held == self._pending[0]:
            self._there.update(self._pending[1])
            self._pending, self._held = None, held
        elif self._pending and not changed and await self._is_waiting(self._pending[0]):
            return
        if held != self._held or not held:
            self._there = {}  # another Asterisk, or one that was restarted
        await self._hand_over()

    async def _is_waiting(self, name: str) -> bool:
        """Whether what was handed over is still there for the dialplan to take."""
        answer = await self._ami.act("Getvar", Variable=f"GLOBAL({MIRROR_VARIABLE})")
        return str(answer.value or "").startswith(f"{name}-")

    async def _learn_wanted(self) -> bool:
        """Read the lists if they have changed or an entry has expired; whether it was so."""
        changes, now = await self._lists.changes(), self._clock()
        if changes == self._changes and now < self._due_at:
            return False
        selection, due_at, seen = Selection(), float("inf"), 0
        async for entry in self._lists.all():
            seen += 1
            if seen % SCANNED == 0:
                await asyncio.sleep(PAUSE_S)
            if entry.valid_at(now):
                selection.add(entry)
                due_at = min(due_at, entry.expires_at or due_at)
        entries = selection.entries()
        wanted, overflown = await _pages(entries, self._region)
        dropped = selection.dropped + overflown
        if dropped != self._dropped:
            log.warning(
                "more entries than Asterisk can hold for us: some do not hold without us", some=dropped
            )
        self._wanted, self._dropped, self._due_at, self._changes = wanted, dropped, due_at, changes
        self._version, self._entries = _digest(wanted), len(entries) - overflown
        return True

    async def _hand_over(self) -> None:
        """Lay out as much of the difference as fits; the dialplan takes it at the next occasion."""
        differing = {
            page: self._wanted.get(page, "")
            for page in PAGES
            if self._there.get(page) != self._wanted.get(page, "")
        }
        slots, batch = _packed(differing)
        name = self._version if len(batch) == len(differing) else "unfinished"
        self._batches += 1
        name = f"{name}.{int(self._clock() * 1000) + self._batches}"
        if self._pending:  # some of what it replaces may have been taken by now
            for page in self._pending[1].keys() - batch.keys():
                self._there.pop(page, None)
        for page in batch:
            self._there.pop(page, None)
        await self._set(MIRROR_VARIABLE, "")
        for number, text in enumerate(slots):
            await self._set(f"{MIRROR_VARIABLE}_{number}", text)
            await asyncio.sleep(PAUSE_S)
        await self._set(MIRROR_VARIABLE, f"{name}-{len(slots)}")
        self._pending = (name, batch)
        log.info(
            "block entries laid ready for Asterisk",
            entries=self._entries,
            parts=len(batch),
            of=len(differing),
        )

    async def _set(self, name: str, value: str) -> None:
        answer = await self._ami.act("Setvar", Variable=f"GLOBAL({name})", Value=value)
        if not answer.success:
            raise AmiError(f"Asterisk does not set {name}: {answer.message or 'no reason given'}")


async def _pages(entries: Iterable[Entry], region: str) -> tuple[dict[str, str], int]:
    """The content of every page, and how many entries did not fit."""
    found = dict.fromkeys(PAGES, "")
    lengths: set[int] = set()
    overflown = 0
    for count, entry in enumerate(entries):
        if count % SLICE == SLICE - 1:
            await asyncio.sleep(PAUSE_S)
        for form in forms(entry.pattern, region):
            stem = form.removesuffix("*")
            page = f"p{len(stem)}-{stem[-1]}" if form.endswith("*") else f"n{stem[-TAIL:]}"
            text = found.get(page, "") + f"/{stem}={_value(entry)}"
            if page not in found or len(text) > PAGE_BYTES or len(stem) > LONGEST:
                overflown += 1
                break
            found[page] = text
            if form.endswith("*"):
                lengths.add(len(stem))
    found["lengths"] = "-".join(map(str, sorted(lengths, reverse=True)))
    return found, overflown


def _packed(pages: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """As many pages as fit into the slots; the slots, and what is in them."""
    slots: list[str] = []
    taken: dict[str, str] = {}
    for page, content in pages.items():
        item = f"{page}>{content}"
        if slots and len(slots[-1]) + 1 + len(item) <= SLOT_BYTES:
            slots[-1] += f"&{item}"
        elif len(slots) < SLOTS:
            slots.append(item)
        else:
            break
        taken[page] = content
    return slots, taken


def _value(entry: Entry) -> str:
    return entry.kind[0] if entry.expires_at is None else f"{entry.kind[0]}:{entry.expires_at}"


def _under(pattern: str, stems: set[str]) -> bool:
    return any(pattern[:length] in stems for length in range(2, len(pattern) + 1))


def _digest(pages: Mapping[str, str]) -> str:
    text = "\n".join(f"{page}>{pages[page]}" for page in sorted(pages))
    return hashlib.blake2s(text.encode(), digest_size=12).hexdigest()
