"""What a call or message of the ledger is to a case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from screener import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from screener.ledger import CallRecord


def caller_of(record: CallRecord, region: str) -> str:
    """Who called, E.164 where that can be told; empty if withheld. `region` reads a call nobody judged."""
    shown = record.call.get("number") or record.end.get("number", "")
    key: str = record.call.get("e164") or number.parse(shown, region).key
    return key


def is_message(record: CallRecord) -> bool:
    """Whether it is a message, not a call."""
    return any(row.kind == "message" for row in record.rows)


def campaign_of(record: CallRecord) -> Mapping[str, Any]:
    """How the caller's leg sounded, empty if nobody listened."""
    return next((row.body for row in record.rows if row.kind == "campaign"), {})
