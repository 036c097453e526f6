"""Erasing, retention and holds: the content goes, wholly; the chain stays; what is held is spared."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from screener import number, retention, spool
from screener.config import load
from screener.errors import LedgerError, ScreenerError
from screener.ledger import Keeper, Ledger, Postgres, Row, calls, filed, verify
from screener.ledger.chain import digest
from tests.postgres import sql

if TYPE_CHECKING:
    from pathlib import Path

    from screener.config.settings import Settings
    from screener.ledger import Place
    from tests.commandline import Command
    from tests.postgres import Cluster

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
OLD = NOW - timedelta(days=40)
WHO, OTHER = "+8613912345678", "+4930123456"


def call(uniqueid: str, caller: str, at: datetime, recordings: Path | None = None) -> list[Row]:
    """A call that was recorded, with its file if there is a place for it."""
    national = caller.replace("+86", "0")
    rows = [
        Row(uniqueid, "setup", at, {"call": {"e164": caller, "number": national}, "facts": {"x": caller}}),
        Row(uniqueid, "end", at + timedelta(seconds=9), {"number": national, "disposition": "recorded"}),
    ]
    if recordings:
        file = recordings / "2025-01-01" / f"{uniqueid}-caller.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"RIFF" + uniqueid.encode())
        body = {"path": str(file), "leg": "caller", "bytes": file.stat().st_size, "sha256": "ab" * 32}
        rows.append(Row(uniqueid, "recording", at + timedelta(seconds=10), body))
    return rows


class House:
    """A ledger with an old and a new call of each of two callers, recorded all."""

    def __init__(self, place: Place, directory: Path) -> None:
        self.path, self.recordings = place, directory / "rec"
        with Ledger.open(self.path) as ledger:
            for n, (who, at) in enumerate([(WHO, OLD), (OTHER, OLD), (WHO, NOW), (OTHER, NOW)]):
                for row in call(f"1.{n}", who, at, self.recordings):
                    ledger.append(row)
        self.keeper = Keeper(
            self.path,
            delete=lambda filed: spool.delete_filed(self.recordings, filed),
            key_of=lambda written: number.parse(written, "CN").key,
            clock=lambda: NOW,
        )

    def kept(self) -> list[str]:
        return sorted(record.call_id for record in calls(self.path))

    def files(self) -> list[str]:
        return sorted(file.name.removesuffix("-caller.wav") for file in self.recordings.rglob("*.wav"))

    def rows(self, kind: str) -> list[dict[str, Any]]:
        found = sql(self.path, f"SELECT body FROM row WHERE kind = '{kind}' ORDER BY seq")  # noqa: S608
        return [json.loads(body) for (body,) in found]


@pytest.fixture
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    """One in a file, or in PostgreSQL for the tests that `both` marks."""
    if getattr(request, "param", "file") == "file":
        return House(tmp_path / "ledger.db", tmp_path)
    cluster: Cluster = request.getfixturevalue("cluster")
    return House(cluster.place(tmp_path), tmp_path)


both = pytest.mark.parametrize("house", ["file", "postgresql"], indirect=True)


@both
async def test_erase__all_of_a_caller__leaves_no_byte_of_the_number_and_a_good_chain(house: House) -> None:
    with Ledger.open(house.path) as service:
        service.append(Row("1.9", "dialled", NOW, {"number": "013912345678", "e164": WHO}))
        await service.flush(readable=True)
        done = house.keeper.erase(caller=WHO, because="asked to")
        left = b"".join(file.read_bytes() for file in house.recordings.parent.glob("ledger.db*"))
        left += repr(sql(house.path, "SELECT * FROM row")).encode()
    assert (done.calls, done.rows, done.recordings) == (3, 7, 2)
    assert WHO[-8:].encode() not in left
    assert OTHER[-8:].encode() in left
    assert house.kept() == ["1.1", "1.3"]
    assert house.files() == ["1.1", "1.3"]
    assert set(filed(house.path)) == {"1.1-caller.wav", "1.3-caller.wav"}
    found = verify(house.path)
    assert (found.problems, found.erased) == ([], 7)
    (erased,) = house.rows("erased")
    assert (erased["rows"], erased["because"]) == ([[1, 3], [7, 9], [13, 13]], "asked to")
    assert [(one["row"], one["bytes"]) for one in erased["recordings"]] == [(3, 7), (9, 7)]


@both
def test_erase__a_digest_that_is_left__does_not_tell_which_number_it_was(house: House) -> None:
    ((body, salt, content),) = sql(
        house.path, "SELECT body, salt, digest FROM row JOIN link USING (seq) WHERE seq = 1"
    )
    assert digest(salt, body) == content
    house.keeper.erase(call="1.0", because="asked to")
    assert sql(house.path, "SELECT salt FROM link WHERE seq = 1") == [(None,)]
    assert digest("", body) != content
    salts = [salt for (salt,) in sql(house.path, "SELECT salt FROM link WHERE salt IS NOT NULL")]
    assert len(set(salts)) == len(salts)
    assert all(len(salt) == 32 for salt in salts)


@both
def test_erase__recordings_that_cannot_be_deleted__keep_the_rows_that_tell_of_them(house: House) -> None:
    def refuse(paths: dict[Path, str]) -> None:
        raise ScreenerError(f"{next(iter(paths))}: not yours")

    keeper = Keeper(house.path, refuse, house.keeper.key_of, lambda: NOW)
    with pytest.raises(LedgerError, match="not yours"):
        keeper.erase(call="1.0", because="asked to")
    assert "1.0" in house.kept()
    assert keeper.expire(NOW, None).failed[0].endswith("not yours")
    assert house.kept() == ["1.0", "1.1", "1.2", "1.3"]


@both
def test_expire__old_calls__go_with_their_recordings(house: House) -> None:
    before = NOW - timedelta(days=30)
    would = house.keeper.expire(before, None, dry_run=True)
    assert (would.calls, would.recordings, house.files()) == (2, 2, ["1.0", "1.1", "1.2", "1.3"])
    assert verify(house.path).erased == 0
    done = house.keeper.expire(before, None)
    assert (done.calls, done.rows, done.recordings, done.bytes) == (2, 6, 2, 14)
    assert (house.kept(), house.files()) == (["1.2", "1.3"], ["1.2", "1.3"])
    assert verify(house.path).problems == []
    assert house.keeper.expire(before, None).rows == 0
    assert len(house.rows("erased")) == 1


@both
def test_expire__calls_and_recordings__are_counted_once(house: House) -> None:
    with Ledger.open(house.path) as ledger:
        ledger.append(call("1.0", WHO, OLD, house.recordings)[-1])  # again, after a restart
        ledger.append(call("1.2", WHO, OLD, house.recordings)[-1])
    before = NOW - timedelta(days=30)
    counts = [
        house.keeper.expire(before, NOW + timedelta(days=1), dry_run=dry_run) for dry_run in (True, False)
    ]
    assert [(one.calls, one.recordings, one.failed) for one in counts] == [(3, 4, []), (3, 4, [])]
    assert (house.files(), verify(house.path).problems) == ([], [])


@both
def test_expire__recordings_alone__keeps_their_size_and_hash(house: House) -> None:
    before = NOW - timedelta(days=30)
    assert house.keeper.expire(None, before).recordings == 2
    assert (house.kept(), house.files()) == (["1.0", "1.1", "1.2", "1.3"], ["1.2", "1.3"])
    assert [one["sha256"] for one in house.rows("recording")] == ["ab" * 32] * 4
    assert house.rows("erased")[0]["rows"] == []
    assert house.keeper.expire(None, before).recordings == 0


@both
def test_hold__of_a_call_or_a_caller__spares_them_until_it_is_released(house: House) -> None:
    keeper = house.keeper
    keeper.hold(calls=["1.0"], because="court")
    keeper.hold(callers=[OTHER], because="police", by="case 7")
    assert {(one.call, one.caller, one.by) for one in keeper.holds()} == {
        ("1.0", "", ""),
        ("", OTHER, "case 7"),
    }
    done = keeper.expire(NOW, NOW)
    assert (done.held, done.calls) == (2, 0)
    for what in ({"call": "1.0"}, {"call": "1.1"}, {"caller": WHO}, {"caller": OTHER}):
        with pytest.raises(LedgerError, match="nothing was erased, it is held"):
            keeper.erase(**what, because="asked to")
    with pytest.raises(LedgerError, match="is not held"):
        keeper.release(callers=[OTHER], because="done")
    keeper.release(callers=[OTHER], because="done", by="case 7")
    keeper.release(calls=["1.0"], because="done")
    assert keeper.holds() == []
    keeper.erase(caller=OTHER, because="asked to")
    assert (keeper.expire(NOW, NOW).calls, keeper.holds()) == (1, [])
    assert (house.kept(), verify(house.path).problems) == (["1.2"], [])


def test_hold__of_a_call_that_is_not_there__is_refused(house: House) -> None:
    with pytest.raises(LedgerError, match="no such call"):
        house.keeper.hold(calls=["9.9"], because="court")


@both
def test_hold__of_a_caller_who_has_not_called__is_not_erased_with_him(house: House) -> None:
    house.keeper.hold(callers=["+33123456789"], because="court")
    with pytest.raises(LedgerError, match="it is held"):
        house.keeper.erase(caller="+33123456789", because="asked to")
    house.keeper.release(callers=["+33123456789"], because="settled")
    assert house.keeper.erase(caller="+33123456789", because="asked to").rows == 2
    assert house.keeper.holds() == []


@pytest.fixture
def site(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = tmp_path / "site"
    site.mkdir()
    settings = {
        "ami": {"secret": "x"},
        "state_dir": str(tmp_path),
        "recordings_dir": str(house.recordings),
        "retention": {"recordings_days": "0"},
    }
    if isinstance(house.path, Postgres):
        settings["ledger"] = {"url": house.path.url}
    (site / "screener.yaml").write_text(json.dumps(settings))
    monkeypatch.setenv("SCREENER_CONFIG", str(site))
    return site


def settings_of(site: Path) -> Settings:
    return load(site).settings


def test_retention__as_the_settings_say__is_applied(house: House, site: Path) -> None:
    settings = settings_of(site)
    assert (settings.retention.ledger_days, settings.retention.recordings_days) == (30, 0)
    assert retention.expire(house.path, settings, lambda: NOW).calls == 2
    assert house.files() == ["1.2", "1.3"]


async def test_retention__first_time_of_all__is_announced_a_day_before(house: House, site: Path) -> None:
    async def begun() -> list[Any]:
        waits = asyncio.Event()
        with structlog.testing.capture_logs() as logs, pytest.MonkeyPatch.context() as patch:

            async def a_day(_: float) -> None:
                waits.set()
                await asyncio.Event().wait()

            patch.setattr("screener.retention.asyncio.sleep", a_day)
            work = asyncio.create_task(retention.daily(house.path, settings_of(site), lambda: NOW))
            await asyncio.wait_for(waits.wait(), 10)
            work.cancel()
        return [(one["log_level"], one["calls"]) for one in logs]

    assert await begun() == [("warning", 2)]
    assert house.files() == ["1.0", "1.1", "1.2", "1.3"]
    house.keeper.erase(call="1.0", because="asked to")
    assert await begun() == [("info", 1)]
    assert house.files() == ["1.2", "1.3"]


@both
def test_ledger_commands__as_typed__hold_release_erase_and_expire(
    house: House, site: Path, command: Command
) -> None:
    assert command("ledger", "hold", "--call", "1.0", "--because", "court").code == 0
    assert "court" in command("ledger", "holds").out
    ended = command("ledger", "erase", "--caller", "139 1234 5678", "--because", "asked to")
    assert (ended.code, "1.0 (court)" in ended.err) == (6, True)
    ended = command("ledger", "expire", "--dry-run")
    assert (ended.code, ended.out) == (
        0, "would be erased: 3 calls (9 rows), 3 recordings (21 bytes); 1 held and spared\n"
    )  # fmt: skip
    assert command("ledger", "release", "--call", "1.0", "--because", "settled").code == 0
    ended = command("ledger", "erase", "--caller", "139 1234 5678", "--because", "asked to")
    assert (ended.code, ended.out.splitlines()[0]) == (
        0, "erased: 2 calls (8 rows), 2 recordings (14 bytes)"
    )  # fmt: skip
    assert command("ledger", "erase", "--call", "\x1b[31m", "--because", "x").code == 1
    assert command("ledger", "erase", "--because", "x").code == 2
    assert command("ledger", "hold", "--call", "1.0", "--because", "").code == 2
    assert command("ledger", "erase", "--caller", "x", "--because", "x").code == 2
    ended = command("ledger", "hold", "--call", "9.9", "--because", "court")
    assert (ended.code, ended.err) == (
        1, "no such call in the ledger, or it was erased: 9.9; `screener calls --json` has the ids\n"
    )  # fmt: skip
    ended = command("ledger", "release", "--call", "9.9", "--because", "settled")
    assert (ended.code, ended.err) == (1, "9.9 is not held; `screener ledger holds` shows what is\n")
    assert command("ledger", "expire").code == 0
    assert (house.kept(), house.files()) == ([], [])
    assert command("ledger", "verify").code == 0
