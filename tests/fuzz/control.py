"""A line on the control socket, which only root and our own user can open: the service goes on."""

import asyncio
import json
import tempfile
from pathlib import Path

from screener.control import SOCKET, serving

SEEDS = [
    b'{"command": "status"}',
    b"null",
    b"[" * 2000,
    b'{"command": "status", "about": 3}',
    b"\xff",
    b"x" * 5000,
]


def target(raw: bytes) -> None:
    async def answered(line: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(f"{work}/{SOCKET}")
        writer.write(line.replace(b"\n", b" ") + b"\n")
        answer = await reader.readline()
        writer.close()
        return answer

    async def speak() -> None:
        async def status(*_about: str) -> dict[str, str]:
            return {"it": "lives"}

        async with serving(Path(work), {"status": status}):
            await answered(raw)
            assert json.loads(await answered(b'{"command": "status"}')) == {"it": "lives"}

    with tempfile.TemporaryDirectory(prefix="c") as work:
        asyncio.run(speak())
