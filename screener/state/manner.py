"""How a call ended, as far as it tells how its caller dials; `over.lua` counts it, `observe.lua` is asked."""

from __future__ import annotations

from typing import Final, NamedTuple

SHORT_RING_S: Final = 15.0
"""Or four rings: a caller who gives up sooner does not let people answer (US 16 CFR 310.4)."""
ABANDONED_S: Final = 10.0
"""Who hangs up so soon after the answer has not listened."""


class Manner(NamedTuple):
    """Not by a person; given up after a short ring; by a person or a machine of ours; left at once then."""

    unanswered: bool = False
    short_ring: bool = False
    taken: bool = False
    abandoned: bool = False


def manner_of(disposition: str, lasted_s: float | None, held_s: float | None, *, by_caller: bool) -> Manner:
    """How a call ended: it lasted so long, of it `held_s` after an answer; `by_caller`: he hung up.

    Where a time is not known (None) the call counts neither as a short ring nor as abandoned.
    """
    answered = disposition == "answered"
    taken = answered or bool(held_s)
    short = by_caller and not taken and lasted_s is not None and lasted_s < SHORT_RING_S
    left = by_caller and taken and held_s is not None and held_s < ABANDONED_S
    return Manner(not answered, short, taken, left)
