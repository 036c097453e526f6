"""feeds.yaml: what a site may write, and that every refusal names file, line, column and key."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from screener.config import load
from screener.errors import ConfigError
from screener.feeds import terms_of
from screener.state.weighing import Terms

if TYPE_CHECKING:
    from pathlib import Path

OURS = """\
feeds:
  ours:
    enabled: true
    description: complaints of our branch
    licence: ours
    source: https://branch.example/list.txt
    format: plain
"""


def problems(tmp_path: Path, name: str, text: str) -> list[str]:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, environ={})
    return [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_feeds__own_feed__defaults_below_it(tmp_path: Path) -> None:
    (tmp_path / "feeds.yaml").write_text(OURS + "    half_life_days: off\n    weight: 2.5\n")
    config = load(tmp_path, environ={})
    ours = config.feeds["ours"]
    assert (ours.refresh_hours, ours.max_change, ours.half_life_days) == (24.0, 0.3, math.inf)
    assert terms_of(config.feeds) == (Terms("ours", 2.5, math.inf, 1),)
    assert config.origin("feeds.feeds.ours.weight") == f"{tmp_path}/feeds.yaml:9"
    assert config.origin("feeds.feeds.ours.max_change").startswith("shipped/feeds.yaml:")


def test_feeds__shipped_one_switched_on_and_a_default_changed__merged(tmp_path: Path) -> None:
    text = "defaults:\n  max_bad: 0\nfeeds:\n  fr-telemarketing:\n    enabled: true\n"
    (tmp_path / "feeds.yaml").write_text(text)
    feeds = load(tmp_path, environ={}).feeds
    assert [(name, feed.max_bad) for name, feed in feeds.items() if feed.enabled] == [("fr-telemarketing", 0)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("    source: ftp://branch.example/", "feeds.yaml:8:13: feeds.ours.source: expected https://"),
        ("    source: list.txt", "feeds.yaml:8:13: feeds.ours.source: expected https://"),
        ("    source: file://server/list", "feeds.yaml:8:13: feeds.ours.source: expected https://"),
        ("    source: shipped:../screener.yaml", "feeds.yaml:8:13: feeds.ours.source: expected https://"),
        ("    source: https://[", "feeds.yaml:8:13: feeds.ours.source: expected https://"),
        ("    source: https://me:secret@branch.example/", "feeds.yaml:8:13: feeds.ours.source: holds a name"),
        ("    format: xml", "feeds.yaml:8:13: feeds.ours.format: expected 'plain'"),
        ("    format: csv", "feeds.yaml:3:5: feeds.ours: format csv needs columns with at least number"),
        ("    columns: {number: A, votes: 2}", "feeds.yaml:3:5: feeds.ours: columns are either names"),
        ("    columns: {number: 0}", "feeds.yaml:3:5: feeds.ours: columns are either names"),
        ("    country: XX", "feeds.yaml:8:14: feeds.ours.country: no such country"),
        ("    max_change: 30", "feeds.yaml:8:17: feeds.ours.max_change: expected a share from 0 to 1"),
        ("    weight: 0", "feeds.yaml:8:13: feeds.ours.weight: expected a number above 0"),
        ("    half_life_days: -1", "feeds.yaml:8:21: feeds.ours.half_life_days: expected a number above 0"),
        ("    max_bytes: 1e9", "feeds.yaml:8:16: feeds.ours.max_bytes: expected a whole number"),
        (
            "    max_entrys: 9",
            "feeds.yaml:8:5: feeds.ours.max_entrys: unknown key; did you mean max_entries?",
        ),
        ("  Ours:\n    enabled: true", "feeds.yaml:8:3: feeds.Ours: the name of a feed is written in small"),
    ],
)
def test_feeds__mistake__told_at_its_place(tmp_path: Path, line: str, said: str) -> None:
    key = line.split(":", maxsplit=1)[0]
    text = "".join(known for known in OURS.splitlines(keepends=True) if not known.startswith(f"{key}:"))
    found = problems(tmp_path, "feeds.yaml", text + line + "\n")
    line_number = text.count("\n") + 1
    assert found[0].startswith(said.replace(":8:", f":{line_number}:")), found


def test_feeds__wrong_default__one_problem_not_one_for_each_feed(tmp_path: Path) -> None:
    found = problems(tmp_path, "feeds.yaml", "defaults:\n  weight: heavy\n")
    assert found == ["feeds.yaml:2:11: defaults.weight: expected a number such as 4 or -2.5"]


def test_rules__feed_that_forces__is_a_mistake(tmp_path: Path) -> None:
    found = problems(tmp_path, "rules/feeds.yaml", "rules:\n  FEED_LISTED:\n    force: reject\n")
    assert found == [
        "rules/feeds.yaml:3:12: rules.FEED_LISTED.force: a feed may not force an action; give it a score"
    ]
