"""Where each call had to end, what was filed of it, and what was lost."""

from __future__ import annotations

import csv
import hashlib
import math
import wave
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from screener import ledger
from tests.soak.faults import DEAD_BEFORE_S
from tests.soak.traffic import ROBOT_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from screener.ledger import Row
    from tests.soak.faults import Window
    from tests.soak.traffic import Placed

STORE = {"store killed", "store hangs", "store slow", "ledger's disk full", "clock skewed"}
"""Calls are judged without what the store knew: a blocked one may ring, a withheld one may not be asked."""
LAST_MOMENT_S = 0.3
"""A killed screener takes the rows of its last 50 ms along (docs/faults.md), and what it had in hand; a line
that is cut, what was on it.
"""
RECORD_S = 0.5
"""Asterisk writes the record of a call so long after its end; what it had not written dies with it."""
WITHHELD = {"robot", "person"}


@dataclass
class Account:
    """The whole account. `lost` must be empty, everything else is counted."""

    reached: Counter[str] = field(default_factory=Counter)
    placed: Counter[str] = field(default_factory=Counter)
    unfiled: int = 0
    """How many of the lost are rows and recordings, which may still come."""
    died: Counter[str] = field(default_factory=Counter)
    misplaced: Counter[str] = field(default_factory=Counter)
    apart: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    recordings: Counter[str] = field(default_factory=Counter)
    delays: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def of(placed: Iterable[Placed], windows: list[Window], ledger_path: Path, spool: Path, cdr: Path) -> Account:
    """Everything that was placed against everything that was seen and filed of it."""
    account = Account()
    calls = list(placed)
    by_cdr = answered_by_cdr(cdr)
    rows: dict[str, list[Row]] = {}
    for filed in ledger.oldest_first(ledger_path):
        rows.setdefault(filed[0].call_id, []).extend(filed)
    for one in calls:
        over = one.over or one.at + 2
        during = [window for window in windows if window.touches(one.at, over)]
        account.placed[one.kind] += 1
        problem = misplaced(one, during, by_cdr)
        if problem and died(one, windows):
            account.died[one.kind] += 1
            continue
        if problem:
            account.misplaced[one.kind] += 1
            account.lost.append(told(one, problem, during))
        else:
            account.reached[one.kind] += 1
        _waited(account, one, during)
        if one.kind != "message":
            _filed(account, one, during, windows, rows.get(one.uniqueid, []))
    _recorded(account, calls, windows, rows, spool)
    return account


def died(one: Placed, windows: list[Window]) -> bool:
    """Whether the call was up, or came, while Asterisk was being restarted: it dies by nature."""
    longest = ROBOT_S + DEAD_BEFORE_S if one.kind in WITHHELD else DEAD_BEFORE_S
    return any(
        window.kind == "Asterisk restarted"
        and one.at <= window.mended
        and (one.over + RECORD_S if one.over else one.at + longest) >= window.began
        for window in windows
    )


def misplaced(one: Placed, during: list[Window], by_cdr: dict[str, bool]) -> str:
    """What is wrong with where it ended; empty when it reached its place."""
    return next((problem for wrong, problem in _checks(one, during, by_cdr) if wrong), "")


def _checks(one: Placed, during: list[Window], by_cdr: dict[str, bool]) -> Iterator[tuple[object, str]]:
    if one.kind == "message":
        yield one.delivered != (one.status != 0), f"answered {one.status}, delivered {one.delivered} times"
        return
    yield not one.end, "the dialplan never said that it ended" if one.answered else "never answered"
    yield one.uniqueid not in by_cdr, "Asterisk has no record of it"
    action, recorded = one.end["Action"], one.recording or one.end.get("Unrecorded") == "full"
    if one.kind == "cancels":
        yield action != "allow" or recorded, "a friend was not let through"
        return
    yield not by_cdr[one.uniqueid], "Asterisk says that nothing answered"
    rang = one.end.get("Dialstatus") == "ANSWER" and action == "allow"
    ringing = one.rang or one.kind in WITHHELD  # our telephone does not know who withholds his number
    yield rang and not ringing, "Asterisk says that our telephone answered, and it did not"
    kinds = {window.kind for window in during}
    yield from {
        "friend": [(not rang, "did not ring")],
        # A stranger may be asked for a key, which he does not press.
        "stranger": [(not rang and action != "challenge", "did not ring")],
        "short": [(not rang and action != "challenge", "did not ring")],
        "person": [(not rang, f"did not ring, challenge {one.end['Challenge'] or 'not passed'!r}")],
        # Where nobody is asked, one who withholds his number rings.
        "robot": [(not recorded and not (during and rang), "a robot was not recorded")],
        "blocked": [(not recorded and not (kinds & STORE and rang), "a blocked caller was not recorded")],
    }[one.kind]


def told(one: Placed, problem: str, during: list[Window]) -> str:
    """One line about a call that did not reach its place."""
    faults = ", ".join(f"{window.kind} {window.what}".strip() for window in during) or "no fault"
    said = {
        key: one.end.get(key) for key in ("Action", "Missed", "Challenge", "Dialstatus", "Cause", "Delay")
    }
    return f"{one.at:.1f} {one.kind} {one.key} {one.uniqueid}: {problem} ({faults}) {said if one.end else ''}"


def answered_by_cdr(path: Path) -> dict[str, bool]:
    """By Uniqueid, whether Asterisk's own records say that the call was answered by anybody."""
    answered: dict[str, bool] = {}
    with path.open(newline="", errors="replace") as file:
        for row in csv.reader(file):
            answered[row[16]] = answered.get(row[16], False) or row[14] == "ANSWERED"
    return answered


def _waited(account: Account, one: Placed, during: list[Window]) -> None:
    where = "in a fault" if during else "outside"
    if one.kind == "message" and not one.status:
        account.apart[f"messages that Asterisk never answered, {where}"] += 1
    if one.end.get("Delay"):
        account.delays[f"asked, {where}"].append(float(one.end["Delay"]))
    if one.rang:
        account.delays[f"until it rang, {where}"].append((one.rang - one.at) * 1000)
    if one.end:
        account.apart[f"missed: {one.missed or 'none'}, {where}"] += 1
        if one.kind in {"stranger", "short"} and one.end["Action"] == "challenge":
            account.apart[f"{one.kind} challenged, {where}"] += 1


def _filed(
    account: Account, one: Placed, during: list[Window], windows: list[Window], rows: list[Row]
) -> None:
    """Count the rows of a call that the dialplan had a verdict for."""
    kinds = Counter(row.kind for row in rows)
    if one.asks and (one.end.get("Challenge") or (one.end and not one.missed)):
        if kinds["setup"] == 1:
            account.rows["verdicts filed"] += 1
        elif any(
            window.kind == "screener killed" and -LAST_MOMENT_S <= window.began - one.asks[0] <= LAST_MOMENT_S
            for window in windows
        ):
            account.rows["verdicts of the last moment before a SIGKILL, not filed"] += 1
        else:
            account.unfiled += 1
            account.lost.append(told(one, f"{kinds['setup']} rows of its verdict", during))
    if one.end and kinds["end"] == 1:
        account.rows["ends filed"] += 1
    elif one.end and not kinds["end"] and any(w.touches(one.over, one.over + LAST_MOMENT_S) for w in windows):
        account.rows["ends while nobody listened, not filed"] += 1
    elif one.end:
        account.unfiled += 1
        account.lost.append(told(one, f"{kinds['end']} rows of its end", during))


def _recorded(
    account: Account, calls: list[Placed], windows: list[Window], rows: dict[str, list[Row]], spool: Path
) -> None:
    """Every file that Asterisk closed is filed once, as it is; every recording that it promised is there."""
    full = [window for window in windows if window.kind == "recordings' disk full"]
    for one in calls:
        if one.recording and not died(one, windows):
            for leg in ("caller", "mix"):
                if not Path(f"{one.recording}-{leg}.wav").exists():
                    if any(window.touches(one.at, one.over) for window in full):
                        account.recordings["not made, the disk was full"] += 1
                    else:
                        account.lost.append(told(one, f"no {leg} recording", []))
    for path in sorted(spool.glob("*/*.wav")):
        call_id = path.name.rpartition("-")[0]
        filed = [row.body for row in rows.get(call_id, []) if row.kind == "recording"
                 and row.body["path"] == str(path)]  # fmt: skip
        content = path.read_bytes()
        right = [body for body in filed if body["sha256"] == hashlib.sha256(content).hexdigest()]
        if not closed(path):
            account.recordings["left open by a dead Asterisk or a full disk"] += 1
        if right and len(filed) == 1:
            account.recordings["filed once, as they are"] += 1
        elif right and filed[-1] == right[-1]:
            account.recordings["filed again when they had grown"] += 1
        else:
            account.unfiled += 1
            account.lost.append(f"{path.name}: {len(filed)} rows, {len(right)} of them right")


def closed(path: Path) -> bool:
    """Whether its header agrees with its length, by the standard library."""
    try:
        with wave.open(str(path)) as file:
            return bool(44 + file.getnframes() * 2 == path.stat().st_size)
    except (OSError, EOFError, wave.Error):
        return False


def rank(values: list[float], share: float) -> float:
    """The value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
