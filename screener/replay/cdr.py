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
import weakref
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from enum import IntEnum
from fnmatch import translate
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from screener.call import Call, Stage
from screener.errors import SourceUnreadable
from screener.ledger.store import EPOCH, micros
from screener.replay.past import PastCall, PastDial
from screener.state.manner import manner_of
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
_MAX_TALK_S = 10**7
_MAX_EXTENSION = 6
_YEARS = range(2000, 2100)
_MACHINES = frozenset(("voicemail", "voicemailmain", "minivmrecord", "record"))


class _Kind(IntEnum):
    INTERNAL = 0
    OUTBOUND = 1
    INBOUND = 2


class _Record(NamedTuple):
    id: str
    at_us: int
    kind: _Kind
    number: str
    name: str
    did: str
    channel: str
    answered: bool
    talk_s: int
    lasted_s: int
    held_s: int


def _joined(column: str) -> str:
    """What a call has where several records tell of it: the words of the first, the most of the rest."""
    if column in {"number", "name", "did", "channel"}:
        return f"{column} = CASE WHEN excluded.at_us < at_us THEN excluded.{column} ELSE {column} END"
    return f"{column} = {'min' if column == 'at_us' else 'max'}({column}, excluded.{column})"


_SCHEMA = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -8000;
CREATE TABLE call ({", ".join(_Record._fields)}, PRIMARY KEY (id)) WITHOUT ROWID;
"""
_INSERT = (
    f"INSERT INTO call VALUES ({', '.join('?' * len(_Record._fields))}) "  # noqa: S608 - names of columns
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(map(_joined, _Record._fields[1:]))}"
)
_IN_ORDER = "SELECT * FROM call WHERE kind >= 1 AND at_us >= ? ORDER BY at_us, id"


class CdrFile:
    """The inbound and outbound calls of one file, each once, in the order of their start.

    A call is inbound if its record has a `did`, its context matches one of `contexts` (with `*`), or
    its channel belongs to one of `trunks` (`PJSIP/carrier`). Times without a zone are of `zone`.
    """

    def __init__(
        self,
        path: Path,
        zone: tzinfo,
        contexts: Iterable[str] = INBOUND_CONTEXTS,
        trunks: Iterable[str] = (),
        *,
        header: bool = False,
    ) -> None:
        """With `header` the first line must name the columns; without, it may."""
        self.path = path
        self.skipped: Counter[str] = Counter()
        self.contexts: Counter[str] = Counter()
        self._zone, self._trunks, self._needs_header = zone, frozenset(trunks), header
        self._inbound = re.compile("|".join(map(translate, contexts)) or r"(?!)")
        # A temporary file of SQLite's own, which is gone with the connection, and that with this object.
        self._db = sqlite3.connect("", isolation_level=None)
        weakref.finalize(self, self._db.close)
        self._db.executescript(_SCHEMA)

    def read(self, stream: BinaryIO, report: Callable[[int, str], None]) -> None:
        """Take in all records; bad ones are reported with line and reason, and skipped.

        Raises SourceUnreadable if no line of the file can be used.
        """
        self._db.execute("BEGIN")
        self._db.executemany(_INSERT, self._records(stream, report))
        self._db.execute("COMMIT")
        counts = self._db.execute("SELECT kind, count(*) FROM call GROUP BY kind")
        self.skipped.update({_Kind(kind).name.lower(): n for kind, n in counts if kind != _Kind.INBOUND})
        if self.skipped["unreadable lines"] and not self._db.execute("SELECT 1 FROM call").fetchone():
            raise SourceUnreadable(
                f"{self.path}: no line of it is a call detail record; a Master.csv of Asterisk and a CSV of "
                "FreePBX's table cdr, with the names of its columns in the first line, are understood"
            )

    def total(self, since: datetime | None) -> int:
        """How many calls from outside there are."""
        counted = "SELECT count(*) FROM call WHERE kind = 2 AND at_us >= ?"
        return int(self._db.execute(counted, (micros(since),)).fetchone()[0])

    def calls(self, since: datetime | None) -> Iterator[PastCall | PastDial]:
        """Calls from and to the outside that began at `since` or later."""
        rows = self._db.execute(_IN_ORDER, (micros(since),))
        for one in map(_Record._make, rows):
            at, answered = EPOCH + timedelta(microseconds=one.at_us), bool(one.answered)
            if one.kind == _Kind.OUTBOUND:
                yield PastDial(one.did, at + timedelta(seconds=one.talk_s), answered, one.talk_s)
                continue
            call = Call(one.id, one.channel, Stage.SETUP, at, number=one.number, name=one.name, did=one.did)
            # Who hung up is not told: a call that was short is taken to be the caller's doing,
            # so nobody was cut short.
            disposition = "answered" if answered else ""
            manner = manner_of(disposition, one.lasted_s, one.held_s, by_caller=True)
            yield PastCall(call, answered, one.talk_s, UNKNOWN, over_s=one.lasted_s, manner=manner)

    def _records(self, stream: BinaryIO, report: Callable[[int, str], None]) -> Iterator[_Record]:
        columns: Sequence[str] = ()
        delimiter = ","
        for number, line in _lines(stream):
            try:
                if not columns:
                    found = _header(line)
                    if found is None and self._needs_header:
                        raise SourceUnreadable(
                            f"{self.path}: its first line must name the columns: "
                            f"{', '.join(sorted(REQUIRED))}, and calldate or start"
                        )
                    delimiter, columns = found or (",", COLUMNS)
                    if found:
                        continue
                yield self._record(_row(_cells(line, delimiter), columns), number)
            except (ValueError, csv.Error) as error:
                self.skipped["unreadable lines"] += 1
                report(number, str(error))

    def _record(self, row: Mapping[str, str], line: int) -> _Record:
        talk_s, was_answered = _seconds(row["billsec"]), row["disposition"].upper() == "ANSWERED"
        # A call that only an announcement or the voicemail took has not reached anybody.
        by_machine = row["lastapp"].casefold() in _MACHINES or row.get("dstchannel") == ""
        answered = was_answered and not by_machine
        name, bracket, _ = row["clid"].rpartition("<")
        return _Record(
            row["uniqueid"] or f"line {line}",
            micros(self._start(row)),
            self._kind(row),
            row["src"],
            name.strip().removeprefix('"').removesuffix('"') if bracket else "",
            row["did"] or row["dst"],
            row["channel"],
            answered,
            talk_s if answered else 0,
            _seconds(row["duration"] or row["billsec"]),
            talk_s if was_answered else 0,
        )

    def _kind(self, row: Mapping[str, str]) -> _Kind:
        context, channel = row["dcontext"], row["channel"]
        if channel.startswith("Local/"):
            return _Kind.INTERNAL
        if row["did"] or self._inbound.match(context) or channel.rpartition("-")[0] in self._trunks:
            return _Kind.INBOUND
        shown = printable(context, 40)
        if shown in self.contexts or len(self.contexts) < _MAX_LINE:
            self.contexts[shown] += 1
        return _Kind.OUTBOUND if len(row["dst"]) > _MAX_EXTENSION else _Kind.INTERNAL

    def _start(self, row: Mapping[str, str]) -> datetime:
        text = row["calldate"] or row["start"]
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            at = None
        if at is None or at.year not in _YEARS:
            raise ValueError(f"{printable(text, 32)!r} is not a time such as 2026-01-31 12:00:00")
        return at if at.tzinfo else at.replace(tzinfo=self._zone)


def _row(cells: list[str], columns: Sequence[str]) -> Mapping[str, str]:
    """The cells by their columns; one that there is not is empty, but not `in` it."""
    if not _LEAST <= len(cells) <= len(columns) and len(cells) != len(columns):
        raise ValueError(f"has {len(cells)} cells; expected {len(columns)}")
    return defaultdict(str, zip(columns, map(str.strip, cells), strict=False))


def _header(line: str) -> tuple[str, list[str]] | None:
    for delimiter in ",;\t":
        try:
            names = [cell.strip().casefold() for cell in _cells(line, delimiter)]
        except csv.Error:
            continue
        if set(names) >= REQUIRED and not {"calldate", "start"}.isdisjoint(names):
            return delimiter, names
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
