"""What was recorded is filed: waited for, hashed, tied to its call, and handed on to all who use it."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from screener import ledger, number, recordings, telemetry
from screener.call import endpoint
from screener.delivering import OWED, Recorded
from screener.errors import LedgerError, ScreenerError
from screener.ledger import Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from screener.call import Ending
    from screener.delivering import Deliverer
    from screener.facts import Place
    from screener.ledger import CallRecord, Ledger
    from screener.listening import Listener
    from screener.recordings import Recording
    from screener.spool import Spool
    from screener.transcribing import Transcriber

log = structlog.get_logger(__name__)

SETTLE_S = 10.0
"""How long Asterisk may take to close a recording before it is filed as it is."""
ADOPT_S = 1.0
ENDS = timedelta(seconds=5)
"""So long after its recording was closed an Asterisk under load may say that a call is over."""
STILL_WRITTEN_S = 60.0
"""An open recording that nobody has written to for so long will not be closed any more."""
CLOCKS_DIFFER = timedelta(days=1)
"""So far may the clock of the recordings' file system be ahead of ours."""
REMEMBERED = 10_000
"""Calls with a recording whose end was heard: looking for what nobody filed takes some minutes at most."""


class Filing:
    """Files recordings in the ledger; what fails costs the recording and an alarm, nothing else."""

    def __init__(  # noqa: PLR0913 - whoever is given recordings, each once
        self,
        spool: Spool,
        written: Ledger,
        place: Place,
        clock: Callable[[], datetime],
        *,
        listener: Listener | None,
        transcriber: Transcriber | None,
        deliverer: Deliverer,
        leads: Callable[[], bool],
    ) -> None:
        """`leads` says whether we answer for this Asterisk at this moment."""
        self.spool, self.listener = spool, listener
        self._ledger, self._place, self._clock = written, place, clock
        self._transcriber, self._deliverer, self._leads = transcriber, deliverer, leads
        self._concluded: OrderedDict[str, None] = OrderedDict()
        """Calls whose end was heard and whose recordings are filed by it, or about to be."""
        self.unsettled_since = 0.0
        """Since when, at most, a recording has been found open or missing (Unix time); 0: none has."""

    async def conclude(self, ending: Ending) -> None:
        """File what was recorded of a call that is over, once Asterisk has closed it."""
        if ending.unrecorded == "full":
            self.spool.refused_one()
        if not ending.recording:
            if self.listener:
                self.listener.leave(ending.id)
            return
        self._concluded[ending.id] = None
        if len(self._concluded) > REMEMBERED:
            self._concluded.popitem(last=False)
        found = await self._settled(Path(ending.recording), SETTLE_S)
        if sum(one.complete for one in found) < len(recordings.LEGS):  # what is missing may still come
            self._concluded.pop(ending.id, None)
            self.unsettled_since = self.unsettled_since or ending.at.timestamp() - STILL_WRITTEN_S
        about = Recorded(ending.id, Path(ending.recording), ending.number, ending.did)
        self._file(about, found, ending.notice_at)
        if self.listener and any(one.leg == "caller" for one in found):
            region = self._place.region_of(endpoint(ending.channel))
            caller = number.parse(ending.number, region)
            self.listener.hear(ending.id, Path(ending.recording), caller)
        await asyncio.to_thread(self.spool.check)

    async def adopt(self, *, since: float = 0.0) -> bool:
        """File the recordings that were made while nobody listened; whether all are on disk. Never raises.

        Once another screener leads the rest is left to it.
        What was last written to before `since` (Unix time) was another screener's to file, in its ledger.
        """
        try:
            await self._ledger.flush(readable=True)  # what waits is known, too
            # What is older is passed over below: of a large ledger reading all takes many seconds.
            after = datetime.fromtimestamp(since, UTC) - CLOCKS_DIFFER if since else None
            known = await asyncio.to_thread(ledger.filed, self._ledger.path, after)
            for stem in await asyncio.to_thread(recordings.adopt, self.spool.root, known, since):
                if not self._leads():
                    return False
                with telemetry.about_call(stem.name):
                    await self._adopt(stem)
            await self.make_good()
            await self._ledger.flush()
        except ScreenerError as error:
            log.error("recordings could not be looked through", reason=str(error))
        except Exception:
            log.exception("recordings could not be looked through")
        else:
            return self._leads()
        return False

    async def _adopt(self, stem: Path) -> None:
        """File a recording whose call ended while nobody listened, unless it is still being made."""
        found = await self._settled(stem, ADOPT_S)
        since = self._clock() - timedelta(seconds=STILL_WRITTEN_S)
        if not found or any(not one.complete and one.closed_at > since for one in found):
            return
        closed_for = self._clock() - max(one.closed_at for one in found)
        if timedelta() <= closed_for < ENDS:
            await asyncio.sleep((ENDS - closed_for).total_seconds())
        call = await self._known(stem.name)
        if stem.name in self._concluded or not self._leads():  # its end has come meanwhile, or somebody else
            return
        log.info("a recording made while the screener was away", stem=str(stem))
        if not (call and call.end):
            ended = max(one.closed_at for one in found)
            self._ledger.append(Row(stem.name, "end", ended, {"disposition": "recorded"}))
        known = {**call.call, **call.end} if call else {}
        about = Recorded(stem.name, stem, known.get("number", ""), known.get("did", ""), late=True)
        fresh = max(one.closed_at for one in found) > self._clock() - OWED
        # Of one that was filed before, as it was then, people were told.
        tell = fresh and "did" in known and not (call and any(row.kind == "owed" for row in call.rows))
        self._file(about, found, known.get("notice_at", ""), tell=tell)

    async def make_good(self) -> None:
        """Tell people of recordings of which we have not, for we were stopped meanwhile. Never raises."""
        try:
            for one in await asyncio.to_thread(self._overdue):
                with (
                    telemetry.about_call(one.call_id),
                    suppress(ScreenerError),
                ):  # it was said as it was filed
                    await self._tell(one)
        except ScreenerError as error:
            log.error("it is not known of which recordings nobody was told", reason=str(error))
        except Exception:
            log.exception("it is not known of which recordings nobody was told")

    def _overdue(self) -> list[CallRecord]:
        owed = ledger.owed(self._ledger.path, self._clock() - OWED)
        return self._deliverer.overdue(one for one in owed if self._is_here(one))

    async def _tell(self, one: CallRecord) -> None:
        about = next(row.body for row in one.rows if row.kind == "owed")
        stem, said = Path(one.recordings[0]["path"]).parent / one.call_id, None
        if not (found := await recordings.settle(self.spool.root, stem, deadline_s=0)):
            return
        if self._transcriber and not one.transcript:
            for leg in found:
                said = self._transcriber.take(one.call_id, leg) or said
        number, did = str(about.get("number")), str(about.get("did"))
        self._deliverer.take(Recorded(one.call_id, stem, number, did, late=True), said)

    def _is_here(self, call: CallRecord) -> bool:
        """Whether it was recorded by this Asterisk, for a ledger may be of several, and is there still."""
        paths = [Path(one["path"]) for one in call.recordings]
        return any(path.is_relative_to(self.spool.root) and os.path.lexists(path) for path in paths)

    async def _known(self, call_id: str) -> CallRecord | None:
        """What is filed of a call: a screener that was killed may have filed its end, and no more."""
        try:
            return await asyncio.to_thread(ledger.call, self._ledger.path, call_id)
        except LedgerError as error:  # of one call: that it cannot be read must not keep the others out
            log.warning("what is filed of a call cannot be read", reason=str(error))
            return None

    async def _settled(self, stem: Path, deadline_s: float) -> list[Recording]:
        try:
            found = await recordings.settle(self.spool.root, stem, deadline_s=deadline_s)
        except ScreenerError as error:
            self.spool.lost_one("a recording cannot be filed", stem=str(stem), reason=str(error))
            return []
        if not found:
            self.spool.lost_one("the recording is missing: is the disk full?", stem=str(stem))
        return found

    def _file(self, about: Recorded, found: list[Recording], notice_at: str, *, tell: bool = True) -> None:
        """File the legs, and tell people of them once the caller's was transcribed, if it is going to be."""
        if found and tell:
            self._deliverer.owe(about)
        said = None
        for one in found:
            body = {**one.as_dict(), "notice_played_at": notice_at}
            self._ledger.append(Row(about.call_id, "recording", self._clock(), body))
            self.spool.filed_one(about.call_id, one)
            if self._transcriber:
                said = self._transcriber.take(about.call_id, one) or said
        if found and tell:
            self._deliverer.take(about, said)
