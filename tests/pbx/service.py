"""The screener as it is deployed, one process with a site directory of its own, for one test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Self

from screener import ledger
from screener.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from screener.ledger import CallRecord
    from tests.pbx.asterisk import Asterisk

COLLECTION_ON = "enabled: true\n"


class Service:
    """`async with Service(directory, pbx):` – connected to the PBX inside, gone outside.

    `site` holds further files of the site directory: {"rules/collection.yaml": text}.
    """

    def __init__(
        self, directory: Path, pbx: Asterisk, site: dict[str, str] | None = None, **settings: Any
    ) -> None:
        self.pbx, self.site, self.state = pbx, directory / "site", directory / "state"
        self.settings = {
            "ami": {"host": "127.0.0.1", "port": pbx.ami, "secret": pbx.secret},
            "state_dir": str(self.state),
            "recordings_dir": str(pbx.spool),
            "log": {"format": "json"},
        } | settings
        self.files = site or {}
        self.env: dict[str, str] = {}
        """What its process has in its environment besides ours."""
        url = self.settings.get("ledger", {}).get("url")
        self.ledger: ledger.Place = ledger.Postgres(url, self.state) if url else self.state / "ledger.db"
        self.process: asyncio.subprocess.Process | None = None
        self.lines: list[dict[str, Any]] = []
        self._news = asyncio.Condition()
        self._reader: asyncio.Task[None] | None = None

    def write(self) -> None:
        """Write the site directory; JSON is YAML."""
        for name, text in {"screener.yaml": json.dumps(self.settings), **self.files}.items():
            path = self.site / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    async def spawn(self) -> None:
        """Start the process; returns before it is connected."""
        self.write()
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "screener", "run", "--config", str(self.site),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 22, start_new_session=True, env=os.environ | self.env,
        )  # fmt: skip
        self.lines = []
        self._reader = asyncio.create_task(self._read(self.process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": line.decode(errors="replace")}
            async with self._news:
                self.lines.append(event)
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()

    async def logged(self, event: str, within: float = 10, **fields: Any) -> dict[str, Any]:
        """Wait for a log line whose event begins with `event` and that has these fields."""

        def found() -> dict[str, Any] | None:
            for line in self.lines:
                if str(line.get("event", "")).startswith(event) and fields.items() <= line.items():
                    return line
            return None

        try:
            async with asyncio.timeout(within), self._news:
                await self._news.wait_for(lambda: found() or (self._reader and self._reader.done()))
        except TimeoutError:
            pass
        line = found()
        assert line is not None, (
            f"not logged within {within} s: {event} {fields}; there is: {self.lines[-20:]}"
        )
        return line

    async def connected(self, within: float = 10) -> None:
        """Wait until calls are screened."""
        await self.logged("connected to Asterisk", within)

    async def start(self) -> None:
        """Start and wait until calls are screened."""
        await self.spawn()
        await self.connected()

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to the screener's process alone."""
        assert self.process is not None
        self.process.send_signal(signum)

    async def kill(self) -> None:
        """SIGKILL, and wait for it."""
        if self.process and self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            await self.process.wait()
        if self._reader:
            await asyncio.wait({self._reader}, timeout=2)

    async def stop(self, within: float = 10) -> int:
        """SIGTERM, and wait; the exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), within)
            except TimeoutError:
                await self.kill()
                raise
        if self._reader:
            await asyncio.wait({self._reader}, timeout=2)
        return self.process.returncode or 0

    def calls(self, **filters: Any) -> list[CallRecord]:
        """The ledger, newest first."""
        return list(ledger.calls(self.ledger, **filters))

    async def record(self, wanted: Callable[[CallRecord], Any], within: float = 15) -> CallRecord:
        """Wait until the ledger holds a call for which `wanted` is true."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while loop.time() < until:
            with contextlib.suppress(LedgerError):  # not made yet, or a database that is away
                for one in self.calls():
                    if wanted(one):
                        return one
            await asyncio.sleep(0.05)
        msg = f"no such call in the ledger after {within} s: {self.calls()[:3]}"
        raise AssertionError(msg)

    async def command(self, *arguments: str, within: float = 30) -> tuple[int, str]:
        """Run one `screener` command with this site; its exit code and everything it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "screener", *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | {"SCREENER_CONFIG": str(self.site), "COLUMNS": "300"},
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), within)
        return process.returncode or 0, output.decode(errors="replace")

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process and self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)
            await self.stop()
