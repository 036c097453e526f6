"""docs/rules.md: its tables are made from the program, its examples are run."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING

import pytest

from screener import config
from tests.docs import PAGE, renewed

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLE = re.compile(
    r"### (?P<title>[^\n]+)\n\n"
    r"```yaml\n# (?P<file>[a-z/]+\.yaml)\n(?P<yaml>.*?)```\n```json\n(?P<calls>.*?)```",
    re.DOTALL,
)
TEXT = PAGE.read_text("utf-8")
WALK = PAGE.with_name("running.md").read_text("utf-8")
STEP = re.compile(r"```yaml\n *# (?:NEW/)?(?P<file>[a-z/]+\.yaml)[^\n]*\n(?P<yaml>.*?)```", re.DOTALL)
COOKBOOK = [match.groupdict() for match in EXAMPLE.finditer(TEXT)]


def test_rules_page__its_tables__are_those_of_the_program() -> None:
    assert renewed(TEXT) == TEXT, "write them anew: python -m tests.docs"


def test_rules_page__its_cookbook__is_read_whole() -> None:
    assert len(COOKBOOK) == TEXT.partition("## Cookbook")[2].partition("\n## ")[0].count("\n### ") == 8


@pytest.mark.parametrize("example", COOKBOOK, ids=[example["title"] for example in COOKBOOK])
def test_rules_page__an_example__gives_the_verdicts_it_promises(
    example: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / example["file"]
    file.parent.mkdir(exist_ok=True)
    file.write_text(example["yaml"], "utf-8")
    policy = config.load(tmp_path, environ={}).policy
    calls = [json.loads(line) for line in example["calls"].splitlines()]
    assert calls
    for call in calls:
        verdict = policy.judge(call["facts"])
        fired = sorted(hit.symbol for hit in verdict.hits)
        assert (verdict.action, fired) == (call["action"], call["symbols"])
        assert verdict.score == call.get("score", verdict.score)
        assert {skip.symbol for skip in verdict.skipped} >= set(call.get("skipped", ()))


@pytest.mark.parametrize("page", [TEXT.partition("## Examples")[2].partition("\n## ")[0], WALK])
def test_pages__example_that_a_reader_copies__holds(page: str, tmp_path: Path) -> None:
    (tmp_path / "screener.yaml").write_text("variant: home\n")
    steps = [match.groupdict() for match in STEP.finditer(page)]
    assert "examples.yaml" in {step["file"] for step in steps}
    for step in steps:
        (tmp_path / step["file"]).parent.mkdir(exist_ok=True)
        (tmp_path / step["file"]).write_text(textwrap.dedent(step["yaml"]), "utf-8")
    loaded = config.load(tmp_path, environ={})
    assert any(str(tmp_path) in loaded.origin(f"examples.examples.{name}") for name in loaded.examples)
    assert config.failing(loaded, own=True) == []
