"""Each shipped pack against a plainly written oracle over 10,000 generated histories; the oracle itself."""

from __future__ import annotations

import pytest

from tests.histories import CHANGES, PACKS, changed, disagreements

HISTORIES, AT_ONCE = 10_000, 2_000
ENOUGH = 2_000
"""Histories after which the oracle must have noticed a change; nearly all are noticed within fifty."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(HISTORIES // AT_ONCE))
@pytest.mark.parametrize("name", PACKS)
def test_pack__ten_thousand_histories__agrees_with_the_oracle_on_each(name: str, seed: int) -> None:
    assert disagreements(PACKS[name], AT_ONCE, seed) == []


@pytest.mark.parametrize("change", CHANGES)
def test_pack__a_rule_changed__the_oracle_disagrees(change: str) -> None:
    pack = changed(change)
    assert any(disagreements(pack, 20, seed) for seed in range(ENOUGH // 20))
