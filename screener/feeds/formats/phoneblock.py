"""PhoneBlock's list: `{numbers: [{phone, votes, rating, lastActivity}], version}`.

A number with 0 votes is withdrawn, and so is one that the community rates as legitimate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from screener.feeds.formats.reading import BadRow, Entry, Json, Parsed, Version, moment, votes_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LEGITIMATE = "A_LEGITIMATE"


def parse(raw: bytes, _columns: Mapping[str, str]) -> Iterator[Parsed]:
    """Every number of the list; `BadRow.line` is its place in the array."""
    document = Json(raw)
    for name in document.members():
        if name == "numbers":
            for place, row in enumerate(document.elements(), start=1):
                yield _entry(place, row)
        elif name == "version" and isinstance(version := document.value(), int):
            yield Version(version)
        elif name != "version":
            document.value()
    document.end()


def _entry(place: int, row: object) -> Entry | BadRow:
    if not isinstance(row, dict) or not isinstance(phone := row.get("phone"), str):
        return BadRow(place, "no object with a phone number")
    rating = row.get("rating")
    try:
        votes = 0 if rating == _LEGITIMATE else votes_in(row.get("votes"))
    except ValueError as error:
        return BadRow(place, str(error))
    return Entry(phone, votes, rating if isinstance(rating, str) else "", moment(row.get("lastActivity")))
