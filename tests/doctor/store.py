"""Breaks of Redis or Valkey: a server of the test's own, which the configuration names."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from screener import app
from screener.doctor import Level, store
from screener.state import EmbeddedServer
from tests.doctor.house import breaks, mode
from tests.valkey import connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.doctor.house import Examined

WARN = Level.WARN


@contextlib.asynccontextmanager
async def _own(here: Examined) -> AsyncIterator[EmbeddedServer]:
    with tempfile.TemporaryDirectory(prefix="valkey") as directory:
        async with EmbeddedServer(Path(directory) / "state") as server:
            with here.configured(redis={"url": server.url}):
                yield server


@contextlib.asynccontextmanager
async def _told(here: Examined, *commands: str) -> AsyncIterator[None]:
    """A server of our own has been given these commands inside; without them it is in order."""
    async with _own(here) as server, connected(server.url) as client:
        for command in commands:
            await client.execute_command(*command.split())  # type: ignore[no-untyped-call]
        yield


@breaks(store.reachable, "the store is out of reach", "redis.url in screener.yaml")
async def away(here: Examined) -> AsyncIterator[None]:
    with here.configured(redis={"url": "unix:///nowhere/valkey.sock"}):
        yield


@breaks(store.reachable, "the store is out of reach", "redis-cli ping")
async def hung(here: Examined) -> AsyncIterator[None]:
    async with _own(here) as server:
        assert server.pid
        os.kill(server.pid, signal.SIGSTOP)
        yield
        os.kill(server.pid, signal.SIGCONT)


@breaks(store.reachable, "ms for a ping", "put it on this machine", level=WARN)
async def slow(here: Examined) -> AsyncIterator[None]:
    async with _own(here) as server, _between(server, delay_s=0.08) as url:
        with here.configured(redis={"url": url}):
            yield


@breaks(store.commands, "the store refuses HSET", "ACL SETUSER")
async def no_command(here: Examined) -> AsyncIterator[None]:
    async with _told(here, "ACL SETUSER default -hset"):
        yield


@breaks(store.commands, "the store refuses scripts", "ACL SETUSER")
async def no_scripts(here: Examined) -> AsyncIterator[None]:
    async with _told(here, "ACL SETUSER default -evalsha"):
        yield


@breaks(store.version, "Valkey 5.0.0 is too old", "install Valkey")
async def ancient(here: Examined) -> AsyncIterator[None]:
    async with _own(here) as server, connected(server.url) as client:
        now = (await client.info("server"))["valkey_version"]
        written = f"valkey_version:{now}".encode(), f"valkey_version:{'5.0.0':<{len(now)}}".encode()
        async with _between(server, written) as url:
            with here.configured(redis={"url": url}):
                yield


@breaks(store.memory, "drops the lists as well (allkeys-lru)", "maxmemory-policy volatile-ttl")
async def forgetful(here: Examined) -> AsyncIterator[None]:
    async with _told(here, "CONFIG SET maxmemory-policy allkeys-lru"):
        yield


@breaks(store.memory, "forgets nothing when that is full", "maxmemory-policy volatile-ttl", level=WARN)
async def full_for_ever(here: Examined) -> AsyncIterator[None]:
    async with _told(here, "CONFIG SET maxmemory-policy noeviction"):
        yield


@breaks(store.persistence, "keeps nothing on disk", "appendonly yes")
async def nothing_kept(here: Examined) -> AsyncIterator[None]:
    async with _told(here, "CONFIG SET appendonly no"):
        yield


@breaks(store.clock, "the store's clock is -36", "set-ntp", level=WARN)
async def clock(here: Examined) -> AsyncIterator[None]:
    here.clock = lambda: app.now() + timedelta(hours=1)
    yield
    here.clock = app.now


@breaks(store.socket, "every user of this machine may connect", "unixsocketperm 770")
async def open_socket(here: Examined) -> AsyncIterator[None]:
    async with _own(here) as server:
        with mode(Path(unquote(urlsplit(server.url).path)), 0o777):
            yield


@breaks(store.feeds_fresh, "phoneblock: was fetched never", "screener feed refresh phoneblock", level=WARN)
async def stale(here: Examined) -> AsyncIterator[None]:
    with here.written("feeds.yaml", "feeds: {phoneblock: {enabled: true}}"):
        yield


@contextlib.asynccontextmanager
async def _between(
    server: EmbeddedServer, rewrites: tuple[bytes, bytes] = (b"", b""), delay_s: float = 0
) -> AsyncIterator[str]:
    """A line to the server on which its answers are late, or say something else."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if back:
                    await asyncio.sleep(delay_s)
                    data = data.replace(*rewrites) if rewrites[0] else data
                writer.write(data)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, out = await asyncio.open_unix_connection(unquote(urlsplit(server.url).path))
        await asyncio.gather(carry(reader, out, back=False), carry(there, writer, back=True))

    path = unquote(urlsplit(server.url).path) + ".line"
    mask = os.umask(0o077)
    listening = await asyncio.start_unix_server(accept, path)
    os.umask(mask)
    try:
        yield f"unix://{path}"
    finally:
        listening.close()
