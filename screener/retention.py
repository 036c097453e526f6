"""What the settings say about keeping, applied to the ledger and the recordings."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from screener import cases, ledger, number, spool
from screener.ledger import Erased, Keeper, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from screener.config.settings import Settings
    from screener.ledger import CallRecord, Row

log = structlog.get_logger(__name__)

DAY_S = 86_400.0


def keeper(path: Place, settings: Settings, clock: Callable[[], datetime]) -> Keeper:
    """What erases and holds calls in the ledger at `path`; each case is told what it loses by that."""

    def told(erased: Sequence[CallRecord]) -> list[Row]:
        every = cases.fold(ledger.rows(path, cases.KIND)) if erased else []
        return cases.losses(every, erased, settings.region, clock())

    def delete(filed: Mapping[Path, str]) -> None:
        for file, sha256 in filed.items():
            spool.delete_filed(settings.recordings_dir_of(file), {file: sha256})

    return Keeper(
        path,
        delete=delete,
        key_of=lambda written: number.parse(written, settings.region).key,
        clock=clock,
        witness=told,
    )


def expire(
    path: Place, settings: Settings, clock: Callable[[], datetime], *, dry_run: bool = False
) -> Erased:
    """Apply `retention` once; it blocks. LedgerError when the ledger cannot be written."""
    calls_days, recordings_days = settings.retention.ledger_days, settings.retention.recordings_days
    return keeper(path, settings, clock).expire(
        clock() - timedelta(days=calls_days) if calls_days else None,
        clock() - timedelta(days=recordings_days) if recordings_days else None,
        dry_run=dry_run,
    )


async def daily(path: Place, settings: Settings, clock: Callable[[], datetime]) -> None:
    """Apply `retention` now and each day, until cancelled; LedgerError as `expire`.

    The first time of all only a day later, with a warning now: an upgrade may have brought it unasked.
    """
    if not await asyncio.to_thread(ledger.ever_erased, path):
        first = await asyncio.to_thread(partial(expire, path, settings, clock, dry_run=True))
        if first.rows or first.recordings:
            log.warning(
                "retention: in a day these are erased for ever, for the first time; "
                "to keep them set `retention` in screener.yaml and restart",
                calls=first.calls,
                messages=first.messages,
                recordings=first.recordings,
                ledger_days=settings.retention.ledger_days,
                recordings_days=settings.retention.recordings_days,
            )
            await asyncio.sleep(DAY_S)
    while True:
        done = await asyncio.to_thread(expire, path, settings, clock)
        if done.rows or done.recordings:
            log.info(
                "retention: erased",
                calls=done.calls,
                messages=done.messages,
                rows=done.rows,
                recordings=done.recordings,
                held=done.held,
            )
        if done.failed:
            log.error("retention: something was not erased", times=len(done.failed), reason=done.failed[0])
        await asyncio.sleep(DAY_S)
