"""Our own ledger as past calls: the most faithful source, for it holds what was known at the time.

What follows from the call alone (number, name, hour) is computed anew, with the candidate's country
and time zone. What the store knew (lists, feeds, counters) is as recorded; facts that are younger than
the row are rebuilt, unless the store did not answer then: a rule that was skipped for it is skipped again.

A call that was not screened has only its end in the ledger: it is judged by its number and ours.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from screener import ledger
from screener.call import Call, Stage
from screener.replay.past import PastCall, PastDial
from screener.state.manner import manner_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

UNKNOWN: Final = frozenset(("call.diverted", "caller.has_name"))
"""Of a call that was not screened."""

_TEXTS = frozenset(Call.__slots__) - {"id", "stage", "at", "asked", "deadline_ms"}


class LedgerFile:
    """The calls of a ledger, oldest first; its methods raise LedgerError as `ledger.calls` does."""

    def __init__(self, path: ledger.Place) -> None:
        self.path = path
        self.skipped: Counter[str] = Counter()

    def total(self, since: datetime | None) -> int:
        """How many calls there are, from `since` on."""
        return ledger.count(self.path, since)

    def calls(self, since: datetime | None) -> Iterator[PastCall | PastDial]:
        """Every question of every call, and whom we dialled; those of one call follow each other."""
        for rows in ledger.oldest_first(self.path, since):
            if rows[0].kind == "message":
                continue
            if rows[0].kind == "dialled":
                yield _dialled(rows[0])
            else:
                yield from self._questions(rows)

    def _questions(self, rows: Sequence[ledger.Row]) -> Iterator[PastCall]:
        end: dict[str, Any] = {}
        for row in rows:
            if row.kind == "end":
                end |= row.body
        talk_s = end.get("talk_s")
        answered = end.get("disposition") == "answered"
        became = (answered, talk_s if answered and type(talk_s) is int else 0)
        more: dict[str, Any] = {"challenge": str(end.get("challenge", ""))}
        if end:
            lasted_s, held_s = (_seconds(end.get(name)) for name in ("lasted_s", "held_s"))
            by_caller = end.get("by_caller") is True
            more["manner"] = manner_of(
                str(end.get("disposition")),
                lasted_s,
                held_s,
                by_caller=by_caller,
                peer=str(end.get("peer") or ""),
            )
            more["over_s"] = lasted_s or float(became[1])
        asked = [row for row in rows if row.kind in set(Stage)]
        more["symbols"] = frozenset().union(*(_counted(row) for row in asked if row.kind == Stage.CHALLENGE))
        for row in asked:
            texts, facts, verdict = (row.body.get(name) for name in ("call", "facts", "verdict"))
            if not (isinstance(texts, dict) and isinstance(facts, dict) and isinstance(verdict, dict)):
                self.skipped["damaged or foreign rows"] += 1
                continue
            call, blind = _call(row, Stage(row.kind), texts), bool(row.body.get("missing"))
            yield PastCall(call, *became, facts=facts, verdict=verdict, blind=blind, **more)
        if not asked and end.get("missed"):
            yield PastCall(_call(rows[0], Stage.SETUP, end), *became, unknown=UNKNOWN, **more)
        elif not asked:
            self.skipped["calls without a question"] += 1


def _counted(row: ledger.Row) -> frozenset[str]:
    verdict = row.body.get("verdict")
    hits = verdict.get("hits") if isinstance(verdict, dict) else None
    return frozenset(
        str(hit.get("symbol"))
        for hit in (hits if isinstance(hits, list) else [])
        if isinstance(hit, dict) and not hit.get("shadow")
    )


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value < float("inf") else None


def _dialled(row: ledger.Row) -> PastDial:
    number, talk_s = row.body.get("number"), row.body.get("talk_s")
    answered = row.body.get("answered") is True
    talked = talk_s if answered and type(talk_s) is int else 0
    return PastDial(number if isinstance(number, str) else "", row.at, answered, talked)


def _call(row: ledger.Row, stage: Stage, body: dict[str, Any]) -> Call:
    texts = {name: body[name] for name in _TEXTS if isinstance(body.get(name), str)}
    return Call(**{"channel": "", **texts}, id=row.call_id, stage=stage, at=row.at)
