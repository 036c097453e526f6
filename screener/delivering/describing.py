"""What is said of a recording in a mailbox and a notification: one line, whatever a stranger wrote. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from screener.text import printable

if TYPE_CHECKING:
    from datetime import tzinfo

    from screener.ledger import CallRecord

NAME_CHARS: Final = 80
REASON_BYTES: Final = 900
"""Asterisk takes lines of 1,024 bytes from its manager interface."""


def described(record: CallRecord | None, zone: tzinfo | None = None) -> tuple[str, str]:
    """A caller's name for the mailbox, of our own words alone, and the reason with what was said.

    With a `zone` it says when the call came: the mailbox dates what is late by the moment of the copy.
    """
    verdict = record.verdict if record else {}
    came = [f"came {record.at.astimezone(zone):%Y-%m-%d %H:%M}"] if record and zone else []
    if not record or not verdict:
        return "not screened", " - ".join([*came, "the screener was away when this call came"])
    forced = verdict.get("forced_by")
    hits = [hit for hit in verdict.get("hits", []) if not hit["shadow"]]
    hits.sort(key=lambda hit: (hit["symbol"] != forced, -abs(hit["score"]), hit["symbol"]))
    score = f"{verdict['score']:g}"
    name = printable(" ".join([score, *(hit["symbol"] for hit in hits)]), NAME_CHARS)
    symbols = " ".join(f"{hit['symbol']}({hit['score']:+g})" for hit in hits)
    parts = [*came, f"score {score}{f', decided by {forced}' * bool(forced)}: {symbols}"]
    if record.call.get("name"):
        parts.append(f"calls himself {printable(record.call['name'], NAME_CHARS)}")
    if text := record.transcript.get("text"):
        parts.append(f"said: {text}")
    # A semicolon would begin a comment in the file that VoiceMail keeps beside the sound.
    line = " - ".join(parts).replace(";", ",")
    return name, printable(line, REASON_BYTES).encode()[:REASON_BYTES].decode(errors="ignore")
