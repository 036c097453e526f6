"""Of several screeners each event is taken by one, and each question answered by it.

Asterisk tells every session the same events in the same order. The leader takes them; the others keep the
latest, so that who takes over can go on where the leader ended: behind the event that it has named when it
left in order, or else with what came since its last sign of life.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import structlog

from screener.ami.wire import action
from screener.call import ASK_EVENT, CODE_EVENT, CODE_VARIABLE, MESSAGE_EVENT, VERDICT_VARIABLE
from screener.errors import UnsafeValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from panoramisk.actions import Action

    from screener.ami.lease import Lease, Send, Term

    Event = Mapping[str, object]

log = structlog.get_logger(__name__)

KEPT_S = 3.0
"""How far back events are kept by who stands by: longer than a take-over may last."""
KEPT_MAX = 5000
HAND_OVER_S = 0.3
"""How long the questions at hand may take before another screener is named; less than a caller waits."""
_QUESTIONS = {ASK_EVENT: "Uniqueid", MESSAGE_EVENT: "Id"}
"""What is answered before it is handed over, and what it is called there."""


class Question(Protocol):
    """What waits on `channel` for an answer since `asked`, by Asterisk's clock."""

    @property
    def id(self) -> str:
        """Of the call or channel, for the log."""

    @property
    def channel(self) -> str:
        """Its name."""

    @property
    def asked(self) -> float:
        """Seconds since 1970."""

    @property
    def deadline_ms(self) -> int:
        """After so long it waits no more."""


class Leading:
    """Gives `on_event` what is ours to take, for the life of one connection."""

    def __init__(self, lease: Lease, send: Send, on_event: Callable[[Event], None]) -> None:
        self.lease = lease
        self._send, self._on_event = send, on_event
        self._time = asyncio.get_running_loop().time
        self._kept: deque[tuple[float, Event]] = deque(maxlen=KEPT_MAX)
        self._term = 0
        self._taking = self._handing_over = False
        self._last: Event | None = None
        self._open: dict[str, float] = {}
        self._settled = asyncio.Event()

    @property
    def held(self) -> bool:
        """Whether we may answer at this moment."""
        return self.lease.held

    def answers(self, question: str) -> bool:
        """Whether the answer to this question may be sent, which is about to be; nobody waits for it more."""
        self._open.pop(question, None)
        if not self._open:
            self._settled.set()
        return self.lease.held

    def hear(self, event: Event) -> None:
        """Take an event, or keep it: somebody else takes it, or we do when we lead again."""
        if self._taking and self.lease.held:
            self._take(event)
            return
        now = self._time()
        while self._kept and self._kept[0][0] < now - KEPT_S:
            self._kept.popleft()
        self._kept.append((now, event))

    async def follow(self, *, leaving: bool) -> None:
        """Do what a turn of the lease asks for: take over, or leave it to one that has a store."""
        if not self.lease.held:
            self._taking = False
        elif self._handing_over:
            return
        elif self.lease.term.number != self._term or not self._taking:
            await self._catch_up(self.lease.term)
        elif not leaving and not self.lease.fit() and self.lease.heir():
            log.warning("our store is out of reach: leaving the calls to a screener that has one")
            await self.hand_over(for_good=False)

    async def hand_over(self, *, for_good: bool) -> bool:
        """Answer what we have taken, then name who leads from now on; False if there is nobody."""
        if not self.lease.held or not (heir := self.lease.heir()):
            return False
        self._taking, self._handing_over = False, True
        try:
            if self._open:
                self._settled.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._settled.wait(), HAND_OVER_S)
            await self.lease.give(heir, _digest(self._last) if self._last else "", for_good=for_good)
        finally:
            self._handing_over = False
        return True

    async def _catch_up(self, term: Term) -> None:
        """Take what came since nobody answered. A question that has its answer on its channel is let be."""
        missed = self._missed(term)
        asked = {}
        if not term.after:  # who left in order has answered what he took
            asked = {place: one for place, (_, event) in enumerate(missed) if (one := _answer_of(event))}
        found = await self._send(*asked.values()) if asked else []
        answered = {place for place, one in zip(asked, found, strict=True) if one.get("Value")}
        left = deque(one for place, one in enumerate(missed) if place not in answered)
        # The lease may have ended while Asterisk was asked: then all of it is for who leads now.
        while (left or self._kept) and self.lease.held:
            self._take((left or self._kept).popleft()[1])
        self._kept.extendleft(reversed(left))
        if self.lease.held:
            self._term, self._taking = term.number, True

    def _missed(self, term: Term) -> list[tuple[float, Event]]:
        """The kept events that nobody has taken, oldest first, and when each came."""
        kept, since = list(self._kept), term.since
        self._kept.clear()
        if term.after:
            marks = [_digest(event) for _, event in kept]
            since = 0.0
            if term.after in marks:
                kept = kept[len(marks) - marks[::-1].index(term.after) :]
        # What had not been answered yet at the last sign of life is nobody's, however old it is.
        return [(at, event) for at, event in kept if at >= since or _answer_of(event)]

    def _take(self, event: Event) -> None:
        self._last = event
        if key := _QUESTIONS.get(str(event.get("UserEvent"))):
            now = self._time()
            self._open = {one: late_at for one, late_at in self._open.items() if late_at > now}
            self._open[str(event.get(key))] = now + HAND_OVER_S
        try:
            self._on_event(event)
        except Exception:
            log.exception("an event could not be handled", user_event=event.get("UserEvent"))


def _digest(event: Event) -> str:
    """What an event is called between two screeners."""
    return hashlib.blake2s(repr(sorted(event.items())).encode(), digest_size=12).hexdigest()


def _answer_of(event: Event) -> Action | None:
    """How Asterisk is asked whether a question on a channel has its answer; None for other events."""
    name = event.get("UserEvent")
    if name == ASK_EVENT:
        variable = VERDICT_VARIABLE.format(stage=event.get("Stage"))
    elif name == CODE_EVENT:
        variable = CODE_VARIABLE.format(step=event.get("Step"))
    else:
        return None
    try:
        return action("Getvar", Channel=str(event.get("Channel")), Variable=variable)
    except UnsafeValue:
        return None
