"""The ledger's writers are killed again and again, at whatever they are doing: what is acknowledged stays."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from screener.ledger import calls, oldest_first, verify
from screener.signing import Signer

ROOT = Path(__file__).parents[2]
KILLS = 12
SERVICE = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from screener.ledger import Ledger, Row, chaining
from screener.signing import Signer

async def main(path, life):
    chaining.SIGN_ROWS = 120
    ledger = Ledger.open(path, signer=Signer.of(path.parent))
    n = 0
    while True:
        for _ in range(30):
            ledger.append(Row(f"{life}.{n}", "setup", datetime.now(UTC), {"n": n, "filler": "x" * 300}))
            n += 1
        await ledger.flush()
        print(f"written {life}.{n - 1}", flush=True)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""
COMMAND = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from screener.ledger import Keeper, Row, append

path, life, n = Path(sys.argv[1]), sys.argv[2], 0
keeper = Keeper(path, lambda paths: None, lambda number: number, lambda: datetime.now(UTC))
while True:
    append(path, [Row(f"{life}.{n}", "setup", datetime.now(UTC), {"n": n})])
    print(f"written {life}.{n}", flush=True)
    if n % 5 == 0:
        keeper.erase(call=f"{life}.{n}", because="to be in the way")
        print(f"erased {life}.{n}", flush=True)
    n += 1
"""


@pytest.mark.slow
def test_ledger__service_and_command_killed_under_load__keep_all_acknowledged_rows_and_the_chain(
    tmp_path: Path,
) -> None:
    path, public = tmp_path / "ledger.db", Signer.of(tmp_path).public
    last: dict[str, int] = {}
    erased: set[str] = set()
    for life in range(KILLS):
        writers = [started(SERVICE, path, f"s{life}")]
        told = [read(writers[0])]
        writers.append(started(COMMAND, path, f"c{life}"))
        told.append(read(writers[1]))
        # The moment is by chance, within what the two do in a tenth of a second of full load.
        threading.Event().wait(random.uniform(0, 0.1))
        for one in random.sample(writers, 2):
            one.kill()
        for one, first in zip(writers, told, strict=True):
            assert one.stdout is not None
            for line in [first, *one.stdout.read().splitlines()]:
                what, _, call = line.partition(" ")
                if what == "erased":
                    erased.add(call)
                elif what == "written":
                    name, _, n = call.partition(".")
                    last[name] = int(n)
            one.wait()
            one.stdout.close()
        assert verify(path, public).problems == []
    kept = {record.call_id for record in calls(path)}
    for name, number in last.items():
        lost = {f"{name}.{n}" for n in range(number + 1)} - kept - erased
        # The last erasure may have been done and not be told any more.
        assert lost <= ({f"{name}.{number}"} if name[0] == "c" and number % 5 == 0 else set())
    assert erased
    assert not erased & kept
    assert len(last) == 2 * KILLS
    assert sum(1 for _ in oldest_first(path)) == len(kept)


def started(program: str, path: Path, life: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, path, life], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def read(process: subprocess.Popen[str]) -> str:
    """The first row that is told: from here on it writes."""
    assert process.stdout is not None
    while not (line := process.stdout.readline()).startswith("written "):
        assert line, "the writer ended"
    return line.strip()
