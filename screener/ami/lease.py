"""Which of several screeners answers for one Asterisk: a lease that lies in that Asterisk.

Two globals hold it. Five times a second the leader looks whether its name still stands in SCREENER_LEADER,
writes it there with a new count, and reads it back; who stands by reads the same, and writes a name into
SCREENER_STANDBY. So the leader is always one that reaches the PBX, no store decides who answers, and two
Asterisks are never taken for one.

Asterisk knows no compare-and-set. That two never answer at once rests on times, as in Fischer's mutual
exclusion: who has read back his own mark may answer for HELD_S, counted from before he asked; who puts a
mark in place of another's reads it back after CLAIM_S, which is longer. So a leader that was stopped, or
whose line is slow, has lost the lease before another has it, whatever it still believes or has on the way:
each answer asks `held` first. Clocks are not compared, only durations. Where even those deceive, for a whole
machine was paused and its clock stood still, two answer for a fifth of a second: then who was paused sees the
other's name, takes its own away, and gives way.

Nobody waits where nobody else can be leading: who is the only session of the account, or whom the leader
has named, has the lease at once.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from screener.ami.wire import action
from screener.call import LEADER_VARIABLE, STANDBY_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from panoramisk.actions import Action
    from panoramisk.message import Message

    class Send(Protocol):
        """Send actions in one write; AmiError unless each is answered in time."""

        async def __call__(self, *actions: Action) -> list[Message]:
            """Return the responses."""


RENEW_S = 0.2
LOOK_S = 0.1
"""How often who stands by looks; so long callers wait when the leader hands over, or is killed."""
HELD_S = 0.8
CLAIM_S = 1.0
FROZEN_S = 1.1
"""A mark that stays the same for so long is a dead leader's; longer than CLAIM_S: claims are left alone."""
_NEXT, _CLAIM = "next", "claim"


@dataclass(frozen=True, slots=True)
class Term:
    """A time of leading: it begins behind the event `after`, or with what came since `since` (loop time)."""

    number: int = 0
    after: str = ""
    since: float = 0.0
    follows: bool = False
    """Whether another led before us, as we have seen over this connection of ours."""


class Lease:
    """Our part in it over one connection; `user` is the account, `fit` says whether we have a store.

    `granted` raises for a response by which Asterisk refuses. Who has left for good does not seek it again.
    """

    def __init__(
        self,
        send: Send,
        user: str,
        fit: Callable[[], bool],
        granted: Callable[[Message], None],
        *,
        left: bool = False,
    ) -> None:
        self.name = secrets.token_hex(8)
        self.term = Term()
        """The latest; its number grows with each time that the lease is got."""
        self._send, self._user, self.fit, self._granted = send, user, fit, granted
        self._time = asyncio.get_running_loop().time
        self._until = 0.0
        self._count, self._mark = 0, ""
        self._claim, self._claimed_at = "", 0.0
        self._looked_at = 0.0
        self._seen: str | None = None
        self._seen_at = self._alive_at = 0.0
        self._standby, self._standby_at = "", float("-inf")
        self._given = left

    @property
    def held(self) -> bool:
        """Whether we may answer at this moment."""
        return self._time() < self._until

    @property
    def pause_s(self) -> float:
        """When the next turn is due."""
        return RENEW_S if self.held else LOOK_S

    async def turn(self) -> None:
        """Renew the lease, or look whether it can be had; raises AmiError."""
        if self.held:
            await self._renew()
        if not self.held and not self._given:
            await self._seek()

    def heir(self) -> str:
        """Who stands by and has a store, or stands by at all when we have one; empty if nobody does."""
        name, _, rest = self._standby.partition(":")
        fresh = self._time() - self._standby_at < 3 * RENEW_S
        return name if fresh and (rest.endswith("+") or self.fit()) else ""

    async def accompanied(self) -> bool:
        """Whether another screener is there, though it was too slow lately to be named: it leads without us.

        AmiError when Asterisk does not say.
        """
        return self._standby != "" and await self._ask(self._sessions()) != ["1"]

    async def give(self, heir: str, after: str, *, for_good: bool) -> None:
        """Let go of the lease and name who has it from now on; `after` is the event that we took last."""
        self._until, self._given = 0.0, for_good
        await self._ask(_set(LEADER_VARIABLE, f"{heir}:{_NEXT}:{after}"))

    async def _renew(self) -> None:
        asked = self._looked_at = self._time()
        self._count += 1
        known, self._mark = self._mark, f"{self.name}:{self._count}"
        before, standby, _, there = await self._ask(
            _global(LEADER_VARIABLE),
            _global(STANDBY_VARIABLE),
            _set(LEADER_VARIABLE, self._mark),
            _global(LEADER_VARIABLE),
        )
        owner, what, _ = _parts(before)
        # A claim in place of our mark is written over, which ends it.
        if owner not in {"", self.name} and before != known and not what.startswith(_CLAIM):
            self._until = 0.0
            await self._ask(_set(LEADER_VARIABLE, ""))
            return
        if standby != self._standby:
            # What stood there before we led may be years old.
            self._standby_at = self._time() if self._standby else float("-inf")
            self._standby = standby
        # An answer that comes when the lease is over tells what was, not what is.
        self._until = asked + HELD_S if there == self._mark and self.held else 0.0

    async def _seek(self) -> None:
        looked_at, asked = self._looked_at, self._time()
        self._looked_at = asked
        self._count += 1
        us = f"{self.name}:{self._count}:{'+' if self.fit() else '-'}"
        _, mark, sessions = await self._ask(
            _set(STANDBY_VARIABLE, us),
            _global(LEADER_VARIABLE),
            self._sessions(),
        )
        owner, what, after = _parts(mark)
        if owner == self.name and what == _NEXT:
            return self._take(asked, mark, after, named=True)
        claimed = mark != "" and mark == self._claim
        if sessions == "1" or (claimed and asked - self._claimed_at > CLAIM_S):
            return self._take(asked, mark)
        if claimed:
            return None
        if mark != self._seen:
            # Who put it there may have died at once: alive he was when it was not there yet. How old one of
            # another is that was there before us nobody knows.
            self._alive_at = looked_at if owner == self.name or self._seen is not None else 0.0
            self._seen, self._seen_at = mark, self._time()
        if not mark or owner == self.name or asked - self._seen_at > FROZEN_S:
            self._claim = f"{self.name}:{_CLAIM}{self._count}"
            await self._ask(_set(LEADER_VARIABLE, self._claim))
            self._claimed_at = self._time()
        return None

    def _take(self, asked: float, mark: str, after: str = "", *, named: bool = False) -> None:
        """Lead, by the `mark` that was read when it was `asked`; the next renewal puts ours in its place."""
        self._until, self._mark, self._claim, self._standby = asked + HELD_S, mark, "", ""
        if self.held:
            since = 0.0 if named else self._alive_at
            self.term = Term(self.term.number + 1, after, since, follows=named or since > 0)
            self._seen, self._seen_at, self._alive_at = None, 0.0, 0.0

    def _sessions(self) -> Action:
        return _get(f"AMI_CLIENT({self._user},sessions)")

    async def _ask(self, *actions: Action) -> list[str]:
        """The values of the variables that were asked for."""
        answers = await self._send(*actions)
        for answer in answers:
            self._granted(answer)
        return [answer.get("Value", "") for answer in answers]


def _parts(mark: str) -> tuple[str, str, str]:
    """Whose mark it is, what it says, and of a handing over the last event."""
    owner, what, after = (*mark.split(":"), "", "")[:3]
    return owner, what, after


def _set(name: str, value: str) -> Action:
    return action("Setvar", Variable=f"GLOBAL({name})", Value=value)


def _global(name: str) -> Action:
    return _get(f"GLOBAL({name})")


def _get(variable: str) -> Action:
    return action("Getvar", Variable=variable)
