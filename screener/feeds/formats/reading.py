"""What the formats share: entries, and bytes of strangers → lines, cells, dates and JSON values, bounded.

A parser is a pure generator over the bytes of one snapshot. It gives an `Entry` for each row, a
`BadRow` for one that cannot be read, and raises FeedRefused (nothing else, whatever the bytes)
where the whole is not what it should be.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING

from screener.errors import FeedRefused
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ROW = 2000
"""Bytes of one line or JSON value: what takes longer to read than a moment is no row."""
OVERLONG = f"line-longer-than-{MAX_ROW}-bytes"
"""Stands in for such a line; no format can take it for a number."""
MAX_VOTES = 1_000_000

BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(rb"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_MILLISECONDS = 10**11
"""Unix times above this are in milliseconds: as seconds they would lie in the year 5138."""
_LATEST = 2**33


@dataclass(frozen=True, slots=True)
class Entry:
    """A number, prefix or range as the feed writes it; with no votes it is to be taken out again.

    `seen_at` is the last time somebody complained (Unix time), 0 if the feed does not say.
    """

    number: str
    votes: int = 1
    label: str = ""
    seen_at: int = 0


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was skipped: its line (or place in the array), and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Version:
    """The publisher's own number of the snapshot."""

    number: int


Parsed = Entry | BadRow | Version


def lines(raw: bytes) -> Iterator[tuple[int, str]]:
    """Each line that is not blank, with its number."""
    stream = BytesIO(raw.removeprefix(BOM))
    number = 0
    while line := stream.readline(MAX_ROW + 1):
        number += 1
        if len(line) > MAX_ROW:
            while line and not line.endswith(b"\n"):
                line = stream.readline(1 << 16)
            yield number, OVERLONG
        elif text := line.decode("utf-8", "replace").strip():
            yield number, text


def cells(text: str, delimiter: str) -> list[str]:
    """One line of CSV; a stray quotation mark cannot swallow the lines after it. Raises ValueError."""
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter), [])]
    except csv.Error as error:
        raise ValueError(f"not a line of CSV: {error}") from None


def votes_in(value: object) -> int:
    """A count, 0 included; raises ValueError for anything else."""
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) <= len("1000000000")):
        raise ValueError(f"{printable(text, 32)!r} is not a number of votes")
    return min(int(text), MAX_VOTES)


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


class Json:
    """A walk through JSON value by value, none longer than `MAX_ROW`: no bomb is ever decoded as a whole."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw.removeprefix(BOM), 0

    def members(self) -> Iterator[str]:
        """The keys of an object; each value must be taken (`value` or `elements`) before the next key."""
        yield from map(str, self._separated(b"{", b"}", named=True))

    def elements(self) -> Iterator[object]:
        """The values of an array."""
        yield from self._separated(b"[", b"]", named=False)

    def value(self) -> object:
        """The next value; raises FeedRefused where there is none, or one that is too long or too deep."""
        self._peek()
        # What is no UTF-8 becomes surrogates and back again, so that the place stays right.
        piece = self._raw[self._at : self._at + MAX_ROW].decode("utf-8", "surrogateescape")
        try:
            value, end = _DECODER.raw_decode(piece)
        except (ValueError, RecursionError):
            raise self._refused(f"not JSON, or a value longer than {MAX_ROW} bytes") from None
        self._at += len(piece[:end].encode("utf-8", "surrogateescape"))
        return value

    def end(self) -> None:
        """Make sure that nothing follows."""
        if self._peek():
            raise self._refused("something follows the end of the JSON")

    def _separated(self, opening: bytes, closing: bytes, *, named: bool) -> Iterator[object]:
        self._take(opening)
        if self._peek() == closing:
            self._at += 1
            return
        while True:
            value = self.value()
            if named:
                self._take(b":")
            yield value
            if self._peek() == closing:
                self._at += 1
                return
            self._take(b",")

    def _peek(self) -> bytes:
        space = _SPACE.match(self._raw, self._at)
        self._at = space.end() if space else self._at
        return self._raw[self._at : self._at + 1]

    def _take(self, expected: bytes) -> None:
        if self._peek() != expected:
            raise self._refused(f"expected {expected.decode()}")
        self._at += 1

    def _refused(self, reason: str) -> FeedRefused:
        return FeedRefused(f"byte {self._at}: {reason}")
