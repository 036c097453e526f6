"""A web server on loopback that answers as it is told: byte for byte, slowly, for ever, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class FeedServer:
    """`answers` by path; `requests` are those that came, as text."""

    url: str = ""
    answers: dict[str, bytes | Answer] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(request)
            answer = self.answers.get(request.split()[1], response(b"", status="404 Not Found"))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def feed_server() -> AsyncIterator[FeedServer]:
    """A server that ends with the block, whatever it is doing."""
    told = FeedServer()
    serving: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        serving.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await told._serve(reader, writer)
        writer.transport.abort()
        serving.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    told.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield told
    finally:
        server.close()
        for task in list(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await server.wait_closed()


def response(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """A whole answer; `length` lies about its body."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "Connection: close", *headers, "", ""]).encode() + body


def redirect(location: str) -> bytes:
    """An answer that sends the client elsewhere."""
    return response(b"", f"Location: {location}", status="302 Found")


def trickle(pause_s: float) -> Answer:
    """A body that comes one byte at a time."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"", length=1000))
        while True:
            writer.write(b"1")
            await writer.drain()
            await asyncio.sleep(pause_s)

    return answer


def endless(status: str = "200 OK", *headers: str) -> Answer:
    """A body without length that never ends."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *headers, "", ""]).encode())
        while True:
            writer.write(b"+8613812345678\n" * 1000)
            await writer.drain()

    return answer


async def reset(writer: asyncio.StreamWriter) -> None:
    """A connection that breaks within the body."""
    writer.write(response(b"+8613812345678\n", length=1000))
    await writer.drain()
    writer.transport.abort()


async def silence(_writer: asyncio.StreamWriter) -> None:
    """No answer at all."""
    await asyncio.Event().wait()
