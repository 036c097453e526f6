"""The socket by which commands reach the running service."""

from __future__ import annotations

import asyncio
import socket
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from screener.control import SOCKET, ask, serving
from screener.errors import NotRunning

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="scr-") as made:
        yield Path(made)


async def hello() -> dict[str, Any]:
    return {"hello": "there\n"}


async def broken() -> dict[str, Any]:
    raise RuntimeError("broken")


async def test_control__command__is_answered_and_the_socket_is_private(directory: Path) -> None:
    async with serving(directory, {"hello": hello}):
        assert await asyncio.to_thread(ask, directory, "hello") == {"hello": "there\n"}
        assert stat.S_IMODE((directory / SOCKET).stat().st_mode) == 0o600
    assert not (directory / SOCKET).exists()


async def test_control__directory_too_deep_for_a_socket__works_all_the_same(directory: Path) -> None:
    deep = directory / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    async with serving(deep, {"hello": hello}):
        assert await asyncio.to_thread(ask, deep, "hello")
        assert (deep / SOCKET).is_socket()


@pytest.mark.parametrize("leftover", [False, True])
def test_control__nobody_serves__says_that_none_is_running(directory: Path, *, leftover: bool) -> None:
    if leftover:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(directory / SOCKET))
    with pytest.raises(NotRunning, match="no screener is running"):
        ask(directory, "hello")
    with pytest.raises(NotRunning, match="no screener is running"):
        ask(directory / "nowhere", "hello")


async def test_control__socket_of_a_killed_service__is_replaced(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(directory / SOCKET))
    async with serving(directory, {"hello": hello}):
        assert await asyncio.to_thread(ask, directory, "hello")


async def test_control__second_service_on_the_directory__leaves_the_first_its_socket(
    directory: Path,
) -> None:
    async with serving(directory, {"hello": hello}):
        async with serving(directory, {"hello": broken}):
            pass
        assert await asyncio.to_thread(ask, directory, "hello")


@pytest.mark.parametrize(
    "said", [b"\n", b"{}\n", b"[1]\n", b"{\n", b"", b"\xff\n", b"x" * 100_000, b'{"command": ["hello"]}\n']
)
async def test_control__nonsense__ends_that_visit_alone(directory: Path, said: bytes) -> None:
    async with serving(directory, {"hello": hello}):
        reader, writer = await asyncio.open_unix_connection(str(directory / SOCKET))
        writer.write(said)
        writer.write_eof()
        assert b"hello" not in await reader.read()
        writer.close()
        assert await asyncio.to_thread(ask, directory, "hello")


async def refuses() -> dict[str, Any]:
    return {"error": "there is no message m1"}


async def test_control__service_refuses__its_reason_comes_back_to_who_asked(directory: Path) -> None:
    async with serving(directory, {"release": refuses}):
        assert await asyncio.to_thread(ask, directory, "release") == await refuses()
        with pytest.raises(NotRunning, match="of another version"):
            await asyncio.to_thread(ask, directory, "unheard")


@pytest.mark.parametrize("command", ["unheard", "broken"])
async def test_control__command_that_fails__is_told_to_who_asked(directory: Path, command: str) -> None:
    async with serving(directory, {"broken": broken}):
        with pytest.raises(NotRunning):
            await asyncio.to_thread(ask, directory, command)
