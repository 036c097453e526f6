"""Star codes: one of our own telephones puts the last caller on a list, or awaits a call with a code.

The dialplan asks who that was and reads the number back; when the person has confirmed it orders the
entry, naming the number, so that a call that comes in meanwhile does not change who is meant. Nothing
is remembered in between: each step looks into the ledger, so that a restart changes nothing, either.
`dialplan/README.md` says who is heard and who is not.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, cast

import structlog

from screener import ledger, number, telemetry
from screener.call import CODE_EVENT, CODE_VARIABLE, endpoint
from screener.errors import ListEntryRefused, ScreenerError
from screener.headers import Headers
from screener.number import Kind
from screener.state import ListKind, Row
from screener.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from screener.ami import Ami
    from screener.facts import Place
    from screener.number import CallerNumber
    from screener.state import Learning, Lists

log = structlog.get_logger(__name__)

BACK = timedelta(hours=24)
"""How far back the last caller may be."""
EXPECTING_S = 600
"""As the voice says: for ten minutes."""
AT_ONCE = 8
"""Star codes that are followed at the same time: looking into the ledger must not cost calls."""


class Step(StrEnum):
    """What a star code wants: to know who called last, to have him put on a list, or to await a code."""

    LAST = "last"
    DO = "do"
    EXPECT = "expect"


@dataclass(frozen=True, slots=True)
class Code:
    """A star code that was dialled on `channel`; `list` is "block", "allow", or empty.

    `number` is the caller's whom the person has heard and means, empty while he has not heard it.
    """

    id: str
    channel: str
    step: Step
    at: datetime
    asked: float
    deadline_ms: int
    list: str
    number: str

    @property
    def phone(self) -> str:
        """The telephone, as Asterisk names its endpoint: `PJSIP/reception`."""
        return endpoint(self.channel)

    @classmethod
    def from_event(cls, event: Mapping[str, object], at: datetime) -> Code:
        """Read a `ScreenerCode`; raises ValueError when it is not one that can be answered."""
        read = Headers(event)
        step, which = Step(read.text("Step")), read.text("List")
        if which not in ({""} if step is Step.EXPECT else {"block", "allow"}):
            msg = f"there is no list {escaped(which[:20])}"
            raise ValueError(msg)
        return cls(
            id=read.token("Uniqueid"),
            channel=read.token("Channel"),
            step=step,
            at=at,
            asked=float(read.text("Asked")) / 1e6,
            deadline_ms=int(read.text("Deadline")),
            list=which,
            number=read.text("Number"),
        )


class Codes:
    """Answers the star codes. Whatever fails, the person hears it and no call is held up."""

    def __init__(  # noqa: PLR0913 - what the answers are made of
        self,
        ami: Ami,
        lists: Lists,
        learning: Learning,
        ledger_path: ledger.Place,
        place: Place,
        *,
        clock: Callable[[], datetime],
        pbx: str = "",
    ) -> None:
        """`pbx` is the name of this Asterisk where there are several: telephones may have equal names."""
        self._pbx = pbx
        self._ami, self._lists, self._learning, self._clock = ami, lists, learning, clock
        self._ledger, self._place = ledger_path, place
        self._tasks: set[asyncio.Task[None]] = set()

    def receive(self, event: Mapping[str, object]) -> None:
        """Take one event from Asterisk; those that are no star codes are passed over."""
        if event.get("UserEvent") != CODE_EVENT:
            return
        try:
            code = Code.from_event(event, self._clock())
        except ValueError as error:
            log.error("a star code was not understood", call=event.get("Uniqueid"), reason=str(error))
            return
        if len(self._tasks) >= AT_ONCE:
            log.error("too many star codes at once: one was not followed", phone=code.phone)
            return
        with telemetry.about_call(code.id):
            task = asyncio.get_running_loop().create_task(self._answer(code))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, code: Code) -> None:
        if self._ami.age_ms(code) >= code.deadline_ms:
            log.warning("too late for a star code: nothing was done", phone=code.phone)
            return
        steps = {Step.LAST: self._last, Step.DO: self._do, Step.EXPECT: self._expect}
        try:
            answer = await steps[code.step](code)
        except ScreenerError as error:
            log.error("a star code could not be followed", phone=code.phone, reason=str(error))
            answer = "failed"
        except Exception:
            log.exception("a star code could not be followed", phone=code.phone)
            answer = "failed"
        await self._ami.answer(code, {CODE_VARIABLE.format(step=code.step): answer})

    async def _last(self, code: Code) -> str:
        caller = await asyncio.to_thread(self._caller, code)
        if caller is None:
            return "nobody"
        if not caller.key or caller.kind is Kind.WITHHELD:
            return "withheld"
        return f"caller:{caller.key}"

    async def _do(self, code: Code) -> str:
        caller = await asyncio.to_thread(self._caller, code)
        if caller is None:
            log.error("a star code meant somebody who has not called this telephone", phone=code.phone)
            return "refused"
        kind = cast("ListKind", code.list)
        row = Row(caller.key, kind, reason="by star code", source="handset", by=code.phone)
        try:
            await self._lists.add(row, alone=True)
        except ListEntryRefused as error:
            log.warning("a star code was refused", phone=code.phone, reason=str(error))
            return "refused"
        log.info("listed by star code", list=kind, caller=caller.shown, phone=code.phone)
        return f"{kind}ed"

    async def _expect(self, code: Code) -> str:
        if await asyncio.to_thread(self._from_outside, code):
            return "unchanged"
        await self._learning.expect_code(EXPECTING_S)
        log.info("a code is expected: nobody is challenged for being unknown", phone=code.phone)
        return "expecting"

    def _from_outside(self, code: Code) -> bool:
        """Whether callers come in by the endpoint that dialled the code: then it is not one of ours."""
        if found := ledger.calls_came_by(self._ledger, code.phone, code.at - BACK):
            log.error("a star code came from where calls from outside arrive: refused", endpoint=code.phone)
        return found

    def _caller(self, code: Code) -> CallerNumber | None:
        """Who called last, or when the code names a number he who has it, of those who count."""
        if self._from_outside(code):
            return None
        counts = partial(_counts, code.phone)
        for end, call in ledger.ends(self._ledger, code.at - BACK, counts):
            if end.pbx == self._pbx and (said := call or end.body):
                region = self._place.region_of(
                    str(said.get("trunk") or endpoint(str(said.get("channel", ""))))
                )
                caller = number.parse(str(said.get("number", "")), region, str(said.get("presentation", "")))
                if not code.number or (caller.key == code.number and caller.kind is not Kind.WITHHELD):
                    return caller
        return None


def _counts(phone: str, end: Mapping[str, object]) -> bool:
    """Whether a call may be meant: this telephone answered it, or none did."""
    if peer := end.get("peer"):
        return endpoint(str(peer)) == phone
    # An older dialplan does not say who answered; a recording that was found after a restart, who called.
    return end.get("disposition") != "answered" and "number" in end
