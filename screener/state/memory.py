"""Whether a store that is full will forget the right things: strangers first, lists never."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ADVICE: Final = "set maxmemory-policy volatile-ttl there"
LEAST_MB: Final = 64
"""Below this a store that never forgets is soon full."""


def risk_of(memory: Mapping[str, Any]) -> str:
    """What goes wrong when the server of this `INFO memory` is full; empty where nothing does."""
    limit, policy = memory.get("maxmemory", 0), str(memory.get("maxmemory_policy", ""))
    if not isinstance(limit, int) or limit <= 0:
        return ""
    if policy.startswith("allkeys-"):
        return f"when its memory is full it drops the lists as well ({policy}): {ADVICE}"
    if policy == "noeviction":
        full = "has little memory and " if limit < LEAST_MB << 20 else ""
        return f"it {full}forgets nothing when that is full, so calls are not counted any more: {ADVICE}"
    if policy and policy != "volatile-ttl":
        return f"when its memory is full it may drop regular callers before strangers ({policy}): {ADVICE}"
    return ""
