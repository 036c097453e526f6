"""The service: builds the parts, runs them together, stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import ssl
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from screener import listening, notifying, number, retention
from screener.ami import Account, Ami
from screener.codes import Codes
from screener.delivering import Deliverer
from screener.errors import AmiError, ConfigError, KeyUnusable, ScreenerError
from screener.feeds import FeedStore, Refresher, terms_of
from screener.filing import Filing
from screener.ledger import Ledger
from screener.mirror import Mirror
from screener.screening import Screener
from screener.signing import Signer
from screener.spool import Spool
from screener.state import Campaigns, EmbeddedServer, Learning, Lists, State
from screener.steering import Steering
from screener.transcribing import Transcriber
from screener.voicemail import Mailboxes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping
    from pathlib import Path

    from screener.config import Config
    from screener.config.settings import Settings, Tls

log = structlog.get_logger(__name__)

LEDGER_FILE = "ledger.db"
STORE_DIRECTORY = "store"
DRAIN_S = 2.0
"""How long calls at hand may take when the service stops; systemd waits much longer."""
SWITCH_S = 0.0005
"""How long the ledger's or the log's thread may keep a caller waiting; Python's own limit is 5 ms."""
REVISIT_S = 90.0
"""When to look again for recordings that were still being made when the connection came back."""
CANCEL_S = 0.1
AGAIN_S = 5.0
"""The pause before housekeeping that failed is begun again."""


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
        beside = [start(_kept_up(what, work)) for what, work in parts.housekeeping.items()]
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
    """The flow of a call, and what is done beside it; `ready` is called when calls begin to be screened."""

    ami: Ami
    screener: Screener
    receive: Callable[[Mapping[str, object]], None]
    ready: Callable[[], None]
    housekeeping: dict[str, Callable[[], Coroutine[None, None, None]]]


async def _built(config: Config, hangup: asyncio.Event, stack: contextlib.AsyncExitStack) -> _Parts:
    """Build the parts; `stack` closes them, the store last."""
    settings = config.settings
    stack.enter_context(written := _ledger(settings))
    housekeeping: dict[str, Callable[[], Coroutine[None, None, None]]] = {}
    url = settings.redis.url
    if not url:
        own = EmbeddedServer(store_directory(settings), memory_bytes=settings.redis.memory_bytes)
        server = await stack.enter_async_context(own)
        url, housekeeping["the embedded store"] = server.url, server.run
    state = State(url, feeds=terms_of(config.feeds))
    stack.push_async_callback(state.close)
    feeds = refresher(config, url)
    stack.push_async_callback(feeds.store.close)
    lists = Lists(url, settings.region, settings.own_numbers)
    stack.push_async_callback(lists.close)
    secret = config.ami_secret().get_secret_value()
    account = Account(settings.ami.host, settings.ami.port, settings.ami.username, secret)
    ami = Ami(account, _tls(settings.ami.tls), settings.ami.tls.server_name)
    listener = None
    if listening.INSTALLED:
        stack.push_async_callback((campaigns := Campaigns(url)).close)
        listener = listening.Listener(campaigns, written, settings.recordings_dir, clock=now)
        housekeeping["campaigns"] = listener.run
    else:
        log.info("recordings are not compared: the extra audio is not installed", install=listening.INSTALL)
    learning = Learning(url, settings.trust.half_life_days)
    stack.push_async_callback(learning.close)
    mailboxes = Mailboxes(settings.trust.voicemail_dir, learning, clock=lambda: now().timestamp())
    transcriber = None
    if settings.transcription.enabled:
        transcriber = Transcriber(settings.transcription, config.wording, written, settings.place, clock=now)
        housekeeping["transcripts"] = transcriber.run
    notifier = notifying.started(settings.notify)
    deliverer = Deliverer(settings.voicemail.deliver_to, ami, written, notifier, clock=now)
    filing = Filing(
        Spool(settings.recordings_dir, notifier.alarm if notifier else None),
        written,
        settings.place,
        now,
        listener=listener,
        transcriber=transcriber,
        deliverer=deliverer,
    )
    screener = Screener(
        ami=ami,
        state=state,
        policy=config.policy,
        ledger=written,
        place=settings.place,
        filing=filing,
        clock=now,
        learning=learning,
        mailboxes=mailboxes,
        long_call_s=settings.trust.long_call_s,
    )
    steering = Steering(
        config, ami=ami, state=state, ledger=written, screener=screener, feeds=feeds, hangup=hangup, clock=now
    )
    codes = Codes(ami, lists, learning, ledger_path(settings), settings.place, clock=now)
    mirror = Mirror(ami, lists, settings.region, clock=lambda: now().timestamp())
    connected = asyncio.Event()
    connected.set()

    def ready() -> None:
        connected.set()
        screener.talks.clear()
        steering.connected()

    def receive(event: Mapping[str, object]) -> None:
        screener.receive(event)
        codes.receive(event)
        deliverer.receive(event)

    housekeeping |= {
        "status and reload": steering.run,
        "recordings": lambda: _after_each_gap(ami, filing, deliverer, connected),
        "the directory of recordings": filing.spool.watch,
        "messages for mailboxes": deliverer.run,
        "retention": lambda: retention.daily(ledger_path(settings), settings, now),
        "feeds": feeds.run,
        "the mirror in Asterisk": mirror.run,
        "voicemail messages": mailboxes.run,
    }
    return _Parts(ami, screener, receive, ready, housekeeping)


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


async def _kept_up(what: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Do what is not on the way of a call, again if it fails: that must never end the screening."""
    while True:
        try:
            return await work()
        except ScreenerError as error:
            log.error("something beside the calls failed and is begun again", what=what, reason=str(error))
        except Exception:
            log.exception("something beside the calls failed and is begun again", what=what)
        await asyncio.sleep(AGAIN_S)


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
    while True:
        try:
            await asyncio.wait_for(connected.wait(), again)
            again = REVISIT_S
        except TimeoutError:
            again = None
        connected.clear()
        if ami.ready.is_set():
            await _compare_places(ami, filing.spool.root)
            with contextlib.suppress(AmiError):  # the next connection tries again
                await deliverer.announce()
        await filing.adopt()


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


def _tls(settings: Tls) -> ssl.SSLContext | None:
    if not settings.enabled:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"ami.tls.ca_file: {settings.ca_file}: {error}"]) from error
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
