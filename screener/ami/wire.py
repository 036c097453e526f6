"""panoramisk's parser and action table, without what it does around them that would cost calls."""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from panoramisk import Manager
from panoramisk.actions import Action
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.message import Message

from screener.errors import AmiError, AmiLoginRefused, UnsafeValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = structlog.get_logger(__name__)

MESSAGE_BYTES = 1 << 20
"""A message longer than this is not from Asterisk."""
UNSAFE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""ASCII's control characters, and halves of characters, which cannot be sent."""
OURS = re.compile(rb"Event: (UserEvent|ChannelTalkingSt)")
"""The events that somebody here wants; others are not even parsed."""
ENDS = (b"\r\nPriority: ", b"\r\nUniqueid: ", b"\r\nLinkedid: ")
WHOLE = (
    b"\r\nCallerIDName: ",
    b"\r\nConnectedLineNum: ",
    b"\r\nConnectedLineName: ",
    b"\r\nContext: ",
    *ENDS,
)
"""In each event of a channel, by Asterisk. A caller's own text (80 bytes) is too short to hold all of WHOLE,
or ENDS and an event besides."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where Asterisk's manager interface is, and the account on it."""

    host: str
    port: int
    username: str
    secret: str = field(repr=False)


def action(name: str, **headers: str) -> Action:
    """Build an action; a control character in any value would end the header and start another."""
    for key, value in headers.items():
        if UNSAFE.search(value):
            shown = "" if key == "Secret" else f": {value[:80]!r}"
            msg = f"{name}: the value of {key} holds a control character{shown}"
            raise UnsafeValue(msg)
    # Exactly one response is expected; left to guess, panoramisk fails on "successfully queued".
    return Action({"Action": name, **headers}, as_list=False)


class Connection(Manager):  # type: ignore[misc]  # panoramisk has no types
    """panoramisk's manager for the life of one connection: it neither reconnects nor logs in."""

    def __init__(self, on_event: Callable[[Mapping[str, object]], None]) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.lost: asyncio.Future[None] = self.loop.create_future()
        self._on_event = on_event
        for name in ("UserEvent", "ChannelTalkingSt*"):
            self.register_event(name, self._guarded)

    def attach(self, transport: asyncio.Transport, protocol: Wire) -> None:
        """Take over a connection that has just been made; panoramisk's own pings are not checked, so none."""
        made = self.loop.create_future()
        made.set_result((transport, protocol))
        self.connection_made(made)
        self.pinger.cancel()

    def _guarded(self, _manager: Manager, event: Message) -> None:
        if event.get("Event") != "UserEvent" and event.get("UserEvent"):
            log.error("dropped: a caller forged it by his caller ID", call=str(event.get("Uniqueid"))[:80])
            return
        try:
            self._on_event(event)
        except Exception:
            log.exception("an event could not be handled")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - panoramisk's signature
        """Tell the supervisor, and nobody else: a new connection has a new manager."""
        if not self.lost.done():
            self.lost.set_result(None)


class Wire(AMIProtocol):  # type: ignore[misc]  # panoramisk has no types
    """Splits bytes, not text, so that a character cut by a packet stays whole; never re-queues."""

    closed: bool
    responses: dict[str, Action]

    def __init__(self, manager: Connection) -> None:
        self._owner = manager
        self._buffer = bytearray()
        # A caller who renames himself in mid-call, by a re-INVITE, is out of the dialplan's reach: with an
        # empty line in his number, what follows up to the rest of Asterisk's own event is what he wrote.
        self._torn = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Know the owner from the first byte on."""
        super().connection_made(transport)
        self.factory = self._owner

    def send_together(self, actions: tuple[Action, ...]) -> None:
        """Send actions in one write; their futures get the responses."""
        for item in actions:
            self.responses[item.id] = item
        self.transport.write("".join(map(str, actions)).encode())

    def forget(self, actions: tuple[Action, ...]) -> None:
        """Wait no longer for the responses to these."""
        for item in actions:
            self.responses.pop(item.id, None)
            item.future.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what the network gives, in whatever pieces."""
        self._buffer += data
        *messages, rest = self._buffer.split(b"\r\n\r\n")
        self._buffer = rest
        if len(rest) > MESSAGE_BYTES:
            log.error("Asterisk sent a message without an end; reconnecting", bytes=len(rest))
            self.abort()
            return
        for raw in messages:
            # Other events are dropped as bytes, ten times cheaper than parsed: an account with
            # more rights than it needs must not slow calls down.
            if raw.startswith(b"Event: ") and not OURS.match(raw) and not self._torn:
                continue
            tears = b"\r\nCallerIDNum: " in raw and not all(name in raw for name in WHOLE)
            # Whatever it begins with: the rest of an event comes next, else the one after it would go too.
            if self._torn or (tears and not raw.startswith(b"Response: ")):
                self._torn = not all(name in raw for name in ENDS)
                log.error("dropped: a caller forged it by his caller ID", message=bytes(raw[:200]))
                continue
            try:
                message = Message.from_line(raw.decode("utf-8", "replace").strip())
                if message is not None:
                    self.handle_message(message)
            except Exception:
                log.exception("a message from Asterisk could not be read", message=bytes(raw[:200]))

    def abort(self) -> None:
        """End the connection at once, without waiting for a peer that may be dead."""
        self.transport.abort()
        self.close()
        self._owner.connection_lost(None)

    def close(self) -> None:
        """Fail what is in flight; panoramisk would send it again later."""
        pending, self.responses = self.responses, {}
        for item in pending.values():
            if not item.future.done():
                item.future.set_exception(AmiError("the connection was lost"))
        if not self.closed:
            self.closed = True
            self.transport.close()


def granted(response: Message, refusal: str, advice: str) -> None:
    """Raise AmiLoginRefused if the account lacks a right, AmiError if Asterisk is starting or stopping."""
    if response.success:
        return
    reason = response.message or "no reason given"
    if "uthentication" in reason or "ermission" in reason:
        raise AmiLoginRefused(f"{refusal}: {reason}. {advice}")
    raise AmiError(f"Asterisk is not ready: {reason}")


def stamp_of(pong: Message) -> float:
    """Read Asterisk's clock from its answer to a ping, in seconds since 1970."""
    try:
        stamp = float(pong.timestamp)
    except (TypeError, ValueError):
        stamp = math.nan
    if not math.isfinite(stamp):
        msg = f"the answer to a ping holds no time of day: {pong.timestamp!r}"
        raise AmiError(msg)
    return stamp
