"""Callers of every kind, our telephone, and an ear on Asterisk: what became of each call, seen from outside.

Nothing here asks the screener. A call is known by its number, or, where that is withheld, by the number of
ours that it came for, which no other such call has.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote

from tests.pbx import sound
from tests.pbx.ua import Dialog, UserAgent, _Rtp

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.pbx.asterisk import Asterisk
    from tests.pbx.house import House

FRIENDS, BLOCKED, STRANGERS = "+86139", "+86137", ("+86150", "+86151", "+86152", "+86158", "+86159", "+86188")
SHARES = {
    "friend": 0.46, "stranger": 0.30, "cancels": 0.10, "short": 0.07, "message": 0.03, "blocked": 0.03,
    "robot": 0.006, "person": 0.004,
}  # fmt: skip
"""Of all that is placed: recorded and challenged calls are few, for each lasts many times as long."""
RINGS_S = 0.3
"""How long our telephone rings before it is answered: a caller who gives up must find it ringing."""
TALK_S = 1.0
GIVES_UP_S = 0.15
TONE_S = 4.0
TONE = sound.tone(TONE_S)
ROBOT_S = 20.0
"""A robot stays so long: two tries of two keys, the notice, and some of the recording."""
ANSWERED_WITHIN_S = 12.0
"""After so long without an answer a caller is lost."""
PRESS_WITHIN_S = 6.0
FORGOTTEN_S = 60.0
SOCKET_BYTES = 4 << 20


@dataclass(eq=False, slots=True)
class Placed:
    """One call or message. Times are of our clock; `end` and `asks` are what the dialplan said of it."""

    kind: str
    key: str
    at: float
    status: int = 0
    """What Asterisk answered to a message; it is sent once, so 0 means that it never came."""
    answered: float = 0.0
    rang: float = 0.0
    uniqueid: str = ""
    asks: list[float] = field(default_factory=list)
    end: dict[str, str] = field(default_factory=dict)
    over: float = 0.0
    delivered: int = 0
    heard_prompt: bool = False

    @property
    def missed(self) -> str:
        """Why the last question got no verdict; empty when it did."""
        return self.end.get("Missed", "")

    @property
    def recording(self) -> str:
        """The stem of its two files, as the dialplan named them."""
        return unquote(self.end.get("Recording", ""))


class Silence:
    """The sound of a call in which nobody speaks: no socket, no frames."""

    port = 9
    peer: tuple[str, int] | None = None

    def close(self) -> None:
        """Nothing to close."""


class Quiet(UserAgent):
    """A telephone without sound, so that forty calls at once cost nothing but their signalling."""

    async def _new_rtp(self) -> _Rtp:
        return Silence()  # type: ignore[return-value]


class Traffic:
    """All that is placed, and all that is heard of it."""

    def __init__(self, house: House, rng: random.Random) -> None:
        self.house, self.pbx, self.rng = house, house.pbx, rng
        self.placed: dict[str, Placed] = {}
        self.stray: Counter[str] = Counter()
        """Ends of calls that nobody placed: there must be none."""
        self.late_s = 0.0
        """The most by which we ourselves were late to place a call."""
        self._serial = itertools.count()
        self._news = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Our telephone, the callers' ones and the ear, for the time of the block."""
        pbx = self.pbx
        self.phone = await Quiet.open(pbx.sip, pbx.phone, RINGS_S)
        self.quiet = await Quiet.open(pbx.sip)
        self.speaking = await UserAgent.open(pbx.sip)
        agents = (self.phone, self.quiet, self.speaking)
        for agent in agents:
            agent.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES
            )
        start = asyncio.create_task
        tasks = [start(hear(pbx, self._take)), start(self._rings()), start(self._messages()),
                 start(forget(agents))]  # fmt: skip
        try:
            yield self
        finally:
            for task in (*tasks, *self._calls):
                task.cancel()
            await asyncio.gather(*tasks, *self._calls, return_exceptions=True)
            for agent in agents:
                agent.close()

    async def place(self, rate: float, seconds: float) -> None:
        """Place calls at a steady rate, a second's worth of every kind at a time, for so many seconds."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        kinds, weights = list(SHARES), list(SHARES.values())
        for n in range(round(rate * seconds)):
            due = began + n / rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.late_s = max(self.late_s, loop.time() - due)
            self._begin(self.rng.choices(kinds, weights)[0])

    async def finished(self, within: float) -> None:
        """Wait until every caller has hung up."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=within)

    async def until(self, true: Callable[[], object], within: float) -> bool:
        """Wait until something that was heard makes it true; whether it did in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not true():
                    self._news.clear()
                    await self._news.wait()
                return True
        return False

    def _begin(self, kind: str) -> None:
        n = next(self._serial)
        prefix = {"blocked": BLOCKED}.get(kind, FRIENDS)
        if kind in {"stranger", "short"}:
            prefix = self.rng.choice(STRANGERS)
        withheld = kind in {"robot", "person"}
        key = str(7_000_000 + n) if withheld else f"{prefix}{n * 10_007 % 10**8:08d}"
        self.placed[key] = one = Placed(kind, key, time.time())
        way: Callable[[Placed], Awaitable[None]] = getattr(self, f"_{kind}")
        task = asyncio.get_running_loop().create_task(self._guarded(way, one))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _guarded(self, way: Callable[[Placed], Awaitable[None]], one: Placed) -> None:
        with contextlib.suppress(TimeoutError, AssertionError):
            await way(one)

    async def _call(self, agent: UserAgent, one: Placed) -> Dialog:
        """Place it, and wait for somebody or something to answer."""
        call = await self._invite(agent, one)
        try:
            await asyncio.wait_for(call.answered.wait(), ANSWERED_WITHIN_S)
        except TimeoutError:
            call.hangup()
            raise
        one.answered = time.time()
        return call

    async def _invite(self, agent: UserAgent, one: Placed) -> Dialog:
        if one.key.startswith("+"):
            return await agent.call(str(100 + self.rng.randrange(50)), one.key, agent=b"")
        return await agent.call(one.key, sender=b'"Anonymous" <sip:anonymous@anonymous.invalid>', agent=b"")

    async def _friend(self, one: Placed) -> None:
        call = await self._call(self.quiet, one)
        await asyncio.sleep(TALK_S)
        call.hangup()

    _stranger = _friend

    async def _short(self, one: Placed) -> None:
        (await self._call(self.quiet, one)).hangup()

    async def _cancels(self, one: Placed) -> None:
        call = await self._invite(self.quiet, one)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(call.ringing.wait(), ANSWERED_WITHIN_S)
        await asyncio.sleep(GIVES_UP_S)
        call.hangup()

    async def _blocked(self, one: Placed) -> None:
        call = await self._call(self.speaking, one)
        with contextlib.suppress(TimeoutError):
            await call.say(TONE, TONE_S + 5)
        call.hangup()

    async def _robot(self, one: Placed) -> None:
        call = await self._call(self.speaking, one)
        await asyncio.sleep(ROBOT_S)
        call.hangup()

    async def _person(self, one: Placed) -> None:
        call = await self._call(self.speaking, one)
        try:
            await self.house.hears(call, "press", PRESS_WITHIN_S)
            one.heard_prompt = True
            await self.house.obeys(call)
            await asyncio.sleep(PRESS_WITHIN_S)
        finally:
            call.hangup()

    async def _message(self, one: Placed) -> None:
        one.status = await self.quiet.message("100", one.key.encode(), one.key)

    async def _rings(self) -> None:
        while True:
            ringing = await self.phone.incoming.get()
            if one := self.placed.get(ringing.number):
                one.rang = one.rang or time.time()

    async def _messages(self) -> None:
        seen = set[bytes]()
        while True:
            head, _, text = (await self.phone.messages.get()).rpartition(b"\r\n\r\n")
            call_id = head.partition(b"Call-ID: ")[2].partition(b"\r\n")[0]
            if call_id in seen:  # sent again, since our answer came late
                continue
            seen.add(call_id)
            if one := self.placed.get(text.decode(errors="replace")):
                one.delivered += 1
            else:
                self.stray["a message that nobody sent"] += 1

    def _take(self, event: dict[str, str]) -> None:
        name = event.get("UserEvent")
        if name not in {"ScreenerAsk", "ScreenerEnd"}:
            return
        number = unquote(event.get("Number", ""))
        one = self.placed.get(number if number.startswith("+") else unquote(event.get("Did", "")))
        if one is None:
            self.stray[f"{name} of {number!r}"] += 1
            return
        one.uniqueid = event["Uniqueid"]
        if name == "ScreenerAsk":
            one.asks.append(time.time())
        else:
            if one.end:
                self.stray[f"second end of {number!r}"] += 1
            one.end, one.over = event, time.time()
        self._news.set()


async def hear(pbx: Asterisk, take: Callable[[dict[str, str]], None]) -> None:
    """Hear the dialplan's events by an account of our own, again after each restart of Asterisk."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", pbx.ami)
            with contextlib.closing(writer):
                writer.write(b"Action: Login\r\nUsername: test\r\nSecret: test\r\nEvents: user\r\n\r\n")
                event: dict[str, str] = {}
                async for line in reader:
                    key, _, value = line.decode(errors="replace").strip().partition(":")
                    if key:
                        event[key] = value.strip()
                        continue
                    take(event)
                    event = {}
        await asyncio.sleep(0.02)


async def forget(agents: tuple[UserAgent, ...]) -> None:
    """Let go of calls that are long over: a telephone of the tests keeps all of them."""
    while True:
        await asyncio.sleep(FORGOTTEN_S / 4)
        long_ago = time.monotonic() - FORGOTTEN_S
        for agent in agents:
            for call_id in [one for one, dialog in agent.dialogs.items()
                            if dialog.ended.is_set() and dialog.began < long_ago]:  # fmt: skip
                del agent.dialogs[call_id]
            agent.statuses = {key: one for key, one in agent.statuses.items() if not one.done()}
