"""The service's end: whatever a task does with its cancellation."""

from __future__ import annotations

import asyncio

from screener import app


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
    await asyncio.wait_for(app._ended({task}), 5)
    assert task.cancelled()
    assert lost == 2
