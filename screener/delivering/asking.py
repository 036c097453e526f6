"""The dialplan's channels that ask into which mailbox a recording goes, and the one that we have it begin."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from screener.call import DELIVERED_CALL_VARIABLE, DELIVERIES_VARIABLE, OWED_VARIABLE
from screener.errors import AmiError
from screener.headers import Headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from screener.ami import Ami

ASK_S: Final = 10.0
"""A channel asks when the call ends, before the recording is filed, and each five seconds after that."""
NAME_AGAIN_S: Final = 60.0
"""How often the dialplan is told anew what is owed: Asterisk may have been restarted."""
REMEMBERED: Final = 1000
BEGUN: Final = "begun"
"""What stands in Asterisk of a message that goes into its mailbox at this moment."""


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


@dataclass(frozen=True, slots=True)
class Recorded:
    """Whom a recording is of and for whom; `late`: it is told of some time after the end of its call."""

    call_id: str
    stem: Path
    number: str
    did: str
    late: bool = False


class Questions:
    """The latest question about each call, for whoever waits for it."""

    def __init__(self, ami: Ami) -> None:
        self._ami = ami
        self._asked: OrderedDict[str, Question] = OrderedDict()
        self._awaited: dict[str, asyncio.Future[Question]] = {}
        self._naming = asyncio.Lock()

    def hear(self, question: Question) -> None:
        """Take a question; a channel that waits asks again and again."""
        awaited = self._awaited.get(question.call_id)
        if awaited is None:
            self._asked[question.call_id] = question
            if len(self._asked) > REMEMBERED:
                self._asked.popitem(last=False)
        elif not awaited.done():
            awaited.set_result(question)

    async def asked(self, call_id: str, within_s: float) -> Question | None:
        """The question about a call; None when nobody asks within that time."""
        if known := self._asked.pop(call_id, None):
            return known
        awaited = self._awaited[call_id] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait({awaited}, timeout=within_s)
            return awaited.result() if awaited.done() else None
        finally:
            del self._awaited[call_id]

    async def begun(self, recorded: Recorded) -> Question | None:
        """The question of a channel that we have the dialplan begin; None when the recording is gone.

        It begins one at a time, after the next call that ends: that may take days.
        """
        mix, owed = Path(f"{recorded.stem}-mix.wav"), f"{recorded.call_id}:{recorded.stem}"
        async with self._naming:
            while await asyncio.to_thread(mix.exists):
                with suppress(AmiError):
                    await self._ami.act("Setvar", Variable=f"GLOBAL({OWED_VARIABLE})", Value=owed)
                if question := await self.asked(recorded.call_id, NAME_AGAIN_S):
                    return question
        return None

    async def stands(self, question: Question) -> bool:
        """Whether its channel asks about that call still; raises AmiError.

        Asterisk counts anew when it is restarted: another's channel has its name then.
        """
        about = await self._ami.act("Getvar", Channel=question.channel, Variable=DELIVERED_CALL_VARIABLE)
        return bool(about.value == question.call_id)

    async def became(self, call_id: str) -> str:
        """What the dialplan remembers of a delivery: BEGUN, VoiceMail's word, or nothing; raises AmiError."""
        variable = f"GLOBAL({DELIVERIES_VARIABLE})"
        told: str = (await self._ami.act("Getvar", Variable=variable)).value or ""
        return dict(one.rpartition("=")[::2] for one in told.split("/")).get(call_id, "")
