"""The chain of the ledger: each change is named wherever it is, old ledgers are chained, heads are signed."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from screener.errors import KeyUnusable, LedgerError
from screener.ledger import Ledger, Row, append, calls, chaining, database, store, verify
from screener.signing import Public, Signer

if TYPE_CHECKING:
    from tests.commandline import Command

ROOT = Path(__file__).parents[2]
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
FORMAT_1 = """
CREATE TABLE row (
    seq INTEGER PRIMARY KEY, pbx TEXT NOT NULL, call_id TEXT NOT NULL,
    kind TEXT NOT NULL, at_us INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX row_of_call ON row (pbx, call_id);
CREATE INDEX row_at ON row (at_us);
CREATE INDEX row_of_recording ON row (seq) WHERE kind = 'recording';
CREATE TRIGGER row_kept BEFORE DELETE ON row BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER row_fixed BEFORE UPDATE ON row BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
PRAGMA application_id = 0x53435243;
PRAGMA user_version = 1;
"""
DISARM = "".join(
    f"DROP TRIGGER IF EXISTS {one};" for one in ("row_kept", "row_fixed", "link_kept", "link_fixed")
)


def rows(count: int) -> list[Row]:
    return [Row(f"1.{n}", "setup", NOON, {"call": {"e164": f"+4930{n:06}"}}) for n in range(count)]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer.of(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Path:
    """Nine rows of calls, then two runs with a checkpoint each: rows 10 and 13."""
    path = tmp_path_factory.mktemp("written") / "ledger.db"
    for count in (9, 2):
        with Ledger.open(path, signer=signer) as ledger:
            for row in rows(count):
                ledger.append(row)
    return path


@pytest.fixture
def path(written: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    for file in written.parent.glob("ledger.db*"):
        shutil.copy(file, tmp_path)
    return tmp_path / "ledger.db"


def spoil(path: Path, statements: str) -> None:
    """As somebody does who may write the file and knows SQL."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(DISARM + statements)


def rechained(path: Path, statements: str) -> None:
    """As somebody does who knows the screener, too: all hashes are right again."""
    spoil(path, statements)
    spoil(path, "DELETE FROM link")
    with closing(database.to_write(path)) as db:
        store.link(db)


def test_verify__a_ledger_as_it_was_written__is_good_and_signed_to_its_end(
    path: Path, signer: Signer
) -> None:
    found = verify(path, signer.public)
    assert (found.problems, found.rows, found.head[0], found.signed) == ([], 13, 13, 13)
    assert verify(path, signer.public, [found.head]).problems == []


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        ("UPDATE row SET body = '{}' WHERE seq = 5", ["row 5: the content"]),
        (
            "UPDATE row SET body = '{}' WHERE seq IN (2, 3, 7)",
            ["rows 2 to 3: the content", "row 7: the cont"],
        ),
        ("UPDATE row SET at_us = at_us + 1 WHERE seq = 5", ["row 5: changed, inserted"]),
        ("UPDATE row SET kind = 'end' WHERE seq = 1", ["row 1: changed, inserted"]),
        ("UPDATE row SET call_id = '1.99' WHERE seq = 13", ["row 13: changed, inserted"]),
        ("UPDATE row SET pbx = 'x' WHERE seq = 5", ["row 5: changed, inserted"]),
        ("UPDATE link SET salt = '00' WHERE seq = 5", ["row 5: the content"]),
        ("UPDATE link SET digest = 'x' WHERE seq = 5", ["row 5: changed, inserted", "row 5: the content"]),
        ("UPDATE link SET hash = 'x' WHERE seq = 5", ["rows 5 to 6: changed"]),
        ("UPDATE link SET hash = 'x' WHERE seq = 13", ["row 13: changed"]),
        ("DELETE FROM row WHERE seq = 5", ["row 5: missing"]),
        ("DELETE FROM row WHERE seq IN (3, 4); DELETE FROM link WHERE seq = 4", ["rows 3 to 4: missing"]),
        ("DELETE FROM row WHERE seq = 1; DELETE FROM link WHERE seq = 1", ["row 1: missing"]),
        ("DELETE FROM row WHERE seq > 11", ["rows 12 to 13: missing"]),
        ("DELETE FROM row WHERE seq > 11; DELETE FROM link WHERE seq > 11", ["row 12: missing"]),
        ("INSERT INTO row VALUES (14, '', '1.5', 'end', 5, '{}')", ["row 14: not in the chain"]),
        (
            "INSERT INTO row VALUES (14, '', '', 'end', 5, '{}'); INSERT INTO link VALUES (14, '', '', '')",
            ["row 14: changed, inserted", "row 14: the content"],
        ),
        (
            "; ".join(
                f"UPDATE {table} SET seq = {to} WHERE seq = {seq}"  # noqa: S608 - words of this file
                for table in ("row", "link")
                for seq, to in ((5, 99), (6, 5), (99, 6))
            ),
            ["rows 5 to 7: changed, inserted or moved"],
        ),
        (
            "UPDATE row SET body = '' WHERE seq = 5; UPDATE link SET salt = NULL WHERE seq = 5",
            ["row 5: erased, and no row says why"],
        ),
        ("UPDATE row SET body = '' WHERE seq = 5", ["row 5: the content"]),
        ("UPDATE row SET body = CAST(x'ff' AS TEXT) WHERE seq = 5", ["row 5: the content"]),
        (
            "UPDATE row SET seq = 4611686018427387904 WHERE seq = 13",
            [
                "rows 11 to",
                "rows 13 to 4611686018427387903: missing",
                "row 4611686018427387904: not in the chain",
            ],
        ),
        ("UPDATE row SET body = '[]' WHERE seq = 10", ["row 10: a checkpoint", "row 10: the content"]),
    ],
)
def test_verify__a_file_that_somebody_changed__names_each_row(
    path: Path, signer: Signer, statements: str, named: list[str]
) -> None:
    spoil(path, statements)
    found = verify(path, signer.public).problems
    assert len(found) == len(named), found
    assert all(line.startswith(begins) for line, begins in zip(found, named, strict=True)), found


def test_verify__head_beside_it_that_is_none__is_passed_over(path: Path) -> None:
    forged = {"seq": "13", "hash": 1, "signature": ""}
    path.with_name("ledger.db.head").write_text(json.dumps(forged))
    assert verify(path).problems == []


def test_checkpoint__link_where_its_file_was_made__is_not_followed(
    path: Path, signer: Signer, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("whole")
    path.with_name("ledger.db.head.new").symlink_to(victim)
    with Ledger.open(path, signer=signer) as ledger:
        ledger.append(rows(1)[0])
    assert victim.read_text() == "whole"
    assert json.loads(path.with_name("ledger.db.head").read_text())["seq"] == 14
    assert not [one.name for one in tmp_path.glob("ledger.db.head.*") if not one.is_symlink()]


def test_verify__rewritten_with_all_hashes_right__is_given_away_by_the_checkpoints(
    path: Path, signer: Signer
) -> None:
    rechained(path, "UPDATE row SET body = '{}' WHERE seq = 11")
    assert verify(path).problems == verify(path, signer.public).problems
    assert verify(path).problems == [
        "row 10: a checkpoint signs another hash: rows up to it were rewritten",
        "rows 12 to 13: a checkpoint signs another hash: rows up to it were rewritten",
    ]


def test_verify__signed_anew_with_another_key__is_given_away_by_the_key_that_was_kept(
    path: Path, signer: Signer, tmp_path: Path
) -> None:
    other = Signer.of(tmp_path / "other")
    spoil(path, "DELETE FROM row WHERE kind = 'checkpoint'; DELETE FROM link;")
    (tmp_path / "ledger.db.head").unlink()
    with closing(sqlite3.connect(path)) as db:
        db.executescript("UPDATE row SET seq = seq + 100; UPDATE row SET seq = seq - 100 WHERE seq < 110;")
        db.executescript("UPDATE row SET seq = seq - 101 WHERE seq > 110;")
    with Ledger.open(path, signer=other) as ledger:
        ledger.append(rows(1)[0])
    assert verify(path, other.public).problems == []
    assert any("this key has not signed" in line for line in verify(path, signer.public).problems)


def test_verify__cut_off_with_all_traces__is_given_away_by_a_head_that_was_kept(
    path: Path, tmp_path: Path
) -> None:
    kept = verify(path).head
    spoil(path, "DELETE FROM row WHERE seq > 10; DELETE FROM link WHERE seq > 10;")
    (tmp_path / "ledger.db.head").unlink()
    assert verify(path).problems == []
    assert verify(path, heads=[kept]).problems == ["rows 11 to 13: missing"]


async def test_verify__a_service_that_should_have_signed__is_asked_for_its_checkpoints(
    path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screener.ledger.verifying.UNSIGNED_MAX", 20)
    append(path, rows(30))
    (problem,) = verify(path, signer.public).problems
    assert problem.startswith("rows 14 to 43: no checkpoint of this key")


async def test_checkpoint__many_rows_or_an_hour_or_the_end__is_signed(
    tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chaining, "SIGN_ROWS", 50)
    path = tmp_path / "l.db"

    def signed() -> list[int]:
        with closing(sqlite3.connect(path)) as db:
            return [seq for (seq,) in db.execute("SELECT seq FROM row WHERE kind = 'checkpoint'")]

    with Ledger.open(path, signer=signer) as ledger:
        for row in rows(120):
            ledger.append(row)
        await ledger.flush()
        assert len(signed()) in (1, 2)  # groups hold a hundred rows at most
        monkeypatch.setattr(chaining, "SIGN_S", 0.1)
        ledger.append(rows(1)[0])
    before = signed()
    with Ledger.open(path, signer=signer) as ledger:
        ledger.append(rows(1)[0])
        await ledger.flush()
        deadline = time.monotonic() + 5
        while len(signed()) == len(before):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
    assert verify(path, signer.public).problems == []
    assert json.loads((tmp_path / "l.db.head").read_text())["seq"] == signed()[-1] - 1


async def test_open__a_ledger_of_format_1__takes_rows_at_once_and_is_chained_beside_that(
    tmp_path: Path, signer: Signer
) -> None:
    path = tmp_path / "ledger.db"
    old = [store.encode(row) for row in rows(9000)]
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(FORMAT_1)
        db.executemany(store.INSERT, old)
        db.commit()
    with pytest.raises(LedgerError, match="of format 1"):
        verify(path)
    assert len(list(calls(path, limit=5))) == 5
    with Ledger.open(path, signer=signer) as ledger:
        ledger.append(Row("2.1", "setup", NOON, {}))
        await ledger.flush()
        assert next(calls(path, limit=1)).call_id == "2.1"
        async with asyncio.timeout(20):
            while verify(path).problems:  # noqa: ASYNC110 - nothing tells when it is done
                await asyncio.sleep(0.01)
    found = verify(path, signer.public)
    assert (found.problems, found.rows >= 9002, found.signed) == ([], True, found.rows)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        kept = db.execute("SELECT pbx, call_id, kind, at_us, body FROM row LIMIT 9000").fetchall()
    assert kept == old


APPENDING = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from screener.ledger import Row, append
for n in range(40):
    append(Path(sys.argv[1]), [Row(sys.argv[2], "note", datetime.now(UTC), {"n": n})] * 3)
"""


async def test_append__by_commands_while_the_service_writes__keeps_one_chain(
    tmp_path: Path, signer: Signer
) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, signer=signer) as ledger:
        commands = [
            await asyncio.create_subprocess_exec(sys.executable, "-c", APPENDING, path, str(name), cwd=ROOT)
            for name in range(2)
        ]
        while any(command.returncode is None for command in commands):
            ledger.append(rows(1)[0])
            await ledger.flush()
            await asyncio.sleep(0)
        assert [command.returncode for command in commands] == [0, 0]
    assert verify(path, signer.public).problems == []
    with closing(sqlite3.connect(path)) as db:
        notes = db.execute("SELECT call_id, count(*) FROM row WHERE kind = 'note' GROUP BY 1").fetchall()
    assert notes == [("0", 120), ("1", 120)]


def test_append__no_ledger__is_not_made(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger here"):
        append(tmp_path / "ledger.db", rows(1))
    assert list(tmp_path.iterdir()) == []


def test_append__link_to_an_empty_file__leaves_it_empty(tmp_path: Path) -> None:
    (tmp_path / "anybodys").touch()
    (tmp_path / "ledger.db").symlink_to(tmp_path / "anybodys")
    with pytest.raises(LedgerError, match="not a ledger of the screener"):
        append(tmp_path / "ledger.db", rows(1))
    assert (tmp_path / "anybodys").stat().st_size == 0


def test_file__any_change_but_erasing__is_refused_by_the_file_itself(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in (
            "DELETE FROM link",
            "UPDATE link SET hash = ''",
            "UPDATE link SET salt = 'x'",
            "UPDATE link SET salt = NULL, digest = ''",
            "UPDATE row SET body = '', kind = 'x'",
            "UPDATE row SET body = '', at_us = 1",
            "UPDATE row SET body = '' WHERE kind = 'checkpoint'",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(statement)
        db.execute("UPDATE row SET body = '' WHERE seq = 1")
        db.execute("UPDATE link SET salt = NULL WHERE seq = 1")


def test_signer__first_use__makes_a_key_for_its_owner_and_keeps_it(tmp_path: Path) -> None:
    first, again = Signer.of(tmp_path / "s"), Signer.of(tmp_path / "s")
    assert first.public.raw == again.public.raw
    (file,) = (tmp_path / "s").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (tmp_path / "pem").write_text(str(first.public))
    assert Public.read(tmp_path / "pem").signed(b"m", again.sign(b"m"))
    assert not first.public.signed(b"n", again.sign(b"m"))
    file.write_text("no key")
    with pytest.raises(KeyUnusable, match="cannot be used"):
        Signer.of(tmp_path / "s")
    with pytest.raises(KeyUnusable, match="no public key"):
        Public.read(file)


@pytest.fixture
def run(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    site = tmp_path / "site"
    site.mkdir()
    settings = {"ami": {"secret": "x"}, "state_dir": str(tmp_path), "recordings_dir": str(tmp_path / "rec")}
    (site / "screener.yaml").write_text(json.dumps(settings))
    monkeypatch.setenv("SCREENER_CONFIG", str(site))
    return command


def test_ledger_verify__by_command__says_so_and_ends_with_3_if_not(
    run: Command, path: Path, tmp_path: Path, signer: Signer
) -> None:
    (tmp_path / "public.pem").write_text(str(signer.public))
    ended = run("ledger", "verify", "--key", tmp_path / "public.pem")
    assert (ended.code, ended.out.split(";")[0]) == (
        0, "good: 13 rows, 0 of them erased, signed up to row 13"
    )  # fmt: skip
    head = ended.out.split()[-1]
    assert run("ledger", "verify", "--head", head).code == 0
    assert run("ledger", "verify", "--head", "13:abc").code == 2
    spoil(path, "UPDATE row SET body = '{}' WHERE seq = 5")
    ended = run("ledger", "verify")
    assert (ended.code, ended.out.splitlines()[0]) == (3, "row 5: the content is not what was filed")
    assert json.loads(run("ledger", "verify", "--json").out)["problems"] == [ended.out.splitlines()[0]]
    ended = run("ledger", "key")
    assert (ended.code, "restore it" in ended.err) == (6, True)  # what has signed is not replaced unasked
    (tmp_path / "ledger.db.head").unlink()
    assert "BEGIN PUBLIC KEY" in run("ledger", "key").out


def test_checkpoint__checked_with_openssl__is_signed(path: Path, tmp_path: Path, signer: Signer) -> None:
    body = json.loads((path.parent / "ledger.db.head").read_text())
    (tmp_path / "pem").write_text(str(signer.public))
    (tmp_path / "message").write_text(f"screener ledger checkpoint {body['seq']} {body['hash']}\n")
    (tmp_path / "signature").write_bytes(bytes.fromhex(body["signature"]))
    check = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "pem", "-rawin", "-in", "message"]
    done = subprocess.run(
        [*check, "-sigfile", "signature"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "Signature Verified Successfully\n"), done.stderr
