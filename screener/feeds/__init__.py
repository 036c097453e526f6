"""Feeds: numbers that others complain about, kept in the store beside our own lists.

`formats` read bytes, `firewall` says what of them may stand, `fetch` gets them, `store` keeps them,
`refresh` does all of it when it is time. What a listing weighs is `screener.state.weighing`; what
comes of it, `config/rules/feeds.yaml`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from screener.feeds.refresh import Refresher
from screener.feeds.store import About, FeedStore, Status
from screener.state.weighing import Terms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from screener.config.feeds import Feed

__all__ = ["About", "FeedStore", "Refresher", "Status", "terms_of"]


def terms_of(feeds: Mapping[str, Feed]) -> tuple[Terms, ...]:
    """What `State` has to know of the feeds that are enabled."""
    return tuple(
        Terms(name, feed.weight, feed.half_life_days, feed.full_votes)
        for name, feed in feeds.items()
        if feed.enabled
    )
