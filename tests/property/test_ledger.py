"""The ledger keeps whatever a caller can put into his name, and gives it back fit to print."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from screener.ledger import Ledger, Row, calls

hostile = st.text(st.characters(codec=None), max_size=40) | st.binary(max_size=20).map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)
uniqueids = st.text(st.characters(codec=None), min_size=1, max_size=40)
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
