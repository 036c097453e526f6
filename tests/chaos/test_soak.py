"""A soak of a minute: no call, row or recording is lost, and faults happened. scripts/soak is longer."""

from __future__ import annotations

import pytest

from tests.soak.__main__ import soak

SEED = 7
RATE = 15
"""What a busy machine with two cores carries beside other tests."""


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_soak__faults_by_chance_for_a_minute__nothing_is_lost() -> None:
    report = await soak(1.0, RATE, SEED)
    assert report.missed == []
    assert sum(report.account.placed.values()) == RATE * 60
    assert len(report.windows) >= 3
    assert report.account.recordings["filed once, as they are"] >= 10
