"""What fault tests need: an ear of their own on Asterisk, a line that can be cut, a disk that is full."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import struct
import subprocess
import wave
from typing import TYPE_CHECKING, Self

import pytest

from screener.state import place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.pbx.asterisk import Asterisk
    from tests.pbx.house import House
    from tests.pbx.service import Service

LOADED_S = 1.0
"""What a busy machine with two cores may add to any of the times below; measured: 10 to 50 ms."""
AT_ONCE_S = LOADED_S
"""For a call that nobody is asked about. That it did not wait is told by its `Missed: away` besides."""
BY_DEADLINE_S = 0.5 + LOADED_S
"""For a call whose question gets no answer: the dialplan's SCREENER_DEADLINE_MS as shipped."""
STORE_MS = 200
"""The longest that a call may wait for the store: its DEADLINE_S."""
STORE_LOADED_MS = 150
"""What a busy machine may add to it; together they stay under the dialplan's deadline."""
AGAIN_S = 6.0
"""From the end of a fault until calls are screened again: a heartbeat a second, reconnecting pauses
of 0.2, 0.4, 0.8 … s.
"""

_callers = itertools.count(1)


def somebody(prefix: str = "+86139") -> str:
    """A mobile number that has not called before: who calls often is challenged, which no fault asked for."""
    return f"{prefix}{next(_callers) * 10_007 % 10**8:08d}"  # each in a block of its own


def store_pid(service: Service) -> int:
    """The process of the screener's embedded store."""
    return int(place.holder(service.state / "store")[0])


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process hangs (SIGSTOP) inside and goes on afterwards, if it still lives."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def small_disk(directory: Path, kib: int) -> Iterator[None]:
    """A file system of `kib` KiB is mounted on the directory inside; skips where that needs more rights."""
    directory.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=700", "tmpfs", directory],
        capture_output=True,
        check=False,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def fill(directory: Path) -> Path:
    """Fill the file system to the last byte; the file to delete to make room again."""
    path = directory / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


def brief(pbx: Asterisk, *prompts: str) -> None:
    """Cut these prompts to what a test listens for, the first 1.2 s, to save its time."""
    place = pbx.directory / "data/sounds/en/screener"
    whole = place.resolve()
    place.unlink()
    place.mkdir()
    for path in whole.iterdir():
        if path.stem in prompts:
            with wave.open(str(path)) as source, wave.open(str(place / path.name), "wb") as target:
                target.setparams(source.getparams())
                target.writeframes(source.readframes(int(1.2 * source.getframerate())))
        else:
            (place / path.name).symlink_to(path)


class Ear:
    """An account of the tests' own on the manager: it hears the dialplan without a screener, too."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.events: list[dict[str, str]] = []
        self._reader, self._writer = reader, writer
        self._news = asyncio.Condition()
        self._logged_in = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, pbx: Asterisk, *, events: str = "", user: str = "test") -> AsyncIterator[Self]:
        """Log in and listen; `events` is a list of classes, "on" for all of them, "off" for none.

        The `user` screener hears what the screener hears. Nothing that comes from here on is missed.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", pbx.ami)
        ear = cls(reader, writer)
        secret, classes = (pbx.secret, "on") if user == "screener" else ("test", "user")
        ear.send("Login", Username=user, Secret=secret, Events=events or classes)
        listening = asyncio.create_task(ear._listen())
        try:
            await asyncio.wait_for(ear._logged_in.wait(), 10)
            yield ear
        finally:
            listening.cancel()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def send(self, name: str, **headers: str) -> None:
        """Send an action; nobody waits for the response."""
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        self._writer.write(f"Action: {name}\r\n{lines}\r\n".encode())

    async def _listen(self) -> None:
        message: dict[str, str] = {}
        async for line in self._reader:
            key, _, value = line.decode(errors="replace").strip().partition(":")
            if key:
                message[key] = value.strip()
                continue
            if "Event" in message:
                async with self._news:
                    self.events.append(message)
                    self._news.notify_all()
            elif message.get("Response") == "Success":
                self._logged_in.set()
            message = {}

    async def heard(self, name: str, within: float = 10, **fields: str) -> dict[str, str]:
        """Wait for a UserEvent of the dialplan with these fields; also one that came before."""
        return await self.raised(within, UserEvent=name, **fields)

    async def raised(self, within: float = 10, **wanted: str) -> dict[str, str]:
        """Wait for any event with these fields; also one that came before."""

        def found() -> dict[str, str]:
            return next((event for event in self.events if wanted.items() <= event.items()), {})

        try:
            async with asyncio.timeout(within), self._news:
                return await self._news.wait_for(found)
        except TimeoutError:
            msg = f"not heard within {within} s: {wanted}; there is: {self.events[-5:]}"
            raise AssertionError(msg) from None

    async def asked(self, number: str, within: float = 5) -> dict[str, str]:
        """Wait until the dialplan has asked about a call from this number: its caller waits now."""
        return await self.heard("ScreenerAsk", within, Number=number.replace("+", "%2B"))

    async def ended(self, number: str, within: float = 10) -> dict[str, str]:
        """Wait until a call from this number is over, and what the dialplan says of it."""
        return await self.heard("ScreenerEnd", within, Number=number.replace("+", "%2B"))


class Line:
    """The line between the screener and Asterisk's manager, which can be held, cut, reset and repeat itself.

    `sent` is every byte that the screener gave it, over all its connections. Each way takes `delay_s`.
    """

    def __init__(self, pbx: Asterisk) -> None:
        self._pbx = pbx
        self._holds = False
        self._held: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._news = asyncio.Condition()
        self.port = 0
        self.sent = b""
        self.connections = 0
        self.delay_s = 0.0
        self._due: dict[asyncio.StreamWriter, float] = {}
        self.repeats = b""
        """Messages from Asterisk that contain this arrive twice; nothing when empty."""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, pbx: Asterisk) -> AsyncIterator[Self]:
        """Listen on `port`."""
        line = cls(pbx)
        server = await asyncio.start_server(line._connect, "127.0.0.1", 0)
        line.port = server.sockets[0].getsockname()[1]
        try:
            yield line
        finally:
            server.close()
            line.cut()
            for pump in line._pumps:
                pump.cancel()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._pbx.ami)
        except OSError:
            writer.close()
            return
        self.connections += 1
        self._writers |= {writer, far_writer}
        for pump in (self._up(reader, far_writer), self._down(far_reader, writer)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while block := await reader.read(65536):
                async with self._news:
                    self.sent += block
                    self._news.notify_all()
                if self._holds:
                    self._held.append((writer, block))
                else:
                    self._carry(writer, block)
        self._close(writer)

    def _carry(self, writer: asyncio.StreamWriter, block: bytes) -> None:
        """Write it after the delay, and never before what came earlier."""
        if not self.delay_s and writer not in self._due:
            writer.write(block)
            return
        loop = asyncio.get_running_loop()
        self._due[writer] = due = max(loop.time() + self.delay_s, self._due.get(writer, 0.0) + 1e-6)
        loop.call_at(due, self._arrive, writer, block, due)

    def _arrive(self, writer: asyncio.StreamWriter, block: bytes, due: float) -> None:
        writer.write(block)
        if self._due.get(writer) == due:
            del self._due[writer]

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(await reader.readline())  # the greeting is the one line that is no message
            while True:
                message = await reader.readuntil(b"\r\n\r\n")
                twice = bool(self.repeats) and self.repeats in message
                self._carry(writer, message * (2 if twice else 1))
        self._close(writer)

    def _close(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        self._due.pop(writer, None)
        writer.close()

    async def carries(self, text: bytes, within: float = 5) -> None:
        """Wait until the screener has sent this."""
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(lambda: text in self.sent)

    def hold(self) -> None:
        """From now on nothing of the screener's reaches Asterisk, though both ends stay open."""
        self._holds = True

    def release(self) -> None:
        """Let it flow again; what was held arrives now, if its connection still stands."""
        self._holds = False
        for writer, block in self._held:
            writer.write(block)
        self._held.clear()

    def cut(self) -> None:
        """Close all connections at both ends; what was held is lost. New ones are taken."""
        for writer in tuple(self._writers):
            self._close(writer)
        for pump in self._pumps:
            pump.cancel()
        self._held.clear()
        self._holds = False

    def reset(self) -> None:
        """As `cut`, but both ends get a reset instead of an orderly end."""
        for writer in self._writers:
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()


async def reaches_us(house: House, ear: Ear, within: float, number: str = "") -> dict[str, str]:
    """A caller reaches our telephone in time and is answered; what the dialplan said at the end."""
    number = number or somebody()
    call = await house.call(number)
    async with asyncio.timeout(within):
        while (await house.phone.incoming.get()).number != number:
            pass
    await asyncio.wait_for(call.answered.wait(), LOADED_S)
    call.hangup()
    return await ear.ended(number)


async def screened_again(house: House, ear: Ear, within: float = AGAIN_S) -> None:
    """Callers call until one of them is screened; each of them reaches our telephone."""
    async with asyncio.timeout(within):
        missed = "away"
        while missed:
            missed = (await reaches_us(house, ear, BY_DEADLINE_S))["Missed"]
