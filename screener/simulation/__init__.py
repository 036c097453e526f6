"""Call histories of imagined houses: the same for the same seed, and knowing nothing of our rules.

`attempts` says what a call is before anybody screens it, `house` who is called and from where,
`attackers`, `impostors` and `ordinary` how each class of callers behaves, `aftermath` what people then do.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from screener.simulation.aftermath import after
from screener.simulation.attackers import ATTACKERS
from screener.simulation.attempts import (
    MAILBOX_S,
    Attempt,
    Awaiting,
    Complaint,
    Dialling,
    Event,
    Press,
    Reaction,
    as_it_rings,
)
from screener.simulation.house import ABROAD, PLANS, Campaign, build
from screener.simulation.ordinary import ORDINARY

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import tzinfo

MONDAY: Final = datetime(2026, 1, 5, tzinfo=UTC)
KINDS: Final = (*ATTACKERS, *ORDINARY)
"""The classes of callers, unwanted ones first."""

__all__ = [
    "ABROAD", "ATTACKERS", "KINDS", "MAILBOX_S", "ORDINARY", "PLANS", "Attempt", "Awaiting", "Complaint",
    "Dialling", "Event", "Press", "Reaction", "as_it_rings", "history",
]  # fmt: skip


def history(
    seed: int | str, region: str, zone: tzinfo, kinds: Collection[str] = KINDS, campaigns: int = 1
) -> list[Event]:
    """Four weeks of one house with so many campaigns of each class, in the order of time.

    `region` is one of `PLANS`. Every class has a chance of its own, so leaving one out changes no other.
    """
    house = build(random.Random(f"{seed} house"), region, MONDAY, zone)
    events: list[Event] = []
    for kind in kinds:
        # The background is the rest of the world: there is one.
        for name in (f"{kind} {seed}.{n}" for n in range(1 if kind == "background" else campaigns)):
            campaign = Campaign(kind, name, random.Random(name), house, kind in ATTACKERS)
            (ATTACKERS.get(kind) or ORDINARY[kind])(campaign)
            events += after(campaign, random.Random(f"{name} after"))
    return sorted(events, key=lambda one: one.at)
