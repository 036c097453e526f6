"""Call detail records of an imagined office, the same for the same seed: for tests and measurements."""

from __future__ import annotations

import csv
import io
import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = datetime(2026, 1, 5, 0, 0, 0)  # noqa: DTZ001 - records hold local time
FREEPBX_COLUMNS = [
    "calldate", "clid", "src", "dst", "dcontext", "channel", "dstchannel", "lastapp", "lastdata", "duration",
    "billsec", "disposition", "amaflags", "accountcode", "uniqueid", "userfield", "did", "recordingfile",
    "cnum", "cnam", "outbound_cnum", "outbound_cnam", "dst_cnam", "linkedid", "peeraccount", "sequence",
]  # fmt: skip


def record(
    at: datetime,
    src: str = "13912345678",
    did: str = "1055550100",
    *,
    talk_s: int = 0,
    name: str = "",
    context: str = "from-trunk",
    unique: str = "",
    channel: str = "PJSIP/carrier-00000001",
    last_app: str = "Dial",
) -> list[str]:
    """One row of a Master.csv."""
    answered = at + timedelta(seconds=8)
    ended = answered + timedelta(seconds=talk_s)
    return [
        "", src, did, context, f'"{name}" <{src}>', channel, "PJSIP/201-00000002", last_app, "PJSIP/201,30",
        f"{at:%Y-%m-%d %H:%M:%S}", f"{answered:%Y-%m-%d %H:%M:%S}" if talk_s else "",
        f"{ended:%Y-%m-%d %H:%M:%S}", str(8 + talk_s), str(talk_s),
        "ANSWERED" if talk_s else "NO ANSWER", "DOCUMENTATION", unique or f"{at.timestamp():.0f}.{src}", "",
    ]  # fmt: skip


def office(calls: int, seed: int = 1, days: int = 90) -> Iterator[list[str]]:
    """Customers who call again and strangers who do not, diallers that sweep, and calls of our own."""
    chance = random.Random(seed)
    mobiles = [f"139{chance.randrange(10**8):08d}" for _ in range(max(10, calls // 20))]
    dids = [f"10555501{n:02d}" for n in range(40)]
    step = days * 86400 / calls
    for n in range(calls):
        at = START + timedelta(seconds=int(n * step))
        kind = chance.random()
        unique = f"{n}.1"
        if kind < 0.15:
            yield record(at, "201", "13800138000", talk_s=60, context="from-internal", unique=unique)
        elif kind < 0.25:
            sweeper = f"177{n // 400:08d}"
            yield record(at, sweeper, chance.choice(dids), unique=unique)
        elif kind < 0.28:
            yield record(at, "", chance.choice(dids), talk_s=chance.randrange(200), unique=unique)
        elif kind < 0.45:
            stranger = f"138{chance.randrange(10**8):08d}"
            yield record(at, stranger, chance.choice(dids), talk_s=chance.randrange(90), unique=unique)
        else:
            talk_s = chance.choice((0, 5, 70, 300))
            yield record(at, chance.choice(mobiles), chance.choice(dids), talk_s=talk_s, unique=unique)


def as_freepbx(row: list[str]) -> list[str]:
    """The same record as FreePBX's table has it."""
    (account, src, dst, context, clid, channel, dst_channel, app, data, start, _, _, duration, billsec,
     disposition, flags, unique, field) = row  # fmt: skip
    inbound = context == "from-trunk"
    ring, context = ("201", "ext-local") if inbound else (dst, context)
    return [
        start, clid, src, ring, context, channel, dst_channel, app, data, duration, billsec, disposition,
        flags, account, unique, field, dst if inbound else "", "", src, "", "", "", "", unique, "", "0",
    ]  # fmt: skip


def write(path: Path, rows: Iterator[list[str]] | list[list[str]], header: list[str] | None = None) -> Path:
    """Write rows as Asterisk's cdr_csv does: every cell in quotes, a line each."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        if header:
            writer.writerow(header)
        writer.writerows(rows)
    return path


def line(row: list[str]) -> str:
    """One row as text."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(row)
    return text.getvalue()
