"""The status as Prometheus reads it: what is there, in its unit, and nothing that a stranger could add."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from screener import metrics
from screener.counters import Counters
from tests.scrape import PACKAGING, Samples, no_rules

NOTHING: dict[str, Any] = {"delays": {}}


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("a", {"a": 2}, [((), 2.0)]),
        ("a", {}, []),
        ("a", {"a": None}, []),
        ("a.b_ms", {"a": {"b_ms": 5}}, [((), 0.005)]),
        ("a.b", {"a": None}, []),
        ("a?", {"a": ["x"]}, [((), 1.0)]),
        ("a?", {"a": []}, [((), 0.0)]),
        ("a?", {}, [((), 0.0)]),
        ("a#", {"a": ["x", "y"]}, [((), 2.0)]),
        ("a@", {"a": "1970-01-01T00:01:00+00:00"}, [((), 60.0)]),
        ("a.*", {"a": "0.1.0"}, [(("0.1.0",), 1.0)]),
        ("a.*", {"a": {"x": True, "y": False}}, [(("x",), 1.0), (("y",), 0.0)]),
        ("a.*.*", {"a": {"x": {"y": 3}}}, [(("x", "y"), 3.0)]),
        ("a.*.n", {"a": {"x": {"n": 3}, "y": {"n": None}}}, [(("x",), 3.0)]),
    ],
)
def test_found__value_on_its_way__is_given_with_its_labels_in_its_unit(
    path: str, status: dict[str, Any], expected: list[Any]
) -> None:
    assert list(metrics.found(status, path)) == expected


def test_exposition__before_the_first_call__shows_what_an_alert_must_see_rise() -> None:
    seen = Samples(metrics.exposition(NOTHING | Counters().as_dict(no_rules())).decode())
    assert seen.of("screener_calls_unscreened_total", missed="late") == 0
    assert seen.of("screener_verdicts_total", stage="setup", action="reject") == 0
    assert seen.of("screener_delay_seconds_count", phase="total") == 0
    assert seen.of("screener_store_up") is None


def test_exposition__delays__are_cumulative_and_in_seconds() -> None:
    counters = Counters()
    for took_ms in (0.1, 5.0, 30.0, 9000.0, float("nan"), float("inf")):
        counters.took({"judge_ms": took_ms})
    seen = Samples(metrics.exposition(counters.as_dict(no_rules())).decode())
    buckets = {
        one.labels["le"]: one.value
        for one in seen.every
        if one.name == "screener_delay_seconds_bucket" and one.labels["phase"] == "judge"
    }
    assert (buckets["0.00025"], buckets["0.005"], buckets["0.05"], buckets["1.0"], buckets["+Inf"]) == (
        1,
        2,
        3,
        3,
        4,
    )
    assert seen.of("screener_delay_seconds_sum", phase="judge") == pytest.approx(9.0351)


def test_exposition__hostile_label__stays_one_label() -> None:
    hostile = 'x",action="allow"} 1\nscreener_evil 1\n\\'
    seen = Samples(metrics.exposition(NOTHING | {"profiles": {hostile: 1}}).decode())
    assert [one.labels for one in seen.every if one.name == "screener_profile_verdicts_total"] == [
        {"profile": hostile}
    ]
    assert "screener_evil" not in seen.names


@pytest.mark.parametrize(
    ("connected_since", "standing_by", "pages"),
    [(None, False, True), ("2025-03-01T12:00:00+00:00", False, False), (None, True, False)],
)
def test_alert__asterisk_is_away__is_not_raised_by_a_screener_that_stands_by(
    *, connected_since: str | None, standing_by: bool, pages: bool
) -> None:
    ami = {"connected_since": connected_since, "standing_by": standing_by}
    status = NOTHING | {"pbxs": {"": {"ami": ami}}} | Counters().as_dict(no_rules())
    seen = Samples(metrics.exposition(status).decode())
    groups = yaml.safe_load((PACKAGING / "prometheus/alerts.yaml").read_text())["groups"]
    (rule,) = (one for one in groups[0]["rules"] if one["alert"] == "ScreenerAsteriskAway")
    asked = rule["expr"].removesuffix(" == 0").split(" + ")
    assert (sum(seen.of(one) or 0 for one in asked) == 0) == pages


def test_rows__names__are_unique_and_say_their_unit() -> None:
    names = [row.name for row in metrics.ROWS]
    assert len(set(names)) == len(names)
    for row in metrics.ROWS:
        assert row.path.count("*") == len(row.labels), row
        assert ("_ms" in row.path or row.path.endswith("_s")) <= row.name.endswith("_seconds"), row
