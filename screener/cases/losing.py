"""What erasing takes from cases: calls that are too old, a number, or the whole of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from screener.cases.case import KIND, Case, fold
from screener.cases.records import is_message
from screener.ledger import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from screener.ledger import CallRecord


class Struck(NamedTuple):
    """Rows to be erased, by their places, and those to be written instead."""

    seqs: list[int]
    rows: list[Row]


def losses(cases: Iterable[Case], erased: Sequence[CallRecord], region: str, at: datetime) -> list[Row]:
    """Rows that tell each case which of its calls and messages are being erased."""
    rows = []
    for case in cases:
        lost: dict[str, list[str]] = {"calls": [], "messages": []}
        for one in erased:
            if case.has(one, region):
                lost["messages" if is_message(one) else "calls"].append(one.call_id)
        if any(lost.values()):
            rows.append(Row("", KIND, at, {"case": case.id, "do": "lost", **lost}))
    return rows


def without(case: Case, at: datetime) -> Callable[[Sequence[tuple[int, Row]]], Struck]:
    """What is to be struck from the rows of cases and holds (with their places) for one to be erased."""

    def struck(rows: Sequence[tuple[int, Row]]) -> Struck:
        mark = Row("", KIND, at, {"case": case.id, "do": "erase", "number": case.number})
        own = (("case", case.id), ("by", case.holder))
        return Struck(
            [seq for seq, row in rows if any(row.body.get(key) == name for key, name in own)], [mark]
        )

    return struck


def without_caller(caller: str, at: datetime) -> Callable[[Sequence[tuple[int, Row]]], Struck]:
    """The same for a number to be erased: what names it, and the notes of what came from it."""

    def struck(rows: Sequence[tuple[int, Row]]) -> Struck:
        notes = {
            one.id for case in fold(row for _, row in rows) for one in case.notes if one.number == caller
        }
        # A note of an earlier version has no id in its row, and nothing but its number to find it by.
        found = [
            (seq, row.body)
            for seq, row in rows
            if row.body.get("number") == caller
            or row.body.get("note") in notes
            or caller in row.body.get("numbers", ())
        ]
        named = {body["case"] for _, body in found if "numbers" in body}
        written = [
            Row("", KIND, at, {"case": case.id, **body})
            for case in fold(row for _, row in rows) if case.id in named
            for body in (
                {"do": "add", "numbers": sorted(case.numbers - {caller}), "campaigns": sorted(case.campaigns),
                 "calls": sorted(case.calls)},
                {"do": "remove", "calls": sorted(case.removed)},
            )
        ]  # fmt: skip
        return Struck([seq for seq, _ in found], written)

    return struck
