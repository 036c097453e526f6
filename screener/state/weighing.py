"""What the word of the feeds weighs: pure arithmetic over what the store holds of one caller.

An entry weighs the weight of its feed, halved with every half-life of its age, times its share of
`full_votes`. Its age runs from the last complaint, or from the snapshot where that is not told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from screener.facts import UNLISTED

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY_S = 86400.0
SHORTEST_FIELD = 5
"""`+`, a country code of one digit and three more: a shorter prefix is never taken (see `patterns`)."""
LONGEST_KEY = 16

NOT_LISTED = {name: value for name, value in UNLISTED.items() if name.startswith("feed.")}


@dataclass(frozen=True, slots=True)
class Terms:
    """How far the word of a feed goes; `half_life_days` is infinite for one that does not wear off."""

    name: str
    weight: float
    half_life_days: float
    full_votes: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What a feed says of a pattern, as it is stored; `seen_at` is Unix time, 0 if unknown."""

    votes: int
    seen_at: int = 0
    label: str = ""

    @classmethod
    def stored(cls, value: str) -> Listing:
        """Read it from the store; whatever another program left there has no votes."""
        votes, _, rest = value.partition("\t")
        seen_at, _, label = rest.partition("\t")
        return cls(_count(votes), _count(seen_at), label)

    @property
    def value(self) -> str:
        """What is stored, as short as it can be."""
        return f"{self.votes}\t{self.seen_at or ''}\t{self.label}".rstrip("\t")


def fields_of(key: str) -> tuple[str, ...]:
    """Every field of a feed that could match a caller, the longest first: 13 at most."""
    if not key or len(key) > LONGEST_KEY:
        return ()
    if not key.startswith("+"):  # digits that no plan has a full form for
        return (key,) if len(key) > SHORTEST_FIELD + 1 else ()
    return (key, *(key[:length] + "*" for length in range(len(key), SHORTEST_FIELD - 1, -1)))


def weight_of(listing: Listing, terms: Terms, as_of: float, now: float) -> float:
    """The weight of one entry of a snapshot that was new at `as_of`; all times are Unix times."""
    since = min(listing.seen_at, as_of) if listing.seen_at else as_of
    age_days = max(0.0, now - since) / DAY_S
    confidence = min(1.0, listing.votes / terms.full_votes)
    return float(terms.weight * confidence * 0.5 ** (age_days / terms.half_life_days))


def weigh(
    found: Sequence[Sequence[object]], terms: Sequence[Terms], now: float
) -> dict[str, str | int | float]:
    """The facts about the feeds, from what `observe.lua` found in those that have a snapshot.

    What makes no sense there is no entry: a store that others write to must not end a call's verdict.
    """
    weights: dict[str, float] = {}
    max_votes = 0
    for place, as_of, field, value in found:
        if not field:
            continue
        listing, feed = Listing.stored(str(value)), terms[int(str(place))]
        if listing.votes > 0:
            weights[feed.name] = weight_of(listing, feed, _count(str(as_of)), now)
            max_votes = max(max_votes, listing.votes)
    return {
        "feed.asked": len(found),
        "feed.count": len(weights),
        "feed.names": ", ".join(sorted(weights, key=lambda name: (-weights[name], name))),
        "feed.weight": round(sum(weights.values(), 0.0), 4),
        "feed.max_votes": max_votes,
    }


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= len("1000000000000") else 0
