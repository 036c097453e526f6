"""What a feed may send, in each format, packed or not: rows, bad rows, or a refusal."""

import contextlib

from screener.errors import FeedRefused, ListEntryRefused
from screener.feeds.fetch import unpacked
from screener.feeds.formats import FORMATS, Row

COLUMNS = {"number": "1", "votes": "2", "label": "3", "seen": "4"}
SEEDS = [
    b"0+8617712345678 # robot\n+49*\n", b'1+861,3,robot,2026-01-01\n"a\nb",,,\n',
    b'2{"numbers": [{"phone": "+491", "votes": 3, "rating": "G"}], "version": 3}',
    b'3[{"pattern": "3316#######"}]', b"4Company_Phone_Number,Created_Date\n2025550100,2026-01-01 00:00:00\n",
    b"5\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", b"0" + b"[" * 600,
]  # fmt: skip


def target(raw: bytes) -> None:
    name = sorted(FORMATS)[raw[0] % len(FORMATS)] if raw else "plain"
    with contextlib.suppress(FeedRefused):
        for one in FORMATS[name](unpacked(raw[1:], 1 << 20), COLUMNS):
            with contextlib.suppress(ListEntryRefused):
                if isinstance(one, Row):
                    assert one.listing.votes >= 0
