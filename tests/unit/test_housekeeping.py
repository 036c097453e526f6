"""What is beside the calls goes on whatever fails, and ends whatever a task does with its cancellation."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from screener import housekeeping
from screener.errors import StateUnavailable

if TYPE_CHECKING:
    import pytest


async def test_ended__a_task_that_loses_cancellations__is_cancelled_until_it_takes() -> None:
    lost = 0

    async def forgetful() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost == 2:
                    raise
                lost += 1

    task = asyncio.create_task(forgetful())
    await asyncio.sleep(0)  # it has begun to wait
    await asyncio.wait_for(housekeeping.ended({task}), 5)
    assert task.cancelled()
    assert lost == 2


async def test_kept_up__work_that_fails__is_told_and_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "AGAIN_S", 0)
    faults: list[Exception] = [StateUnavailable("the store is away"), ValueError("never thought of")]

    async def work() -> None:
        if faults:
            raise faults.pop(0)

    restarts: Counter[str] = Counter()
    with capture_logs() as logs:
        await housekeeping.kept_up("feeds", work, restarts)
    assert restarts == {"feeds": 2}
    assert [(line["what"], line.get("reason")) for line in logs] == [
        ("feeds", "the store is away"),
        ("feeds", None),
    ]
