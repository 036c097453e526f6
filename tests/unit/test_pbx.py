"""What one Asterisk has for itself, put together: recordings are looked for again where that is needed."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from screener import config, filing, housekeeping, ledger, pbx
from screener.call import Ending
from screener.counters import Counters
from screener.pbx import Pbx, Shared
from screener.state import Learning, Lists, State
from tests.ami_peer import Peer, becomes_true
from tests.unit.test_recordings import header, hush, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

CALL = "1772625600.7"
NOBODY = "redis://127.0.0.1:1"
"""No store: what is looked at here needs none."""


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def connected(tmp_path: Path) -> AsyncIterator[tuple[Peer, Pbx]]:
    """One that is connected to a peer, and has looked for recordings as after each gap."""
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(Peer.open())
        site = {"ami": {"host": "127.0.0.1", "port": peer.port}, "recordings_dir": str(tmp_path / "spool")}
        (tmp_path / "screener.yaml").write_text(json.dumps(site))
        loaded = config.load(tmp_path, environ={})
        written = stack.enter_context(ledger.Ledger.open(tmp_path / "ledger.db"))
        state, lists, learning = State(NOBODY), Lists(NOBODY, "CN", []), Learning(NOBODY, 30)
        for client in (state, lists, learning):
            stack.push_async_callback(client.close)
        shared = Shared(
            loaded, state, lists, learning, written, Counters(), notifier=None, transcriber=None, clock=now
        )
        one = Pbx("", "x", shared, None)
        tasks = [asyncio.create_task(work()) for work in (one.run, one.housekeeping["recordings"])]
        stack.push_async_callback(housekeeping.ended, tasks)
        told = {"Action": "Setvar", "Variable": "GLOBAL(SCREENER_UNFILED)", "Value": ""}
        await peer.until(
            lambda: sum(told.items() <= one.items() for line in peer.lines for one in line.actions) == 2
        )
        yield peer, one


async def test_recording__closed_long_after_its_call__is_filed_again_as_it_is_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pbx, "REVISIT_S", 0.1)
    monkeypatch.setattr(filing, "SETTLE_S", 0.1)
    stem = tmp_path / "spool/2026-03-04" / CALL
    legs = [stem.with_name(f"{CALL}-{leg}.wav") for leg in ("caller", "mix")]
    async with connected(tmp_path) as (_, one):
        for leg in legs:
            leg.parent.mkdir(parents=True, exist_ok=True)
            leg.write_bytes(header(0, 0) + hush(1))
        fields = {"Version": "1", "Uniqueid": CALL, "Action": "voicemail", "Recording": str(stem)}
        await one.filing.conclude(Ending.from_event(fields, now()))
        for leg in legs:
            write(leg, hush(2))

        def complete() -> bool:
            record = ledger.call(tmp_path / "ledger.db", CALL)
            return record is not None and [each["complete"] for each in record.recordings] == [True, True]

        await becomes_true(complete)
