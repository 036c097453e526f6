"""What the screener and its store hold while they run: memory and open files, and how fast that grows."""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.load import rss_mb
from tests.pbx.faults import store_pid

if TYPE_CHECKING:
    from tests.pbx.house import House
    from tests.soak.faults import Window

EACH_S = 1.0
FEWEST = 10
"""Fewer samples than these make no slope."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one life of the screener held at one moment."""

    at: float
    pid: int
    screener_mb: float
    store_mb: float
    files: int


async def watch(house: House, samples: list[Sample]) -> None:
    """Take a sample a second; none while a process is being started or stopped."""
    while True:
        await asyncio.sleep(EACH_S)
        process = house.service.process
        try:
            if process and process.returncode is None:
                files = len(os.listdir(f"/proc/{process.pid}/fd"))  # noqa: PTH208 - a list of names is enough
                stored = rss_mb(store_pid(house.service))
                samples.append(Sample(time.time(), process.pid, rss_mb(process.pid), stored, files))
        except (OSError, ValueError, IndexError):
            continue


def slopes(samples: list[Sample], windows: list[Window], since: float) -> dict[str, float]:
    """MB and files an hour, of the screener's last life, from `since` on and outside of faults."""
    quiet = [
        one for one in samples
        if one.at >= since and one.pid == samples[-1].pid
        and not any(window.touches(one.at, one.at) for window in windows)
    ]  # fmt: skip
    hours = [(one.at - since) / 3600 for one in quiet]
    grown = {"screener MB/h": "screener_mb", "store MB/h": "store_mb", "files/h": "files"}
    return {
        name: statistics.linear_regression(hours, [getattr(one, key) for one in quiet]).slope
        if len(quiet) >= FEWEST
        else math.nan
        for name, key in grown.items()
    }
