"""Call detail records: Asterisk's `cdr-csv/Master.csv`, or a CSV of FreePBX's table `cdr`, as past calls.

Asterisk writes a record when its call ends, and several for a call that rang in several places. They
are sorted by the start, and joined by `uniqueid`, in a temporary file of SQLite: memory stays flat.
Every line stands alone, so a stray quotation mark in a caller's name cannot swallow those after it.

A record does not tell whether the number was shown or asserted, nor a diversion or an attestation: such
facts are missing. The caller is `src`, the name stands in `clid`, our number is `did`, else `dst`.
"""

from __future__ import annotations

import csv
import re
import sqlite3
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import translate
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from screener.call import Call, Stage
from screener.errors import SourceUnreadable
from screener.replay.past import PastCall, PastDial
from screener.state.manner import manner_of
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import tzinfo
    from pathlib import Path

INBOUND_CONTEXTS: Final = ("from-trunk*", "from-pstn*", "from-did-direct*", "ext-did*")
"""Contexts in which calls from outside begin, as FreePBX names them."""
COLUMNS: Final = (
    "accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata",
    "start", "answer", "end", "duration", "billsec", "disposition", "amaflags", "uniqueid", "userfield",
    "linkedid", "peeraccount", "sequence",
)  # fmt: skip
"""What the columns of a Master.csv mean, which has no header; those after `amaflags` may be absent."""
REQUIRED: Final = frozenset(("src", "dst", "dcontext", "channel", "billsec", "disposition"))
UNKNOWN: Final = frozenset(("call.diverted",))

_LEAST = COLUMNS.index("amaflags") + 1
_MAX_LINE = 16_384
_PROGRESS_LINES = 1000
_MAX_TALK_S = 10**7
_MAX_EXTENSION = 6
_YEARS = range(2000, 2100)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MACHINES = frozenset(("voicemail", "voicemailmain", "minivmrecord", "record"))
_KINDS = ("internal", "outbound", "inbound")
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -8000;
CREATE TABLE call (
    id TEXT PRIMARY KEY, at_us INTEGER, kind INTEGER, number TEXT, name TEXT, did TEXT, channel TEXT,
    answered INTEGER, talk_s INTEGER, lasted_s INTEGER, held_s INTEGER
) WITHOUT ROWID;
"""
_FIRST = ", ".join(
    f"{name} = CASE WHEN excluded.at_us < at_us THEN excluded.{name} ELSE {name} END"
    for name in ("number", "name", "did", "channel")
)
_INSERT = f"""
INSERT INTO call VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET {_FIRST},
    at_us = min(at_us, excluded.at_us), kind = max(kind, excluded.kind),
    answered = max(answered, excluded.answered), talk_s = max(talk_s, excluded.talk_s),
    lasted_s = max(lasted_s, excluded.lasted_s), held_s = max(held_s, excluded.held_s)
"""  # noqa: S608 - names of columns
_IN_ORDER = """
SELECT id, at_us, kind, number, name, did, channel, answered, talk_s, lasted_s, held_s FROM call
WHERE kind >= 1 AND at_us >= ? ORDER BY at_us, id
"""


@dataclass(frozen=True, slots=True)
class House:
    """How calls from outside are told from others, and the time zone that records are written in.

    A call is inbound if its record has a `did`, its context matches one of `contexts` (with `*`), or
    its channel belongs to one of `trunks` (`PJSIP/carrier`).
    """

    zone: tzinfo
    contexts: tuple[str, ...] = INBOUND_CONTEXTS
    trunks: frozenset[str] = frozenset()


class _Record(NamedTuple):
    id: str
    at_us: int
    kind: int
    number: str
    name: str
    did: str
    channel: str
    answered: bool
    talk_s: int
    lasted_s: int
    held_s: int


class CdrFile:
    """The inbound and outbound calls of one file, each once, in the order of their start."""

    def __init__(self, path: Path, house: House, *, header: bool = False) -> None:
        """With `header` the first line must name the columns; without, it may."""
        self.path = path
        self.skipped: Counter[str] = Counter()
        self.contexts: Counter[str] = Counter()
        self._house = house
        self._needs_header = header
        self._inbound = re.compile("|".join(map(translate, house.contexts)) or r"(?!)")
        # A temporary file of SQLite's own, which is gone with the connection.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_SCHEMA)

    def read(
        self,
        stream: BinaryIO,
        report: Callable[[int, str], None],
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Take in all records; bad ones are reported with line and reason, and skipped.

        `progress` is told now and then how many bytes are read.

        Raises SourceUnreadable if no line of the file can be used.
        """
        self._db.execute("BEGIN")
        self._db.executemany(_INSERT, self._records(stream, report, progress))
        self._db.execute("COMMIT")
        counts = self._db.execute("SELECT kind, count(*) FROM call GROUP BY kind")
        self.skipped.update({_KINDS[kind]: count for kind, count in counts if _KINDS[kind] != "inbound"})
        if self.skipped["unreadable lines"] and not self._db.execute("SELECT 1 FROM call").fetchone():
            raise SourceUnreadable(
                f"{self.path}: no line of it is a call detail record; a Master.csv of Asterisk and a CSV of "
                "FreePBX's table cdr, with the names of its columns in the first line, are understood"
            )

    def total(self, since: datetime | None) -> int:
        """How many calls from outside there are."""
        counted = "SELECT count(*) FROM call WHERE kind = 2 AND at_us >= ?"
        return int(self._db.execute(counted, (_micros(since),)).fetchone()[0])

    def calls(self, since: datetime | None) -> Iterator[PastCall | PastDial]:
        """Calls from and to the outside that began at `since` or later."""
        for row in self._db.execute(_IN_ORDER, (_micros(since),)):
            id_, at_us, kind, number, name, did, channel, answered, talk_s, lasted_s, held_s = row
            at = _EPOCH + at_us * _MICROSECOND
            if _KINDS[kind] == "outbound":
                yield PastDial(did, at + timedelta(seconds=talk_s), bool(answered), talk_s)
                continue
            call = Call(id_, channel, Stage.SETUP, at, number=number, name=name, did=did)
            # Who hung up is not told: a call that was short is taken to be the caller's doing.
            disposition = "answered" if answered else ""
            manner = manner_of(disposition, lasted_s, held_s, by_caller=True)
            yield PastCall(call, bool(answered), talk_s, UNKNOWN, over_s=lasted_s, manner=manner)

    def _records(
        self, stream: BinaryIO, report: Callable[[int, str], None], progress: Callable[[int], None]
    ) -> Iterator[_Record]:
        columns: Mapping[str, int] | None = None
        delimiter = ","
        for number, line in _lines(stream):
            if number % _PROGRESS_LINES == 0:
                progress(stream.tell())
            try:
                if columns is None:
                    found = _header(line)
                    if found is None and self._needs_header:
                        raise SourceUnreadable(
                            f"{self.path}: its first line must name the columns: "
                            f"{', '.join(sorted(REQUIRED))}, and calldate or start"
                        )
                    delimiter, columns = found or (",", {name: at for at, name in enumerate(COLUMNS)})
                    if found:
                        continue
                yield self._record(_Row(_cells(line, delimiter), columns), number)
            except (ValueError, csv.Error) as error:
                self.skipped["unreadable lines"] += 1
                report(number, str(error))

    def _record(self, row: _Row, line: int) -> _Record:
        at, channel, did, dst = self._start(row), row["channel"], row["did"], row["dst"]
        talk_s = _seconds(row["billsec"])
        answered = row["disposition"].upper() == "ANSWERED"
        # A call that only an announcement or the voicemail took has not reached anybody.
        if row["lastapp"].casefold() in _MACHINES or (row.has("dstchannel") and not row["dstchannel"]):
            answered = False
        name, bracket, _ = row["clid"].rpartition("<")
        return _Record(
            row["uniqueid"] or f"line {line}",
            (at - _EPOCH) // _MICROSECOND,
            self._kind(row, channel, did, dst),
            row["src"],
            name.strip().removeprefix('"').removesuffix('"') if bracket else "",
            did or dst,
            channel,
            answered,
            talk_s if answered else 0,
            _seconds(row["duration"] or row["billsec"]),
            talk_s if row["disposition"].upper() == "ANSWERED" else 0,
        )

    def _kind(self, row: _Row, channel: str, did: str, dst: str) -> int:
        context = row["dcontext"]
        if channel.startswith("Local/"):
            return _KINDS.index("internal")
        if did or self._inbound.match(context) or channel.rpartition("-")[0] in self._house.trunks:
            return _KINDS.index("inbound")
        shown = printable(context, 40)
        if shown in self.contexts or len(self.contexts) < _MAX_LINE:
            self.contexts[shown] += 1
        return _KINDS.index("outbound" if len(dst) > _MAX_EXTENSION else "internal")

    def _start(self, row: _Row) -> datetime:
        text = row["calldate"] or row["start"]
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            at = None
        if at is None or at.year not in _YEARS:
            raise ValueError(f"{printable(text, 32)!r} is not a time such as 2026-01-31 12:00:00")
        return at if at.tzinfo else at.replace(tzinfo=self._house.zone)


class _Row:
    __slots__ = ("cells", "columns")

    def __init__(self, cells: list[str], columns: Mapping[str, int]) -> None:
        if not _LEAST <= len(cells) <= len(columns) and len(cells) != len(columns):
            raise ValueError(f"has {len(cells)} cells; expected {len(columns)}")
        self.cells, self.columns = cells, columns

    def has(self, name: str) -> bool:
        return self.columns.get(name, len(self.cells)) < len(self.cells)

    def __getitem__(self, name: str) -> str:
        at = self.columns.get(name, len(self.cells))
        return self.cells[at].strip() if at < len(self.cells) else ""


def _header(line: str) -> tuple[str, Mapping[str, int]] | None:
    for delimiter in ",;\t":
        try:
            names = [cell.strip().casefold() for cell in _cells(line, delimiter)]
        except csv.Error:
            continue
        if set(names) >= REQUIRED and not {"calldate", "start"}.isdisjoint(names):
            return delimiter, {name: at for at, name in enumerate(names)}
    return None


def _cells(line: str, delimiter: str) -> list[str]:
    # Tabs are the client of MySQL, which puts nothing in quotes.
    if delimiter == "\t":
        return line.split(delimiter)
    return next(csv.reader([line], delimiter=delimiter))


def _lines(stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """Lines that are not empty with their numbers; of an overlong one, its beginning."""
    number = 0
    while line := stream.readline(_MAX_LINE):
        number += 1
        rest = line
        while len(rest) == _MAX_LINE and not rest.endswith(b"\n"):
            rest = stream.readline(_MAX_LINE)
        text = line.decode("utf-8-sig", "replace").strip("\r\n")
        if text.strip():
            yield number, text


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < len(str(_MAX_TALK_S))):
        raise ValueError(f"billsec {printable(text, 32)!r} is not a number of seconds")
    return int(text)


def _micros(since: datetime | None) -> int:
    return (since - _EPOCH) // _MICROSECOND if since else 0
