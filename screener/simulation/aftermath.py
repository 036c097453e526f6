"""What people do about a caller once they have heard him: our own, and those elsewhere who complain.

Each campaign has a chance of its own for this, so none of it changes how anybody dials. All shares are
proposals but for those with a source.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from screener.simulation.attempts import MAILBOX_S, Attempt, Complaint

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from datetime import datetime

    from screener.simulation.attempts import Event
    from screener.simulation.house import Campaign

_ELSEWHERE = {False: 0.0001, True: 0.6}
"""Numbers that stand in a feed, at last. Blocklists knew more than 55 % of the calls that came later, and
0.01 % of business numbers by mistake (Pandit et al., NDSS 2018)."""
_MADE_UP = frozenset(("spoofed neighbours", "forged numbers", "bank impostor", "forged at home"))
"""Who shows numbers that are not his leaves nothing behind under them that others could report in time."""
_SILENT = frozenset(("person", "keyless", "mute"))


def after(campaign: Campaign, chance: random.Random) -> Iterator[Event]:
    """A campaign with what follows from each call, and with the complaints about its numbers."""
    since: dict[str, datetime] = {}
    for one in campaign.events:
        if isinstance(one, Attempt):
            since[one.number] = min(one.at, since.get(one.number, one.at))
            yield _followed(one, campaign, chance)
        else:
            yield one
    if campaign.kind in _MADE_UP:
        return
    for number, first in since.items():
        # It called others 1 to 14 days before us; a feed takes half a day to three to name it.
        if chance.random() >= _ELSEWHERE[campaign.attacks]:
            continue
        at = first - timedelta(days=chance.uniform(1, 14))
        for feed in range(1 if chance.random() < 0.6 else 2):
            at += timedelta(days=chance.uniform(0.5, 3))
            yield Complaint(at, number, feed, 1 + round(chance.lognormvariate(1.2, 0.8)))


def _followed(one: Attempt, campaign: Campaign, chance: random.Random) -> Attempt:
    """One in ten who were annoyed block the number; one in five who heard a recording says what it is.

    A recording that was wanted gets its number allowed by three in ten, a person's by one in twenty. Of
    unwanted messages 85 % are deleted and the rest lie there; of wanted ones a half is kept, a quarter
    deleted, and every second person leaves none.
    """
    machine = one.reaction.kind not in _SILENT
    wanted, lot = not campaign.attacks, chance.random()
    message: Literal["", "kept", "deleted"] = ""
    if campaign.house.mailbox and one.patience_s >= MAILBOX_S and (machine or not wanted or lot < 0.5):
        kept, deleted = (0.5, 0.75) if wanted else (0.0, 0.85)
        fate = chance.random()
        message = "kept" if fate < kept else "deleted" if fate < deleted else ""
    listed = chance.random() < ((0.3 if machine else 0.05) if wanted else 0.1)
    judged = machine and chance.random() < 0.2
    return replace(
        one,
        plays=one.campaign if machine else "",
        message=message,
        listed=("allow" if wanted else "block") if listed else "",
        judged=("harmless" if wanted else "robocall") if judged else "",
        heard_after_s=chance.uniform(0.2, 8) * 3600,
    )
