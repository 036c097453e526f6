"""A few pages by HTTP for machines that ask how we are, from a thread and an event loop of their own.

Whoever asks too much, too slowly or nonsense costs neither calls nor memory: visits are few, short and one
request each. There is no encryption and no password: a reverse proxy has both, and the address is ours alone.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self, TypeAlias

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

log = structlog.get_logger(__name__)

VISITORS: Final = 16
"""At once; the oldest goes when another one comes: who is served in a millisecond outlasts who dawdles."""
VISIT_S: Final = 5.0
"""How long one visit may take, from the first byte to the last."""
HEAD_BYTES: Final = 8192
AGAIN_S: Final = 10.0
"""The pause before an address that is in use is tried again."""
STOP_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered."""

    status: HTTPStatus
    body: bytes
    kind: str = "text/plain; charset=utf-8"


Pages: TypeAlias = "Mapping[str, Callable[[], Awaitable[Page]]]"
"""What can be asked for, by path."""


class Server(AbstractContextManager["Server"]):
    """Answers at `listen` (`host:port`) within the block; an address in use is logged, and tried again."""

    def __init__(self, listen: str, pages: Pages) -> None:
        self._listen = listen
        host, _, port = listen.rpartition(":")
        self._host, self._port, self._pages = host.strip("[]"), int(port), pages
        self._visits: dict[asyncio.WriteTransport, None] = {}
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, whatever visitors do."""
        with suppress(RuntimeError):  # its loop has ended already
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(STOP_S)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        told = ""
        while not self._stop.is_set():
            try:
                server = await asyncio.start_server(self._visit, self._host, self._port, limit=HEAD_BYTES)
            except OSError as error:
                if str(error) != told:
                    told = str(error)
                    log.error(
                        "no metrics and no probes: nobody can listen at metrics.listen",
                        address=self._listen, reason=told,
                    )  # fmt: skip
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), AGAIN_S)
                continue
            host, port = server.sockets[0].getsockname()[:2]
            shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            log.info("metrics and probes are served", address=shown, pages=sorted(self._pages))
            await self._stop.wait()
            server.close()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._visits) >= VISITORS:
            oldest = next(iter(self._visits))
            del self._visits[oldest]
            oldest.abort()
        self._visits[writer.transport] = None
        try:
            async with asyncio.timeout(VISIT_S):
                writer.write(await self._answer(await reader.readuntil(b"\r\n\r\n")))
                writer.close()
                await writer.wait_closed()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            log.debug("a visitor of the probes went away, or made no sense")
        finally:
            self._visits.pop(writer.transport, None)
            writer.transport.abort()

    async def _answer(self, head: bytes) -> bytes:
        method, path, *_ = [*head.split(b"\r\n", 1)[0].decode("latin-1").split(" "), "", ""]
        page = self._pages.get(path.partition("?")[0])
        if method not in {"GET", "HEAD"}:
            answer = Page(HTTPStatus.METHOD_NOT_ALLOWED, b"GET or HEAD\n")
        elif page is None:
            answer = Page(HTTPStatus.NOT_FOUND, "".join(f"{one}\n" for one in self._pages).encode())
        else:
            try:
                answer = await page()
            except Exception:
                log.exception("a page of the probes could not be made")
                answer = Page(HTTPStatus.INTERNAL_SERVER_ERROR, b"see the log\n")
        lines = (
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
            f"Content-Type: {answer.kind}",
            f"Content-Length: {len(answer.body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Connection: close",
        )
        return "\r\n".join([*lines, "", ""]).encode() + answer.body * (method != "HEAD")
