"""The ledger: rows of a call become one record, and no fault of the disk reaches the call's path."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from screener.errors import LedgerError
from screener.ledger import Ledger, Place, Postgres, Row, calls, calls_came_by, ends, filed, owed, verify
from screener.verdict import Action, Hit, Verdict
from tests.postgres import REFUSES, spell, sql

ROOT = Path(__file__).parents[2]
NOON = datetime(2025, 3, 1, 12, 0, 0, 250_001, tzinfo=UTC)


def asked(
    kind: str = "setup", *, action: Action = Action.ALLOW, caller: str = "+8617712345678"
) -> dict[str, Any]:
    """The body of a question's row, as the service writes it."""
    verdict = Verdict(action, 4.5, (Hit("DID_FANOUT", "velocity", 4.5, "5 numbers called"),), policy="ab12")
    return {
        "call": {
            "number": caller.removeprefix("+"),
            "e164": caller,
            "name": "王小明",
            "did": "+4930123",
            "trunk": "t1",
        },
        "facts": {"caller.kind": "mobile", "asked.at": kind},
        "verdict": verdict.as_dict(),
        "timings": {"queue_ms": 0.1, "state_ms": 0.3, "judge_ms": 0.2, "send_ms": 0.1},
        "missing": ["list.block"],
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger in a file, for what is particular about one."""
    return tmp_path / "spool" / "ledger.db"


async def test_calls__rows_of_a_whole_call__fold_into_one_record(place: Place) -> None:
    end = {"disposition": "recorded", "talk_s": 12.5, "delay_ms": 1.2, "cause": 16}
    with Ledger.open(place) as ledger:
        ledger.append(Row("1.7", "setup", NOON, asked(action=Action.CHALLENGE)))
        ledger.append(
            Row("1.7", "challenge", NOON + timedelta(seconds=9), asked("challenge", action=Action.VOICEMAIL))
        )
        ledger.append(Row("1.7", "weather", NOON, {"of a later version": True}))
        ledger.append(Row("1.7", "recording", NOON, {"path": "/rec/1.7-caller.wav", "complete": False}))
        ledger.append(Row("1.7", "recording", NOON, {"path": "/rec/1.7-mix.wav", "complete": True}))
        closed = {"path": "/rec/1.7-caller.wav", "complete": True, "bytes": 44}
        ledger.append(Row("1.7", "recording", NOON, closed))
        ledger.append(Row("1.7", "end", NOON + timedelta(seconds=30), end))
        await ledger.flush(readable=True)
    (record,) = calls(place)
    assert (record.pbx, record.call_id, record.at) == ("", "1.7", NOON)
    assert record.call["name"] == "王小明"
    assert (record.setup["action"], record.verdict["action"]) == ("challenge", "voicemail")
    assert record.facts["asked.at"] == "challenge"
    assert record.timings["state_ms"] == 0.3
    assert record.missing == ["list.block"]
    assert (record.end, record.disposition) == (end, "recorded")
    assert record.recordings == [
        {"path": "/rec/1.7-caller.wav", "complete": True, "bytes": 44},
        {"path": "/rec/1.7-mix.wav", "complete": True},
    ]
    kinds = [row.kind for row in record.rows]
    assert kinds == ["setup", "weather", "recording", "recording", "recording", "challenge", "end"]
    assert filed(place) == filed(place, NOON) == {"1.7-caller.wav": 44, "1.7-mix.wav": -1}
    assert filed(place, NOON + timedelta(seconds=1)) == {}


async def test_owed__settled_of_another_asterisk_old_or_forged__is_read_of_open_ones_alone(
    place: Place,
) -> None:
    both = ["delivered", "notified"]
    with Ledger.open(place) as ledger:
        for call_id, until in {"1.1": both, "1.2": both, "1.3": ["notified"], "1.4": ["delivered"]}.items():
            ledger.append(Row(call_id, "owed", NOON, {"number": '"delivered"', "until": until}))
        ledger.append(Row("1.5", "owed", NOON - timedelta(seconds=1), {"until": both}))
        for call_id, kind in (("1.1", "delivered"), ("1.2", "notified"), ("1.2", "delivered")):
            ledger.append(Row(call_id, kind, NOON, {}))
        ledger.append(Row("1.3", "notified", NOON, {}))
        ledger.append(Row("1.4", "delivered", NOON, {}, pbx="b"))
        await ledger.flush(readable=True)
    assert [one.call_id for one in owed(place, NOON)] == ["1.1", "1.4"]


async def test_owed__call_with_a_row_that_cannot_be_read__keeps_no_other_out(path: Path) -> None:
    with Ledger.open(path) as ledger:
        for call_id in ("1.1", "1.2"):
            ledger.append(Row(call_id, "owed", NOON, {"until": ["notified"]}))
        await ledger.flush()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO row (pbx, call_id, kind, at_us, body) VALUES ('', '1.1', 'note', 0, '[1')")
    assert [one.call_id for one in owed(path, NOON)] == ["1.2"]


async def test_calls__several_calls__newest_first_filtered_and_limited(place: Place) -> None:
    with Ledger.open(place) as ledger:
        for n, action in enumerate([Action.ALLOW, Action.VOICEMAIL, Action.VOICEMAIL, Action.ALLOW]):
            at = NOON + timedelta(minutes=n)
            ledger.append(
                Row(f"1.{n}", "setup", at, asked(action=action, caller=f"+4930000{n % 2}"), pbx="berlin")
            )
        ledger.append(Row("1.0", "end", NOON + timedelta(hours=1), {"disposition": "answered"}, pbx="berlin"))
        ledger.append(Row("1.0", "setup", NOON - timedelta(days=1), asked(caller="+331"), pbx="paris"))
        await ledger.flush(readable=True)

    def ids(**filters: Any) -> list[str]:
        return [f"{record.pbx} {record.call_id}" for record in calls(place, **filters)]

    assert ids() == ["berlin 1.3", "berlin 1.2", "berlin 1.1", "berlin 1.0", "paris 1.0"]
    assert ids(limit=2) == ["berlin 1.3", "berlin 1.2"]
    assert ids(limit=0) == []
    assert ids(since=NOON + timedelta(minutes=2)) == ["berlin 1.3", "berlin 1.2"]
    assert ids(caller="+49300001") == ids(caller="49300001") == ["berlin 1.3", "berlin 1.1"]
    assert ids(action="voicemail", limit=1) == ["berlin 1.2"]


async def test_calls__an_end_without_a_question__is_still_a_record(place: Place) -> None:
    with Ledger.open(place) as ledger:
        ledger.append(Row("1.1", "end", NOON, {"disposition": "answered"}))
        await ledger.flush(readable=True)
    (record,) = calls(place)
    assert (record.disposition, record.verdict, record.call) == ("answered", {}, {})


def test_calls__while_the_service_writes__see_what_was_flushed_from_another_process(place: Place) -> None:
    with Ledger.open(place) as ledger:
        ledger.append(Row("1.1", "setup", NOON, asked()))
        asyncio.run(ledger.flush(readable=True))
        script = "import sys; from tests.postgres import spelt; from screener.ledger import calls\n"
        script += "print([record.call_id for record in calls(spelt(*sys.argv[1:]))])"
        seen = subprocess.run(
            [sys.executable, "-c", script, *spell(place)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert seen.stdout == "['1.1']\n"


def test_open__a_new_ledger__is_for_its_owner_only(path: Path) -> None:
    with Ledger.open(path):
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


async def test_open__an_existing_ledger__goes_on_after_its_rows(place: Place) -> None:
    for n in range(2):
        with Ledger.open(place) as ledger:
            ledger.append(Row(f"1.{n}", "setup", NOON, asked()))
    assert [record.call_id for record in calls(place)] == ["1.1", "1.0"]


async def test_rows__changed_or_deleted_by_hand__are_kept_by_the_ledger_itself(place: Place) -> None:
    with Ledger.open(place) as ledger:
        ledger.append(Row("1.1", "setup", NOON, asked()))
    truncate = ["TRUNCATE row", "TRUNCATE link"] * isinstance(place, Postgres)
    for statement in ("DELETE FROM row", "UPDATE row SET body = '{}'", *truncate):
        with pytest.raises(REFUSES, match="append-only"):
            sql(place, statement)


@pytest.mark.parametrize("directory", ["file", "file/below", "/proc/nothing"])
@pytest.mark.parametrize("kind", [Path, Postgres], ids=["file", "postgres"])
def test_open__a_place_that_cannot_be__says_so_and_names_the_setting(
    tmp_path: Path, directory: str, kind: type[Path | Postgres]
) -> None:
    (tmp_path / "file").write_text("")
    at = tmp_path / directory
    with pytest.raises(LedgerError, match=r"cannot be opened: .* cannot be made: .* state_dir") as raised:
        Ledger.open(at / "ledger.db" if kind is Path else Postgres("postgresql://nowhere/ledger", at))
    assert "no ledger here" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "no ledger here"),
        ("text", "is it a ledger"),
        ("", "not a ledger"),
        ("CREATE TABLE other (x);", "not a ledger"),
        (
            "PRAGMA application_id = 0x53435243; PRAGMA user_version = 3; CREATE TABLE row (x);",
            "newer screener",
        ),
    ],
)
def test_calls__a_file_that_is_no_ledger_of_ours__raise_what_and_what_to_do(
    path: Path, content: str | None, complaint: str
) -> None:
    path.parent.mkdir()
    if content == "text":
        path.write_text("plain text, longer than the header of a database, " * 9)
    elif content is not None:
        with closing(sqlite3.connect(path)) as db:
            db.executescript(content)
        path.touch()
    for read in (lambda: list(calls(path)), lambda: filed(path)):
        with pytest.raises(LedgerError, match=complaint) as raised:
            read()
        assert str(path) in str(raised.value)
    if content:
        before = path.read_bytes()
        with pytest.raises(LedgerError):
            Ledger.open(path)
        assert path.read_bytes() == before


class Unspeakable:
    def __str__(self) -> str:
        raise KeyError("no name")


async def test_append__body_that_is_not_json__keeps_the_call_and_the_writer(place: Place) -> None:
    circle: dict[str, Any] = {}
    circle["itself"] = circle
    with Ledger.open(place) as ledger:
        ledger.append(Row("1.1", "setup", NOON, circle))
        ledger.append(Row("1.2", "setup", NOON, {"call": Unspeakable()}))
        ledger.append(Row("1.3", "setup", NOON.replace(tzinfo=None), {"action": Action.ALLOW, "when": NOON}))
        await ledger.flush(readable=True)
    third, second, first = calls(place)
    assert "Circular" in first.rows[0].body["unwritable"]
    assert "no name" in second.rows[0].body["unwritable"]
    assert third.rows[0].body == {"action": "allow", "when": str(NOON)}
    assert third.at == NOON


async def test_append__database_locked_by_another__waits_up_to_the_bound_then_counts_and_recovers(
    path: Path,
) -> None:
    with Ledger.open(path, bound=10) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ledger.append(Row("1.0", "setup", NOON, asked()))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await ledger.flush()
        healthy_while_locked = ledger.healthy
        for n in range(1, 30):
            ledger.append(Row(f"1.{n}", "setup", NOON, asked()))
        assert ledger.waiting >= 10
        dropped = ledger.dropped
        assert dropped > 0
        other.execute("ROLLBACK")
        await ledger.flush()
        assert (healthy_while_locked, ledger.healthy) == (False, True)
        ledger.append(Row("2.0", "setup", NOON, asked()))
        await ledger.flush()
        assert ledger.dropped == dropped
    assert len(list(calls(path))) == 31 - dropped


async def test_append__statement_fails_within_a_transaction__is_taken_back_and_tried_again(
    path: Path,
) -> None:
    with Ledger.open(path) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("ALTER TABLE row RENAME TO elsewhere")
        ledger.append(Row("1.1", "setup", NOON, asked()))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await ledger.flush()
        other.execute("ALTER TABLE elsewhere RENAME TO row")
        await ledger.flush()
    assert [record.call_id for record in calls(path)] == ["1.1"]


async def test_close__disk_still_refusing__gives_up_in_time_and_says_how_many(path: Path) -> None:
    ledger = Ledger.open(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for n in range(5):
            ledger.append(Row(f"1.{n}", "setup", NOON, asked()))
        flushing = asyncio.create_task(ledger.flush())
        await asyncio.sleep(0)
        await asyncio.to_thread(ledger.close, 0.1)
        with pytest.raises(LedgerError, match="closed before"):
            await flushing
    assert ledger.dropped == 5
    ledger.append(Row("1.9", "setup", NOON, asked()))
    assert ledger.dropped == 6
    with pytest.raises(LedgerError, match="is closed"):
        await ledger.flush()


DISK_FULL = """
import asyncio, resource, sys
from datetime import UTC, datetime
from pathlib import Path
from screener.ledger import Ledger, Row

async def main():
    with Ledger.open(Path(sys.argv[1])) as ledger:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        for n in range(200):
            ledger.append(Row(f"1.{n}", "setup", datetime.now(UTC), {"filler": "x" * 1000}))
        try:
            await asyncio.wait_for(ledger.flush(), 0.5)
        except TimeoutError:
            print("refused", ledger.healthy, ledger.dropped)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await ledger.flush()
        print("written", ledger.healthy, ledger.dropped)

asyncio.run(main())
"""


def test_append__no_space_on_the_disk__rows_wait_and_are_written_when_there_is(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DISK_FULL, path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ours = [line for line in done.stdout.splitlines() if line.startswith(("refused", "written"))]
    assert ours == ["refused False 0", "written True 0"]
    assert "rows wait" in done.stdout
    assert len(list(calls(path))) == 200


WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from tests.postgres import spelt
from screener.ledger import Ledger, Row

async def main():
    ledger = Ledger.open(spelt(*sys.argv[1:]))
    n = 0
    while True:
        for _ in range(50):
            ledger.append(Row(f"1.{n}", "setup", datetime.now(UTC), {"n": n, "filler": "x" * 500}))
            n += 1
        await ledger.flush()
        print(n, flush=True)

asyncio.run(main())
"""


def test_flush__process_killed_under_load__loses_nothing_that_was_acknowledged(place: Place) -> None:
    program = [sys.executable, "-c", WRITER, *spell(place)]
    with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(40):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().splitlines())])
    with Ledger.open(place) as ledger:
        ledger.append(Row("2.0", "setup", NOON, {"n": -1}))
    numbers = [record.rows[0].body["n"] for record in calls(place)]
    assert acknowledged >= 2000
    assert set(range(-1, acknowledged)) <= set(numbers)
    assert len(numbers) == len(set(numbers))
    assert verify(place).problems == []
    if isinstance(place, Path):
        assert sql(place, "PRAGMA integrity_check") == [("ok",)]


async def test_calls__end_filed_before_the_verdict__are_told_in_the_order_of_events(place: Place) -> None:
    with Ledger.open(place) as ledger:
        ledger.append(Row("1.9", "end", NOON + timedelta(seconds=1), {"disposition": "answered"}))
        ledger.append(Row("1.9", "setup", NOON, {"verdict": {"action": "allow"}}))
        await ledger.flush(readable=True)
    (record,) = calls(place)
    assert record.at == NOON
    assert [row.kind for row in record.rows] == ["setup", "end"]


async def test_ends__calls_of_a_day__latest_end_first_with_what_was_asked(place: Place) -> None:
    with Ledger.open(place) as ledger:
        ledger.append(Row("1.1", "setup", NOON, asked(caller="+8617712345678")))
        ledger.append(Row("1.2", "setup", NOON + timedelta(seconds=1), asked(caller="+8617712345679")))
        ledger.append(Row("1.2", "end", NOON + timedelta(seconds=2), {"disposition": "abandoned"}))
        ledger.append(Row("1.1", "end", NOON + timedelta(seconds=3), {"disposition": "answered"}))
        ledger.append(Row("1.0", "end", NOON - timedelta(seconds=1), {"disposition": "answered"}))
        ledger.append(Row("1.3", "end", NOON + timedelta(seconds=4), {"disposition": "recorded"}))
        await ledger.flush(readable=True)
    found = [(end.call_id, call.get("e164")) for end, call in ends(place, NOON, bool)]
    assert found == [("1.3", None), ("1.1", "+8617712345678"), ("1.2", "+8617712345679")]
    unanswered = ends(place, NOON, lambda end: end["disposition"] != "answered")
    assert [end.call_id for end, _ in unanswered] == ["1.3", "1.2"]


async def test_calls_came_by__a_name_that_says_so__is_not_believed(place: Place) -> None:
    body = asked()
    body["call"]["name"] = '"trunk":"PJSIP/phone"'
    with Ledger.open(place) as ledger:
        ledger.append(Row("1.1", "setup", NOON, body))
        await ledger.flush(readable=True)
    assert calls_came_by(place, "t1", NOON)
    assert not calls_came_by(place, "PJSIP/phone", NOON)
    assert not calls_came_by(place, "t1", NOON + timedelta(seconds=1))
