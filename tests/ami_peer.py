"""The other end of a manager connection, after a script: raw bytes on a real socket of the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

BANNER = b"Asterisk Call Manager/11.0.0\r\n"
WITHIN_S = 10.0
"""Patience with a loaded machine; what a test waits for comes in milliseconds."""

Answer = str | bytes | None
Script = Callable[[dict[str, str]], Answer]


def message(**headers: str) -> bytes:
    """One message as Asterisk writes it."""
    return "".join(f"{key}: {value}\r\n" for key, value in headers.items()).encode() + b"\r\n"


async def becomes_true(condition: Callable[[], Any]) -> None:
    """Wait for what no event tells: the inside of the client."""
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.002)


@dataclass(eq=False)
class Line:
    """One accepted connection: what came over it, raw and by action."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    at: float
    raw: bytearray = field(default_factory=bytearray)
    actions: list[dict[str, str]] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)

    def cut(self) -> None:
        """End it as a crash does, without a goodbye."""
        self.writer.transport.abort()


class Peer:
    r"""Answers actions as Asterisk does, except for those that `script` names.

    A script is the text of the response (`Response: Error\r\nMessage: …`), None for no answer
    ever, or a function of the action. `skew_s` is how far the peer's clock is ahead of ours.
    """

    def __init__(self, **script: Answer | Script) -> None:
        self.script: dict[str, Answer | Script] = dict(script)
        self.skew_s = 0.0
        self.lines: list[Line] = []
        self.globals: dict[str, str] = {}
        self.greet: Callable[[Line], Awaitable[None]] | None = None
        self.port = 0
        self._news = asyncio.Condition()
        self._server: asyncio.Server | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, tls: ssl.SSLContext | None = None, **script: Answer | Script) -> AsyncIterator[Peer]:
        peer = cls(**script)
        peer._server = await asyncio.start_server(peer._accept, "127.0.0.1", 0, ssl=tls, limit=1 << 22)
        peer.port = peer._server.sockets[0].getsockname()[1]
        try:
            yield peer
        finally:
            peer._server.close()
            for line in peer.lines:
                line.cut()
            await peer.until(lambda: all(line.closed.is_set() for line in peer.lines))
            await peer._server.wait_closed()

    @property
    def now(self) -> float:
        """The peer's own clock."""
        return time.time() + self.skew_s

    @property
    def line(self) -> Line:
        """The present connection."""
        return self.lines[-1]

    def sent(self, name: str) -> list[dict[str, str]]:
        """All actions of this name that came over any connection, but for heartbeats."""
        return [
            one
            for line in self.lines
            for one in line.actions
            if one["Action"] == name and not one.get("Variable", "").startswith("GLOBAL(")
        ]

    def beats(self) -> list[int]:
        """The heartbeats that came."""
        actions = [one for line in self.lines for one in line.actions]
        return [
            int(one["Value"])
            for one in actions
            if (one["Action"], one.get("Variable")) == ("Setvar", "GLOBAL(SCREENER_HEARTBEAT)")
        ]

    async def until(self, condition: Callable[[], Any], within: float = WITHIN_S) -> None:
        """Wait until something that this peer saw makes the condition true."""
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(condition)

    async def connected(self, count: int = 1) -> Line:
        """Wait for the n-th connection."""
        await self.until(lambda: len(self.lines) >= count)
        return self.lines[count - 1]

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer, asyncio.get_running_loop().time())
        self.lines.append(line)
        await self._tell()
        try:
            await (self.greet or self._serve)(line)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            line.closed.set()
            writer.transport.abort()
            await self._tell()

    async def _serve(self, line: Line) -> None:
        line.send(BANNER)
        while True:
            raw = await line.reader.readuntil(b"\r\n\r\n")
            line.raw += raw
            action = dict(header.split(": ", 1) for header in raw.decode().strip().split("\r\n"))
            line.actions.append(action)
            answer = self._answer(action)
            if answer is not None:
                text = answer if isinstance(answer, bytes) else answer.encode()
                line.send(text + f"\r\nActionID: {action['ActionID']}\r\n\r\n".encode())
            await self._tell()

    def _value(self, variable: str) -> str:
        return "1" if variable.startswith("AMI_CLIENT(") else self.globals.get(variable, "")

    def _answer(self, action: dict[str, str]) -> Answer:
        if action["Action"] == "Setvar":
            self.globals[action["Variable"]] = action["Value"]
        usual = {
            "Login": "Response: Success\r\nMessage: Authentication accepted",
            "Ping": f"Response: Success\r\nPing: Pong\r\nTimestamp: {self.now:.6f}",
            "Setvar": "Response: Success\r\nMessage: Variable Set",
            "Getvar": f"Response: Success\r\nValue: {self._value(action.get('Variable', ''))}",
            "PlayDTMF": "Response: Success\r\nMessage: DTMF successfully queued",
        }
        name = action["Action"]
        answer = self.script[name] if name in self.script else usual.get(name, "Response: Error")
        return answer(action) if callable(answer) else answer
