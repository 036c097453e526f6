"""What was recorded reaches people: in the mailbox that their telephones know, and as a notification.

Only Asterisk's own VoiceMail writes into a mailbox: it locks it, lights the lamp, sends the e-mail, whatever
it is kept in. So a Local channel of the dialplan (`[screener-deliver]`) plays the recording to it. It asks
us where to, with what to say of the caller, and waits meanwhile for the transcript; the caller is long gone.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from screener import ledger, telemetry
from screener.call import DELIVER_EVENT, DELIVERED_EVENT, DELIVERS_VARIABLE, MAILBOX_VARIABLES, fits
from screener.errors import LedgerError
from screener.headers import Headers
from screener.ledger import Row
from screener.notifying import titled
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from screener.ami import Ami
    from screener.call import Ending
    from screener.ledger import CallRecord, Ledger
    from screener.notifying import Notifier

log = structlog.get_logger(__name__)

TRANSCRIPT_S: Final = 300.0
"""How long a message waits for its transcript; the dialplan's channel waits longer, SCREENER_DELIVER_MS."""
ASK_S: Final = 5.0
"""The dialplan asks when the call ends; the recording is filed after that."""
FLUSH_S: Final = 5.0
REMEMBERED: Final = 1000
NAME_CHARS: Final = 80
REASON_BYTES: Final = 900
"""Asterisk takes lines of 1,024 bytes from its manager interface."""


@dataclass(frozen=True, slots=True)
class Question:
    """A channel that waits to be told where the recording of `call_id` goes."""

    id: str
    channel: str
    asked: float
    deadline_ms: int
    call_id: str

    @classmethod
    def from_event(cls, event: Mapping[str, object]) -> Question:
        """Read a `ScreenerDeliver`; raises ValueError when it is malformed."""
        read = Headers(event)
        return cls(
            id=read.token("Uniqueid"),
            channel=read.token("Channel"),
            asked=float(read.text("Asked")) / 1e6,
            deadline_ms=int(read.text("Deadline")),
            call_id=read.token("Call"),
        )


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of it: SUCCESS, or why not in VoiceMail's word; `message` is its path without ending."""

    call_id: str
    status: str
    mailbox: str
    message: str

    @classmethod
    def from_event(cls, event: Mapping[str, object]) -> Delivered:
        """Read a `ScreenerDelivered`; raises ValueError when it is malformed."""
        read = Headers(event)
        return cls(read.token("Call"), read.text("Status"), read.text("Mailbox"), read.text("Message"))


class Deliverer:
    """Answers the dialplan's question for each message that `take` was given, and tells `notifier` of it.

    `deliver_to` has a mailbox (`100@default`) for each of our numbers, or beginnings of them.
    """

    def __init__(
        self,
        deliver_to: Mapping[str, str],
        ami: Ami,
        written: Ledger,
        notifier: Notifier | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._deliver_to, self._ami, self._ledger = deliver_to, ami, written
        self._notifier, self._clock = notifier, clock
        self._queue: asyncio.Queue[tuple[Ending, asyncio.Future[None] | None]] = asyncio.Queue(REMEMBERED)
        self._asked: OrderedDict[str, asyncio.Future[Question]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many recordings wait for their turn."""
        return self._queue.qsize()

    async def announce(self) -> None:
        """Tell a dialplan that has just been connected whether to ask us; raises AmiError."""
        value = "yes" if self._deliver_to else ""
        await self._ami.act("Setvar", Variable=f"GLOBAL({DELIVERS_VARIABLE})", Value=value)

    def receive(self, event: Mapping[str, object]) -> None:
        """Take one event from Asterisk; one that makes no sense is logged."""
        try:
            if event.get("UserEvent") == DELIVER_EVENT:
                question = Question.from_event(event)
                waiting = self._question(question.call_id)
                if not waiting.done():
                    waiting.set_result(question)
            elif event.get("UserEvent") == DELIVERED_EVENT:
                self._file(Delivered.from_event(event))
        except ValueError as error:
            log.error(
                "an event about a message was not understood", call=event.get("Call"), reason=str(error)
            )

    def take(self, ending: Ending, said: asyncio.Future[None] | None) -> None:
        """Deliver the recording of a call, once it was transcribed if `said` is to come. Never blocks."""
        if not self._deliver_to and not self._notifier:
            return
        try:
            self._queue.put_nowait((ending, said))
        except asyncio.QueueFull:
            log.error("too many messages wait: this one stays with the recordings only", call=ending.id)

    async def run(self) -> None:
        """Deliver what there is, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                ending, said = await self._queue.get()
                group.create_task(self._deliver(ending, said))

    async def _deliver(self, ending: Ending, said: asyncio.Future[None] | None) -> None:
        with telemetry.about_call(ending.id):
            try:
                if said:
                    await asyncio.wait({said}, timeout=TRANSCRIPT_S)
                name, reason = described(await self._record(ending.id))
                if self._notifier:
                    caller = printable(ending.number, NAME_CHARS)
                    title = titled("recorded", caller=caller, called=printable(ending.did, NAME_CHARS))
                    self._notifier.tell("recorded", title, reason)
                if self._deliver_to:
                    await self._answer(ending, name, reason)
            except Exception:
                log.exception("a message was not delivered; it stays with the recordings")

    async def _record(self, call_id: str) -> CallRecord | None:
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._ledger.flush(readable=True)
            return await asyncio.to_thread(ledger.call, self._ledger.path, call_id)
        except (LedgerError, TimeoutError):
            return None

    async def _answer(self, ending: Ending, name: str, reason: str) -> None:
        mailbox = next((box for pattern, box in self._deliver_to.items() if fits(pattern, ending.did)), "")
        try:
            question = await asyncio.wait_for(self._question(ending.id), ASK_S)
        except TimeoutError:
            log.warning("the dialplan does not ask where the message goes: are app_originate and "
                        "[screener-deliver] loaded?", mailbox=mailbox)  # fmt: skip
            return
        finally:
            self._asked.pop(ending.id, None)
        number = re.sub(r"[^+0-9*#]", "", ending.number)[:40]
        values = zip(MAILBOX_VARIABLES, (mailbox, number, name, reason), strict=True)
        if await self._ami.answer(question, dict(values)) != "sent":
            log.error("a message was not delivered; it stays with the recordings", mailbox=mailbox)

    def _question(self, call_id: str) -> asyncio.Future[Question]:
        if call_id not in self._asked:
            self._asked[call_id] = asyncio.get_running_loop().create_future()
            if len(self._asked) > REMEMBERED:
                self._asked.popitem(last=False)
        return self._asked[call_id]

    def _file(self, done: Delivered) -> None:
        body = {"mailbox": done.mailbox, "status": done.status, "message": done.message}
        self._ledger.append(Row(done.call_id, "delivered", self._clock(), body))
        if done.status == "SUCCESS":
            log.info("message delivered", call=done.call_id, mailbox=done.mailbox)
        else:
            log.error("a message was not delivered: is the mailbox in voicemail.conf, and not full?",
                      call=done.call_id, mailbox=done.mailbox, status=done.status)  # fmt: skip


def described(record: CallRecord | None) -> tuple[str, str]:
    """A caller's name for the mailbox, of our own words alone, and the reason with what was said."""
    verdict = record.verdict if record else {}
    if not record or not verdict:
        return "not screened", "the screener was away when this call came"
    forced = verdict.get("forced_by")
    hits = [hit for hit in verdict.get("hits", []) if not hit["shadow"]]
    hits.sort(key=lambda hit: (hit["symbol"] != forced, -abs(hit["score"]), hit["symbol"]))
    score = f"{verdict['score']:g}"
    name = printable(" ".join([score, *(hit["symbol"] for hit in hits)]), NAME_CHARS)
    symbols = " ".join(f"{hit['symbol']}({hit['score']:+g})" for hit in hits)
    parts = [f"score {score}{f', decided by {forced}' * bool(forced)}: {symbols}"]
    if record.call.get("name"):
        parts.append(f"calls himself {printable(record.call['name'], NAME_CHARS)}")
    if text := record.transcript.get("text"):
        parts.append(f"said: {text}")
    # A semicolon would begin a comment in the file that VoiceMail keeps beside the sound.
    line = " - ".join(parts).replace(";", ",")
    return name, printable(line, REASON_BYTES).encode()[:REASON_BYTES].decode(errors="ignore")
