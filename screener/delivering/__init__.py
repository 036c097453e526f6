"""What was recorded reaches people: in the mailbox that their telephones know, and as a notification.

Only Asterisk's own VoiceMail writes into a mailbox: it locks it, lights the lamp, sends the e-mail, whatever
it is kept in. So a Local channel of the dialplan (`[screener-deliver]`) plays the recording to it. It asks
us where to, with what to say of the caller, and waits meanwhile for the transcript; the caller is long gone.

That they are owed this stands in the ledger before the recording does, and what became of it afterwards: so
what a stop or a kill cuts short is made good at the next start. Only whether a target took a notification in
the last moment before a kill nobody knows: it is sent again, for twice is better than never.
"""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

import structlog

from screener import ledger, telemetry
from screener.call import DELIVER_EVENT, DELIVERED_EVENT, DELIVERS_VARIABLE, MAILBOX_VARIABLES, fits
from screener.delivering import asking
from screener.delivering.asking import BEGUN, Delivered, Question, Questions, Recorded
from screener.delivering.describing import NAME_CHARS, described
from screener.errors import AmiError, CallErased, LedgerError
from screener.ledger import Row
from screener.notifying import titled
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime, tzinfo

    from screener.ami import Ami
    from screener.ledger import CallRecord, Ledger
    from screener.notifying import Notifier

__all__ = ["OWED", "Delivered", "Deliverer", "Question", "Recorded"]

log = structlog.get_logger(__name__)

TRANSCRIPT_S: Final = 300.0
"""How long a message waits for its transcript; the dialplan's channel waits longer, SCREENER_DELIVER_MS."""
OWED: Final = timedelta(days=7)
"""What is older is not made good any more: it stays with the recordings."""
REFUSED: Final = timedelta(hours=1)
"""So long a target that fails is not asked again to tell of a recording."""
FLUSH_S: Final = 5.0
AT_HAND_MAX: Final = 1000
LATE_MAX: Final = 50
"""Of those so many may be made good: new ones, and alarms, must find room beside them."""


class Deliverer:
    """Answers the dialplan's question for each message that `take` was given, and tells `notifier` of it.

    `deliver_to` has a mailbox (`100@default`) for each of our numbers, or beginnings of them.
    """

    def __init__(  # noqa: PLR0913 - what it tells by, each once
        self,
        deliver_to: Mapping[str, str],
        ami: Ami,
        written: Ledger,
        notifier: Notifier | None,
        *,
        clock: Callable[[], datetime],
        zone: tzinfo,
    ) -> None:
        self._deliver_to, self._ami, self._ledger = deliver_to, ami, written
        self._notifier, self._clock, self._zone = notifier, clock, zone
        self._queue: asyncio.Queue[tuple[Recorded, asyncio.Future[None] | None]] = asyncio.Queue()
        self._at_hand: set[str] = set()
        self._telling: set[str] = set()
        """Calls of which the notifier has not yet told."""
        self._refused: dict[str, datetime] = {}
        """Calls of which it could not, and since when: they are not tried again at each gap."""
        self._questions = Questions(ami)

    @property
    def waiting(self) -> int:
        """How many recordings are being delivered, or wait for that."""
        return len(self._at_hand)

    async def announce(self) -> None:
        """Tell a dialplan that has just been connected whether to ask us; raises AmiError."""
        value = "yes" if self._deliver_to else ""
        await self._ami.act("Setvar", Variable=f"GLOBAL({DELIVERS_VARIABLE})", Value=value)

    def receive(self, event: Mapping[str, object]) -> None:
        """Take one event from Asterisk; one that makes no sense is logged."""
        try:
            if event.get("UserEvent") == DELIVER_EVENT:
                self._questions.hear(Question.from_event(event))
            elif event.get("UserEvent") == DELIVERED_EVENT:
                self._file(Delivered.from_event(event))
        except ValueError as error:
            log.error(
                "an event about a message was not understood", call=event.get("Call"), reason=str(error)
            )

    def owe(self, recorded: Recorded) -> None:
        """Note that people are to be told of a recording that is about to be filed."""
        if until := sorted(self._wanted(recorded.did)):
            body = {"number": recorded.number, "did": recorded.did, "until": until}
            self._ledger.append(Row(recorded.call_id, "owed", self._clock(), body))

    def take(self, recorded: Recorded, said: asyncio.Future[None] | None) -> None:
        """Deliver the recording of a call, once it was transcribed if `said` is to come. Never blocks."""
        if not self._deliver_to and not self._tells:
            return
        if len(self._at_hand) >= (LATE_MAX if recorded.late else AT_HAND_MAX):
            log.error(
                "too many messages wait: this one is told of after the next start", call=recorded.call_id
            )
            return
        self._at_hand.add(recorded.call_id)
        self._queue.put_nowait((recorded, said))

    def overdue(self, owed: Iterable[CallRecord]) -> list[CallRecord]:
        """Those of which people are still to be told, as many as there is room for; reads no more of them."""
        busy = self._at_hand | self._telling
        due = (one for one in owed if one.call_id not in busy and self._due(one))
        return list(islice(due, max(0, LATE_MAX - len(busy))))

    def _due(self, one: CallRecord) -> bool:
        about = next(row.body for row in one.rows if row.kind == "owed")
        wanted = self._wanted(str(about.get("did"))).intersection(about.get("until", ()))
        if self._is_refused(one.call_id):
            wanted.discard("notified")
        return any(not _has(one, kind) for kind in wanted)

    def _wanted(self, did: str) -> set[str]:
        """The kinds of the rows by which a recording is settled."""
        wanted = {"delivered": bool(self._mailbox(did)), "notified": self._tells}
        return {kind for kind, is_wanted in wanted.items() if is_wanted}

    async def run(self) -> None:
        """Deliver what there is, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                recorded, said = await self._queue.get()
                group.create_task(self._deliver(recorded, said))

    @property
    def _tells(self) -> bool:
        return self._notifier is not None and self._notifier.tells("recorded")

    def _mailbox(self, did: str) -> str:
        return next((box for pattern, box in self._deliver_to.items() if fits(pattern, did)), "")

    async def _deliver(self, recorded: Recorded, said: asyncio.Future[None] | None) -> None:
        with telemetry.about_call(recorded.call_id):
            try:
                if said:
                    await asyncio.wait({said}, timeout=TRANSCRIPT_S)
                await self._notify(recorded)
                if self._deliver_to:
                    await self._answer(recorded)
            except AmiError as error:
                log.warning("a message is delivered once Asterisk is there again", reason=str(error))
            except CallErased:
                log.info("the call was erased: nobody is told of its message")
            except Exception:
                log.exception("a message was not delivered; it stays with the recordings")
            finally:
                self._at_hand.discard(recorded.call_id)

    async def _notify(self, recorded: Recorded) -> None:
        record = await self._record(recorded.call_id)
        call_id = recorded.call_id
        if not self._notifier or not self._tells or _has(record, "notified"):
            return
        if self._is_refused(call_id):
            return

        def done(targets: int) -> None:
            if targets:
                self._ledger.append(Row(call_id, "notified", self._clock(), {}))
            else:
                self._refused[call_id] = self._clock()
                if len(self._refused) > AT_HAND_MAX:
                    del self._refused[next(iter(self._refused))]
            self._telling.discard(call_id)

        self._telling.add(call_id)
        caller = printable(recorded.number, NAME_CHARS)
        title = titled("recorded", caller=caller, called=printable(recorded.did, NAME_CHARS))
        self._notifier.tell("recorded", title, self._described(recorded, record)[1], done)

    def _is_refused(self, call_id: str) -> bool:
        since = self._refused.get(call_id)
        return since is not None and self._clock() - since < REFUSED

    def _described(self, recorded: Recorded, record: CallRecord | None) -> tuple[str, str]:
        return described(record, self._zone if recorded.late else None)

    async def _record(self, call_id: str) -> CallRecord | None:
        """What is filed of a call, None if the ledger cannot tell; raises CallErased."""
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._ledger.flush(readable=True)
            found = await asyncio.to_thread(ledger.call, self._ledger.path, call_id)
        except (LedgerError, TimeoutError):
            return None
        if found is None and not self._ledger.dropped:
            raise CallErased(call_id)
        return found

    async def _answer(self, recorded: Recorded) -> None:
        mailbox = self._mailbox(recorded.did)
        question = await self._questions.asked(recorded.call_id, asking.ASK_S)
        if question is None and not recorded.late:
            log.warning("the dialplan does not ask where the message goes: are app_originate and "
                        "[screener-deliver] loaded?", mailbox=mailbox)  # fmt: skip
            return
        if question and await self._sent(question, recorded, mailbox):
            return
        while mailbox and (question := await self._begun(recorded, mailbox)):
            if await self._sent(question, recorded, mailbox):
                return

    async def _sent(self, question: Question, recorded: Recorded, mailbox: str) -> bool:
        """Tell a channel where the recording goes; nowhere, if it is there."""
        record = await self._record(recorded.call_id)
        name, reason = self._described(recorded, record)
        number = re.sub(r"[^+0-9*#]", "", recorded.number)[:40]
        to = "" if _has(record, "delivered") else mailbox
        told = dict(zip(MAILBOX_VARIABLES, (to, number, name, reason), strict=True))
        if await self._questions.stands(question) and await self._ami.answer(question, told) == "sent":
            return True
        log.warning("a message could not be delivered yet: it stays with the recordings", mailbox=mailbox)
        return False

    async def _begun(self, recorded: Recorded, mailbox: str) -> Question | None:
        """The question of a channel begun anew, unless there was one before: what it came to is filed."""
        if _has(await self._record(recorded.call_id), "delivered"):
            return None
        if not (status := await self._questions.became(recorded.call_id)):
            return await self._questions.begun(recorded)
        if status != BEGUN:  # else we shall hear of it
            self._file(Delivered(recorded.call_id, status, mailbox, ""))
        return None

    def _file(self, done: Delivered) -> None:
        body = {"mailbox": done.mailbox, "status": done.status, "message": done.message}
        self._ledger.append(Row(done.call_id, "delivered", self._clock(), body))
        if done.status == "SUCCESS":
            log.info("message delivered", call=done.call_id, mailbox=done.mailbox)
        else:
            log.error("a message was not delivered: is the mailbox in voicemail.conf, and not full?",
                      call=done.call_id, mailbox=done.mailbox, status=done.status)  # fmt: skip


def _has(record: CallRecord | None, kind: str) -> bool:
    return record is not None and any(row.kind == kind for row in record.rows)
