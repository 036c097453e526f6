"""A ledger in PostgreSQL whose machines are copied, whose settings change, and that somebody tampers with."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from screener import app
from screener.config import load
from screener.ledger import Ledger, Postgres, Row, calls, outbox, verify
from screener.ledger.outbox import Outbox
from screener.signing import Signer
from tests.postgres import sql

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from screener.ledger import Place
    from tests.commandline import Command
    from tests.postgres import Cluster

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
CALLER = "+493012345678"


async def filled(place: Place, *names: str, signer: Signer | None = None) -> None:
    with Ledger.open(place, signer=signer) as ledger:
        for name in names:
            ledger.append(Row(name, "setup", NOON, {"call": {"e164": CALLER}}))
        await ledger.flush(readable=True)


async def test_outbox__of_a_machine_that_was_copied__loses_no_row_of_either(
    cluster: Cluster, tmp_path: Path
) -> None:
    first = cluster.place(tmp_path / "first")
    await filled(first, "1.1")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    second = Postgres(first.url, tmp_path / "second")
    await filled(first, "1.2", "1.3")
    await filled(second, "2.2", "2.3")
    await filled(first, "1.4")
    assert {one.call_id for one in calls(first)} == {"1.1", "1.2", "1.3", "1.4", "2.2", "2.3"}


async def test_outbox__set_back_to_a_backup__sends_what_comes_later_and_nothing_twice(
    cluster: Cluster, tmp_path: Path
) -> None:
    away = Postgres("postgresql://nobody@/?host=/nonexistent", tmp_path / "first")
    with Ledger.open(away) as ledger:
        ledger.append(Row("1.0", "setup", NOON, {}))
        await ledger.flush()
        ledger.close(0.1)
    shutil.copytree(tmp_path / "first", tmp_path / "backup")
    there = Postgres(cluster.place(tmp_path).url, tmp_path / "first")
    await filled(there, "1.1", "1.2")
    shutil.rmtree(tmp_path / "first")
    shutil.copytree(tmp_path / "backup", tmp_path / "first")
    await filled(there, "1.3", "1.4")
    assert sorted(one.call_id for one in calls(there)) == ["1.0", "1.1", "1.2", "1.3", "1.4"]
    assert all(len(one.rows) == 1 for one in calls(there))


async def waits_for(directory: Path, name: str) -> None:
    with Ledger.open(Postgres("postgresql://nobody@/?host=/nonexistent", directory)) as ledger:
        ledger.append(Row(name, "setup", NOON, {"call": {"e164": CALLER}}))
        await ledger.flush()
        ledger.close(0.1)


async def test_outbox__its_disk_is_full__rows_wait_in_memory_and_all_arrive_when_there_is_room(
    cluster: Cluster, tmp_path: Path
) -> None:
    place = cluster.place(tmp_path)
    with Ledger.open(place) as ledger:
        assert isinstance(ledger._sink, Outbox)
        ledger._sink._db.execute("PRAGMA max_page_count = 1")  # SQLITE_FULL, as for a disk
        for n in range(200):
            ledger.append(Row(f"1.{n}", "setup", NOON, {"filler": "x" * 500}))
        flushed = asyncio.create_task(ledger.flush(readable=True))
        async with asyncio.timeout(10):
            while ledger.healthy:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        assert "full" in ledger.trouble
        assert not flushed.done()
        ledger._sink._db.execute("PRAGMA max_page_count = 1000000")
        async with asyncio.timeout(10):
            await flushed
        assert (ledger.dropped, ledger.healthy) == (0, True)
    assert len(list(calls(place))) == 200
    assert verify(place).problems == []


@asynccontextmanager
async def refusing(tmp_path: Path) -> AsyncIterator[tuple[Postgres, list[int]]]:
    """A server that hangs up on everybody, and a mark for each who came."""
    came: list[int] = []

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(len(came))
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield Postgres(f"postgresql://nobody@127.0.0.1:{port}/screener", tmp_path), came


async def test_outbox__its_database_is_away_for_hours__still_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "PAUSE_MAX_S", 0.0001)
    async with refusing(tmp_path) as (place, came), asyncio.timeout(60):
        with Ledger.open(place) as ledger:
            while len(came) < 1100:  # noqa: ASYNC110 - with the pauses as they are, an hour and a half
                await asyncio.sleep(0.05)
            await asyncio.to_thread(ledger.close, 0.1)


async def test_outbox__closed_while_its_database_is_away__does_not_besiege_it(tmp_path: Path) -> None:
    async with refusing(tmp_path) as (place, came):
        with Ledger.open(place) as ledger:
            ledger.append(Row("1.0", "setup", NOON, {}))
            await ledger.flush()
            before = len(came)
            await asyncio.to_thread(ledger.close, 1.0)
        assert len(came) - before < 2 + 2 * 1.0 / outbox.PAUSE_S


async def test_outbox__fails_as_nobody_thought_of__is_told(tmp_path: Path) -> None:
    place = Postgres("postgresql://nobody@pbx..example/screener", tmp_path)  # psycopg raises a ValueError
    with Ledger.open(place) as ledger:
        async with asyncio.timeout(10):
            while ledger.healthy:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        assert "label empty" in ledger.trouble
        await asyncio.to_thread(ledger.close, 0.1)


def site_of(tmp_path: Path, **settings: object) -> Path:
    (tmp_path / "screener.yaml").write_text(
        json.dumps({"ami": {"secret": "x"}, "state_dir": str(tmp_path / "state"), **settings})
    )
    return tmp_path


async def test_outbox__its_url_is_taken_out_of_the_settings__the_service_says_what_waits(
    tmp_path: Path,
) -> None:
    settings = load(site_of(tmp_path)).settings
    with capture_logs() as before:
        app._ledger(settings).close()
    await waits_for(settings.state_dir, "1.1")
    with capture_logs() as after:
        app._ledger(settings).close()
    said = [(one["event"], one["rows"]) for one in after if one["log_level"] == "error"]
    assert [(event.partition(",")[0], rows) for event, rows in said] == [
        ("rows of the ledger wait for PostgreSQL", 1)
    ]
    assert not [one for one in before if one["log_level"] == "error"]


async def test_erase__while_rows_wait_in_the_outbox__says_so_and_erases_them_the_next_time(
    cluster: Cluster, tmp_path: Path, command: Command
) -> None:
    there = cluster.place(tmp_path / "state")
    await filled(there, "1.1")
    await waits_for(tmp_path / "state", "1.2")
    erase = ("ledger", "erase", "--caller", CALLER, "--because", "asked", "--config", site_of(
        tmp_path, ledger={"url": there.url}
    ))  # fmt: skip
    first = command(*erase)
    assert (first.code, "1 rows of this machine wait" in first.err) == (0, True)
    await filled(there)
    assert [one.call_id for one in calls(there)] == ["1.2"]
    second = command(*erase)
    assert (second.code, second.err) == (0, "")
    assert list(calls(there)) == []


UNGUARDED = ("ALTER TABLE row DISABLE TRIGGER USER", "ALTER TABLE link DISABLE TRIGGER USER")
"""What the owner of the tables can do."""


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE row SET body = '{}' WHERE seq = 3", ["row 3: the content is not what was filed"]),
        ("UPDATE row SET at_us = at_us + 1 WHERE seq = 3", ["row 3: changed, inserted or moved"]),
        ("UPDATE row SET call_id = '1.9' WHERE seq = 3", ["row 3: changed, inserted or moved"]),
        ("DELETE FROM row WHERE seq = 3", ["row 3: missing"]),
        (
            "WITH gone AS (DELETE FROM row WHERE seq >= 5) DELETE FROM link WHERE seq >= 5",
            ["row 5: missing"],
        ),
        ("INSERT INTO row VALUES (7, '', '1.9', 'end', 5, '{}')", ["row 7: not in the chain"]),
        ("UPDATE link SET hash = 'x' WHERE seq = 3", ["rows 3 to 4: changed, inserted or moved"]),
        (
            "WITH one AS (UPDATE link SET salt = NULL WHERE seq = 3) UPDATE row SET body = '' WHERE seq = 3",
            ["row 3: erased, and no row says why"],
        ),
        ("UPDATE row SET body = replace(body, '\"seq\":', '\"seq\":1') WHERE kind = 'checkpoint'",
         ["row 6: a checkpoint that this key has not signed", "row 6: the content is not what was filed"]),
    ],
)  # fmt: skip
async def test_verify__ledger_in_postgresql_tampered_with_by_its_owner__names_each_row(
    cluster: Cluster, tmp_path: Path, statement: str, named: list[str]
) -> None:
    signer = Signer.of(tmp_path / "key")
    place = cluster.place(tmp_path)
    await filled(place, "1.1", "1.2", "1.3", "1.4", "1.5", signer=signer)
    assert (found := verify(place, signer.public)).problems == []
    assert (found.rows, found.signed) == (6, 6)
    sql(place, *UNGUARDED, statement)
    problems = verify(place, signer.public).problems
    assert len(problems) == len(named), problems
    assert all(one.startswith(said) for one, said in zip(problems, named, strict=True)), problems
