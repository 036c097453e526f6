"""CSV with a column map: `number` and, if there are any, `votes`, `label` and `seen` (last complaint).

The map gives the names of the header line, or positions from 1 for a file that has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from screener.errors import FeedRefused
from screener.feeds.formats.reading import BadRow, Entry, Parsed, cells, lines, moment, votes_in
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DELIMITERS = ",;\t|"


def parse(raw: bytes, columns: Mapping[str, str]) -> Iterator[Parsed]:
    """Every line as an entry; a line without a number in its column is skipped as a bad row."""
    for line, row in rows(raw, columns):
        if isinstance(row, str):
            yield BadRow(line, row)
            continue
        try:
            votes = votes_in(row["votes"]) if row.get("votes") else 1
        except ValueError as error:
            yield BadRow(line, str(error))
            continue
        yield Entry(row.get("number", ""), votes, row.get("label", ""), moment(row.get("seen", "")))


def rows(raw: bytes, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Each line as the cells that the map names, or in their place why it cannot be read.

    Raises FeedRefused if the header lacks a column.
    """
    delimiter = ""
    places: dict[str, int] = {}
    if all(column.isdecimal() for column in columns.values()):
        places = {name: int(column) - 1 for name, column in columns.items()}
    for line, text in lines(raw):
        delimiter = delimiter or max(_DELIMITERS, key=text.count)
        try:
            found = cells(text, delimiter)
        except ValueError as error:
            yield line, str(error)
            continue
        if not places:
            places = _places(found, columns)
            continue
        yield line, {name: found[place] for name, place in places.items() if place < len(found)}


def _places(header: list[str], columns: Mapping[str, str]) -> dict[str, int]:
    names = [cell.casefold() for cell in header]
    for column in columns.values():
        if column.casefold() not in names:
            raise FeedRefused(f"the header has no column {column!r}: {printable(', '.join(header), 120)}")
    return {name: names.index(column.casefold()) for name, column in columns.items()}
