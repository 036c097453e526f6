"""What callers said is compared with what was heard before: after the call, and while it is recorded.

Never in the way of a call: recordings wait in a bounded queue and are taken one at a time, by a thread
whose arithmetic lets go of the interpreter. Without the extra `audio` nothing is compared.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from screener import recordings, telemetry
from screener.errors import ScreenerError
from screener.ledger import Row

try:
    import numpy as np

    from screener.audio import fingerprint, speech
except ImportError:
    INSTALLED = False
else:
    INSTALLED = True

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime
    from pathlib import Path

    from screener.audio.fingerprint import Print
    from screener.audio.speech import TalkPattern
    from screener.ledger import Ledger
    from screener.number import CallerNumber
    from screener.state import Campaign, Campaigns

log = structlog.get_logger(__name__)

INSTALL: Final = "pip install 'asterisk-screener[audio]'"
HEARD_S: Final = 60.0
"""So much of a recording is compared, however long it is."""
QUEUE_BOUND: Final = 200
LIVE_EVERY_S: Final = 0.5
LIVE_S: Final = 300.0
"""How long after the verdict a recording is waited for and followed: longer than a message may be."""
LIVE_HEARD_S: Final = 30.0
LIVE_BOUND: Final = 60
LIVE_LEARN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Heard:
    """A recording that was filed."""

    call_id: str
    stem: Path
    caller: CallerNumber


@dataclass(slots=True)
class _Followed:
    """A recording that is being made, and when a known campaign was recognised in it (s of recording)."""

    caller: CallerNumber
    until: float
    compared_bytes: int = 0
    recognised_s: float | None = None


class Listener:
    """Keeps the campaigns: `hear` what was recorded, `follow` what is being; `run` does the work."""

    def __init__(
        self, campaigns: Campaigns, ledger: Ledger, spool: Path, clock: Callable[[], datetime]
    ) -> None:
        self._campaigns, self._ledger, self._spool, self._clock = campaigns, ledger, spool, clock
        self._queue: asyncio.Queue[_Heard] = asyncio.Queue(QUEUE_BOUND)
        self._prints: dict[int, Print] = {}
        self._known: dict[int, Campaign] = {}
        self._learn_at = 0.0
        self._followed: dict[str, _Followed] = {}

    @property
    def waiting(self) -> int:
        """How many recordings wait for their turn."""
        return self._queue.qsize()

    @property
    def known(self) -> int:
        """How many different recordings are known, as of the latest that was compared."""
        return len(self._prints)

    def follow(self, call_id: str, caller: CallerNumber) -> None:
        """Look for known campaigns in the recording that is now made of this call, if there is one."""
        if len(self._followed) < LIVE_BOUND:
            self._followed[call_id] = _Followed(caller, asyncio.get_running_loop().time() + LIVE_S)

    def leave(self, call_id: str) -> None:
        """Follow a call no longer: it is over and nothing was recorded."""
        self._followed.pop(call_id, None)

    def hear(self, call_id: str, stem: Path, caller: CallerNumber) -> None:
        """Compare a recording that was filed when its turn comes; `stem` is its path without leg and ending.

        While too many wait it is left out, with a warning. Of a call that was followed the caller is known
        better: its number was read as its trunk writes numbers.
        """
        try:
            self._queue.put_nowait(_Heard(call_id, stem, caller))
        except asyncio.QueueFull:
            log.warning("too many recordings wait: this one is not compared", stem=str(stem))

    async def run(self) -> None:
        """Compare what is to be compared, for ever. While the store is away, recordings are left out."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            while True:
                heard = await self._queue.get()
                with telemetry.about_call(heard.call_id):
                    await self._compare(heard)

    async def _compare(self, heard: _Heard) -> None:
        live = self._followed.pop(heard.call_id, None)
        try:
            pattern, sound = await asyncio.to_thread(self._analysed, heard.stem, HEARD_S)
            body: dict[str, Any] = asdict(pattern) | {"recognised_s": live.recognised_s if live else None}
            if sound.comparable:
                body |= await self._look_up(live.caller if live else heard.caller, sound)
        except ScreenerError as error:
            log.warning("a recording was not compared", stem=str(heard.stem), reason=str(error))
            return
        self._ledger.append(Row(heard.call_id, "campaign", self._clock(), body))

    async def _look_up(self, caller: CallerNumber, sound: Print) -> dict[str, Any]:
        """Count the call for its campaign, and say what is known of that."""
        await self._learn_prints()
        found = await self._search(sound, tuple(self._prints))
        before = (await self._campaigns.find([found]))[0] if found else None
        campaign = await self._campaigns.hear(found, sound.kept().to_bytes(), caller.key, caller.block or "")
        told = {
            "campaign": campaign.id,
            "from_new_number": bool(before and campaign.callers > before.callers),
        }
        told |= {name: value for name, value in asdict(campaign).items() if name != "id"}
        if campaign.known:
            self._learn_at = 0.0
        if campaign.calls > 1:
            log.info("the same recording was heard before", **told)
        return told

    async def _learn_prints(self) -> None:
        """Take over what this and other screeners have stored and forgotten."""
        new, there = await self._campaigns.prints(self._prints)
        prints = {one: kept for one, kept in self._prints.items() if one in there}
        for one, stored in new.items():
            try:
                prints[one] = fingerprint.Print.from_bytes(stored)
            except ValueError as error:
                log.warning("a campaign in the store cannot be read", campaign=one, reason=str(error))
        self._prints = prints

    async def _known_campaigns(self) -> dict[int, Campaign]:
        """Those worth recognising in mid-call, with their prints at hand; half a minute old at most."""
        now = asyncio.get_running_loop().time()
        if now >= self._learn_at:
            self._learn_at = now + LIVE_LEARN_S
            await self._learn_prints()
            every = await self._campaigns.all()
            self._known = {one.id: one for one in every if one.known and one.id in self._prints}
        return self._known

    async def _search(self, sound: Print, among: Collection[int]) -> int | None:
        """The id of the print that is the same recording."""
        prints = {one: self._prints[one] for one in among if one in self._prints}
        found = await asyncio.to_thread(lambda: fingerprint.Shelf(tuple(prints.values())).search(sound))
        return list(prints)[found[0]] if found else None

    def _analysed(self, stem: Path, seconds: float) -> tuple[TalkPattern, Print]:
        samples, both = (
            np.frombuffer(recordings.sound(self._spool, stem, leg, at_most_s=seconds), "<i2").astype(np.int16)
            for leg in recordings.LEGS
        )
        marks = speech.voiced(samples)
        sound = fingerprint.fingerprint(samples, marks)
        if sound.comparable:
            length = min(len(samples), len(both))
            ours = both[:length].astype(np.int32) - samples[:length]
            sound = sound.without_echo(np.clip(ours, -32768, 32767).astype(np.int16))
        return speech.pattern(marks), sound

    async def _watch(self) -> None:
        """Compare what grows, again and again, until it is recognised or over."""
        while True:
            await asyncio.sleep(LIVE_EVERY_S)
            now = asyncio.get_running_loop().time()
            for call_id, live in list(self._followed.items()):
                if now >= live.until:
                    self._followed.pop(call_id, None)
                elif live.recognised_s is None:
                    with telemetry.about_call(call_id), contextlib.suppress(ScreenerError):
                        await self._look_into(call_id, live)

    async def _look_into(self, call_id: str, live: _Followed) -> None:
        for stem in (self._spool / f"{day:%Y-%m-%d}" / call_id for day in self._days()):
            size = await asyncio.to_thread(recordings.caller_bytes, self._spool, stem)
            if size <= live.compared_bytes or live.compared_bytes >= LIVE_HEARD_S * recordings.BYTES_PER_S:
                continue
            live.compared_bytes = size
            _, sound = await asyncio.to_thread(self._analysed, stem, LIVE_HEARD_S)
            if not sound.comparable:
                continue
            known = await self._known_campaigns()
            found = await self._search(sound, tuple(known))
            if found:
                live.recognised_s = round(size / recordings.BYTES_PER_S, 1)
                log.info(
                    "a known campaign speaks",
                    campaign=found,
                    name=known[found].name,
                    verdict=known[found].verdict,
                    after_s=live.recognised_s,
                )

    def _days(self) -> tuple[datetime, datetime]:
        """Recordings lie in a folder of the day (UTC) on which they began."""
        now = self._clock()
        return now, now - timedelta(days=1)
