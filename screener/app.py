"""The service: builds the parts, runs them together, stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

import structlog

from screener import housekeeping, listening, notifying, number, retention
from screener.ami import Account, Ami, tls
from screener.codes import Codes
from screener.delivering import Deliverer
from screener.errors import AmiError, KeyUnusable
from screener.feeds import FeedStore, Refresher, terms_of
from screener.filing import Filing
from screener.ledger import Ledger
from screener.messages import Messages
from screener.mirror import Mirror
from screener.screening import Screener
from screener.signing import Signer
from screener.spool import Spool
from screener.state import Campaigns, EmbeddedServer, Learning, Lists, State
from screener.steering import Steering
from screener.transcribing import Transcriber
from screener.voicemail import Mailboxes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path

    from screener.config import Config
    from screener.config.settings import Settings

    Housekeeping: TypeAlias = dict[str, Callable[[], Coroutine[None, None, None]]]

log = structlog.get_logger(__name__)

LEDGER_FILE = "ledger.db"
STORE_DIRECTORY = "store"
DRAIN_S = 2.0
"""How long calls at hand may take when the service stops; systemd waits much longer."""
SWITCH_S = 0.0005
"""How long the ledger's or the log's thread may keep a caller waiting; Python's own limit is 5 ms."""
REVISIT_S = 90.0
"""When to look again for recordings that were still being made when the connection came back."""
OTHERS_S = 60.0
"""Recordings that were closed so long before we took over have been filed by who answered then."""


class _Receiver(Protocol):
    def receive(self, event: Mapping[str, object]) -> None:
        """Take one event from Asterisk."""


def now() -> datetime:
    """The clock of the service."""
    return datetime.now(UTC)  # noqa: TID251 - this is the clock that is handed out


def ledger_path(settings: Settings) -> Path:
    """Where the ledger is."""
    return settings.state_dir / LEDGER_FILE


def store_directory(settings: Settings) -> Path:
    """Where the embedded store keeps its data."""
    return settings.state_dir / STORE_DIRECTORY


def refresher(config: Config, url: str) -> Refresher:
    """What keeps the feeds of this configuration in the store at `url`; its store is to be closed."""
    settings = config.settings
    return Refresher(
        FeedStore(url), config.feeds, settings.region, settings.own_numbers, clock=lambda: now().timestamp()
    )


async def serve(config: Config) -> None:
    """Screen calls until SIGTERM or SIGINT; raises a ScreenerError when it cannot begin to.

    Once it has begun it goes on: without Asterisk it waits, without the store it judges
    with the facts that are left, without disk it keeps ledger rows in memory.
    """
    stop, hangup = asyncio.Event(), asyncio.Event()
    for signum, event in ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, hangup)):
        asyncio.get_running_loop().add_signal_handler(signum, event.set)
    async with contextlib.AsyncExitStack() as stack:
        parts = await _built(config, hangup, stack)
        await _warmed(config, parts.screener.state)
        start = asyncio.get_running_loop().create_task
        beside = [start(housekeeping.kept_up(what, work)) for what, work in parts.housekeeping.items()]
        connection = start(parts.ami.run(parts.receive, parts.ready))
        stopped = start(stop.wait())
        try:
            await asyncio.wait({connection, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                connection.result()  # it ends only by an error
            log.info("stopping; new calls ring unscreened, unless another screener stands by")
            await parts.ami.say_goodbye()
            await parts.screener.drain(DRAIN_S)
        finally:
            await housekeeping.ended({*beside, connection, stopped})


@dataclass(frozen=True, slots=True)
class _Parts:
    """The flow of a call, who hears Asterisk's events, and what is done beside it."""

    ami: Ami
    screener: Screener
    receivers: tuple[_Receiver, ...]
    steering: Steering
    connected: asyncio.Event
    housekeeping: Housekeeping

    def receive(self, event: Mapping[str, object]) -> None:
        """Give an event to all; each passes over what is not about it."""
        for part in self.receivers:
            part.receive(event)

    def ready(self) -> None:
        """Note that calls begin to be screened, at first and after each gap."""
        self.connected.set()
        self.screener.talks.clear()
        self.steering.connected()


async def _built(config: Config, hangup: asyncio.Event, stack: contextlib.AsyncExitStack) -> _Parts:
    """Build the parts; `stack` closes them, the store last."""
    settings, place, path = config.settings, config.settings.place, ledger_path(config.settings)
    stack.enter_context(written := _ledger(settings))
    work_beside: Housekeeping = {}
    url = settings.redis.url or await _embedded(settings, stack, work_beside)
    state, lists = State(url, feeds=terms_of(config.feeds)), Lists(url, settings.region, settings.own_numbers)
    learning, feeds = Learning(url, settings.trust.half_life_days), refresher(config, url)
    for client in (state, feeds.store, lists, learning):
        stack.push_async_callback(client.close)
    secret = config.ami_secret().get_secret_value()
    account = Account(settings.ami.host, settings.ami.port, settings.ami.username, secret)
    fit = lambda: state.reachable  # noqa: E731
    ami = Ami(account, tls.context(settings.ami.tls), settings.ami.tls.server_name, fit=fit)
    notifier = notifying.started(settings.notify)
    deliverer = Deliverer(settings.voicemail.deliver_to, ami, written, notifier, clock=now)
    spool = Spool(settings.recordings_dir, notifier.alarm if notifier else None)
    listener = _listener(settings, url, written, stack)
    transcriber = None
    if settings.transcription.enabled:
        transcriber = Transcriber(settings.transcription, config.wording, written, place, clock=now)
    filing = Filing(
        spool, written, place, now, listener=listener, transcriber=transcriber, deliverer=deliverer
    )
    mailboxes = Mailboxes(settings.trust.voicemail_dir, learning, clock=lambda: now().timestamp())
    screener = Screener(
        ami=ami, state=state, policy=config.policy, ledger=written, place=place, filing=filing, clock=now,
        learning=learning, mailboxes=mailboxes, long_call_s=settings.trust.long_call_s,
    )  # fmt: skip
    messages = Messages(screener, config.wording, path)
    steering = Steering(
        config, ami=ami, state=state, ledger=written, screener=screener, feeds=feeds, hangup=hangup,
        clock=now, commands={"release": messages.release},
    )  # fmt: skip
    codes = Codes(ami, lists, learning, path, place, clock=now)
    mirror = Mirror(ami, lists, settings.region, clock=lambda: now().timestamp())
    connected = asyncio.Event()
    work_beside |= {
        "status and reload": steering.run,
        "recordings": lambda: _after_each_gap(ami, filing, deliverer, connected),
        "messages for mailboxes": deliverer.run,
        "retention": lambda: retention.daily(path, settings, now),
    }
    # What one of several screeners does for all of them, while it answers the calls.
    for what, work in {
        "the directory of recordings": spool.watch,
        "feeds": feeds.run,
        "the mirror in Asterisk": mirror.run,
        "voicemail messages": mailboxes.run,
        "messages": messages.run,
    }.items():
        work_beside[what] = partial(housekeeping.while_leading, ami, work)
    if settings.redis.url:
        work_beside["whether the store is there"] = state.watch
    if listener:
        work_beside["campaigns"] = listener.run
    if transcriber:
        work_beside["transcripts"] = transcriber.run
    return _Parts(ami, screener, (screener, codes, messages, deliverer), steering, connected, work_beside)


async def _embedded(settings: Settings, stack: contextlib.AsyncExitStack, beside: Housekeeping) -> str:
    """Start the store of our own; where it is reached."""
    own = EmbeddedServer(store_directory(settings), memory_bytes=settings.redis.memory_bytes)
    server = await stack.enter_async_context(own)
    beside["the embedded store"] = server.run
    return server.url


def _listener(
    settings: Settings, url: str, written: Ledger, stack: contextlib.AsyncExitStack
) -> listening.Listener | None:
    """What compares recordings, if its extra is there."""
    if not listening.INSTALLED:
        log.info("recordings are not compared: the extra audio is not installed", install=listening.INSTALL)
        return None
    stack.push_async_callback((campaigns := Campaigns(url)).close)
    return listening.Listener(campaigns, written, settings.recordings_dir, clock=now)


async def _warmed(config: Config, state: State) -> None:
    """Load and connect what otherwise the first callers would wait for."""
    place = config.settings.place
    number.warm(place.region, *(region for _, region in place.trunks), city=place.city)
    seen = await state.observe("0", "", "", count=False)
    if seen.missing:
        log.error(
            "the store is out of reach: calls are judged without lists and counters", reason=seen.missing
        )
    elif risk := await state.memory_risk():
        log.warning("the store is not set up for what we keep in it", reason=risk)
    sys.setswitchinterval(SWITCH_S)
    gc.freeze()  # what is loaded now stays: collections that walk over it would make callers wait
    log.info("screening", policy=config.policy.hash, rules=len(config.policy.rules))


def _ledger(settings: Settings) -> Ledger:
    """The open ledger; one whose checkpoints cannot be signed is better than none."""
    try:
        signer = Signer.of(settings.state_dir)
    except KeyUnusable as error:
        log.error("the checkpoints of the ledger are not signed", reason=str(error))
        signer = None
    return Ledger.open(ledger_path(settings), signer=signer)


async def _after_each_gap(ami: Ami, filing: Filing, deliverer: Deliverer, connected: asyncio.Event) -> None:
    """Whenever calls begin to be screened: see that the dialplan fits, file what was recorded meanwhile."""
    again: float | None = None
    since = 0.0
    while True:
        try:
            await asyncio.wait_for(connected.wait(), again)
            again, since = REVISIT_S, now().timestamp() - OTHERS_S if ami.took_over else 0.0
        except TimeoutError:
            again = None
        connected.clear()
        if ami.ready.is_set():
            await _compare_places(ami, filing.spool.root)
            with contextlib.suppress(AmiError):  # the next connection tries again
                await deliverer.announce()
            await filing.adopt(since=since)


async def _compare_places(ami: Ami, directory: Path) -> None:
    """Raise an alarm if the dialplan records elsewhere than we look."""
    try:
        spool = (await ami.act("Getvar", Variable="SCREENER_SPOOL")).value
    except AmiError:
        return  # the next connection asks again
    if not spool:
        log.error("the screener's dialplan is not loaded: include screener.conf in extensions.conf")
    elif spool != str(directory):
        log.error(
            "recordings_dir is not where the dialplan records", recordings_dir=str(directory), spool=spool
        )
