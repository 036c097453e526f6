"""A collector as the ledger knows him: eight calls from three numbers, by a robot and by a person."""

from __future__ import annotations

import hashlib
import wave
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from screener.ledger import Ledger, Row

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NUMBERS = ("+8617712345678", "+8617712345999", "+8617799990001")
STRANGER = "+8613800138000"
NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
COMPANY = "飞快贷款公司"
SAID = [
    {"kind": "company", "name": "ZH_COMPANY", "value": COMPANY, "quote": f"我是{COMPANY}"},
    {"kind": "amount", "name": "ZH_AMOUNT", "value": "3000 CNY", "quote": "欠款3000元"},
    {"kind": "collection", "name": "ZH_COLLECTION", "value": "", "quote": "尽快还款"},
]


def call_rows(
    id_: str,
    at: datetime,
    number: str,
    *,
    recordings: Iterable[dict[str, Any]] = (),
    said: list[dict[str, Any]] | None = None,
    campaign: int = 0,
    name: str = "",
    **end: Any,
) -> list[Row]:
    """The rows of one call that the voicemail took."""
    call = {"number": number, "e164": number, "name": name, "did": "100", "trunk": "PJSIP/t"}
    verdict = {"action": "voicemail", "score": 9.0, "hits": []}
    asked = {"call": call, "facts": {}, "verdict": verdict, "timings": {}, "missing": []}
    rows = [Row(id_, "setup", at, asked)]
    ending = {"number": number, "did": "100", "disposition": "recorded", "talk_s": 0, "lasted_s": 20.0,
              "held_s": 18.0, "by_caller": True, "challenge": ""} | end  # fmt: skip
    rows.append(Row(id_, "end", at + timedelta(seconds=20), ending))
    rows += [Row(id_, "recording", at + timedelta(seconds=21), one) for one in recordings]
    if campaign:
        heard = {"campaign": campaign, "calls": 1, "callers": 1, "onset_s": 0.5, "verdict": ""}
        rows.append(Row(id_, "campaign", at + timedelta(seconds=22), heard))
    if said is not None:
        text = "，".join(one["quote"] for one in said)
        rows.append(Row(id_, "transcript", at + timedelta(seconds=30), {"text": text, "wording": said}))
    return rows


def recording(spool: Path, id_: str, at: datetime) -> dict[str, Any]:
    """A WAV of the caller's leg, and what its row says."""
    path = spool / f"{at:%Y-%m-%d}" / f"{id_}-caller.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(id_.encode().ljust(80, b"\0") * 10)
    content = path.read_bytes()
    about = {"path": str(path), "leg": "caller", "bytes": len(content), "seconds": 0.05, "complete": True}
    return about | {"sha256": hashlib.sha256(content).hexdigest(), "notice_played_at": "1"}


def eight_calls(spool: Path) -> list[Row]:
    """On one day, an hour apart: five by a robot, three by a person; one of somebody else in between."""
    rows: list[Row] = []
    for n in range(8):
        at, id_ = NOON + timedelta(hours=n), f"1.{n}"
        rows += call_rows(
            id_,
            at,
            NUMBERS[n % 3],
            recordings=[recording(spool, id_, at)],
            campaign=7 if n < 5 else 0,
            said=SAID if n >= 4 else None,
        )
        if n == 0:
            rows += call_rows("9.9", NOON + timedelta(minutes=30), STRANGER, said=[])
    return rows


def write_ledger(path: Path, rows: Iterable[Row]) -> None:
    """File the rows as the service does."""
    with Ledger.open(path) as ledger:
        for row in rows:
            ledger.append(row)
