"""A real Valkey for tests: one for the session, emptied for each test, or one of a test's own to harm."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from screener.state import EmbeddedServer
from screener.state.connecting import open_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from redis.asyncio import Redis


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey_server() -> AsyncIterator[EmbeddedServer]:
    """The server of the session, on a path that is short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="valkey") as directory:
        async with EmbeddedServer(Path(directory) / "state") as server:
            yield server


@pytest_asyncio.fixture
async def store_url(valkey_server: EmbeddedServer) -> AsyncIterator[str]:
    """Where an empty store answers."""
    async with connected(valkey_server.url) as client:
        await client.flushall()
    yield valkey_server.url


@pytest.fixture
def state_directory() -> Iterator[Path]:
    """A short directory for a server of the test's own; it does not exist yet."""
    with tempfile.TemporaryDirectory(prefix="valkey") as directory:
        yield Path(directory) / "state"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Redis]:
    """A plain client, to look behind the scenes."""
    client = open_client(url, timeout_s=5)
    try:
        yield client
    finally:
        await client.aclose()
