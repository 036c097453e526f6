"""SECURITY.md: every test that it names exists, and every file."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "SECURITY.md").read_text("utf-8")


def defined() -> set[str]:
    """The names of all tests."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        found.update(re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE))
    return found


def test_security_page__every_test_that_it_names__is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 50
    assert not named - defined()


def test_security_page__every_line_of_a_table__names_a_test() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and "| --- |" not in line]
    without = [row for row in rows if "`test_" not in row and not row.startswith("| what he tries |")]
    assert rows
    assert not without


def test_security_page__every_file_that_it_names__is_there() -> None:
    named = set(re.findall(r"`((?:[a-z]+/)+[a-z_.]*|[a-z]+\.py)`", TEXT))
    places = (ROOT, ROOT / "screener", ROOT / "config")
    assert len(named) > 8
    assert not [name for name in named if not any((place / name).exists() for place in places)]
