"""The shipped packs against an oracle, and whether their examples notice when a rule is changed.

`tests/e2e/test_packs.py` compares ten thousand histories of each pack; here it is a few.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from tests.histories import CHANGES, PACKS, changed, disagreements, document


@pytest.mark.parametrize("name", PACKS)
def test_pack__generated_histories__agrees_with_the_oracle(name: str) -> None:
    assert disagreements(PACKS[name], 60, seed=1) == []


@pytest.mark.parametrize("change", CHANGES)
def test_pack__a_rule_changed__its_examples_notice(change: str) -> None:
    pack = changed(change)
    written = document(pack)
    zone = ZoneInfo(written.zone)
    assert any(sorted(one.come(pack, zone)) != sorted(one.incidents) for one in written.examples.values())
