"""What one Asterisk has for itself, put together: recordings are looked for again where that is needed."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from screener import config, filing, housekeeping, ledger, pbx
from screener.call import Ending
from screener.counters import Counters
from screener.ledger import Row
from screener.notifying import Notifier
from screener.pbx import Pbx, Shared
from screener.state import Learning, Lists, State
from tests.ami_peer import Peer, becomes_true
from tests.unit.test_recordings import header, hush, write
from tests.webhook import Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import pytest

CALL = "1772625600.7"
NOBODY = "redis://127.0.0.1:1"
"""No store: what is looked at here needs none."""


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def connected(tmp_path: Path, notifier: Notifier | None = None, **script: Any) -> AsyncIterator[Pbx]:
    """One that is connected to a peer, which answers by its script."""
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(Peer.open(**script))
        site = {"ami": {"host": "127.0.0.1", "port": peer.port}, "recordings_dir": str(tmp_path / "spool")}
        (tmp_path / "screener.yaml").write_text(json.dumps(site))
        loaded = config.load(tmp_path, environ={})
        written = stack.enter_context(ledger.Ledger.open(tmp_path / "ledger.db"))
        state, lists, learning = State(NOBODY), Lists(NOBODY, "CN", []), Learning(NOBODY, 30)
        for client in (state, lists, learning):
            stack.push_async_callback(client.close)
        shared = Shared(
            loaded, state, lists, learning, written, Counters(),
            notifier=notifier, transcriber=None, clock=now,
        )  # fmt: skip
        one = Pbx("", "x", shared, None)
        beside = (one.housekeeping[what] for what in ("recordings", "messages for mailboxes"))
        tasks = [asyncio.create_task(work()) for work in (one.run, *beside)]
        stack.push_async_callback(housekeeping.ended, tasks)
        yield one


def standing_by() -> Callable[[dict[str, str]], str]:
    """Asterisk's answers while another screener leads."""
    turns = itertools.count()

    def answer(asked: dict[str, str]) -> str:
        values = {"GLOBAL(SCREENER_LEADER)": f"other:{next(turns)}"}
        sessions = "2" if asked["Variable"].startswith("AMI_CLIENT(") else ""
        return f"Response: Success\r\nValue: {values.get(asked['Variable'], sessions)}"

    return answer


async def test_recording__closed_long_after_its_call__is_filed_again_as_it_is_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pbx, "REVISIT_S", 0.1)
    monkeypatch.setattr(filing, "SETTLE_S", 0.1)
    stem = tmp_path / "spool/2026-03-04" / CALL
    legs = [stem.with_name(f"{CALL}-{leg}.wav") for leg in ("caller", "mix")]
    looks = 0

    def set_to(asked: dict[str, str]) -> str:
        nonlocal looks
        looks += (asked["Variable"], asked["Value"]) == ("GLOBAL(SCREENER_UNFILED)", "")
        return "Response: Success\r\nMessage: Variable Set"

    async with connected(tmp_path, Setvar=set_to) as one:
        await becomes_true(lambda: looks == 2)  # those after a gap
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


async def test_recording__owed_by_one_that_stands_by_now__is_told_though_another_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pbx, "REVISIT_S", 0.1)
    stem = tmp_path / "spool/2026-03-04" / CALL
    with ledger.Ledger.open(tmp_path / "ledger.db") as before:
        write(stem.with_name(f"{CALL}-mix.wav"), hush(1))
        before.append(Row(CALL, "owed", now(), {"number": "1", "did": "100", "until": ["notified"]}))
        before.append(Row(CALL, "recording", now(), {"path": f"{stem}-mix.wav", "leg": "mix"}))
    with Target() as target:
        notifier = Notifier([target.url], ["recorded"])
        async with connected(tmp_path, notifier, Getvar=standing_by()) as one:
            told = await asyncio.to_thread(target.taken.get, timeout=10)
            assert one.ami.standing_by
        assert told["title"].startswith("1 left a message for 100")
