"""The service: builds the parts, runs them together, stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import structlog

from screener import listening, notifying, number, retention
from screener.ami import Account, Ami, tls
from screener.codes import Codes
from screener.delivering import Deliverer
from screener.errors import KeyUnusable, ScreenerError
from screener.feeds import FeedStore, Refresher, terms_of
from screener.filing import Filing, after_each_gap
from screener.ledger import Ledger, Place, Postgres
from screener.messages import Bounds, Messages
from screener.mirror import Mirror
from screener.screening import Screener
from screener.signing import Signer
from screener.spool import Spool
from screener.state import Campaigns, EmbeddedServer, Learning, Lists, State
from screener.steering import Steering
from screener.transcribing import Transcriber
from screener.voicemail import Mailboxes
from screener.watching import Pulse, Watch

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Coroutine, Mapping
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
CANCEL_S = 0.1
AGAIN_S = 5.0
"""The pause before housekeeping that failed is begun again."""


class _Receiver(Protocol):
    def receive(self, event: Mapping[str, object]) -> None:
        """Take one event from Asterisk."""


def now() -> datetime:
    """The clock of the service."""
    return datetime.now(UTC)  # noqa: TID251 - this is the clock that is handed out


def ledger_path(settings: Settings) -> Place:
    """Where the ledger is."""
    if settings.ledger.url:
        return Postgres(settings.ledger.url, settings.state_dir)
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


async def serve(config: Config, log_lost: Callable[[], int]) -> None:
    """Screen calls until SIGTERM or SIGINT; raises a ScreenerError when it cannot begin to.

    `log_lost` counts the lines that the log has lost; it is shown with the rest.

    Once it has begun it goes on: without Asterisk it waits, without the store it judges
    with the facts that are left, without disk it keeps ledger rows in memory.
    """
    stop, hangup = asyncio.Event(), asyncio.Event()
    for signum, event in ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, hangup)):
        asyncio.get_running_loop().add_signal_handler(signum, event.set)
    async with contextlib.AsyncExitStack() as stack:
        parts = await _built(config, hangup, log_lost, stack)
        await _warmed(config, parts.screener.state)
        start, restarts = asyncio.get_running_loop().create_task, parts.screener.counters.restarts
        beside = [start(_kept_up(what, work, restarts)) for what, work in parts.housekeeping.items()]
        connection = start(parts.ami.run(parts.receive, parts.ready))
        stopped = start(stop.wait())
        try:
            await asyncio.wait({connection, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                connection.result()  # it ends only by an error
            log.info("stopping; new calls ring unscreened")
            await parts.ami.say_goodbye()
            await parts.screener.drain(DRAIN_S)
        finally:
            await _ended({*beside, connection, stopped})


async def _ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks until it takes: redis-py on Python 3.11 loses a cancellation now and then."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_S)


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


async def _built(
    config: Config, hangup: asyncio.Event, log_lost: Callable[[], int], stack: contextlib.AsyncExitStack
) -> _Parts:
    """Build the parts; `stack` closes them, the store last."""
    settings, place, path = config.settings, config.settings.place, ledger_path(config.settings)
    stack.enter_context(written := _ledger(settings))
    housekeeping: Housekeeping = {}
    own = await _embedded(settings, stack, housekeeping) if not settings.redis.url else None
    url = own.url if own else settings.redis.url
    state, lists = State(url, feeds=terms_of(config.feeds)), Lists(url, settings.region, settings.own_numbers)
    learning, feeds = Learning(url, settings.trust.half_life_days), refresher(config, url)
    for client in (state, feeds.store, lists, learning):
        stack.push_async_callback(client.close)
    secret = config.ami_secret().get_secret_value()
    account = Account(settings.ami.host, settings.ami.port, settings.ami.username, secret)
    ami = Ami(account, tls.context(settings.ami.tls), settings.ami.tls.server_name)
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
    bounds = Bounds(settings.messages.per_sender_hour, settings.messages.per_hour)
    messages = Messages(screener, config.wording, path, bounds)
    codes = Codes(ami, lists, learning, path, place, clock=now)
    mirror = Mirror(ami, lists, settings.region, clock=lambda: now().timestamp())
    pulse = Pulse()
    beside = _Beside(screener, mirror, pulse, own, log_lost, notifier, {
        "deliveries": deliverer, "transcripts": transcriber, "comparisons": listener,
        "notifications": notifier,
    })  # fmt: skip
    steering = Steering(
        config, ami=ami, state=state, ledger=written, screener=screener, feeds=feeds, hangup=hangup,
        clock=now, commands={"release": messages.release}, further=beside.status,
    )  # fmt: skip
    connected = asyncio.Event()
    connected.set()
    housekeeping |= {
        "status and reload": steering.run,
        "recordings": lambda: after_each_gap(ami, filing, deliverer, connected),
        "the directory of recordings": spool.watch,
        "messages for mailboxes": deliverer.run,
        "retention": lambda: retention.daily(path, settings, now),
        "feeds": feeds.run,
        "the mirror in Asterisk": mirror.run,
        "voicemail messages": mailboxes.run,
        "messages": messages.run,
        "metrics and probes": Watch(settings.metrics.listen, steering.status, pulse).run,
    }
    if listener:
        housekeeping["campaigns"] = listener.run
    if transcriber:
        housekeeping["transcripts"] = transcriber.run
    return _Parts(ami, screener, (screener, codes, messages, deliverer), steering, connected, housekeeping)


@dataclass(frozen=True, slots=True)
class _Beside:
    """What is beside the way of a call and worth knowing of; what is not there is None."""

    screener: Screener
    mirror: Mirror
    pulse: Pulse
    store: EmbeddedServer | None
    log_lost: Callable[[], int]
    notifier: notifying.Notifier | None
    queues: Mapping[str, Deliverer | Transcriber | listening.Listener | notifying.Notifier | None]

    def status(self) -> dict[str, Any]:
        """Plain values for `screener status`."""
        waiting = {name: part.waiting for name, part in self.queues.items() if part}
        listener = self.screener.filing.listener
        return {
            "queues": waiting | {"calls": self.screener.at_hand},
            "notifications_failed": self.notifier.failed if self.notifier else None,
            "campaigns": listener.known if listener else None,
            "embedded_restarts": self.store.restarts if self.store else None,
            "mirror": self.mirror.status(),
            "loop": self.pulse.status(),
            "log_lost": self.log_lost(),
        }


async def _embedded(
    settings: Settings, stack: contextlib.AsyncExitStack, housekeeping: Housekeeping
) -> EmbeddedServer:
    """Start the store of our own."""
    own = EmbeddedServer(store_directory(settings), memory_bytes=settings.redis.memory_bytes)
    server = await stack.enter_async_context(own)
    housekeeping["the embedded store"] = server.run
    return server


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


async def _kept_up(
    what: str, work: Callable[[], Coroutine[None, None, None]], restarts: Counter[str]
) -> None:
    """Do what is not on the way of a call, again if it fails: that must never end the screening."""
    restarts[what] += 0
    while True:
        try:
            return await work()
        except ScreenerError as error:
            log.error("something beside the calls failed and is begun again", what=what, reason=str(error))
        except Exception:
            log.exception("something beside the calls failed and is begun again", what=what)
        restarts[what] += 1
        await asyncio.sleep(AGAIN_S)


def _ledger(settings: Settings) -> Ledger:
    """The open ledger; one whose checkpoints cannot be signed is better than none."""
    try:
        signer = Signer.of(settings.state_dir, anew=True)
    except KeyUnusable as error:
        log.error("the checkpoints of the ledger are not signed", reason=str(error))
        signer = None
    return Ledger.open(ledger_path(settings), signer=signer)
