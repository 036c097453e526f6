"""The service: builds the parts, runs them together, stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from screener import housekeeping, notifying, number, retention
from screener.counters import Counters
from screener.errors import KeyUnusable, LedgerError
from screener.feeds import FeedStore, Refresher, terms_of
from screener.ledger import Ledger, Place, Postgres, waiting
from screener.messages.releasing import unknown
from screener.pbx import Pbx, Shared
from screener.signing import Signer
from screener.state import Campaigns, EmbeddedServer, Learning, Lists, State
from screener.steering import Steering
from screener.transcribing import Transcriber
from screener.watching import Pulse, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from screener.config import Config
    from screener.config.settings import Settings
    from screener.housekeeping import Housekeeping
    from screener.listening import Listener

log = structlog.get_logger(__name__)

LEDGER_FILE = "ledger.db"
STORE_DIRECTORY = "store"
DRAIN_S = 2.0
"""How long calls at hand may take when the service stops; systemd waits much longer."""
SWITCH_S = 0.0005
"""How long the ledger's or the log's thread may keep a caller waiting; Python's own limit is 5 ms."""


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
        shared, pbxs, beside = await _built(config, hangup, log_lost, stack)
        await _warmed(config, shared.state)
        start, restarts = asyncio.get_running_loop().create_task, shared.counters.restarts
        tasks = {start(housekeeping.kept_up(what, work, restarts)) for what, work in beside.items()}
        connections = {start(pbx.run()) for pbx in pbxs}
        stopped = start(stop.wait())
        try:
            await asyncio.wait({*connections, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                for connection in connections:
                    if connection.done():
                        connection.result()  # it ends only by an error
            log.info("stopping; new calls ring unscreened, unless another screener stands by")
            await asyncio.gather(*(pbx.ami.say_goodbye() for pbx in pbxs))
            await asyncio.gather(*(pbx.screener.drain(DRAIN_S) for pbx in pbxs))
        finally:
            await housekeeping.ended({*tasks, *connections, stopped})


async def _built(
    config: Config, hangup: asyncio.Event, log_lost: Callable[[], int], stack: contextlib.AsyncExitStack
) -> tuple[Shared, list[Pbx], Housekeeping]:
    """Build the parts; `stack` closes them, the store last."""
    settings, path = config.settings, ledger_path(config.settings)
    stack.enter_context(written := _ledger(settings))
    beside: Housekeeping = {}
    own = await _embedded(settings, stack, beside) if not settings.redis.url else None
    url = own.url if own else settings.redis.url
    state, lists = State(url, feeds=terms_of(config.feeds)), Lists(url, settings.region, settings.own_numbers)
    learning, feeds = Learning(url, settings.trust.half_life_days), refresher(config, url)
    for client in (state, feeds.store, lists, learning):
        stack.push_async_callback(client.close)
    transcriber = None
    if settings.transcription.enabled:
        transcriber = Transcriber(settings.transcription, config.wording, written, settings.place, clock=now)
        beside["transcripts"] = transcriber.run
    if notifier := notifying.started(settings.notify):
        stack.callback(notifier.finish, DRAIN_S)  # while the ledger is open, which keeps what was taken
    shared = Shared(
        config, state, lists, learning, written, Counters(),
        notifier=notifier, transcriber=transcriber, clock=now,
    )  # fmt: skip
    pbxs = []
    for name, secret in config.ami_secrets().items():
        listener = _listener(settings.asterisks[name].recordings_dir, url, written, stack)
        pbxs.append(pbx := Pbx(name, secret.get_secret_value(), shared, listener))
        beside |= pbx.housekeeping
    pulse = Pulse()
    steering = Steering(
        config, pbxs=pbxs, state=state, ledger=written, learning=learning, counters=shared.counters,
        feeds=feeds, hangup=hangup, clock=now, commands={"release": partial(_release, pbxs)},
        further=partial(_further, shared, pbxs, pulse, own, log_lost),
    )  # fmt: skip
    beside |= {
        "status and reload": steering.run,
        "metrics and probes": Watch(settings.metrics.listen, steering.status, pulse).run,
        "retention": lambda: retention.daily(path, settings, now),
        # Who answers for some and stands by for others fetches as well: twice does no harm.
        "feeds": feeds.run if len(pbxs) > 1 else partial(housekeeping.while_leading, pbxs[0].ami, feeds.run),
    }
    if settings.redis.url:
        beside["whether the store is there"] = state.watch
    return shared, pbxs, beside


def _further(
    shared: Shared,
    pbxs: Sequence[Pbx],
    pulse: Pulse,
    store: EmbeddedServer | None,
    log_lost: Callable[[], int],
) -> dict[str, Any]:
    """What is beside the way of a call and worth knowing of, for the status; what is not there is None."""
    queues = Counter[str]()
    for pbx in pbxs:
        queues.update(pbx.queues)
    others = {"transcripts": shared.transcriber, "notifications": shared.notifier}
    known = [pbx.listener.known for pbx in pbxs if pbx.listener]
    return {
        "queues": {
            **queues,
            **{name: part.waiting for name, part in others.items() if part},
        },
        "notifications_failed": shared.notifier.failed if shared.notifier else None,
        "campaigns": max(known, default=None),
        "embedded_restarts": store.restarts if store else None,
        "loop": pulse.status(),
        "log_lost": log_lost(),
    }


async def _release(pbxs: list[Pbx], message_id: str) -> dict[str, Any]:
    """Have a message delivered by the Asterisk that it came to."""
    answer: dict[str, Any] = {}
    for pbx in pbxs:
        answer = await pbx.messages.release(message_id)
        if answer.get("error") != unknown(message_id):
            break
    return answer


async def _embedded(
    settings: Settings, stack: contextlib.AsyncExitStack, beside: Housekeeping
) -> EmbeddedServer:
    """Start the store of our own."""
    own = EmbeddedServer(store_directory(settings), memory_bytes=settings.redis.memory_bytes)
    server = await stack.enter_async_context(own)
    beside["the embedded store"] = server.run
    return server


def _listener(
    recordings_dir: Path, url: str, written: Ledger, stack: contextlib.AsyncExitStack
) -> Listener | None:
    """What compares recordings, if its extra is there."""
    from screener import listening  # noqa: PLC0415 - numpy: a tenth of a second that no command needs

    if not listening.INSTALLED:
        log.info("recordings are not compared: the extra audio is not installed", install=listening.INSTALL)
        return None
    stack.push_async_callback((campaigns := Campaigns(url)).close)
    return listening.Listener(campaigns, written, recordings_dir, clock=now)


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
        signer = Signer.of(settings.state_dir, anew=True)
    except KeyUnusable as error:
        log.error("the checkpoints of the ledger are not signed", reason=str(error))
        signer = None
    if not settings.ledger.url:
        _say_left(Postgres("", settings.state_dir))
    return Ledger.open(ledger_path(settings), signer=signer)


def _say_left(before: Postgres) -> None:
    """Say what waits for a database that the settings do not name any more."""
    try:
        left = waiting(before)
    except LedgerError as error:
        log.error("what waits for PostgreSQL cannot be told", reason=str(error))
        return
    if left:
        log.error(
            "rows of the ledger wait for PostgreSQL, and ledger.url is not set any more: set it until they "
            "are there, or delete the outbox, and they are lost",
            outbox=str(before.outbox), rows=left,
        )  # fmt: skip
