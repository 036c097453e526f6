"""The one door to Asterisk's manager interface, built on panoramisk.

panoramisk parses messages and matches responses to actions. What it does around that is
replaced here, because it would cost calls: it re-sends actions after a reconnect, lets one
failing callback end the connection, waits for ever, retries a refused login in silence, and
loses characters that a packet boundary splits. So: one `Connection` per connection, never
reused; a supervisor that reconnects; a deadline for every action; nothing sent twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from screener.ami.wire import Connection, Wire, action
from screener.call import HEARTBEAT_VARIABLE, VERDICT_VARIABLE, WAKE_DIGIT
from screener.errors import AmiError, AmiLoginRefused, UnsafeValue

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Mapping

    from panoramisk.actions import Action
    from panoramisk.message import Message

    from screener.call import Call
    from screener.verdict import Verdict

log = structlog.get_logger(__name__)

CONNECT_S = 5.0
ACTION_S = 2.0
"""How long any action may take. A ping that takes longer means a half-open connection."""
HEARTBEAT_S = 1.0
"""The dialplan stops asking after three missed beats."""
PRECISE_S = 0.1
"""A pong within this time tells Asterisk's clock well enough to know whether an answer is late."""
PAUSE_S = (0.2, 10.0)
"""First and longest pause between attempts to connect."""


class Question(Protocol):
    """What waits on `channel` for an answer since `asked`, by Asterisk's clock."""

    @property
    def id(self) -> str:
        """Of the call or channel, for the log."""

    @property
    def channel(self) -> str:
        """The channel's name."""

    @property
    def asked(self) -> float:
        """Seconds since 1970."""

    @property
    def deadline_ms(self) -> int:
        """After so long it waits no more."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where Asterisk's manager interface is, and the account on it."""

    host: str
    port: int
    username: str
    secret: str = field(repr=False)


class Ami:
    """A connection to one Asterisk that is kept up for as long as `run` runs."""

    def __init__(self, account: Account, tls: ssl.SSLContext | None = None, server_name: str = "") -> None:
        """`server_name` is the name on Asterisk's certificate, the host's if empty."""
        self.address = f"{account.host}:{account.port}"
        self._account, self._tls = account, tls
        self._server_name = (server_name or account.host) if tls else None
        self._manager: Connection | None = None
        self._clock_offset: float | None = None
        self._leaving = False
        self._beat_at: float | None = None
        self.round_trip_s: float | None = None
        """Of the latest ping, None before the first."""
        self.ready = asyncio.Event()
        """Set while Asterisk has a fresh heartbeat, that is while calls are being screened."""

    async def run(
        self, on_event: Callable[[Mapping[str, object]], None], on_ready: Callable[[], None] = lambda: None
    ) -> None:
        """Stay connected until cancelled; raises AmiLoginRefused if the first login is refused.

        UnsafeValue comes out too: an account with a control character can never log in.
        `on_event` gets each UserEvent as a mapping; what it raises is logged and goes no further.
        `on_ready` is called whenever calls begin to be screened, at first and after each gap.
        """
        pause, welcomed = PAUSE_S[0], False
        while True:
            try:
                await self._connect(on_event)
                async with contextlib.aclosing(self._beats()) as beats:
                    async for _ in beats:
                        if not self.ready.is_set():
                            log.info("connected to Asterisk, calls are screened", ami=self.address)
                            self.ready.set()
                            on_ready()
                        pause, welcomed = PAUSE_S[0], True
            except AmiLoginRefused as error:
                if not welcomed:
                    raise
                log.error("Asterisk refuses the account now; calls ring unscreened", reason=str(error))
            except UnsafeValue:
                raise
            except (AmiError, OSError, ValueError) as error:
                reason = str(error) or type(error).__name__
                log.warning(
                    "no connection to Asterisk; calls ring unscreened", ami=self.address, reason=reason
                )
            finally:
                self._drop()
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads reconnects
            pause = min(2 * pause, PAUSE_S[1])

    @contextlib.asynccontextmanager
    async def visit(self) -> AsyncIterator[None]:
        """Be logged in while the block runs, without a heartbeat: nobody is asked on this account by it.

        Raises AmiLoginRefused, AmiError, OSError or TimeoutError when there is no such connection.
        """
        try:
            await self._connect(lambda _: None)
            yield
            with contextlib.suppress(AmiError):  # a line that is only cut counts as a session for a while
                await self.act("Logoff")
        finally:
            self._drop()

    async def decide(self, call: Call, verdict: Verdict) -> str:
        """Give the waiting dialplan its verdict: the caller stops waiting here.

        Returns "sent", "late" (the dialplan has gone on, so nothing was sent: a wake-up key
        would land in the conversation), or "gone" (the caller hung up, or Asterisk is away).
        """
        variable = VERDICT_VARIABLE.format(stage=call.stage)
        value = f"{verdict.action}:{verdict.score:g}:{verdict.language}"
        return await self.answer(call, {variable: value})

    async def answer(self, question: Question, values: Mapping[str, str]) -> str:
        """Set variables on the channel that waits, and wake it; returns as `decide`."""
        if self.age_ms(question) >= question.deadline_ms:
            return "late"
        channel = question.channel
        try:
            answers = await self._send(
                *(
                    action("Setvar", Channel=channel, Variable=name, Value=text)
                    for name, text in values.items()
                ),
                action("PlayDTMF", Channel=channel, Digit=WAKE_DIGIT, Duration="1", Receive="true"),
            )
        except AmiError as error:
            log.warning("the answer did not reach Asterisk", call=question.id, reason=str(error))
            return "gone"
        return "sent" if answers[0].success else "gone"

    async def say_goodbye(self) -> None:
        """Tell the dialplan not to ask any more; questions already asked can still be answered."""
        self._leaving = True
        with contextlib.suppress(AmiError):
            await self._set_heartbeat(0)

    @property
    def heartbeat_age_s(self) -> float | None:
        """Since Asterisk took the latest heartbeat; None before the first."""
        return None if self._beat_at is None else asyncio.get_running_loop().time() - self._beat_at

    def age_ms(self, call: Question) -> float:
        """How long the caller has waited by now, in Asterisk's time; 0 while that is unknown."""
        if self._clock_offset is None:
            return 0.0
        now = asyncio.get_running_loop().time() + self._clock_offset
        return max(0.0, (now - call.asked) * 1000)

    async def act(self, name: str, **headers: str) -> Message:
        """Send one action and return Asterisk's response, whatever it says; raises AmiError."""
        return (await self._send(action(name, **headers)))[0]

    async def _send(self, *actions: Action) -> list[Message]:
        """Send actions in one write; AmiError when the line is or goes down, or at the deadline."""
        manager = self._manager
        if manager is None or manager.lost.done():
            msg = "not connected to Asterisk"
            raise AmiError(msg)
        manager.protocol.send_together(actions)
        try:
            async with asyncio.timeout(ACTION_S):
                return list(await asyncio.gather(*(item.future for item in actions)))
        except TimeoutError:
            msg = f"Asterisk did not answer {actions[0]['Action']} within {ACTION_S:g} s"
            raise AmiError(msg) from None
        finally:
            manager.protocol.forget(actions)

    async def _connect(self, on_event: Callable[[Mapping[str, object]], None]) -> None:
        loop = asyncio.get_running_loop()
        manager = Connection(on_event)
        async with asyncio.timeout(CONNECT_S):
            transport, protocol = await loop.create_connection(
                lambda: Wire(manager),
                self._account.host,
                self._account.port,
                ssl=self._tls,
                server_hostname=self._server_name,
            )
        manager.attach(transport, protocol)
        self._manager = manager
        response = await self.act(
            "Login", Username=self._account.username, Secret=self._account.secret, Events="on"
        )
        _granted(
            response,
            f"{self.address} refused the account {self._account.username!r}",
            "Compare ami.username and ami.secret with manager.conf, and our address with its permit lines",
        )

    async def _beats(self) -> Any:  # noqa: ANN401 - an async generator of nothing
        """Beat until the line is lost: one yield per heartbeat that Asterisk has taken.

        The pong's own timestamp is the heartbeat, so that two machines' clocks need not agree
        and a fresh beat proves both directions.
        """
        loop = asyncio.get_running_loop()
        assert self._manager is not None  # noqa: S101 - _connect has just set it
        lost = self._manager.lost
        while True:
            sent = loop.time()
            pong = await self.act("Ping")
            _granted(pong, f"{self.address} refused a ping", "Any account may ping: is this Asterisk?")
            stamp = _stamp(pong)
            # A slow pong is imprecise, so the old offset stands unless it must be wrong: a clock was set.
            offset, trip = stamp - loop.time(), loop.time() - sent
            if self._clock_offset is None or trip < PRECISE_S or abs(offset - self._clock_offset) > trip:
                self._clock_offset = offset
            self.round_trip_s = trip
            await self._set_heartbeat(stamp)
            self._beat_at = loop.time()
            yield
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(lost), HEARTBEAT_S)
            if lost.done():
                msg = "the connection was closed by Asterisk"
                raise AmiError(msg)

    async def _set_heartbeat(self, stamp: float) -> None:
        beat = 0 if self._leaving else int(stamp)
        taken = await self.act("Setvar", Variable=f"GLOBAL({HEARTBEAT_VARIABLE})", Value=str(beat))
        _granted(
            taken,
            f"{self.address} does not let the account {self._account.username!r} set variables",
            "It needs `write = call` in manager.conf",
        )

    def _drop(self) -> None:
        if self._manager is not None:
            self._manager.protocol.abort()
        self._manager = None
        self.ready.clear()


def _granted(response: Message, refusal: str, advice: str) -> None:
    """Raise AmiLoginRefused if the account lacks a right, AmiError if Asterisk is starting or stopping."""
    if response.success:
        return
    reason = response.message or "no reason given"
    if "uthentication" in reason or "ermission" in reason:
        raise AmiLoginRefused(f"{refusal}: {reason}. {advice}")
    raise AmiError(f"Asterisk is not ready: {reason}")


def _stamp(pong: Message) -> float:
    """Read Asterisk's clock from its answer to a ping, in seconds since 1970."""
    try:
        stamp = float(pong.timestamp)
    except (TypeError, ValueError):
        stamp = math.nan
    if not math.isfinite(stamp):
        msg = f"the answer to a ping holds no time of day: {pong.timestamp!r}"
        raise AmiError(msg)
    return stamp
