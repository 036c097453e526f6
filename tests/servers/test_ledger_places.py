"""Where a ledger lies: forwarded once, copied whole, guarded, and found by its calls in both places."""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
import sqlite3
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import structlog

from screener import cases, suggesting
from screener.config import load
from screener.errors import ConfigError, LedgerError
from screener.ledger import (
    Keeper,
    Ledger,
    Place,
    Postgres,
    Row,
    append,
    calls,
    copy,
    excerpt,
    postgres,
    received,
    rows,
    verify,
    waiting,
)
from screener.ledger.chaining import Chain
from screener.ledger.places import ServerFault
from screener.ledger.sqlite import advice
from screener.ledger.store import encode
from screener.signing import Signer
from tests.postgres import sql

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commandline import Command
    from tests.postgres import Cluster

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
ROLE = """
CREATE ROLE IF_NEW LOGIN;
GRANT USAGE ON SCHEMA screener TO IF_NEW;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA screener TO IF_NEW;
GRANT UPDATE (body) ON screener.row TO IF_NEW;
GRANT UPDATE (salt) ON screener.link TO IF_NEW;
GRANT UPDATE (n) ON screener.forwarded TO IF_NEW;
"""
"""As docs/evidence.md has them."""


def told(n: int, **call: str) -> Row:
    return Row(f"1.{n}", "setup", NOON + timedelta(seconds=n), {"call": {"e164": f"+4930{n:06}", **call}})


async def filled(place: Place, signer: Signer | None = None, count: int = 5) -> None:
    with Ledger.open(place, signer=signer) as ledger:
        for n in range(count):
            ledger.append(told(n))
        await ledger.flush(readable=True)


async def test_outbox__killed_after_the_commit_and_before_it_forgets__sends_nothing_twice(
    cluster: Cluster, tmp_path: Path
) -> None:
    place = Postgres("postgresql://nobody@/?host=/nonexistent", tmp_path)
    with Ledger.open(place) as ledger:
        for n in range(5):
            ledger.append(told(n))
        await ledger.flush()
        with pytest.raises(LedgerError, match="wait in the outbox"):
            await ledger.flush(readable=True)
        assert (ledger.outbox, ledger.healthy, ledger.dropped) == (5, False, 0)
        ledger.close(0.1)
    assert waiting(place) == 5
    before = tmp_path / "before"
    before.mkdir()
    kept = list(await asyncio.to_thread(lambda: [*tmp_path.glob("ledger.outbox*")]))
    for file in kept:
        shutil.copy(file, before)
    there = cluster.place(tmp_path)
    for _ in range(2):
        for file in kept:
            shutil.copy(before / file.name, tmp_path)
        await filled(there, count=0)
        assert waiting(there) == 0
    assert [one.call_id for one in calls(there)] == [f"1.{n}" for n in reversed(range(5))]
    assert verify(there).problems == []


async def test_outbox__database_away__takes_rows_at_once_and_none_is_dropped(tmp_path: Path) -> None:
    place = Postgres("postgresql://nobody@/?host=/nonexistent", tmp_path)
    with Ledger.open(place, bound=50) as ledger:
        for n in range(500):
            ledger.append(told(n))
            if n % 25 == 0:
                async with asyncio.timeout(5):
                    await ledger.flush()
        async with asyncio.timeout(5):
            await ledger.flush()
        assert (ledger.dropped, ledger.outbox) == (0, 500)
        ledger.close(0.1)
    assert waiting(place) == 500


async def test_append__by_several_machines_and_commands__keeps_one_chain(
    cluster: Cluster, tmp_path: Path
) -> None:
    first = cluster.place(tmp_path / "a")
    await filled(first, count=0)
    second = Postgres(first.url, tmp_path / "b")
    with Ledger.open(first) as here, Ledger.open(second) as there:
        for n in range(200):
            here.append(told(n))
            there.append(told(1000 + n))
            if n % 20 == 0:
                await asyncio.to_thread(append, first, [told(2000 + n)])
        await here.flush(readable=True)
        await there.flush(readable=True)
    found = verify(first)
    assert (found.problems, found.rows) == ([], 410)


@pytest.mark.parametrize("to", ["postgresql", "file"])
async def test_copy__into_postgresql_and_back__keeps_rows_salts_hashes_and_checkpoints(
    cluster: Cluster, tmp_path: Path, to: str
) -> None:
    file, server = tmp_path / "ledger.db", cluster.place(tmp_path)
    source, target = (server, file) if to == "file" else (file, server)
    signer = Signer.of(tmp_path)
    await filled(source, signer)
    Keeper(source, lambda _: None, lambda one: one, lambda: NOON).erase(call="1.2", because="asked to")
    before = verify(source, signer.public)
    assert copy(source, target) == before.rows
    after = verify(target, signer.public, [before.head])
    assert (after.problems, after.head, after.erased, after.signed) == ([], before.head, 1, before.signed)
    everything = "SELECT * FROM row JOIN link USING (seq) ORDER BY seq"
    assert sql(source, everything) == sql(target, everything)
    append(target, [told(9)])
    assert verify(target, signer.public).problems == []
    with pytest.raises(LedgerError, match="has rows already"):
        copy(source, target)


async def test_role__that_does_not_own_the_tables__writes_reads_and_erases_but_cannot_lift_the_guard(
    cluster: Cluster, tmp_path: Path
) -> None:
    owner = cluster.place(tmp_path)
    await filled(owner, count=1)
    role = f"writer_{owner.url.partition('?')[0].rpartition('/')[2]}"
    sql(owner, ROLE.replace("IF_NEW", role))
    place = Postgres(owner.url.replace("postgres@", f"{role}@"), tmp_path)
    await filled(place)
    Keeper(place, lambda _: None, lambda one: one, lambda: NOON).erase(call="1.1", because="asked to")
    assert (verify(place).problems, verify(place).erased) == ([], 1)
    for statement in (
        "ALTER TABLE row DISABLE TRIGGER ALL",
        "DROP TRIGGER row_fixed ON row",
        "DELETE FROM row",
        "TRUNCATE row",
        "UPDATE row SET at_us = 1",
        "SET session_replication_role = replica",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            sql(place, statement)


def test_server__that_hangs__is_given_up(cluster: Cluster, tmp_path: Path) -> None:
    db = postgres.Server(cluster.place(tmp_path), 0.3)
    began = time.monotonic()
    with pytest.raises(ServerFault, match="no answer within"):
        db.execute("SELECT pg_sleep(20)")
    assert time.monotonic() - began < 5
    db.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://postgres:geheim@127.0.0.1:1/x", "does PostgreSQL run"),
        ("{cluster}", "no ledger here"),
        ("{cluster}nowhere", "the server refuses: check database"),
    ],
)
def test_calls__database_that_is_none__say_what_to_do_without_the_password(
    cluster: Cluster, tmp_path: Path, url: str, says: str
) -> None:
    there = cluster.place(tmp_path).url
    if url.startswith("{"):
        url = there if url == "{cluster}" else there.replace("?host", "none?host")
    with pytest.raises(LedgerError, match=says) as raised:
        list(calls(Postgres(url, tmp_path)))
    assert "geheim" not in str(raised.value) + repr(Postgres(url, tmp_path))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (OSError(errno.EACCES, "Permission denied"), "rights"),
        (OSError(errno.EIO, "Input/output error"), "file system fails"),
        ("SQLITE_FULL", "disk is full"),
        ("SQLITE_IOERR_WRITE", "file system fails"),
        ("SQLITE_IOERR", "file system fails"),
        ("SQLITE_CORRUPT_INDEX", "damaged"),
        ("SQLITE_READONLY", "rights"),
        ("SQLITE_CANTOPEN", "rights"),
    ],
)
def test_advice__fault_of_a_disk__is_not_blamed_on_rights(error: OSError | str, says: str) -> None:
    fault: Exception = sqlite3.OperationalError("as SQLite says it")
    if isinstance(error, str):
        vars(fault)["sqlite_errorname"] = error
    else:
        fault = error
    assert says in advice(fault)
    assert ("rights" in advice(fault)) == (says == "rights")


async def test_key__lost_and_made_anew__is_told_by_the_service_and_by_verify(
    place: Place, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "spool"
    await filled(place, old := Signer.of(state))
    (state / "signing.key").unlink()
    new = Signer.of(state, anew=True)
    with structlog.testing.capture_logs() as logs:
        with Ledger.open(place, signer=new) as ledger:
            ledger.append(told(7))
            await ledger.flush(readable=True)
        assert list(ledger.strangers) == [old.public.fingerprint]
    (line,) = [one for one in logs if one["log_level"] == "error"]
    assert (line["key"], line["our_key"]) == (old.public.fingerprint, new.public.fingerprint)
    site = tmp_path / "site"
    site.mkdir()
    url = place.url if isinstance(place, Postgres) else ""
    settings = {"ami": {"secret": "x"}, "state_dir": str(state), "ledger": {"url": url}}
    (site / "screener.yaml").write_text(json.dumps(settings))
    monkeypatch.setenv("SCREENER_CONFIG", str(site))
    ended = command("ledger", "verify")
    assert (ended.code, f"key {old.public.fingerprint} signed up to row" in ended.out) == (3, True)
    for name, key in (("old", old), ("new", new)):
        (tmp_path / f"{name}.pem").write_text(str(key.public))
    both = [one for name in ("old", "new") for one in ("--key", tmp_path / f"{name}.pem")]
    assert command("ledger", "verify", *both).code == 0


def site_of(tmp_path: Path, **settings: Any) -> Path:
    (tmp_path / "screener.yaml").write_text(json.dumps({"ami": {"secret": "x"}, **settings}, indent=1))
    return tmp_path


def test_config__url_without_its_extra__names_file_line_key_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(tmp_path, ledger={"url": "postgresql://a:geheim@db/x"})
    assert load(site).settings.ledger.url
    shown = {one.path: one.value for one in load(site).effective()}
    assert "geheim" not in str(shown["screener.ledger.url"])
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"screener.yaml:6:.*ledger.url: the extra postgres .*pip install"):
        load(site)


@pytest.mark.parametrize("url", ["mysql://x", "postgresql://h:x y/", "postgresql://h/?nonsense=geheim"])
def test_config__url_that_is_none__is_refused_without_being_quoted(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"ledger.url: .*expected postgresql") as raised:
        load(site_of(tmp_path, ledger={"url": url}))
    assert "geheim" not in str(raised.value)


COMPANY = {"kind": "company", "name": "company", "value": "Acme", "quote": "Acme"}
STORY = [
    told(1, e164="+8613912345678", number="013912345678"),
    Row("1.2", "end", NOON, {"number": "013912345678", "disposition": "answered"}),  # nobody judged it
    Row("1.3", "end", NOON, {"number": "017711112222", "disposition": "answered"}),
    told(4, e164="+8617799990000", number="+8617799990000"),
    told(5, e164="+33123456789"),
    Row("1.5", "campaign", NOON, {"campaign": 7, "verdict": "robocall"}),
    told(6, e164="+33123450000"),
    Row("1.6", "campaign", NOON, {"campaign": 77}),
    told(7, e164="+33999999999"),
    told(8, e164="+33888888888"),
    Row("1.8", "transcript", NOON, {"text": "x", "wording": [COMPANY]}),
    Row("1.9", "transcript", NOON, {"text": "x", "wording": []}),
    told(9, e164="+33777777777"),
    told(10, e164="+33777777778", name='"campaign":7'),
    Row("m1", "message", NOON, {"call": {"e164": "+8613912345678", "text": "pay"}, "wording": []}),
    Row("m2", "message", NOON, {"call": {"e164": "+4411", "text": "pay"},
                                 "wording": [COMPANY | {"value": "acme"}]}),
    Row("m3", "message", NOON, {"call": {"e164": "+4412", "text": "pay"}, "wording": []}),
    Row("1.11", "setup", NOON, {"call": {"number": "95588", "e164": ""}}),
]  # fmt: skip


@pytest.mark.parametrize(
    "members",
    [
        {"numbers": ["+8613912345678"]},
        {"numbers": ["+86177*"]},
        {"numbers": ["95588", "+33999999999"]},
        {"campaigns": [7]},
        {"calls": ["1.7", "m3", "none"]},
        {"numbers": ["+8613912345678"], "campaigns": [77], "calls": ["1.9"]},
        {},
    ],
)
def test_sought__calls_of_a_case__are_those_that_reading_all_would_find(
    place: Place, members: dict[str, Any]
) -> None:
    with Ledger.open(place) as ledger:
        for row in [*STORY, Row("", "case", NOON, {"case": "c", "do": "open", "name": "n"})]:
            ledger.append(row)
        ledger.append(Row("", "case", NOON, {"case": "c", "do": "add", **members}))
    (case,) = cases.fold(rows(place, "case"))
    every = [*calls(place), *received(place)]
    wanted = [one.call_id for one in every if case.has(one, "CN")]
    read = [*calls(place, sought=case.sought), *received(place, sought=case.sought)]
    assert [one.call_id for one in read if case.has(one, "CN")] == wanted
    assert bool(wanted) == bool(members)
    assert len(read) < len(every)
    some = [*calls(place, sought=suggesting.SOUGHT), *received(place, sought=suggesting.SOUGHT)]
    assert suggesting.suggest(some, [], "CN") == suggesting.suggest(every, [], "CN") != []


def test_forward__again_after_an_answer_that_was_lost__adds_nothing(cluster: Cluster, tmp_path: Path) -> None:
    chain = Chain(cluster.place(tmp_path), None)
    for _ in range(2):
        chain.forward([(n, encode(told(n))) for n in range(1, 4)], "a")
    chain.forward([(n, encode(told(n))) for n in range(2, 6)], "a")
    chain.close()
    assert [one.call_id for one in calls(chain.place)] == ["1.5", "1.4", "1.3", "1.2", "1.1"]


async def test_excerpt__of_a_call__ends_with_the_checkpoint_that_it_makes(
    place: Place, tmp_path: Path
) -> None:
    await filled(place)
    told_of = list(excerpt(place, "", ["1.2"], Signer.of(tmp_path / "key"), withhold=False))
    assert [(one["seq"], one["kind"]) for one in told_of][::3] == [(3, "setup"), (6, "checkpoint")]
    assert verify(place).problems == []


@pytest.mark.parametrize("url", ["postgresql://me:pw@host/db", "postgresql://me:p@w@host/db?password=pw"])
def test_place__with_a_password__is_named_without_it(url: str, tmp_path: Path) -> None:
    assert str(Postgres(url, tmp_path)) == "postgresql://host/db"
