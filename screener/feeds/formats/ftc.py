"""Do-not-call complaints as the US Federal Trade Commission publishes them each working day (CSV).

One line is one complaint; an entry is a number with the sum of its complaints. Complaints about
withheld numbers have an empty column, which is no fault of the row.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from screener.feeds.formats.columns import rows
from screener.feeds.formats.reading import BadRow, Entry, Parsed, moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_COLUMNS = {"number": "Company_Phone_Number", "created": "Created_Date", "seen": "Violation_Date"}
_LABELS = {"subject": "Subject", "robocall": "Recorded_Message_Or_Robocall"}
_NUMBER = re.compile(r"[0-9]{10}")


def parse(raw: bytes, _columns: Mapping[str, str]) -> Iterator[Parsed]:
    """Every number once, with its complaints, the last call complained of and what it was about."""
    found: dict[str, tuple[int, int, str]] = {}
    for line, row in rows(raw, _COLUMNS | _LABELS):
        if isinstance(row, str):
            yield BadRow(line, row)
        elif _NUMBER.fullmatch(number := row.get("number", "")):
            count, seen, _ = found.get(number, (0, 0, ""))
            seen = max(seen, moment(row.get("seen")) or moment(row.get("created")))
            robocall = "robocall: " if row.get("robocall", "").casefold() == "y" else ""
            found[number] = (count + 1, seen, robocall + row.get("subject", ""))
        elif number:
            yield BadRow(line, "Company_Phone_Number is not ten digits")
    for number, (count, seen, label) in found.items():
        yield Entry(f"+1{number}", count, label, seen)
