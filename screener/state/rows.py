"""List entries as they are stored, and as rows of text that people, spreadsheets and feeds exchange.

A line is a number or prefix, alone or followed by a reason after a comma, semicolon or tab; or
CSV with a header that names its columns, as `export` writes it. Lines that begin with `#` are
comments. Every line stands alone: a stray quotation mark cannot swallow the lines after it.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast, get_args

from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ListKind = Literal["allow", "block"]

COLUMNS = ("list", "number", "reason", "source", "by", "added", "expires")
HEADER = ",".join(COLUMNS)
MAX_REASON = 200
MAX_NAME = 64
MAX_LINE = 2000

_FORMULA = ("=", "+", "-", "@", "'")
_DELIMITERS = ",;\t"
_KINDS = {kind[0]: kind for kind in get_args(ListKind)}
_PATTERN = re.compile(r"\+?[0-9]{1,32}\*?")
_STORED = re.compile(r"([0-9]*)\t([0-9]+)\t([^\t]*)\t([^\t]*)\t(.*)", re.DOTALL)
_LATEST = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as somebody asked for it, not yet understood; times are Unix time."""

    text: str
    kind: ListKind = "block"
    names_kind: bool = True
    reason: str = ""
    source: str = ""
    by: str = ""
    added_at: int | None = None
    expires_at: int | None = None

    def completed(self, like: Row) -> Row:
        """The row with what it left open, from one that stands for all."""
        return replace(
            self,
            kind=self.kind if self.names_kind else like.kind,
            reason=self.reason or like.reason,
            source=self.source or like.source,
            by=self.by or like.by,
            expires_at=like.expires_at if self.expires_at is None else self.expires_at,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A list entry: what it matches, which list, why, from where, who, when and until when (Unix time)."""

    pattern: str
    kind: ListKind
    reason: str = ""
    source: str = ""
    by: str = ""
    added_at: int = 0
    expires_at: int | None = None

    @classmethod
    def of(cls, pattern: str, row: Row, now: int) -> Entry:
        """The entry for one pattern of a row; texts are cut and made harmless to print."""
        return cls(
            pattern,
            row.kind,
            reason=printable(row.reason, MAX_REASON),
            source=printable(row.source, MAX_NAME),
            by=printable(row.by, MAX_NAME),
            added_at=now if row.added_at is None else row.added_at,
            expires_at=row.expires_at,
        )

    @classmethod
    def stored(cls, field: str, value: str) -> Entry | None:
        """Read it from the store; None for what another program may have left there."""
        kind, read = _KINDS.get(field[:1]), _STORED.fullmatch(value)
        if kind is None or read is None or not _PATTERN.fullmatch(field[1:]):
            return None
        expires, added, source, by, reason = read.groups()
        until = _time(expires) if expires else None
        return cls(field[1:], cast("ListKind", kind), reason, source, by, _time(added), until)

    @property
    def field(self) -> str:
        """Its name in the store."""
        return self.kind[0] + self.pattern

    @property
    def value(self) -> str:
        """What is stored under its name; `observe.lua` reads it, too."""
        until = "" if self.expires_at is None else str(self.expires_at)
        return "\t".join((until, str(self.added_at), self.source, self.by, self.reason))

    def valid_at(self, now: float) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or self.expires_at > now


def rows_in(lines: Iterable[str]) -> Iterator[tuple[int, Row | str]]:
    """Each row with its line number; in place of a bad one the reason why it cannot be read."""
    columns: list[str] | None = None
    for number, line in enumerate(lines, start=1):
        text = line.lstrip("\ufeff").strip("\r\n")
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        try:
            cells = _cells(text)
            if columns is None and (header := _header(cells)):
                columns = header
                continue
            columns = columns or ["number", "reason"]
            yield number, _row(dict(zip(columns, cells, strict=False)))
        except (ValueError, csv.Error) as error:
            yield number, str(error)


def row_of(entry: Entry) -> str:
    """One line of CSV, without its end."""
    line = io.StringIO()
    until = "" if entry.expires_at is None else _iso(entry.expires_at)
    texts = map(_unformulated, (entry.reason, entry.source, entry.by))
    cells = (entry.kind, entry.pattern, *texts, _iso(entry.added_at), until)
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def _unformulated(text: str) -> str:
    """A text that no spreadsheet takes for a formula; `_formulated` gives it back."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _formulated(text: str) -> str:
    return text[1:] if text[:1] == "'" and text[1:].startswith(_FORMULA) else text


def _time(stored: str) -> int:
    """A stored time; one beyond every calendar never comes, and can be shown all the same."""
    return min(int(stored[: len(str(_LATEST)) + 1]), _LATEST)


def _cells(text: str) -> list[str]:
    if len(text) > MAX_LINE:
        raise ValueError(f"the line is longer than {MAX_LINE} characters")
    delimiter = next((char for char in text if char in _DELIMITERS), ",")
    return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter))]


def _header(cells: list[str]) -> list[str] | None:
    names = [cell.casefold() for cell in cells]
    return names if "number" in names and set(names) <= set(COLUMNS) else None


def _row(cells: dict[str, str]) -> Row:
    kind = cells.get("list", "").casefold()
    if kind not in {"", *_KINDS.values()}:
        raise ValueError(f"{printable(kind, MAX_NAME)!r} is no list: write allow or block")
    return Row(
        cells.get("number", ""),
        cast("ListKind", kind or "block"),
        names_kind=bool(kind),
        reason=_formulated(cells.get("reason", "")),
        source=_formulated(cells.get("source", "")),
        by=_formulated(cells.get("by", "")),
        added_at=_unix_time(cells.get("added", "")),
        expires_at=_unix_time(cells.get("expires", "")),
    )


def _unix_time(text: str) -> int | None:
    """A date or time (UTC unless it says otherwise) or Unix time; None if empty."""
    if not text:
        return None
    try:
        moment = datetime.fromtimestamp(int(text), UTC) if text.isdecimal() else datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"{printable(text, MAX_NAME)!r} is not a date: write 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None


def _iso(unix_time: int) -> str:
    return datetime.fromtimestamp(unix_time, UTC).isoformat().replace("+00:00", "Z")
