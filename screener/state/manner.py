"""How a call ended, as far as it tells how its caller dials; `over.lua` counts it, `observe.lua` is asked."""

from __future__ import annotations

from typing import Final, NamedTuple

SHORT_RING_S: Final = 15.0
"""Or four rings: a caller who gives up sooner does not let people answer (US 16 CFR 310.4)."""
ABANDONED_S: Final = 10.0
"""Who hangs up so soon after the answer has not listened."""
CUT_SHORT_S: Final = 25.0
"""Whom one of us leaves so soon we did not want to hear (the times of unwanted calls, Li et al. 2018)."""


class Manner(NamedTuple):
    """Not by a person; given up after a short ring; by a person or a machine of ours; left at once then.

    `cut_short`: one of us ended it soon.
    """

    unanswered: bool = False
    short_ring: bool = False
    taken: bool = False
    abandoned: bool = False
    cut_short: bool = False


def manner_of(
    disposition: str, lasted_s: float | None, held_s: float | None, *, by_caller: bool, peer: str = ""
) -> Manner:
    """How a call ended: it lasted so long, of it `held_s` after an answer; `by_caller`: he hung up.

    `peer` is the telephone of ours that took it: without one, an announcement was over and cut nobody short.
    Where a time is not known (None) the call is no short ring, not abandoned and not cut short.
    """
    answered = disposition == "answered"
    taken = answered or bool(held_s)
    short = by_caller and not taken and lasted_s is not None and lasted_s < SHORT_RING_S
    left = by_caller and taken and held_s is not None and held_s < ABANDONED_S
    cut = answered and peer != "" and not by_caller and held_s is not None and held_s < CUT_SHORT_S
    return Manner(not answered, short, taken, left, cut)
