"""What each Asterisk has for itself: its connection, its calls, its recordings, its copy of the lists."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

import structlog

from screener import housekeeping
from screener.ami import HEARTBEAT_S, Account, Ami, tls
from screener.call import UNFILED_VARIABLE
from screener.codes import Codes
from screener.delivering import Deliverer
from screener.errors import AmiError, AmiLoginRefused, UnsafeValue
from screener.filing import Filing
from screener.ledger import Postgres
from screener.messages import Bounds, Messages
from screener.mirror import Mirror
from screener.screening import Screener
from screener.spool import Spool
from screener.voicemail import Mailboxes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from datetime import datetime

    from screener.config import Config
    from screener.counters import Counters
    from screener.housekeeping import Housekeeping
    from screener.ledger import Ledger, Row
    from screener.listening import Listener
    from screener.notifying import Notifier
    from screener.state import Learning, Lists, State
    from screener.transcribing import Transcriber

log = structlog.get_logger(__name__)

REVISIT_S = 90.0
"""When to look again for recordings that were still being made when the connection came back."""
REFUSED_S = 10.0
"""The pause before an account is tried again that one of several Asterisks refused."""
MISSED_BEATS = 3
"""After so many the dialplan stops asking."""
OTHERS_S = 2 * REVISIT_S
"""Recordings that were closed so long before we took over have been filed by who answered then, unless it
says otherwise."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all Asterisks have in common: one policy, one store, one ledger."""

    config: Config
    state: State
    lists: Lists
    learning: Learning
    ledger: Ledger
    counters: Counters
    _: KW_ONLY
    notifier: Notifier | None
    transcriber: Transcriber | None
    clock: Callable[[], datetime]


class _Receiver(Protocol):
    def receive(self, event: Mapping[str, object]) -> None:
        """Take one event from Asterisk."""


class Pbx:
    """One Asterisk; `name` is empty where there is only one."""

    def __init__(self, name: str, secret: str, shared: Shared, listener: Listener | None) -> None:
        settings, self.name = shared.config.settings, name
        about, place, clock = settings.asterisks[name], settings.place, shared.clock
        state, written = shared.state, cast("Ledger", _OfPbx(shared.ledger, name))
        self._ledger = written
        account = Account(about.host, about.port, about.username, secret)
        self.ami = Ami(account, tls.context(about.tls), about.tls.server_name, fit=lambda: state.reachable)
        self._deliverer = Deliverer(
            settings.voicemail.deliver_to, self.ami, written, shared.notifier, clock=clock, zone=place.zone
        )
        spool = Spool(about.recordings_dir, shared.notifier.alarm if shared.notifier else None)
        self.filing = Filing(
            spool, written, place, clock,
            listener=listener, transcriber=shared.transcriber, deliverer=self._deliverer,
            leads=lambda: self.ami.leads,
        )  # fmt: skip
        mailboxes = Mailboxes(
            settings.trust.voicemail_dir, shared.learning, clock=lambda: clock().timestamp()
        )
        self.screener = Screener(
            ami=self.ami, state=state, policy=shared.config.policy, ledger=written, place=place,
            filing=self.filing, clock=clock, learning=shared.learning, mailboxes=mailboxes,
            long_call_s=settings.trust.long_call_s, counters=shared.counters, pbx=name,
        )  # fmt: skip
        path = shared.ledger.path
        bounds = Bounds(settings.messages.per_sender_hour, settings.messages.per_hour)
        self.messages = Messages(self.screener, shared.config.wording, path, bounds)
        codes = Codes(self.ami, shared.lists, shared.learning, path, place, clock=clock, pbx=name)
        self._receivers: tuple[_Receiver, ...] = (self.screener, codes, self.messages, self._deliverer)
        self.listener = listener
        self.mirror = Mirror(self.ami, shared.lists, settings.region, clock=lambda: clock().timestamp())
        self._gap_over = asyncio.Event()
        self.connections, self.connected_at = 0, clock()
        self._clock = clock
        # What one of several screeners does for all of them, while it answers the calls.
        alone = {
            "the directory of recordings": spool.watch,
            "the mirror in Asterisk": self.mirror.run,
            "voicemail messages": mailboxes.run,
            "messages": self.messages.run,
        }
        together: Housekeeping = {
            "recordings": self._after_each_gap,
            "messages for mailboxes": self._deliverer.run,
        } | {what: partial(housekeeping.while_leading, self.ami, work) for what, work in alone.items()}
        if listener:
            together["campaigns"] = listener.run
        of = f" of {name}" if name else ""
        self.housekeeping: Housekeeping = {
            f"{what}{of}": partial(self._in_its_name, work) for what, work in together.items()
        }

    async def run(self) -> None:
        """Screen its calls until cancelled; raises as `Ami.run`, unless there are others that go on."""
        await self._in_its_name(self._connected)

    async def _in_its_name(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do it so that what is logged there, and by tasks started there, names this Asterisk."""
        if self.name:
            structlog.contextvars.bind_contextvars(pbx=self.name)
        await work()

    async def _connected(self) -> None:
        while True:
            try:
                return await self.ami.run(self.receive, self._ready)
            except (AmiLoginRefused, UnsafeValue) as error:
                if not self.name:
                    raise
                log.error("the calls of an Asterisk ring unscreened", reason=str(error))
            await asyncio.sleep(REFUSED_S)

    def receive(self, event: Mapping[str, object]) -> None:
        """Give an event to all; each passes over what is not about it."""
        for part in self._receivers:
            part.receive(event)

    @property
    def is_there(self) -> bool:
        """Whether its calls are screened, by us or by another screener at whose side we stand."""
        up, age_s = self.ami.ready.is_set() or self.ami.standing_by, self.ami.heartbeat_age_s
        return up and age_s is not None and age_s < MISSED_BEATS * HEARTBEAT_S

    @property
    def queues(self) -> dict[str, int]:
        """How much waits for its turn, by for what."""
        return {
            "calls": self.screener.at_hand,
            "deliveries": self._deliverer.waiting,
            **({"comparisons": self.listener.waiting} if self.listener else {}),
        }

    def status(self) -> dict[str, Any]:
        """What is worth knowing of it, as plain values; the moment as it is."""
        trip_s = self.ami.clock.round_trip_s
        return {
            "ami": {
                "address": self.ami.address,
                "connected_since": self.connected_at if self.ami.ready.is_set() else None,
                "standing_by": self.ami.standing_by,
                "reconnects": max(0, self.connections - 1),
                "heartbeat_age_s": self.ami.heartbeat_age_s,
                "rival_age_s": self.ami.rivals.age_s,
                "round_trip_ms": None if trip_s is None else round(trip_s * 1000, 3),
            },
            "recordings": self.filing.spool.status(),
            "mirror": self.mirror.status(),
        }

    def _ready(self) -> None:
        """Note that calls begin to be screened, at first and after each gap."""
        self._gap_over.set()
        self.screener.talks.clear()
        self.connections += 1
        self.connected_at = self._clock()

    async def _after_each_gap(self) -> None:
        """Whenever calls begin to be screened, and once more: see that the dialplan fits, file recordings."""
        looks, since = 0, 0.0
        while True:
            try:
                await asyncio.wait_for(self._gap_over.wait(), REVISIT_S)
                looks, since = 2, -1.0
            except TimeoutError:
                pass
            self._gap_over.clear()
            if self.ami.standing_by and not self._is_shared:
                await self.filing.make_good()  # the other does not know of what we owed before it led
            if not self.ami.ready.is_set():
                continue
            with contextlib.suppress(AmiError):  # the next connection tries again
                if looks:
                    await self._compare()
                    await self._deliverer.announce()
                    since = await self._unfiled_since() if since < 0 else since
                    await self._say_unfiled(since)
                    if await self.filing.adopt(since=since):
                        looks -= 1
                        await self._say_unfiled(None)
                elif self._ledger.trouble and not self._is_shared:  # what is filed now dies with us
                    looks, since = 1, self._clock().timestamp() - OTHERS_S
                    await self._say_unfiled(since)
                elif self.filing.unsettled_since:
                    looks, since, self.filing.unsettled_since = 1, self.filing.unsettled_since, 0.0

    @property
    def _is_shared(self) -> bool:
        """Whether all screeners have one ledger."""
        return isinstance(self._ledger.path, Postgres)

    async def _unfiled_since(self) -> float:
        """When the first recording was closed that nobody may have filed (Unix time)."""
        if not self.ami.took_over or self._is_shared:
            return 0.0  # nobody else has filed any, or where we see it
        told = (await self.ami.act("Getvar", Variable=f"GLOBAL({UNFILED_VARIABLE})")).value or ""
        since = self._clock().timestamp() - OTHERS_S
        return min(since, float(told)) if told.isdecimal() else since

    async def _say_unfiled(self, since: float | None) -> None:
        """Tell who follows us what to look for, should we die before we have filed it."""
        text = "" if since is None else str(int(since))
        await self.ami.act("Setvar", Variable=f"GLOBAL({UNFILED_VARIABLE})", Value=text)

    async def _compare(self) -> None:
        """Raise an alarm if the dialplan records elsewhere than we look, or calls may be mixed up."""
        directory = self.filing.spool.root
        try:
            spool = (await self.ami.act("Getvar", Variable="SCREENER_SPOOL")).value
            systemname = (await self.ami.act("Getvar", Variable="SYSTEMNAME")).value
        except AmiError:
            return  # the next connection asks again
        if not spool:
            log.error("the screener's dialplan is not loaded: include screener.conf in extensions.conf")
        elif spool != str(directory):
            log.error(
                "recordings_dir is not where the dialplan records", recordings_dir=str(directory), spool=spool
            )
        if self.name and not systemname:
            log.error(
                "its calls may be taken for those of another Asterisk: give it a systemname in asterisk.conf"
            )


class _OfPbx:
    """The ledger as the parts of one Asterisk see it: their rows say where they come from."""

    def __init__(self, written: Ledger, pbx: str) -> None:
        self._written, self._pbx = written, pbx

    def append(self, row: Row) -> None:
        self._written.append(replace(row, pbx=self._pbx))

    def __getattr__(self, name: str) -> object:
        return getattr(self._written, name)
