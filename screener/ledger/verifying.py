"""Whether a ledger is what was written: each row is walked, each inconsistency named, not the first alone."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from screener.errors import LedgerError
from screener.ledger import checkpoints
from screener.ledger.chain import FIRST, digest, linked, statement
from screener.ledger.reader import reading
from screener.ledger.store import extend
from screener.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Any

    from screener.ledger.places import Place
    from screener.signing import Public

WALK = """
SELECT seq, pbx, call_id, kind, at_us, body, salt, digest, hash
FROM row LEFT JOIN link USING (seq) ORDER BY seq
"""
LAST = "SELECT max(seq) FROM link"
UNSIGNED_MAX = 3000
"""More rows than this after the last checkpoint were not written by a service that signs."""

CHANGED = "the content is not what was filed"
MOVED = "changed, inserted or moved: its hash does not follow from the row before it"
MISSING = "missing"
UNCHAINED = "not in the chain: written past the screener, or a start of the service has not chained it yet"
BLANKED = "erased, and no row says why"
REWRITTEN = "a checkpoint signs another hash: rows up to it were rewritten"
FORGED = "a checkpoint that this key has not signed"
UNSIGNED = "no checkpoint of this key, though one was due"


@dataclass
class Report:
    """What was found; `problems` is empty if the ledger is what was written.

    `head` is the last row's seq and hash: kept elsewhere, it proves later that nothing up to it was
    changed. Rows up to `signed` are covered by a checkpoint that the key has signed.
    """

    rows: int = 0
    head: tuple[int, str] = (0, FIRST)
    erased: int = 0
    signed: int = 0
    strangers: dict[str, int] = field(default_factory=dict)
    """Other keys that are named by checkpoints, and the last row of each."""
    found: dict[str, list[list[int]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def problems(self) -> list[str]:
        """One line each, in the order of rows; neighbours with the same fault are told together."""
        flat = sorted((*run, text) for text, runs in self.found.items() for run in runs)
        return [
            f"row {first}: {text}" if first == last else f"rows {first} to {last}: {text}"
            for first, last, text in flat
        ]

    def add(self, text: str, first: int, last: int | None = None) -> None:
        """Note a fault of these rows."""
        extend(self.found[text], first, last or first)


def verify(
    path: Place, public: Public | Sequence[Public] = (), heads: Iterable[tuple[int, str]] = ()
) -> Report:
    """Walk all rows as of one moment; `public` checks the checkpoints, `heads` were kept elsewhere.

    Of several keys any may have signed; without one signatures are not looked at. Raises LedgerError when
    there is no ledger, or one that was never chained.
    """
    with reading(path) as db:
        # A byte that makes no text is one more row to be named, not the end of the walk.
        db.take_any_text()
        if not db.is_chained():
            raise LedgerError(f"{path}: of format 1 and not chained yet; the service does it at its start")
        walk = _Walk(Report(), public if isinstance(public, Sequence) else [public], dict(heads))
        beside_it = _read(checkpoints.beside(path))
        if beside_it and walk.is_signed(beside_it):
            walk.heads.setdefault(beside_it["seq"], beside_it["hash"])
        for row in db.stream(WALK):
            walk.over(*row)
        walk.end(db.execute(LAST).fetchone()[0] or 0)
    return walk.report


@dataclass
class _Walk:
    report: Report
    public: Sequence[Public]
    heads: dict[int, str]
    blank: list[list[int]] = field(default_factory=list)
    named: list[tuple[int, int]] = field(default_factory=list)

    def over(  # noqa: PLR0913, PLR0917 - the columns of WALK
        self,
        seq: int,
        pbx: str,
        call_id: str,
        kind: str,
        at_us: int,
        body: str,
        salt: str | None,
        content: str | None,
        hashed: str | None,
    ) -> None:
        """Look at the next row."""
        report, (last, before) = self.report, self.report.head
        report.rows += 1
        if seq != last + 1:
            report.add(MISSING, last + 1, seq - 1)
        if content is None or hashed is None:
            report.add(UNCHAINED, seq)
            report.head = seq, before
            return
        if not body and salt is None:
            report.erased += 1
            extend(self.blank, seq, seq)
        elif digest(salt or "", body) != content:
            report.add(CHANGED, seq)
        if seq == last + 1 and linked(before, seq, pbx, call_id, kind, at_us, content) != hashed:
            report.add(MOVED, seq)
        if kind == "checkpoint":
            self._checkpoint(seq, _parsed(body), last, before)
        elif kind == "erased":
            self._named(seq, _parsed(body))
        if self.heads.pop(seq, hashed) != hashed:
            report.add(REWRITTEN, seq)
        report.head = seq, hashed

    def _checkpoint(self, seq: int, body: dict[str, Any], last: int, before: str) -> None:
        if not self.is_signed(body):
            self.report.add(FORGED, seq)
            if isinstance(key := body.get("key"), str):
                self.report.strangers[escaped(key)] = seq
        elif (body["seq"], body["hash"]) != (last, before):
            self.report.add(REWRITTEN, seq)
        elif self.public:
            self.report.signed = seq

    def _named(self, seq: int, body: dict[str, Any]) -> None:
        try:
            self.named += [(first, last) for first, last in body["rows"] if 0 < first <= last < seq]
        except (LookupError, TypeError, ValueError):
            self.report.add(CHANGED, seq)

    def is_signed(self, body: dict[str, Any]) -> bool:
        """Whether this is a checkpoint, and one of the key's, if there is a key."""
        try:
            message, signature = statement(body["seq"], body["hash"]), bytes.fromhex(body["signature"])
        except (LookupError, TypeError, ValueError):
            return False
        known = isinstance(body["seq"], int) and isinstance(body["hash"], str)
        return known and (not self.public or any(one.signed(message, signature) for one in self.public))

    def end(self, last_link: int) -> None:
        """Look at what should be there and is not, or without a reason."""
        report, last = self.report, self.report.head[0]
        if (beyond := max(last_link, *self.heads, 0)) > last:
            report.add(MISSING, last + 1, beyond)
        named, named_to = sorted(self.named, reverse=True), 0
        for first, to in self.blank:
            for seq in range(first, to + 1):
                while named and named[-1][0] <= seq:
                    named_to = max(named_to, named.pop()[1])
                if seq > named_to:
                    report.add(BLANKED, seq)
        if self.public and last - report.signed > UNSIGNED_MAX:
            report.add(UNSIGNED, report.signed + 1, last)


def _parsed(body: str) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parsed(path.read_text("utf-8"))
    except (OSError, UnicodeError):
        return {}
