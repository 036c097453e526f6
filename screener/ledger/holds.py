"""What is exempt from erasing: rows of kind `hold`, until one of kind `release` ends them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from screener.ledger.sqlite import KEEPING

if TYPE_CHECKING:
    from screener.ledger.database import Database

HOLDS = f"SELECT kind, call_id, body FROM row WHERE {KEEPING} AND kind != 'erased' ORDER BY seq"  # noqa: S608 - words of our own


class Hold(NamedTuple):
    """What must not be erased: a call by its Uniqueid, or all calls of a number, one of them empty.

    `by` tells apart who holds it, such as a case; empty: a person by command.
    """

    call: str
    caller: str
    by: str
    because: str

    def __str__(self) -> str:
        by = f" by {self.by}" if self.by else ""
        return f"{self.call or self.caller}{by} ({self.because})"


def holds(db: Database) -> list[Hold]:
    """What is held at present."""
    held: dict[tuple[str, str, str], Hold] = {}
    for kind, call, body in db.execute(HOLDS):
        about = json.loads(body or "{}")  # of a call that was erased after its release
        hold = Hold(call, about.get("e164", ""), about.get("by", ""), about.get("because", ""))
        if kind == "hold":
            held[hold[:3]] = hold
        else:
            held.pop(hold[:3], None)
    return [hold for hold in held.values() if hold.call or hold.caller]
