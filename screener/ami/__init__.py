"""The one door to Asterisk's manager interface, built on panoramisk.

panoramisk parses messages and matches responses to actions. What it does around that is
replaced here, because it would cost calls: it re-sends actions after a reconnect, lets one
failing callback end the connection, waits for ever, retries a refused login in silence, and
loses characters that a packet boundary splits. So: one `Connection` per connection, never
reused; a supervisor that reconnects; a deadline for every action; nothing sent twice.

Several screeners may be connected to one Asterisk: `lease.py` says which of them answers. The others keep
what they hear for a moment, so that who takes over answers also what was asked in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any

import structlog

from screener.ami.clock import Clock
from screener.ami.leading import Leading
from screener.ami.lease import Lease
from screener.ami.rivals import Rivals
from screener.ami.wire import Account, Connection, Wire, action, granted, stamp_of
from screener.call import HEARTBEAT_VARIABLE, MESSAGE_VARIABLE, VERDICT_VARIABLE, WAKE_DIGIT
from screener.errors import AmiError, AmiLoginRefused, NotLeading, UnsafeValue

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from panoramisk.actions import Action
    from panoramisk.message import Message

    from screener.ami.leading import Question
    from screener.call import Call
    from screener.verdict import Verdict

__all__ = ["Account", "Ami"]

log = structlog.get_logger(__name__)

CONNECT_S = 5.0
ACTION_S = 2.0
"""How long any action may take. A ping that takes longer means a half-open connection."""
HEARTBEAT_S = 1.0
"""The dialplan stops asking after three missed beats."""
ASKING = frozenset(("Login", "Ping", "Getvar"))
PAUSE_S = (0.2, 10.0)
"""First and longest pause between attempts to connect."""


class Ami:
    """A connection to one Asterisk that is kept up for as long as `run` runs."""

    def __init__(
        self,
        account: Account,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
        *,
        fit: Callable[[], bool] = lambda: True,
    ) -> None:
        """`server_name` is the name on Asterisk's certificate, the host's if empty.

        While we are not `fit`, another screener that is answers instead, where there is one.
        """
        self.address = f"{account.host}:{account.port}"
        self._account, self._tls = account, tls
        self._server_name = (server_name or account.host) if tls else None
        self._manager: Connection | None = None
        self._leaving, self._silenced, self._fit = False, False, fit
        self._leading: Leading | None = None
        self._beat_at: float | None = None
        self._beat, self.rivals = "", Rivals(self.address)
        self.clock = Clock()
        self.ready = asyncio.Event()
        """Set while Asterisk has a fresh heartbeat of ours, that is while calls are being screened by us."""
        self.idle = asyncio.Event()
        """Set while `ready` is not."""
        self.standing_by = False
        """Whether we are connected and another screener answers."""
        self._screening(now=False)

    async def run(
        self, on_event: Callable[[Mapping[str, object]], None], on_ready: Callable[[], None] = lambda: None
    ) -> None:
        """Stay connected until cancelled; raises AmiLoginRefused if the first login is refused.

        UnsafeValue comes out too: an account with a control character can never log in.
        `on_event` gets each UserEvent that is for us to take, as a mapping; what it raises is logged and goes
        no further.
        `on_ready` is called whenever calls begin to be screened, at first and after each gap.
        """
        pause, welcomed = PAUSE_S[0], False
        while True:
            try:
                leading = await self._connect(on_event)
                async with contextlib.aclosing(self._turns(leading)) as turns:
                    async for _ in turns:
                        pause, welcomed = PAUSE_S[0], True
                        self._note(leading, on_ready)
                        await leading.follow(leaving=self._leaving)
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
            self._leading = None  # who only looks takes no part in who answers
            yield
            with contextlib.suppress(AmiError):  # a line that is only cut counts as a session for a while
                await self.act("Logoff")
        finally:
            self._drop()

    async def decide(self, call: Call, verdict: Verdict) -> str:
        """Give the waiting dialplan its verdict: the caller stops waiting here.

        Returns "sent", "late" (the dialplan has gone on, so nothing was sent: a wake-up key
        would land in the conversation), or "gone" (the caller hung up, Asterisk is away, or another
        screener answers now).
        """
        variable = VERDICT_VARIABLE.format(stage=call.stage)
        value = f"{verdict.action}:{verdict.score:g}:{verdict.language}"
        return await self.answer(call, {variable: value})

    async def answer(self, question: Question, values: Mapping[str, str]) -> str:
        """Set variables on the channel that waits, and wake it; returns as `decide`."""
        channel = question.channel

        def told() -> Iterator[Action]:
            for name, text in values.items():
                yield action("Setvar", Channel=channel, Variable=name, Value=text)
            yield action("PlayDTMF", Channel=channel, Digit=WAKE_DIGIT, Duration="1", Receive="true")

        return await self._answer(question, told())

    async def answer_message(self, question: Question, value: str) -> str:
        """Set the global that a message waits for: nothing can be set on its channel; returns as `decide`."""
        told = action("Setvar", Variable=f"GLOBAL({MESSAGE_VARIABLE})", Value=value)
        return await self._answer(question, iter([told]))

    async def _answer(self, question: Question, told: Iterator[Action]) -> str:
        if not self._leading or not self._leading.answers(question.id):
            return "gone"
        if self.age_ms(question) >= question.deadline_ms:
            return "late"
        try:
            answers = await self._send(*told)
        except AmiError as error:
            log.warning("the answer did not reach Asterisk", call=question.id, reason=str(error))
            return "gone"
        return "sent" if answers[0].success else "gone"

    async def say_goodbye(self) -> None:
        """Leave the calls to another screener, or if there is none tell the dialplan not to ask any more.

        Questions already asked are answered before, or can still be.
        """
        self._leaving = True
        with contextlib.suppress(AmiError):
            if self._leading and await self._leading.hand_over(for_good=True):
                self._screening(now=False)
            elif self._leading and await self._leading.lease.accompanied():
                self._leaving = False  # until the line ends we answer, and then the other one
            else:
                self._silenced = True
                await self._set_heartbeat(0)

    def _note(self, leading: Leading, on_ready: Callable[[], None]) -> None:
        """Say what a turn of the lease has changed for the calls."""
        if leading.held and not self.ready.is_set():
            log.info("connected to Asterisk, calls are screened", ami=self.address)
            self._screening(now=True)
            on_ready()
        elif not leading.held and (self.ready.is_set() or not self.standing_by):
            log.info("connected to Asterisk, standing by: another screener answers", ami=self.address)
            self._screening(now=False)
        self.standing_by = not leading.held

    def _screening(self, *, now: bool) -> None:
        (self.ready if now else self.idle).set()
        (self.idle if now else self.ready).clear()

    @property
    def heartbeat_age_s(self) -> float | None:
        """Since Asterisk took the latest heartbeat, or answered us who stand by; None before the first."""
        return None if self._beat_at is None else asyncio.get_running_loop().time() - self._beat_at

    def age_ms(self, call: Question) -> float:
        """How long the caller has waited by now, in Asterisk's time; 0 while that is unknown."""
        return self.clock.since_s(call.asked) * 1000

    async def act(self, name: str, **headers: str) -> Message:
        """Send one action and return Asterisk's response, whatever it says; raises AmiError.

        Of those who stand by Asterisk is only asked, never told: NotLeading.
        """
        if self._leading and not self._leading.held and name not in ASKING:
            raise NotLeading("another screener may answer for this Asterisk at the moment")
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

    @property
    def leads(self) -> bool:
        """Whether we may answer at this moment; the lease ends before `ready` tells that it has."""
        return self._leading is not None and self._leading.held

    @property
    def took_over(self) -> bool:
        """Whether another screener answered before us, a moment ago."""
        return self._leading is not None and self._leading.lease.term.follows

    async def _connect(self, on_event: Callable[[Mapping[str, object]], None]) -> Leading:
        loop = asyncio.get_running_loop()
        lease = Lease(self._send, self._account.username, self._fit, self._may_set, left=self._leaving)
        leading = Leading(lease, self._send, on_event)
        manager = Connection(leading.hear)
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
        granted(
            response,
            f"{self.address} refused the account {self._account.username!r}",
            "Compare ami.username and ami.secret with manager.conf, and our address with its permit lines",
        )
        self._leading = leading
        return leading

    async def _turns(self, leading: Leading) -> Any:  # noqa: ANN401 - an async generator of nothing
        """Watch the line until it is lost, and keep the lease by it: one yield per turn of that.

        The pong's own timestamp is the heartbeat, so that two machines' clocks need not agree
        and a fresh beat proves both directions.
        """
        loop = asyncio.get_running_loop()
        assert self._manager is not None  # noqa: S101 - _connect has just set it
        lost, beat_at, beaten = self._manager.lost, 0.0, False
        while True:
            if due := loop.time() >= beat_at:
                stamp, beat_at = await self._ping(), loop.time() + HEARTBEAT_S
            await leading.lease.turn()
            # Who takes over answers first: callers wait, and the heartbeat of the one before is still fresh.
            if hurried := leading.held and not beaten and leading.lease.term.follows:
                yield
            if leading.held and (due or not beaten):
                if beaten:
                    found = await self.act("Getvar", Variable=f"GLOBAL({HEARTBEAT_VARIABLE})")
                    self.rivals.look(found.value, self._beat)
                await self._set_heartbeat(stamp)
                self._beat_at = loop.time()
            beaten = leading.held
            if not hurried:
                yield
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(lost), min(leading.lease.pause_s, HEARTBEAT_S))
            if lost.done():
                msg = "the connection was closed by Asterisk"
                raise AmiError(msg)

    async def _ping(self) -> float:
        """See that the line is up, and what time it is by Asterisk's clock."""
        loop = asyncio.get_running_loop()
        sent = loop.time()
        pong = await self.act("Ping")
        granted(pong, f"{self.address} refused a ping", "Any account may ping: is this Asterisk?")
        stamp = stamp_of(pong)
        self.clock.told(stamp, sent)
        if self.standing_by:
            self._beat_at = loop.time()
        return stamp

    async def _set_heartbeat(self, stamp: float) -> None:
        self._beat = "0" if self._silenced else str(int(stamp))
        self._may_set(await self.act("Setvar", Variable=f"GLOBAL({HEARTBEAT_VARIABLE})", Value=self._beat))

    def _may_set(self, response: Message) -> None:
        granted(
            response,
            f"{self.address} does not let the account {self._account.username!r} set variables",
            "It needs `write = call` in manager.conf",
        )

    def _drop(self) -> None:
        if self._manager is not None:
            self._manager.protocol.abort()
        self._manager = self._leading = None
        self.standing_by = False
        self._screening(now=False)
