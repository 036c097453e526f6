"""What one call costs everywhere: bytes on the manager's line, in the store, in the ledger, and CPU.

`python -m tests.bench.scale`; docs/scale.md has the figures of one run.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, cast

from tests.bench import load
from tests.pbx.faults import Line
from tests.pbx.house import House
from tests.valkey import connected

if TYPE_CHECKING:
    from pathlib import Path

PLAN = """
exten => _s.,1,Gosub(screener,s,1(${EXTEN:1}))
 same => n,Answer()
 same => n,Hangup()
"""
WARM_UP, CALLS, RATE = 20, 500, 50
IDLE_S, SETTLE_S = 10.0, 4.0
COUNTED = ("total_net_input_bytes", "total_net_output_bytes", "total_commands_processed", "used_memory")


class _Counted:
    """A writer that counts what goes to the screener."""

    def __init__(self, writer: asyncio.StreamWriter, seen: list[int]) -> None:
        self._writer, self._seen = writer, seen

    def write(self, block: bytes) -> None:
        self._seen[0] += len(block)
        self._writer.write(block)

    def __getattr__(self, name: str) -> object:
        return getattr(self._writer, name)


class _CountedLine(Line):
    """The line to Asterisk; `down` counts what comes from there."""

    down = 0

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen = [0]
        await super()._down(reader, cast("asyncio.StreamWriter", _Counted(writer, self.seen)))


async def marks(house: House, line: _CountedLine, store: Any) -> dict[str, float]:
    """Every counter as it is now."""
    info = await store.info()
    assert house.service.process
    return {
        **{name: float(info[name]) for name in COUNTED},
        "manager, to Asterisk, bytes": len(line.sent),
        "manager, from Asterisk, bytes": line.seen[0],
        "screener, CPU s": load.cpu_s(house.service.process.pid),
        "ledger and its log, bytes": _size(house.service.state),
    }


def _size(state: Path) -> int:
    return sum(path.stat().st_size for path in state.glob("ledger.db*"))


async def run() -> None:
    """One idle stretch, one under load; what a call adds, and what a second costs without calls."""
    async with House.open(pbx={"extra": PLAN}, screener=False) as house, _CountedLine.open(house.pbx) as line:
        house.service.settings["ami"]["port"] = line.port
        await house.service.start()
        async with connected(f"unix://{house.service.state}/store/valkey.sock") as store:
            await load.place(house.pbx, "s", RATE, WARM_UP)
            await asyncio.sleep(SETTLE_S)
            first = await marks(house, line, store)
            await asyncio.sleep(IDLE_S)
            second = await marks(house, line, store)
            await load.place(house.pbx, "s", RATE, CALLS)
            await asyncio.sleep(SETTLE_S)
            third = await marks(house, line, store)
    for name, before in first.items():
        idle = (second[name] - before) / IDLE_S
        busy = third[name] - second[name] - idle * (CALLS / RATE + SETTLE_S)
        sys.stdout.write(f"{name:34} {idle:12.3f} a second {busy / CALLS:12.4f} a call\n")


if __name__ == "__main__":
    asyncio.run(run())
