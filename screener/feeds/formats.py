"""Bytes → rows, pure: how each format is read, and bytes of strangers as lines, cells and JSON, bounded.

A parser is a generator over the bytes of one snapshot. It gives a `Row` for each number or prefix, as it
stands there, and raises FeedRefused (nothing else, whatever the bytes) where the whole is not what it
should be. What a row means is understood in one place, `firewall`. To add a format: a parser, a row in
`FORMATS`, its name in `screener.config.feeds.Format`.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING

from screener.errors import FeedRefused, ListEntryRefused
from screener.state.rows import MAX_NAME
from screener.state.weighing import Listing
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_ROW = 2000
"""Bytes of one line or JSON value: what takes longer to read than a moment is no row."""
OVERLONG = f"line-longer-than-{MAX_ROW}-bytes"
"""Stands in for such a line; no format can take it for a number."""
MAX_VOTES = 1_000_000

_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t|"
_LABEL = re.compile(r"[,;\t]")
_WITHDRAWN = "A_LEGITIMATE"
_FTC = {
    "number": "Company_Phone_Number",
    "created": "Created_Date",
    "seen": "Violation_Date",
    "label": "Subject",
    "robocall": "Recorded_Message_Or_Robocall",
}
_TEN_DIGITS = re.compile(r"[0-9]{10}")
_SEPARATORS = re.compile(r"[\s,;]+")
_PREFIXES = re.compile(r"(\+?)([0-9]{2,12})(?:[-\u2013]([0-9]{2,12}))?")
_WIDEST = 100
"""Prefixes of one range; more of them would be a shorter prefix."""
_SPACE = re.compile(rb"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_MILLISECONDS = 10**11
"""Unix times above this are in milliseconds: as seconds they would lie in the year 5138."""
_LATEST = 2**33


@dataclass(frozen=True, slots=True)
class Row:
    """A number, prefix or range with what the feed says of it, as it stands there.

    `line` is its line, or its place in the array. With 0 votes it is to be taken out again. `seen` is
    when somebody last complained. A row that its format cannot read at all has a `problem` and no more.
    """

    line: int
    number: object = None
    label: object = ""
    votes: object = 1
    seen: object = ""
    problem: str = ""

    @property
    def listing(self) -> Listing:
        """What is to be stored; raises ListEntryRefused if there is no number, or no number of votes."""
        votes = str(self.votes)
        if self.problem or not isinstance(self.number, str):
            raise ListEntryRefused(self.problem or "holds no telephone number")
        if not (votes.isascii() and votes.isdigit() and len(votes) <= len("1000000000")):
            raise ListEntryRefused(f"{printable(votes, 32)!r} is not a number of votes")
        label = printable(self.label, MAX_NAME) if isinstance(self.label, str) else ""
        return Listing(min(int(votes), MAX_VOTES), moment(self.seen), label)


class Version(int):
    """The publisher's own number of the snapshot."""

    __slots__ = ()


def _plain(raw: bytes, _columns: Mapping[str, str]) -> Iterator[Row]:
    """One a line, in any form that `screener list add` takes; a label may follow, `#` begins a comment."""
    for line, text in lines(raw):
        if not text.startswith("#"):
            yield Row(line, *_LABEL.split(text, maxsplit=1))


def _csv(raw: bytes, columns: Mapping[str, str]) -> Iterator[Row]:
    """By a column map, whose names are those of `Row`."""
    for line, cells in _table(raw, columns):
        yield Row(line, **({"number": ""} | {name: cell for name, cell in cells.items() if cell}))


def _ftc(raw: bytes, _columns: Mapping[str, str]) -> Iterator[Row]:
    """Do-not-call complaints to the US Federal Trade Commission, one a line, summed by number.

    Complaints about withheld numbers have an empty column, which is no fault of the row.
    """
    found: dict[str, tuple[int, int, int, str]] = {}
    for line, cells in _table(raw, _FTC):
        if _TEN_DIGITS.fullmatch(number := cells.get("number", "")):
            first, count, seen, _ = found.get(number, (line, 0, 0, ""))
            seen = max(seen, moment(cells.get("seen")) or moment(cells.get("created")))
            robocall = "robocall: " if cells.get("robocall", "").casefold() == "y" else ""
            found[number] = first, count + 1, seen, robocall + cells.get("label", "")
        elif number:
            yield Row(line, problem="Company_Phone_Number is not ten digits")
    for number, (first, count, seen, label) in found.items():
        yield Row(first, f"+1{number}", label, count, seen)


def _phoneblock(raw: bytes, _columns: Mapping[str, str]) -> Iterator[Row | Version]:
    """`{numbers: [{phone, votes, rating, lastActivity}], version}`; what is rated legitimate is withdrawn."""
    place = 0
    for name, value in _Json(raw).items():
        if name == "version" and isinstance(value, int):
            yield Version(value)
        elif name == "numbers":
            place += 1
            row = value if isinstance(value, dict) else {}
            rating = row.get("rating")
            votes = 0 if rating == _WITHDRAWN else row.get("votes")
            yield Row(place, row.get("phone"), rating, votes, row.get("lastActivity"))


def _prefixes(raw: bytes, _columns: Mapping[str, str]) -> Iterator[Row]:
    """As a numbering authority writes them, by the country's plan: `0162 0163 09475-09479 # comment`."""
    for line, text in lines(raw):
        for word in filter(None, _SEPARATORS.split(text.partition("#")[0])):
            read = _PREFIXES.fullmatch(word)
            plus, first, last = read.groups("") if read else ("", "0", "00")
            last = last or first
            spread = range(int(first), int(last) + 1) if len(first) == len(last) else ()
            if not 0 < len(spread) <= _WIDEST:
                wrong = f"{word[:40]!r} is neither a prefix nor a range of up to {_WIDEST} of them"
                yield Row(line, problem=wrong)
                continue
            for prefix in spread:
                yield Row(line, f"{plus}{prefix:0{len(first)}}*")


def _saracroche(raw: bytes, _columns: Mapping[str, str]) -> Iterator[Row]:
    """Of a French blocker: `33162######` without a plus, as `[{operator_name, pattern}]` or as lines."""
    if raw.removeprefix(_BOM)[:200].lstrip().startswith(b"["):
        for place, (_, value) in enumerate(_Json(raw).items(), start=1):
            row = value if isinstance(value, dict) else {}
            yield Row(place, "+" + str(row.get("pattern", "")).lstrip("+"), row.get("operator_name"))
    else:
        for line, text in lines(raw):
            yield Row(line, "+" + text.lstrip("+"))


FORMATS: Mapping[str, Callable[[bytes, Mapping[str, str]], Iterator[Row | Version]]] = {
    "plain": _plain,
    "csv": _csv,
    "phoneblock": _phoneblock,
    "ftc": _ftc,
    "prefixes": _prefixes,
    "saracroche": _saracroche,
}


def lines(raw: bytes) -> Iterator[tuple[int, str]]:
    """Each line that is not blank, with its number."""
    stream = BytesIO(raw.removeprefix(_BOM))
    number = 0
    while line := stream.readline(MAX_ROW + 1):
        number += 1
        if len(line) > MAX_ROW:
            while line and not line.endswith(b"\n"):
                line = stream.readline(1 << 16)
            yield number, OVERLONG
        elif text := line.decode("utf-8", "replace").strip():
            yield number, text


def moment(value: object) -> int:
    """Unix time of a date, a time (UTC unless it says otherwise) or Unix time; 0 if empty or unreadable."""
    text = str(value or "").strip()[:40]
    try:
        if text.isascii() and text.isdigit():
            seconds = int(text) // 1000 if int(text) > _MILLISECONDS else int(text)
        else:
            read = datetime.fromisoformat(text)
            seconds = int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return 0
    return seconds if 0 <= seconds < _LATEST else 0


def _table(raw: bytes, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Each line of a CSV as the cells that the map names, by its header or by positions from 1.

    Every line stands alone: a stray quotation mark cannot swallow the lines after it. Raises FeedRefused
    if the header lacks a column.
    """
    delimiter = ""
    places: dict[str, int] = {}
    if all(column.isdecimal() for column in columns.values()):
        places = {name: int(column) - 1 for name, column in columns.items()}
    for line, text in lines(raw):
        delimiter = delimiter or max(_DELIMITERS, key=text.count)
        # A line break within the line is the one thing that the reader would not take.
        (read,) = csv.reader([text.replace("\r", " ")], delimiter=delimiter)
        cells = [cell.strip() for cell in read]
        if places:
            yield line, {name: cells[place] for name, place in places.items() if place < len(cells)}
        else:
            places = _places(cells, columns)


def _places(header: list[str], columns: Mapping[str, str]) -> dict[str, int]:
    names = [cell.casefold() for cell in header]
    for column in columns.values():
        if column.casefold() not in names:
            raise FeedRefused(f"the header has no column {column!r}: {printable(', '.join(header), 120)}")
    return {name: names.index(column.casefold()) for name, column in columns.items()}


class _Json:
    """A walk through JSON value by value, none longer than `MAX_ROW`: no bomb is ever decoded as a whole."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw.removeprefix(_BOM), 0

    def items(self) -> Iterator[tuple[str, object]]:
        """Each member of an object, by its name; of an array each element. Raises FeedRefused."""
        if self._next() == b"{":
            for name in self._separated(b"{", b"}"):
                self._take(b":")
                yield from self._elements(str(name))
        else:
            yield from self._elements("")
        if self._next():
            raise self._refused("something follows the end of the JSON")

    def _elements(self, name: str) -> Iterator[tuple[str, object]]:
        values = self._separated(b"[", b"]") if self._next() == b"[" else (self._value(),)
        yield from ((name, value) for value in values)

    def _separated(self, opening: bytes, closing: bytes) -> Iterator[object]:
        self._take(opening)
        while self._next() != closing:
            yield self._value()
            if self._next() != closing:
                self._take(b",")
        self._take(closing)

    def _value(self) -> object:
        self._next()
        # What is no UTF-8 becomes surrogates and back again, so that the place stays right.
        piece = self._raw[self._at : self._at + MAX_ROW].decode("utf-8", "surrogateescape")
        try:
            value, end = _DECODER.raw_decode(piece)
        except (ValueError, RecursionError):
            raise self._refused(f"not JSON, or a value longer than {MAX_ROW} bytes") from None
        self._at += len(piece[:end].encode("utf-8", "surrogateescape"))
        return value

    def _next(self) -> bytes:
        """The next character that is no space, or nothing at the end."""
        if space := _SPACE.match(self._raw, self._at):
            self._at = space.end()
        return self._raw[self._at : self._at + 1]

    def _take(self, expected: bytes) -> None:
        if self._next() != expected:
            raise self._refused(f"expected {expected.decode()}")
        self._at += 1

    def _refused(self, reason: str) -> FeedRefused:
        return FeedRefused(f"byte {self._at}: {reason}")
