"""`screener top` on a real terminal beside a real service: calls appear, a restart is survived, q ends it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import sys
import termios
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.pbx.house import FRIEND, House

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.pbx


class Screen:
    """`screener top` on a terminal of 80 × 24; `told` is all that it wrote."""

    def __init__(self, ours: int, process: asyncio.subprocess.Process) -> None:
        self.process, self.told, self._ours = process, "", ours

    @classmethod
    @asynccontextmanager
    async def open(cls, house: House) -> AsyncIterator[Screen]:
        """It runs within."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.set_blocking(ours, False)
        env = os.environ | {"SCREENER_CONFIG": str(house.service.site), "TERM": "xterm"}
        env.pop("COLUMNS", None)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "screener", "top", stdin=theirs, stdout=theirs, stderr=theirs, env=env
        )
        os.close(theirs)
        try:
            yield cls(ours, process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            os.close(ours)

    async def shows(self, text: str, within: float = 15) -> None:
        """Wait until it has written this since it was last asked."""
        fresh = ""
        try:
            async with asyncio.timeout(within):
                while text not in fresh:
                    await asyncio.sleep(0.05)
                    with suppress(BlockingIOError, OSError):
                        fresh += os.read(self._ours, 1 << 16).decode(errors="replace")
        except TimeoutError:
            raise AssertionError(f"{text!r} was not shown; there is: {fresh[-2000:]!r}") from None
        self.told += fresh

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._ours, key)


async def test_top__hostile_number_and_a_restart__shows_calls_and_ends_on_q() -> None:
    async with House.open() as house:
        code, told = await house.service.command("top", "--once")
        assert (code, "none yet" in told) == (0, True), told
        async with Screen.open(house) as screen:
            await screen.shows("none yet")
            (await house.call(b"%1b%5b2Jevil")).hangup()
            await screen.shows("[2Jevil")
            assert "\x1b[2J" not in screen.told
            call = await house.call(FRIEND)
            await house.answered()
            call.hangup()
            await screen.shows("answered")
            await house.service.stop()
            await screen.shows("no screener is running")
            await house.service.start()
            await screen.shows("ready: asterisk, store, ledger")
            await screen.shows(FRIEND)
            screen.press(b"q")
            assert await asyncio.wait_for(screen.process.wait(), 10) == 0
        code, told = await house.service.command("top", "--once")
        assert FRIEND in told
        await house.service.stop()
        code, told = await house.service.command("top", "--once")
        assert (code, "no screener is running" in told) == (7, True)
