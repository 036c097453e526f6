"""What our own use of the telephone says of a caller: pure arithmetic over one small record.

An event of the PBX is a `Lesson`; `learn.lua` adds it to the caller's record, `observe.lua` reads that
in the round trip of a call. Everything in it halves with each half-life, has a cap, and is forgotten
half a year after the last lesson.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Final

from screener.facts import NEVER_DAYS, NO_DEALINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from screener.facts import FactValue

DAY_S: Final = 86400.0
TRUST_TTL_S: Final = 15_552_000
"""180 days, as in both scripts."""
GOOD_MAX: Final = 20.0
BAD_MAX: Final = 20.0
TALK_MAX_S: Final = 36_000
"""Caps, as in `learn.lua`: nobody has so much credit that bad labels of a few weeks would not show."""
Z: Final = 1.96
"""Of the Wilson bound: trust is what good calls there are at least, with 97.5 % confidence."""

LONG_TALK: Final = 1.0
PASSED: Final = 0.1
PASSED_UP_TO: Final = 0.4
"""Passing the challenge alone never makes anybody known (`KNOWN_CALLER` asks for 0.45)."""
FAILED: Final = "failed"
PLAYS_ON: Final = "PLAYS_ON"
"""The rule by which a failed challenge counts twice: a recording need not be asked again."""
CHALLENGES: Final = frozenset(("passed", FAILED))
KEPT: Final = 0.5
DELETED: Final = 0.5


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one event teaches: weights of labels, seconds of talk, and whether we dialled him.

    `good` lifts the sum of good labels to `up_to` at most. `challenge` is "passed" or "failed".
    """

    good: float = 0.0
    up_to: float = GOOD_MAX
    bad: float = 0.0
    talk_s: int = 0
    dialled: bool = False
    challenge: str = ""


def of_challenge(result: str) -> Lesson | None:
    """What the caller made of the challenge, "passed" or "failed", as the dialplan says it; or nothing."""
    return Lesson(challenge=result) if result in CHALLENGES else None


def of_talk(result: str, symbols: Collection[str]) -> Lesson | None:
    """What the caller's talk adds to that, from the rules that counted; or nothing."""
    return Lesson(challenge=FAILED) if result == FAILED and PLAYS_ON in symbols else None


def of_call(*, answered: bool, talk_s: int, passed: bool, long_call_s: int) -> Lesson | None:
    """What a call of his teaches: that one of us talked to him, that he passed the challenge; or nothing."""
    talk_s = min(max(0, talk_s), TALK_MAX_S) if answered else 0
    if talk_s >= long_call_s:
        return Lesson(good=LONG_TALK, talk_s=talk_s)
    if passed:
        return Lesson(good=PASSED, up_to=PASSED_UP_TO, talk_s=talk_s)
    return Lesson(talk_s=talk_s) if talk_s else None


def of_dialling(*, answered: bool, talk_s: int, long_call_s: int) -> Lesson:
    """What a call of ours teaches: that we want him, answered or not, and how long we talked."""
    talk_s = min(max(0, talk_s), TALK_MAX_S) if answered else 0
    return Lesson(good=LONG_TALK if talk_s >= long_call_s else 0.0, talk_s=talk_s, dialled=True)


def of_message(*, kept: bool) -> Lesson:
    """What we did with a voicemail of his."""
    return Lesson(good=KEPT) if kept else Lesson(bad=DELETED)


def known(record: Sequence[object] | None, now: float) -> dict[str, FactValue]:
    """The facts in a record (written at, dialled at, half-life in days, good, bad, talk s) at a moment.

    What makes no sense in it counts as nothing: a store that others write to must not decide who is a friend.
    """
    if record is None:
        return dict(NO_DEALINGS)
    at, dialled_at, half_life, good, bad, talk = map(_number, record)
    left = 0.5 ** (max(0.0, now - at) / DAY_S / half_life) if half_life else 0.0
    good, bad = min(good, GOOD_MAX) * left, min(bad, BAD_MAX) * left
    return {
        "caller.dialled_by_us_days": max(0.0, now - dialled_at) / DAY_S if dialled_at else NEVER_DAYS,
        "caller.talk_s_total": round(min(talk, TALK_MAX_S) * left),
        "caller.good_calls": round(good, 4),
        "caller.bad_calls": round(bad, 4),
        "caller.trust": round(wilson(good, bad), 4),
    }


def wilson(good: float, bad: float) -> float:
    """The share of good that there is at least: Wilson's lower bound at `Z`, 0 when nothing is known."""
    n = good + bad
    if n <= 0:
        return 0.0
    # Multiplied by n throughout: what is nearly forgotten must not divide by nothing.
    spread = Z * sqrt(good * (bad / n) + Z**2 / 4)
    return min(1.0, max(0.0, (good + Z**2 / 2 - spread) / (n + Z**2)))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value < float("inf") else 0.0
