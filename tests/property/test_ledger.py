"""The ledger keeps whatever a caller can put into his name, and gives it back fit to print."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screener.ledger import Ledger, Row, calls, verify

hostile = st.text(st.characters(codec=None), max_size=40) | st.binary(max_size=20).map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)
uniqueids = st.text(st.characters(codec=None), min_size=1, max_size=40)
ROWS = 6
moments = st.datetimes(timezones=st.just(UTC))


def kept(rows: list[Row]) -> list[Any]:
    """The records that a ledger of these rows gives, oldest first."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "ledger.db")
        with Ledger.open(path) as ledger:
            for row in rows:
                ledger.append(row)
            asyncio.run(ledger.flush())
        return sorted(calls(path), key=lambda record: record.rows[0].at)


@settings(max_examples=40, deadline=None)
@given(name=hostile, key=hostile, call_id=uniqueids, kind=hostile, at=moments)
def test_row__any_text_of_a_caller__is_kept_and_comes_back_printable(
    name: str, key: str, call_id: str, kind: str, at: datetime
) -> None:
    body = {"call": {"name": name}, "facts": {key: [name]}}
    (record,) = kept([Row(call_id, "setup", at, body), Row(call_id, kind, at, {})])
    shown = [record.call_id, record.call["name"], *record.facts, record.facts.popitem()[1][0]]
    assert all(text.isprintable() for text in shown)
    assert len(record.rows) == 2
    assert record.at == at


@settings(max_examples=40, deadline=None)
@given(name=st.text(max_size=60), score=st.floats(allow_nan=False) | st.integers())
def test_row__any_proper_text_and_number__comes_back_exactly(name: str, score: float) -> None:
    body = {
        "call": {"name": name},
        "verdict": {"score": score, "hits": [{"because": name}], "forced_by": None},
    }
    (record,) = kept([Row("1.1", "setup", datetime(2025, 1, 1, tzinfo=UTC), body)])
    assert record.rows[0].body == body
    if name.isprintable():
        assert record.call["name"] == name


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "ledger.db"
    with Ledger.open(path) as ledger:
        for n in range(ROWS):
            ledger.append(Row(f"1.{n}", "setup", datetime(2025, 1, 1, tzinfo=UTC), {"n": n}, pbx="berlin"))
    return path


@settings(max_examples=100, deadline=None)
@given(
    seq=st.integers(1, ROWS),
    column=st.sampled_from(
        [
            "row.pbx",
            "row.call_id",
            "row.kind",
            "row.at_us",
            "row.body",
            "link.salt",
            "link.digest",
            "link.hash",
        ]
    ),
    at=st.integers(0, 200),
    bit=st.integers(0, 6),
)
def test_verify__any_bit_of_any_row_turned__names_the_row(
    written: Path, seq: int, column: str, at: int, bit: int
) -> None:
    table, _, name = column.partition(".")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(shutil.copy(written, directory))
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(f"DROP TRIGGER {table}_fixed")
            where = f"FROM {table} WHERE seq = {seq}"
            (value,) = db.execute(f"SELECT {name} {where}").fetchone()
            if isinstance(value, str):
                raw = bytearray(value.encode())
                raw[at % len(raw)] ^= 1 << bit
                value = raw.decode()
            else:
                value ^= 1 << bit
            db.execute(f"UPDATE {table} SET {name} = ? WHERE seq = {seq}", (value,))  # noqa: S608 - words of this file
        problems = verify(path).problems
    assert any(line.startswith((f"row {seq}:", f"rows {seq} to ")) for line in problems), problems
