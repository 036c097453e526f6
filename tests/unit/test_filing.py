"""A recording is filed once, whoever comes upon it: the end of its call, or the look after a gap."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

import screener.filing
from screener import config, ledger
from screener.ami import Account, Ami
from screener.call import Ending
from screener.delivering import Deliverer
from screener.filing import Filing
from screener.spool import Spool
from tests.unit.test_recordings import hush, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
CALL = "1772625600.7"


def filing(tmp_path: Path, written: ledger.Ledger, leads: Callable[[], bool] = lambda: True) -> Filing:
    settings = config.load(None, environ={}).settings
    deliverer = Deliverer(
        settings.voicemail.deliver_to,
        Ami(Account("127.0.0.1", 1, "a", "b")),
        written,
        None,
        clock=lambda: NOW,
        zone=UTC,
    )
    spool = Spool(tmp_path / "spool")
    return Filing(
        spool, written, settings.place, lambda: NOW,
        listener=None, transcriber=None, deliverer=deliverer, leads=leads,
    )  # fmt: skip


def ending(stem: Path) -> Ending:
    fields = {"Version": "1", "Uniqueid": CALL, "Action": "voicemail", "Recording": str(stem)}
    return Ending.from_event(fields, NOW)


async def test_recording__of_a_call_that_ends_while_unfiled_ones_are_looked_for__is_filed_once(
    tmp_path: Path,
) -> None:
    stem = tmp_path / "spool/2026-03-04" / CALL
    legs = [stem.with_name(f"{CALL}-{leg}.wav") for leg in ("caller", "mix")]
    for leg in legs:
        write(leg, hush(1))
    with ledger.Ledger.open(tmp_path / "ledger.db") as written:
        at_work = filing(tmp_path, written)
        await asyncio.gather(at_work.adopt(), at_work.conclude(ending(stem)))
        await written.flush()
        rows = [row for one in ledger.oldest_first(written.path) for row in one]
    assert Counter(row.kind for row in rows) == {"recording": 2}


async def test_recording__of_a_call_whose_end_is_said_late__is_filed_once_with_that_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screener.filing, "ENDS", timedelta(seconds=1))
    stem = tmp_path / "spool/2026-03-04" / CALL
    for leg in ("caller", "mix"):
        path = stem.with_name(f"{CALL}-{leg}.wav")
        write(path, hush(1))
        os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    with ledger.Ledger.open(tmp_path / "ledger.db") as written:
        at_work = filing(tmp_path, written)

        async def ends_late() -> None:
            await asyncio.sleep(0.5)  # so long after the recording was closed
            await at_work.conclude(ending(stem))

        await asyncio.gather(at_work.adopt(), ends_late())
        await written.flush()
        rows = [row for one in ledger.oldest_first(written.path) for row in one]
    assert Counter(row.kind for row in rows) == {"recording": 2}


async def test_recording__of_a_call_that_nobody_heard_end__is_filed_by_the_look_after_the_gap(
    tmp_path: Path,
) -> None:
    stem = tmp_path / "spool/2026-03-04" / CALL
    for leg in ("caller", "mix"):
        write(stem.with_name(f"{CALL}-{leg}.wav"), hush(1))
    with ledger.Ledger.open(tmp_path / "ledger.db") as written:
        await filing(tmp_path, written).adopt()
        await written.flush()
        rows = [row for one in ledger.oldest_first(written.path) for row in one]
    assert Counter(row.kind for row in rows) == {"recording": 2, "end": 1}


async def test_recording__of_a_call_whose_end_alone_outlived_the_screener__is_filed_by_that_end(
    tmp_path: Path,
) -> None:
    stem, heard = tmp_path / "spool/2026-03-04" / CALL, "2026-03-04T11:59:58Z"
    for leg in ("caller", "mix"):
        write(stem.with_name(f"{CALL}-{leg}.wav"), hush(1))
    with ledger.Ledger.open(tmp_path / "ledger.db") as written:
        written.append(ledger.Row(CALL, "end", NOW, {"disposition": "recorded", "notice_at": heard}))
        await filing(tmp_path, written).adopt()
        await written.flush()
        rows = [row for one in ledger.oldest_first(written.path) for row in one]
    assert Counter(row.kind for row in rows) == {"recording": 2, "end": 1}
    assert {row.body["notice_played_at"] for row in rows if row.kind == "recording"} == {heard}


async def test_recording__of_a_call_with_a_row_that_cannot_be_read__is_filed_and_so_are_the_others(
    tmp_path: Path,
) -> None:
    ids = {CALL, "1772625600.8"}
    for call_id in ids:
        for leg in ("caller", "mix"):
            write(tmp_path / "spool/2026-03-04" / f"{call_id}-{leg}.wav", hush(1))
    with ledger.Ledger.open(tmp_path / "ledger.db") as written:
        written.append(ledger.Row(CALL, "end", NOW, {"disposition": "recorded"}))
        await written.flush()
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                db.execute(f"DROP TRIGGER {name}")
            db.execute("UPDATE row SET body = '[]' WHERE kind = 'end'")
            db.commit()
        await filing(tmp_path, written).adopt()
        await written.flush()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        rows = db.execute("SELECT call_id FROM row WHERE kind = 'recording'").fetchall()
    assert Counter(call_id for (call_id,) in rows) == dict.fromkeys(ids, 2)


@pytest.mark.parametrize("looks", [0, 1, 2, 3])
async def test_recordings__another_screener_leads_meanwhile__the_rest_is_left_to_it(
    tmp_path: Path, looks: int
) -> None:
    for call_id in (CALL, "1772625600.8"):
        for leg in ("caller", "mix"):
            write(tmp_path / "spool/2026-03-04" / f"{call_id}-{leg}.wav", hush(1))
    asked = iter([True] * looks)
    with ledger.Ledger.open(tmp_path / "ledger.db") as written:
        assert not await filing(tmp_path, written, lambda: next(asked, False)).adopt()
        await written.flush()
        rows = [row for one in ledger.oldest_first(written.path) for row in one]
    assert len({row.call_id for row in rows}) == looks // 2
