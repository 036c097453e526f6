"""scripts/evaluate on one house: that the command still says what it promises to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from screener.simulation import ATTACKERS, ORDINARY
from tests.sim import tables
from tests.sim.figures import differences
from tests.sim.running import Trial, fired, policy, run, worlds

if TYPE_CHECKING:
    from tests.sim.running import Results


@pytest.fixture(scope="module")
def results() -> Results:
    trials = [Trial(), Trial(variant="home"), Trial(without="DID_FANOUT"), Trial(without="WITHHELD")]
    return list(run(worlds(1, 2, trials), jobs=1))


def test_run__one_seed__gives_the_same_outcomes_and_every_class(results: Results) -> None:
    again = run(worlds(1, 2, [Trial()]), jobs=1)
    assert [one[Trial()] for one in again] == [one[Trial()] for one in results]
    assert {one.kind for one in results[0][Trial()]} == {*ATTACKERS, *ORDINARY}


def test_policy__a_rule_left_out__has_not_fired_and_the_rest_is_asked(results: Results) -> None:
    without = Trial(without="DID_FANOUT")
    assert fired(results)["DID_FANOUT"]
    symbols = {symbol for result in results for one in result[without] for symbol in one.symbols}
    assert "DID_FANOUT" not in symbols
    assert symbols
    assert policy("CN", without).hash != policy("CN", Trial()).hash
    shown = tables.of(results, Trial()), tables.of(results, Trial(without="WITHHELD"))
    assert any(text.startswith("withheld robot") for _, text in differences(*shown))


def test_page__of_few_campaigns__names_every_class_and_replaces_the_old_one(results: Results) -> None:
    made = tables.page("scripts/evaluate", results, results)
    assert all(made.count(f"| {kind} |") == 2 for kind in (*ATTACKERS, *ORDINARY))
    assert "| `WITHHELD` | " in made
    begin, end = tables.marks("words")
    page = f"before\n{begin}old\n{end}after\n"
    assert tables.inserted(page, "words", made) == f"before\n{begin}{made}\n{end}after\n"
