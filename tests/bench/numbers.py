"""How long a caller ID takes to read at worst: `python -m tests.bench.numbers [COUNTRY…]`.

Every hostile string of the tests is read once, as if it had never come before. Figures depend on the
machine; nothing here passes or fails.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from screener import number
from tests.hostile import COSTLY, SPOILT

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 20


def times_us(texts: tuple[str, ...], region: str) -> Iterator[float]:
    """Time of each text, microseconds; the best of some rounds, since the machine is not ours alone."""
    for text in texts:
        best = float("inf")
        for _ in range(ROUNDS):
            number._parse.cache_clear()
            started = time.perf_counter()
            number.parse(text, region)
            best = min(best, time.perf_counter() - started)
        yield best * 1e6


def main(regions: list[str]) -> None:
    """One line for each country and kind of string."""
    number.warm(*regions)
    for region in regions:
        for kind, texts in (("spoilt", SPOILT), ("costly", COSTLY)):
            for text in texts:  # compiles what the plans need
                number.parse(text, region)
            spent = sorted(zip(times_us(texts, region), texts, strict=True))
            p50, p99, worst = (spent[int(share * (len(spent) - 1))][0] for share in (0.5, 0.99, 1.0))
            sys.stdout.write(
                f"{region} {kind} ({len(texts)}): p50 {p50:.0f}, p99 {p99:.0f}, max {worst:.0f} µs, "
                f"for {spent[-1][1][:40]!a}\n"
            )


if __name__ == "__main__":
    main(sys.argv[1:] or ["CN", "US", "DE"])
