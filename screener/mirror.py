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
from typing import TYPE_CHECKING, Any

import structlog

from screener.call import MIRROR_VARIABLE, MIRRORED_VARIABLE
from screener.errors import AmiError
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
AT_ONCE = 50
TAIL = 3
LONGEST = 20
"""The dialplan cuts a caller ID to so many characters."""

_LAST = (True, float("inf"))

PAGES = (
    *(f"n{tail:03}" for tail in range(10**TAIL)),
    *(f"p{length}-{last}" for length in range(1, LONGEST + 1) for last in range(10)),
    "lengths",
)


class Mirror:
    """Keeps Asterisk's copy of the lists; nothing that fails here is felt by a caller.

    `_there` are the pages that are known to be in the database, which says that it holds `_held`. What was
    last laid ready is `_batch`, by the name `_name`: of those pages nothing is known until that is held.
    """

    def __init__(self, ami: Ami, lists: Lists, region: str, clock: Callable[[], float]) -> None:
        self._ami, self._lists, self._region, self._clock = ami, lists, region, clock
        self._wanted: dict[str, str] = {}
        self._there: dict[str, str] = {}
        self._batch: dict[str, str] = {}
        self._version = self._held = self._name = self._laid = ""
        self._changes: int | None = None
        self._due_at = float("inf")
        self._entries = self._dropped = self._batches = 0
        self._agreed_at = clock()

    async def run(self) -> None:
        """Compare and mirror, until cancelled; raises what store or Asterisk raise when they are away."""
        while True:
            await self._ami.ready.wait()
            await self.look()
            await asyncio.sleep(POLL_S)

    def status(self) -> dict[str, Any]:
        """Plain values for `screener status`; `age_s` since Asterisk was last seen to hold all of it."""
        age_s = round(self._clock() - self._agreed_at, 1)
        return {"entries": self._entries, "left_out": self._dropped, "age_s": age_s}

    async def look(self) -> None:
        """See what is wanted and what is there, and hand the difference to the dialplan."""
        await self._learn_wanted()
        held = await self._global(MIRRORED_VARIABLE)
        if not held or held != self._held:
            if held == self._name:
                self._there |= self._batch
            else:  # laid ready by an earlier screener, or another Asterisk, or one that was restarted
                self._there = dict(self._wanted) if held.partition(".")[0] == self._version else {}
            if self._there == self._wanted:
                log.info("Asterisk holds the block entries", entries=self._entries)
            self._held = held
        if self._there == self._wanted:
            self._agreed_at = self._clock()
        # What lies ready since before the last change must not be taken, not even if that was undone.
        if self._laid != self._version or (self._there != self._wanted and not await self._is_waiting()):
            await self._hand_over()

    async def _is_waiting(self) -> bool:
        """Whether what was handed over is still there for the dialplan to take."""
        return (await self._global(MIRROR_VARIABLE)).startswith(f"{self._name}-")

    async def _learn_wanted(self) -> None:
        """Read the lists if they have changed or an entry has expired."""
        changes, now = await self._lists.changes(), self._clock()
        if changes == self._changes and now < self._due_at:
            return
        kept: dict[str, dict[str, Entry]] = {"allow": {}, "block": {}}
        worst = dict.fromkeys(kept, _LAST)
        due_at, seen, blocked = float("inf"), 0, 0
        async for entry in self._lists.all(AT_ONCE):
            seen += 1
            if seen % SCANNED == 0:
                await asyncio.sleep(PAUSE_S)
            if entry.valid_at(now):
                due_at = min(due_at, entry.expires_at or due_at)
                blocked += entry.kind == "block"
                if _rank(entry) >= worst[entry.kind]:  # of a million, most are no better than those kept
                    continue
                one = kept[entry.kind]
                one[entry.pattern] = entry
                if len(one) > 2 * MAX_ENTRIES:
                    kept[entry.kind] = one = _newest(one)
                    worst[entry.kind] = _rank(one[next(reversed(one))])
        entries = chosen(kept["allow"], kept["block"])
        wanted, overflown = await _pages(entries, self._region)
        mirrored = {one.pattern for one in entries}
        dropped = overflown + blocked - sum(name in mirrored for name in kept["block"])
        if dropped != self._dropped:
            log.warning("more entries than Asterisk can hold: some do not hold without us", some=dropped)
        self._wanted, self._dropped, self._due_at, self._changes = wanted, dropped, due_at, changes
        self._version, self._entries = _digest(wanted), len(entries) - overflown

    async def _hand_over(self) -> None:
        """Lay out as much of the difference as fits; the dialplan takes it at the next occasion."""
        differing = {page: text for page, text in self._wanted.items() if self._there.get(page) != text}
        slots, self._batch = _packed(differing)
        self._batches += 1
        name = self._version if len(self._batch) == len(differing) else "unfinished"
        self._name = f"{name}.{int(self._clock() * 1000) + self._batches}"
        self._there = {page: text for page, text in self._there.items() if page not in self._batch}
        await self._set(MIRROR_VARIABLE, "")
        for number, text in enumerate(slots):
            await self._set(f"{MIRROR_VARIABLE}_{number}", text)
            await asyncio.sleep(PAUSE_S)
        await self._set(MIRROR_VARIABLE, f"{self._name}-{len(slots)}")
        self._laid = self._version
        log.info(
            "block entries laid ready for Asterisk",
            entries=self._entries,
            parts=len(self._batch),
            of=len(differing),
        )

    async def _global(self, name: str) -> str:
        return (await self._ami.act("Getvar", Variable=f"GLOBAL({name})")).value or ""

    async def _set(self, name: str, value: str) -> None:
        answer = await self._ami.act("Setvar", Variable=f"GLOBAL({name})", Value=value)
        if not answer.success:
            raise AmiError(f"Asterisk does not set {name}: {answer.message or 'no reason given'}")


def chosen(allow: Mapping[str, Entry], block: Mapping[str, Entry]) -> list[Entry]:
    """What is to hold, at most MAX_ENTRIES: first the allow entries that except a caller from a block entry.

    Where there are too many allow entries to be sure of, no prefix is mirrored: a friend must not be
    taken for one of the blocked.
    """
    block = _newest(block)
    if len(allow) > MAX_ENTRIES:
        block = {name: one for name, one in block.items() if not name.endswith("*")}
    stems = {pattern[:-1] for pattern in block if pattern.endswith("*")}
    needed = {name: one for name, one in allow.items() if name in block or _under(name, stems)}
    return [*needed.values(), *(one for name, one in block.items() if name not in needed)][:MAX_ENTRIES]


def _newest(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Of too many the prefixes and the newest, and one more than can be mirrored, so that it shows."""
    return dict(sorted(entries.items(), key=lambda one: _rank(one[1]))[: MAX_ENTRIES + 1])


def _rank(entry: Entry) -> tuple[bool, float]:
    return not entry.pattern.endswith("*"), -entry.added_at


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
    return hashlib.blake2s(repr(pages).encode(), digest_size=12).hexdigest()
