"""PostgreSQL, or the way to it, fails under load: no acknowledged row is lost, none comes twice."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from screener.ledger import Ledger, Place, calls, verify, waiting
from screener.signing import Signer
from tests.pbx.faults import AGAIN_S, AT_ONCE_S, Ear, reaches_us, somebody
from tests.pbx.house import House
from tests.postgres import Cluster, cluster, spell, sql

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["cluster"]

ROOT = Path(__file__).parents[2]
FAULTS = 4
MACHINES = 2
WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from screener.ledger import Ledger, Row, postgres
from screener.signing import Signer
from tests.postgres import spelt

async def main(name, key, *place):
    postgres.ANSWER_S = 1.0
    ledger = Ledger.open(spelt(*place), signer=Signer.of(Path(key)))
    n = 0
    while True:
        for _ in range(20):
            ledger.append(Row(f"{name}.{n}", "setup", datetime.now(UTC), {"n": n, "filler": "x" * 500}))
            n += 1
        await ledger.flush()
        print(n - 1, flush=True)
        await asyncio.sleep(0.02)

asyncio.run(main(*sys.argv[1:]))
"""


def killed(cluster: Cluster, _: Place) -> None:
    cluster.kill()
    cluster.start()


def restarted(cluster: Cluster, _: Place) -> None:
    cluster.stop()
    cluster.start()


def cut(_: Cluster, place: Place) -> None:
    for _n in range(10):
        with suppress(psycopg.Error):
            sql(
                place,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid != pg_backend_pid()",
            )
        time.sleep(random.uniform(0, 0.05))


def hung(cluster: Cluster, _: Place) -> None:
    cluster.signal_all(signal.SIGSTOP)
    time.sleep(1.5)  # longer than the writer's ANSWER_S here: it gives up, and asks again
    cluster.signal_all(signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", [killed, restarted, cut, hung])
def test_ledger__postgresql_fails_under_the_load_of_two_machines__every_acknowledged_row_is_there_once(
    cluster: Cluster, tmp_path: Path, fault: Callable[[Cluster, Place], None]
) -> None:
    signer = Signer.of(tmp_path)
    first = cluster.place(tmp_path / "0")
    places = [type(first)(first.url, tmp_path / str(n)) for n in range(MACHINES)]
    last: dict[str, int] = {}
    for life in range(FAULTS):
        names = [f"{n}-{life}" for n in range(MACHINES)]
        writers = [started(name, tmp_path, place) for name, place in zip(names, places, strict=True)]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline()
        # The moment is by chance, within what they do in half a second of full load.
        time.sleep(random.uniform(0, 0.5))
        fault(cluster, first)
        for name, writer in zip(names, writers, strict=True):
            writer.kill()  # with rows that wait in its outbox, mostly
            assert writer.stdout is not None
            # Its log takes the same way, and may have had the last word.
            last[name] = int([line for line in writer.stdout if line.strip().isdigit()][-1])
            writer.wait()
            writer.stdout.close()
    for place in places:
        with Ledger.open(place, signer=signer) as ledger:
            asyncio.run(everything(ledger))
        assert waiting(place) == 0
    found = [record.call_id for record in calls(first)]
    assert len(found) == len(set(found))
    assert {f"{name}.{n}" for name, to in last.items() for n in range(to + 1)} <= set(found)
    assert verify(first, signer.public).problems == []
    assert sum(1 for record in calls(first) if len(record.rows) > 1) == 0


async def everything(ledger: Ledger) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(Exception):
                return await ledger.flush(readable=True)


def started(name: str, key: Path, place: Place) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, name, str(key), *spell(place)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_calls__postgresql_killed_then_the_screener_too__are_screened_at_once_and_no_row_is_lost(
    cluster: Cluster, tmp_path: Path
) -> None:
    url = cluster.place(tmp_path).url
    async with House.open(ledger={"url": url}) as house, Ear.open(house.pbx) as ear:
        numbers = [somebody() for _ in range(4)]
        assert (await reaches_us(house, ear, AT_ONCE_S, numbers[0]))["Missed"] == ""
        await house.ended(AGAIN_S, number=numbers[0])
        for n, harm in enumerate([cluster.kill, lambda: cluster.signal_all(signal.SIGSTOP)], 1):
            await asyncio.to_thread(harm)
            assert (await reaches_us(house, ear, AT_ONCE_S, numbers[n]))["Missed"] == ""
            if n == 1:
                await house.service.logged("PostgreSQL does not take the rows of the ledger")
                code, output = await house.service.command("status")
                assert (code, "ledger: NOT writing" in output) == (0, True), output
                code, output = await house.service.command("calls")
                assert (code, "does PostgreSQL run" in output) == (6, True), output
                await asyncio.to_thread(cluster.start)
                await house.ended(20, number=numbers[n])
        await waits(house)
        await house.service.kill()
        await asyncio.to_thread(cluster.signal_all, signal.SIGCONT)
        await house.service.start()
        for number in numbers[1:3]:
            await house.ended(20, number=number)
        assert (await reaches_us(house, ear, AT_ONCE_S, numbers[3]))["Missed"] == ""
        await house.ended(AGAIN_S, number=numbers[3])
        assert await house.service.stop() == 0
        assert verify(house.service.ledger, Signer.of(house.service.state).public).problems == []


async def waits(house: House) -> None:
    """Wait until the question and the end of a call are in the outbox."""
    async with asyncio.timeout(AGAIN_S):
        while waiting(house.service.ledger) < 2:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)
