"""From what became of simulated calls to figures with their uncertainty, class by class."""

from __future__ import annotations

from collections import Counter
from math import ceil, sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

from screener.simulation import ATTACKERS
from screener.verdict import Action

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.sim.world import Outcome

Z: Final = 1.96
SOON: Final = 5
"""A campaign counts as caught in time by this call of its own."""
THROUGH_S: Final = 10.0
AWAY: Final = frozenset((Action.VOICEMAIL, Action.REJECT))


class Share(NamedTuple):
    """So many of so many, with Wilson's 95 % interval."""

    part: int
    whole: int

    @classmethod
    def of(cls, outcomes: Iterable[Outcome], test: Callable[[Outcome], bool]) -> Share:
        """The share of outcomes that pass a test."""
        answers = [test(one) for one in outcomes]
        return cls(sum(answers), len(answers))

    @property
    def percent(self) -> float:
        """The share; 0 of nothing."""
        return 100 * self.part / self.whole if self.whole else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true share lies, in percent."""
        if not self.whole:
            return 0.0, 100.0
        n, p = self.whole, self.part / self.whole
        middle, spread = p + Z**2 / (2 * n), Z * sqrt(p * (1 - p) / n + Z**2 / (4 * n * n))
        low, high = (middle - spread) / (1 + Z**2 / n), (middle + spread) / (1 + Z**2 / n)
        return 100 * max(0.0, low), 100 * min(1.0, high)

    def __str__(self) -> str:
        """As it stands in a table: 97.5 (95.1 to 98.7); a dash for nothing of nothing."""
        if not self.whole:
            return "–"
        digits = 2 if self.interval[1] < 1 else 1
        low, high = self.interval
        return f"{self.percent:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def at_once(one: Outcome) -> bool:
    """To the voicemail before anything was asked."""
    return one.setup in AWAY


def challenged(one: Outcome) -> bool:
    """Asked for a key."""
    return one.setup is Action.CHALLENGE


def away(one: Outcome) -> bool:
    """No telephone rang, in the end."""
    return one.end in AWAY


def soon(one: Outcome) -> bool:
    """The telephone rang, 10 s after the answer at the latest."""
    return not away(one) and one.through_s <= THROUGH_S


class Caught(NamedTuple):
    """At which call of its own each campaign was first kept from ringing; None: never."""

    at: tuple[int | None, ...]

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Caught:
        """Of campaigns of any classes, whose calls come in the order of time."""
        counted: dict[str, int] = {}
        first: dict[str, int | None] = {}
        for one in outcomes:
            counted[one.campaign] = counted.get(one.campaign, 0) + 1
            if first.setdefault(one.campaign, None) is None and away(one):
                first[one.campaign] = counted[one.campaign]
        return cls(tuple(first.values()))

    @property
    def in_time(self) -> Share:
        """Campaigns that were caught by their fifth call."""
        return Share(sum(at is not None and at <= SOON for at in self.at), len(self.at))

    def quantile(self, share: float) -> str:
        """By which call so many are caught; "never" if fewer ever are."""
        ranked = sorted(self.at, key=lambda at: (at is None, at or 0))
        at = ranked[max(0, ceil(share * len(ranked)) - 1)] if ranked else None
        return "never" if at is None else str(at)


def by_kind(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """The outcomes of each class."""
    found: dict[str, list[Outcome]] = {}
    for one in outcomes:
        found.setdefault(one.kind, []).append(one)
    return found


def moved(before: Iterable[Outcome], after: Iterable[Outcome]) -> int:
    """How many calls go another way, or are made at all."""
    was, now = (Counter((one.campaign, one.setup, one.end) for one in some) for some in (before, after))
    return max((was - now).total(), (now - was).total())


def differences(before: Sequence[Outcome], after: Sequence[Outcome]) -> list[tuple[float, str]]:
    """What changes for each class, the most first, in words and in points of percent."""
    old, new = by_kind(before), by_kind(after)
    found = []
    for kind, was in old.items():
        now = new[kind]
        if kind in ATTACKERS:
            pairs = [
                ("stopped", Share.of(was, away), Share.of(now, away)),
                ("to the voicemail at once", Share.of(was, at_once), Share.of(now, at_once)),
                ("caught by the 5th call", Caught.of(was).in_time, Caught.of(now).in_time),
            ]
        else:
            pairs = [
                ("challenged", Share.of(was, challenged), Share.of(now, challenged)),
                ("to the voicemail", Share.of(was, away), Share.of(now, away)),
            ]
        for what, first, then in pairs:
            if abs(change := then.percent - first.percent) >= 0.05:
                found.append((abs(change), f"{kind} {what} {first.percent:.1f} → {then.percent:.1f}"))
    return sorted(found, key=lambda row: (-row[0], row[1]))
