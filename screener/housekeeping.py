"""What is done beside the calls: kept up whatever fails, and ended in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog

from screener.errors import NotLeading, ScreenerError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Coroutine

    from screener.ami import Ami

Housekeeping: TypeAlias = "dict[str, Callable[[], Coroutine[None, None, None]]]"
"""What is to be done, by what it is called when it fails."""

log = structlog.get_logger(__name__)

CANCEL_S = 0.1
AGAIN_S = 5.0
"""The pause before housekeeping that failed is begun again."""
LAPSED_S = 1.0
"""The pause before it goes on when we hung and were not sure that we lead: that is settled sooner."""


async def ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks until it takes: redis-py on Python 3.11 loses a cancellation now and then."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_S)


async def while_leading(ami: Ami, work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Do it whenever we answer the calls of this Asterisk, and leave off when another screener does."""
    while True:
        await ami.ready.wait()
        at_work = asyncio.get_running_loop().create_task(work())
        idle = asyncio.get_running_loop().create_task(ami.idle.wait())
        try:
            await asyncio.wait({at_work, idle}, return_when=asyncio.FIRST_COMPLETED)
            if not idle.done():
                return await at_work  # it has nothing to do, or says why it could not
        except NotLeading as error:
            log.info("work beside the calls waits", reason=str(error))
            await asyncio.sleep(LAPSED_S)
        finally:
            await ended({at_work, idle})


async def kept_up(what: str, work: Callable[[], Coroutine[None, None, None]], restarts: Counter[str]) -> None:
    """Do what is not on the way of a call, again if it fails: that must never end the screening."""
    restarts[what] += 0
    while True:
        try:
            return await work()
        except ScreenerError as error:
            log.error("something beside the calls failed and is begun again", what=what, reason=str(error))
        except Exception:
            log.exception("something beside the calls failed and is begun again", what=what)
        restarts[what] += 1
        await asyncio.sleep(AGAIN_S)
