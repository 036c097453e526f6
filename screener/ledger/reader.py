"""The ledger's reading side: calls as people ask for them, while the service goes on writing."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from screener.ledger.database import to_read, told
from screener.ledger.shapes import ANY, CALL, END, RECORDING, TRANSCRIPT, VERDICT, section
from screener.ledger.shapes import message as message_of
from screener.ledger.sought import Sought
from screener.ledger.sqlite import KEEPING
from screener.ledger.store import Row, decode, micros
from screener.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from screener.ledger.database import Database
    from screener.ledger.places import Place

FEW, MANY = 20, 400
"""Calls whose rows are fetched at once, at first and later: somebody may want to see the latest alone."""
# What was erased is passed over, and so is what is about no call. A call is met at its first row, so nothing
# needs to be remembered about calls that were met before.
FIRST_ROWS = """
SELECT pbx, call_id FROM row AS this
WHERE at_us >= ? AND body != '' AND call_id != '' AND NOT EXISTS (
    SELECT 1 FROM row AS earlier
    WHERE earlier.pbx = this.pbx AND earlier.call_id = this.call_id AND earlier.seq < this.seq
    AND earlier.body != ''
) ORDER BY at_us DESC, seq DESC
"""
OLDEST_FIRST = FIRST_ROWS.replace("DESC", "ASC")
FROM_OUTSIDE = FIRST_ROWS.replace("at_us >= ?", "at_us >= ? AND kind NOT IN ('dialled', 'message')", 1)
MESSAGES = FIRST_ROWS.replace("at_us >= ?", "at_us >= ? AND kind = 'message'", 1)
MESSAGES_FILED = "SELECT call_id, kind FROM row WHERE at_us >= ? AND kind IN ('message', 'message-end')"
ROWS_OF_CALL = """
SELECT pbx, call_id, kind, at_us, body FROM row WHERE pbx = ? AND call_id = ? AND body != '' ORDER BY seq
"""
ROWS_BY_ID = ROWS_OF_CALL.replace("pbx = ? AND ", "")
ROWS_OF_CALLS = """
SELECT pbx, call_id, kind, at_us, body FROM row
WHERE (pbx, call_id) IN (VALUES {}) AND body != '' ORDER BY seq
"""
FILED = "SELECT body FROM row WHERE kind = 'recording' AND at_us >= ? AND body != '' ORDER BY seq"
ENDS = """
SELECT pbx, call_id, kind, at_us, body FROM row
WHERE at_us >= ? AND body != '' AND kind = 'end' ORDER BY at_us DESC, seq DESC
"""
ERASED = f"SELECT body FROM row WHERE {KEEPING} AND kind = 'erased'"  # noqa: S608 - words of our own
CAME_BY = (
    "SELECT 1 FROM row WHERE at_us >= ? AND body != '' AND kind = 'setup' AND instr(body, ?) > 0 LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class CallRecord:
    r"""All rows of one call as one record, for people: every text in it is safe to print.

    Characters that do not print are shown as `\x1b`, `\u202e`, `\udcff`; `rows` holds
    them as they were. The dicts are the sections and bodies of the package's table,
    empty while there is none: `call`, `setup` (the first verdict) and `timings` of the
    first question, `facts`, `verdict` and `missing` of the last, `end` of the call's end.
    """

    pbx: str
    call_id: str
    at: datetime
    call: dict[str, Any]
    facts: dict[str, Any]
    setup: dict[str, Any]
    verdict: dict[str, Any]
    timings: dict[str, float]
    missing: list[str]
    end: dict[str, Any]
    recordings: list[dict[str, Any]]
    transcript: dict[str, Any]
    rows: tuple[Row, ...]

    @property
    def disposition(self) -> str:
        """Where the call ended (answered, abandoned, recorded, rejected, …); empty while it lasts."""
        return str(self.end.get("disposition", ""))


def calls(  # noqa: PLR0913 - what people ask for
    path: Place,
    *,
    limit: int | None = None,
    since: datetime | None = None,
    caller: str = "",
    action: str = "",
    sought: Sought | None = None,
) -> Iterator[CallRecord]:
    """Past calls from outside, newest first, each once with all its rows, as of one moment.

    `caller` is compared with the number as presented and as E.164, `action` with the
    last verdict's; with `sought` at least those that it describes. Raises LedgerError at the
    first step when the ledger is missing, not one, or written by a newer version.
    """
    if caller and not sought and caller.isascii() and caller.isalnum() | caller[1:].isalnum():
        sought = Sought(bodies=[("setup", caller), ("challenge", caller)])
    with reading(path) as db:
        found = 0
        if limit == 0:
            return
        for rows in _each(db, FROM_OUTSIDE, since, sought):
            record = _fold(rows)
            if caller and caller not in (record.call.get("e164"), record.call.get("number")):
                continue
            if action and action != record.verdict.get("action"):
                continue
            found += 1
            yield record
            if found == limit:
                return


def _each(
    db: Database, sql: str, since: datetime | None, sought: Sought | None = None
) -> Iterator[list[Row]]:
    """All rows of each call that this query names, in its order."""
    sql, more = sought.among(sql) if sought else (sql, [])
    keys, size = iter(db.stream(sql, [*more, micros(since)])), FEW
    while some := list(islice(keys, size)):
        found: dict[tuple[str, str], list[Row]] = {tuple(key): [] for key in some}
        values = ", ".join(["(?, ?)"] * len(some))
        for row in db.execute(ROWS_OF_CALLS.format(values), [text for key in some for text in key]):
            found[row[:2]].append(decode(*row))
        yield from found.values()
        size = MANY


def call(path: Place, call_id: str) -> CallRecord | None:
    """One call by its Uniqueid, with all its rows, None if there is none; raises LedgerError as `calls`."""
    with reading(path) as db:
        rows = [decode(*row) for row in db.execute(ROWS_BY_ID, (escaped(call_id),))]
        return _fold(rows) if rows else None


def oldest_first(path: Place, since: datetime | None = None) -> Iterator[tuple[Row, ...]]:
    """Past calls, oldest first, each with all its rows as they are, unfit to print; raises as `calls`."""
    with reading(path) as db:
        for rows in _each(db, OLDEST_FIRST, since):
            yield tuple(rows)


def messages(path: Place, since: datetime | None = None) -> Iterator[tuple[Row, ...]]:
    """SIP messages, the latest first, each with all its rows, unfit to print; raises as `calls`."""
    with reading(path) as db:
        for rows in _each(db, MESSAGES, since):
            if any(row.kind == "message" for row in rows):  # else it was erased
                yield tuple(rows)


def message(path: Place, message_id: str) -> tuple[Row, ...]:
    """All rows of one SIP message, none if there is no such message; raises as `calls`."""
    with reading(path) as db:
        rows = [decode(*row) for row in db.execute(ROWS_BY_ID, (escaped(message_id),))]
    return tuple(rows) if any(row.kind == "message" for row in rows) else ()


def state_of(rows: tuple[Row, ...]) -> str:
    """What became of a message: delivered, held, filed, unreachable, released, or unknown."""
    if any(row.kind == "message-release" for row in rows):
        return "released"
    ends = [str(row.body.get("status")) for row in rows if row.kind == "message-end"]
    return ends[-1] if ends else "unknown"


def messages_filed(path: Place, since: datetime) -> set[tuple[str, str]]:
    """Ids and kinds of the rows of SIP messages, erased ones too; raises as `calls`."""
    with reading(path) as db:
        return set(db.execute(MESSAGES_FILED, (micros(since),)))


def count(path: Place, since: datetime | None = None) -> int:
    """About how many calls `oldest_first` will give; LedgerError as `calls`."""
    with reading(path) as db:
        questions = "SELECT count(*) FROM row WHERE kind = 'setup' AND at_us >= ? AND body != ''"
        return int(db.execute(questions, (micros(since),)).fetchone()[0])


def filed(path: Place, since: datetime | None = None) -> dict[str, int]:
    """File names and sizes of the recordings filed since then, for `recordings.adopt`; raises as `calls`."""
    with reading(path) as db:
        bodies = db.execute(FILED, (micros(since),))
        found = [json.loads(body) for (body,) in bodies]
        return {PurePath(str(one.get("path", ""))).name: one.get("bytes", -1) for one in found}


def ever_erased(path: Place) -> bool:
    """Whether anything was erased before, for its age or on request; LedgerError as `calls`."""
    with reading(path) as db:
        return db.execute(f"{ERASED} LIMIT 1").fetchone() is not None


def deleted(path: Place) -> set[str]:
    """SHA-256 of the recordings that were deleted, for their age or on request; LedgerError as `calls`."""
    with reading(path) as db:
        bodies = (json.loads(body) for (body,) in db.execute(ERASED))
        return {one["sha256"] for body in bodies for one in body["recordings"]}


def ends(
    path: Place, since: datetime, counts: Callable[[Mapping[str, Any]], bool]
) -> Iterator[tuple[Row, dict[str, Any]]]:
    """How calls ended, the latest first, each with its `call` section as filed, empty if it was not judged.

    Only those whose end `counts`: of the others the questions, which are long, are not read. For programs:
    unfit to print. LedgerError as `calls`.
    """
    with reading(path) as db:
        for row in db.execute(ENDS, (micros(since),)):
            end = decode(*row)
            if not counts(end.body):
                continue
            asked = db.execute(ROWS_OF_CALL, (end.pbx, end.call_id))
            bodies = (decode(*one).body for one in asked if one[2] == "setup")
            yield end, next((body.get("call", {}) for body in bodies), {})


def calls_came_by(path: Place, trunk: str, since: datetime) -> bool:
    """Whether screened calls have come in by this endpoint; LedgerError as `calls`."""
    with reading(path) as db:
        # Bodies are canonical JSON: within a string of a caller's the quotation marks would be escaped.
        return db.execute(CAME_BY, (micros(since), f'"trunk":{json.dumps(trunk)}')).fetchone() is not None


@contextmanager
def reading(path: Place) -> Iterator[Database]:
    """A connection that sees the ledger as of one moment; LedgerError when it cannot be read."""
    with told(path, "read"), closing(to_read(path)) as db:
        db.snapshot()
        yield db


def record_of(rows: list[Row]) -> CallRecord:
    """The rows of a call, or of a message: of that, what was written stands as `transcript`."""
    record = _fold(rows)
    body = next((_shown(row.body) for row in record.rows if row.kind == "message"), None)
    if body is None:
        return record
    about = message_of(body)
    return replace(
        record,
        call=about["call"],
        verdict=about["verdict"],
        transcript={"text": about["call"]["text"], "wording": about["wording"]},
        end={"disposition": state_of(record.rows)},
    )


def _fold(rows: list[Row]) -> CallRecord:
    # A call of a moment may end before its verdict is filed: what counts is when things happened.
    rows = sorted(rows, key=attrgetter("at"))
    bodies = [(row.kind, _shown(row.body)) for row in rows]
    judged = [body for kind, body in bodies if kind in ("setup", "challenge")]
    first, last = (judged[0], judged[-1]) if judged else ({}, {})
    missing = last.get("missing")
    filed = [section(body, RECORDING) for kind, body in bodies if kind == "recording"]
    return CallRecord(
        pbx=rows[0].pbx,
        call_id=rows[0].call_id,
        at=rows[0].at,
        call=section(first.get("call"), CALL),
        facts=section(last.get("facts"), ANY),
        setup=section(first.get("verdict"), VERDICT),
        verdict=section(last.get("verdict"), VERDICT),
        timings=section(first.get("timings"), ANY),
        missing=missing if isinstance(missing, list) else [],
        # The end may be told twice, by the dialplan and by a recording that was found after a restart.
        end={
            key: value for kind, body in bodies if kind == "end" for key, value in section(body, END).items()
        },
        # A file may be filed twice, at the call's end and again after a restart: the later row knows more.
        recordings=list({one["path"]: one for one in filed if one}.values()),
        transcript=next((section(body, TRANSCRIPT) for kind, body in bodies if kind == "transcript"), {}),
        rows=tuple(rows),
    )


def _shown(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case str():
            return escaped(value)
        case list():
            return [_shown(item) for item in value]
        case dict():
            return {escaped(key): _shown(item) for key, item in value.items()}
    return value
