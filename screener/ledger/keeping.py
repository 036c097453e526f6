"""What is kept for how long: erasing content on request or by age, and holds that exempt from both.

Erasing takes the body of a row and its salt, and deletes the call's recordings; the row stays in the chain
with its time and kind, and a row `erased` says which, when and why. Afterwards the file holds nothing of it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from screener.errors import LedgerError, NotInLedger, ScreenerError
from screener.ledger.holds import Hold
from screener.ledger.holds import holds as held_in
from screener.ledger.reader import CallRecord, reading, record_of
from screener.ledger.store import Row, append, decode, encode, extend, insert, micros, writing
from screener.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from screener.ledger.database import Database
    from screener.ledger.places import Place

CALLS_AT_ONCE = 100
"""Calls erased in one transaction; the service waits so long for its turn."""
OLD_CALLS = """
SELECT pbx, call_id FROM row WHERE at_us < ? AND body != '' AND call_id != ''
GROUP BY pbx, call_id ORDER BY min(at_us)
"""
CALLS_BY_ID = "SELECT DISTINCT pbx, call_id FROM row WHERE call_id = ? AND body != ''"
MENTIONS = (
    "SELECT seq, pbx, call_id, body FROM row WHERE body != '' AND kind != 'case' AND instr(body, ?) > 0"
)
OF_KIND = """
SELECT seq, pbx, call_id, kind, at_us, body FROM row
WHERE pbx = '' AND call_id = '' AND kind = ? AND body != '' ORDER BY seq
"""
ROWS_OF_CALL = """
SELECT seq, pbx, call_id, kind, at_us, body FROM row WHERE pbx = ? AND call_id = ? AND body != '' ORDER BY seq
"""
OLD_RECORDINGS = """
SELECT pbx, call_id, seq, body FROM row WHERE kind = 'recording' AND at_us < ? AND body != '' ORDER BY seq
"""
ERASE = "UPDATE row SET body = '' WHERE seq = ?"
ERASE_SALT = "UPDATE link SET salt = NULL WHERE seq = ?"
TAIL_DIGITS = 6
"""Of a number, by which rows are sought that may hold it; each is looked at more closely."""


@dataclass
class Erased:
    """What was erased, or would be; `held` calls and messages were spared, `failed` says why others were."""

    calls: int = 0
    messages: int = 0
    rows: int = 0
    recordings: int = 0
    bytes: int = 0
    held: int = 0
    dry_run: bool = False
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Keeper:
    """Erases and holds what stands in the ledger at `path`, also while the service writes; it blocks.

    `delete` deletes recordings by path and SHA-256, `key_of` gives of a number as presented the one in E.164.
    `witness` is shown the calls that are being erased; the rows it returns are written with that, or not.
    What cannot be done raises LedgerError, or what `delete` raises.
    """

    path: Place
    delete: Callable[[dict[Path, str]], object]
    key_of: Callable[[str], str]
    clock: Callable[[], datetime]
    witness: Callable[[Sequence[CallRecord]], list[Row]] = lambda _: []

    def erase(self, *, call: str = "", caller: str = "", because: str) -> Erased:
        """Erase a call by its Uniqueid, or all of a number in E.164; LedgerError if one of them is held.

        `because` stays for ever: it must not name anybody. What comes later of a call that is still going on
        is not erased; nor are rows of kind `case`, see `strike`.
        """
        with writing(self.path) as db:
            loose = []
            if call:
                calls = db.execute(CALLS_BY_ID, (escaped(call),)).fetchall()
            else:
                found = list(self._mentioning(db, caller))
                calls = list(dict.fromkeys((pbx, of_call) for _, pbx, of_call in found if of_call))
                loose = [seq for seq, _, of_call in found if not of_call]
            done = Erased()
            holds = held_in(db)
            held = [hold for hold in holds if hold.caller and hold.caller == caller]
            if held := held or [hold for one in calls for hold in self._held_by(db, one, holds)]:
                raise LedgerError(f"nothing was erased, it is held: {held[0]}; release it first")
            for at in range(0, len(calls), CALLS_AT_ONCE):
                self._erase(db, calls[at : at + CALLS_AT_ONCE], because, done)
            if loose:
                with db.transaction():
                    self._blank(db, loose, [], because, done)
            failed = done.failed[:]
            _wipe(db, done)
            if failed:
                raise LedgerError(failed[0])
            return done

    def erase_all(self, calls: Iterable[str], because: str, *, dry_run: bool = False) -> Erased:
        """Erase calls and messages by their ids, but what is held; `because` as above."""
        done = Erased(dry_run=dry_run)
        with writing(self.path) as db:
            found = [key for one in calls for key in db.execute(CALLS_BY_ID, (escaped(one),))]
            for at in range(0, len(found), CALLS_AT_ONCE):
                self._erase(db, found[at : at + CALLS_AT_ONCE], because, done)
            _wipe(db, done)
        return done

    def strike(
        self,
        kinds: Sequence[str],
        choose: Callable[[list[tuple[int, Row]]], tuple[list[int], list[Row]]],
        because: str,
    ) -> Erased:
        """Erase rows that are about no call: which of these kinds, and what stands instead, `choose` says."""
        done = Erased()
        with writing(self.path) as db:
            with db.transaction():
                found = sorted(row for kind in kinds for row in db.execute(OF_KIND, (kind,)))
                seqs, rows = choose([(seq, decode(*row)) for seq, *row in found])
                self._blank(db, seqs, [], because, done)
                insert(db, [encode(row) for row in rows])
            _wipe(db, done)
        return done

    def expire(
        self, calls_before: datetime | None, recordings_before: datetime | None, *, dry_run: bool = False
    ) -> Erased:
        """Erase calls that began before, delete recordings filed before, but what is held; None: nothing."""
        done = Erased(dry_run=dry_run)
        with writing(self.path) as db:
            old = db.execute(OLD_CALLS, (micros(calls_before),)).fetchall()
            for at in range(0, len(old), CALLS_AT_ONCE):
                self._erase(db, old[at : at + CALLS_AT_ONCE], "its time is over", done)
            done_with = set(old)
            files = {
                recording.path: (key, recording)  # a file may be filed twice
                for *key, seq, body in db.execute(OLD_RECORDINGS, (micros(recordings_before),))
                if tuple(key) not in done_with
                and os.path.lexists((recording := _Recording.of(seq, body)).path)
            }
            for at in range(0, len(files), CALLS_AT_ONCE):
                self._delete_old(db, list(files.values())[at : at + CALLS_AT_ONCE], done)
            _wipe(db, done)
        return done

    def hold(
        self, calls: Iterable[str] = (), callers: Iterable[str] = (), *, because: str, by: str = ""
    ) -> None:
        """Exempt these calls, and all of these numbers, from erasing; NotInLedger if a call is unknown."""
        self._note("hold", calls, callers, {"because": because, "by": by})

    def release(
        self, calls: Iterable[str] = (), callers: Iterable[str] = (), *, because: str, by: str = ""
    ) -> None:
        """End holds of that `by`; NotInLedger when there is none."""
        held = {(one.call, one.caller) for one in self.holds() if one.by == by}
        for key in [(escaped(call), "") for call in calls] + [("", caller) for caller in callers]:
            if key not in held:
                raise NotInLedger(f"{key[0] or key[1]} is not held; `screener ledger holds` shows what is")
        self._note("release", calls, callers, {"because": because, "by": by})

    def holds(self) -> list[Hold]:
        """What is held at present."""
        with reading(self.path) as db:
            return held_in(db)

    def _note(self, kind: str, calls: Iterable[str], callers: Iterable[str], body: dict[str, Any]) -> None:
        at, rows = self.clock(), []
        with reading(self.path) as db:
            for call in calls:
                found = db.execute(CALLS_BY_ID, (escaped(call),)).fetchall()
                if not found:
                    raise NotInLedger(
                        f"no such call in the ledger, or it was erased: {escaped(call)}; "
                        "`screener calls --json` has the ids"
                    )
                rows += [Row(call, kind, at, body, pbx) for pbx, _ in found]
        rows += [Row("", kind, at, {**body, "e164": caller}) for caller in callers]
        append(self.path, rows)

    def _mentioning(self, db: Database, caller: str) -> Iterator[tuple[int, str, str]]:
        for seq, pbx, call_id, body in db.execute(MENTIONS, (caller[-TAIL_DIGITS:],)):
            if caller in self._numbers(body):
                yield seq, pbx, call_id

    def _numbers(self, body: str) -> set[str]:
        """Of whom a row is, in E.164; not who is spoken of in it."""
        about = json.loads(body)
        call = about.get("call")
        sections = (about, call) if isinstance(call, dict) else (about,)
        written = {str(one[key]) for one in sections for key in ("number", "e164") if one.get(key)}
        return {self.key_of(number) or number for number in written}

    def _held_by(self, db: Database, call: tuple[str, str], holds: list[Hold]) -> list[Hold]:
        if not holds:
            return []
        numbers = set[str]()
        if any(hold.caller for hold in holds):
            numbers = set().union(*(self._numbers(body) for *_, body in db.execute(ROWS_OF_CALL, call)))
        return [hold for hold in holds if hold.call == call[1] or hold.caller in numbers]

    def _erase(self, db: Database, calls: list[tuple[str, str]], because: str, done: Erased) -> None:
        """Erase these calls but for the held ones; one whose recordings cannot be deleted stays as it is."""
        with db.transaction():
            holds, seqs, gone, erased = held_in(db), list[int](), list[_Recording](), list[CallRecord]()
            for call in calls:
                if self._held_by(db, call, holds):
                    done.held += 1
                    continue
                rows = db.execute(ROWS_OF_CALL, call).fetchall()
                filed = (_Recording.of(seq, body) for seq, *_, kind, _, body in rows if kind == "recording")
                files = list({one.path: one for one in filed}.values())  # one may be filed twice
                if self._deleted(files, done):
                    seqs += [row[0] for row in rows]
                    gone += files
                    erased.append(record_of([decode(*row[1:]) for row in rows]))
            messages = sum(any(row.kind == "message" for row in one.rows) for one in erased)
            done.calls, done.messages = done.calls + len(erased) - messages, done.messages + messages
            self._blank(db, seqs, gone, because, done)
            if not done.dry_run:
                insert(db, [encode(row) for row in self.witness(erased)])

    def _delete_old(self, db: Database, files: list[tuple[list[str], _Recording]], done: Erased) -> None:
        with db.transaction():
            holds = held_in(db)
            gone = []
            for (pbx, call_id), file in files:
                if not self._held_by(db, (pbx, call_id), holds) and self._deleted([file], done):
                    gone.append(file)
            self._blank(db, [], gone, "its time is over", done)

    def _deleted(self, files: list[_Recording], done: Erased) -> bool:
        try:
            if not done.dry_run:
                self.delete({Path(file.path): file.sha256 for file in files if file.path})
        except ScreenerError as error:
            done.failed.append(str(error))
            return False
        return True

    def _blank(
        self, db: Database, seqs: list[int], gone: list[_Recording], because: str, done: Erased
    ) -> None:
        """Within a transaction: take the content of these rows, and say so in one of its own."""
        done.rows += len(seqs)
        done.recordings += len(gone)
        done.bytes += sum(file.bytes for file in gone)
        if done.dry_run or not (seqs or gone):
            return
        db.executemany(ERASE, [(seq,) for seq in seqs])
        db.executemany(ERASE_SALT, [(seq,) for seq in seqs])
        rows: list[list[int]] = []
        for seq in sorted(seqs):
            extend(rows, seq, seq)
        body = {
            "rows": rows,
            "recordings": [{"row": one.row, "bytes": one.bytes, "sha256": one.sha256} for one in gone],
            "because": because,
        }
        insert(db, [encode(Row("", "erased", self.clock(), body))])


class _Recording(NamedTuple):
    row: int
    path: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, seq: int, body: str) -> _Recording:
        """What its row says of a recording."""
        about = json.loads(body)
        return cls(seq, about.get("path", ""), about.get("bytes", 0), about.get("sha256", ""))


def _wipe(db: Database, done: Erased) -> None:
    """Let the file's log not keep what was erased in the file."""
    done.failed += [why] if done.rows and not done.dry_run and (why := db.wipe()) else []
