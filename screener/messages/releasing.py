"""Whether a message that was kept back may be delivered now. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from screener.ledger import state_of

if TYPE_CHECKING:
    from datetime import datetime

    from screener.ledger import Row

RELEASING = timedelta(minutes=1)
"""A release that has told no end for so long was cut short: another may try, lest the message be lost."""


def unknown(message_id: str) -> str:
    """What is said of a message that is not there."""
    return f"there is no message {message_id}"


def why_not(rows: tuple[Row, ...], message_id: str, now: datetime) -> str:
    """Why a message with these rows is not to be released now; empty if it is."""
    if not any(row.kind == "message" for row in rows):
        return unknown(message_id)
    if (state := state_of(rows)) in {"delivered", "released"}:
        return f"it has been {state}"
    releases = [row for row in rows if row.kind in {"message-releasing", "message-release-failed"}]
    if releases and releases[-1].kind == "message-releasing" and now - releases[-1].at < RELEASING:
        return "somebody is releasing it at this moment; see in a minute whether it was sent"
    return ""
