"""A master of Redis dies and its sentinels name another: no call is late, and what was known is known."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from screener.state import State
from screener.state.connecting import open_client
from screener.state.embedded import server_binary
from tests.pbx.asterisk import free_ports
from tests.pbx.faults import LOADED_S, STORE_LOADED_MS, STORE_MS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DOWN_MS = 500
"""After so long the sentinels take a master for dead."""
SWITCH_S = 15.0
NUMBER = "+8613912345678"


class Servers:
    """A master, a replica and three sentinels."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.master_port, self.replica_port, *self.sentinel_ports = free_ports(5)
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        sentinels = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        self.url = f"redis+sentinel://{sentinels}/house"

    def start(self) -> None:
        self._run(self.master_port)
        self._run(self.replica_port, "--replicaof", f"127.0.0.1 {self.master_port}")
        for port in self.sentinel_ports:
            path = self.directory / f"{port}.conf"
            path.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {self.directory}\n"
                f"sentinel monitor house 127.0.0.1 {self.master_port} 2\n"
                f"sentinel down-after-milliseconds house {DOWN_MS}\n"
                "sentinel failover-timeout house 3000\n"
            )
            self._spawn(port, str(path), "--sentinel")

    def _run(self, port: int, *more: str) -> None:
        self._spawn(port, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir",
                    str(self.directory), *more)  # fmt: skip

    def _spawn(self, port: int, *arguments: str) -> None:
        self.processes[port] = subprocess.Popen(
            [server_binary(), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    async def replicated(self) -> None:
        """Wait until the replica has what the master has, and each sentinel knows of all others."""
        await self._says(self.replica_port, "INFO replication", "master_link_status:up")
        for port in self.sentinel_ports:
            await self._says(port, "INFO sentinel", "slaves=1,sentinels=3")

    async def _says(self, port: int, command: str, wanted: str) -> None:
        async with asyncio.timeout(SWITCH_S):
            while True:
                with suppress(OSError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(f"{command}\r\n".encode())
                    answer = await reader.read(8192)
                    writer.close()
                    await writer.wait_closed()
                    if wanted.encode() in answer:
                        return
                await asyncio.sleep(0.05)

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    with tempfile.TemporaryDirectory(prefix="scr-") as directory:
        some = Servers(Path(directory))
        try:
            some.start()
            await some.replicated()
            yield some
        finally:
            some.stop()


async def test_sentinels__the_master_is_killed__questions_stay_short_and_the_other_knows_it_all() -> None:
    async with servers() as some:
        state, client = State(some.url), open_client(some.url, timeout_s=5)
        loop = asyncio.get_running_loop()
        try:
            seen = await state.observe(NUMBER, "100", "before")
            assert not seen.missing
            assert await client.wait(1, 5000) == 1
            some.processes[some.master_port].kill()
            killed, longest = loop.time(), 0.0
            while (seen := await state.observe(NUMBER, "100", "after")).missing:
                assert loop.time() - killed < SWITCH_S, seen.missing
                began = loop.time()
                await state.observe(NUMBER, "100", "after")
                longest = max(longest, loop.time() - began)
                await asyncio.sleep(0.05)
            assert seen.facts["caller.calls_1h"] == 2
            assert longest < (STORE_MS + STORE_LOADED_MS) / 1000 + LOADED_S
        finally:
            with suppress(RedisError):
                await client.aclose()
            await state.close()
