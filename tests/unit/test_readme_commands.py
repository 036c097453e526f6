"""The commands that README.md names are those of the program."""

from __future__ import annotations

import re

from typer.main import get_command

from screener.cli import cli
from tests.readme import ENGLISH

PROGRAM = get_command(cli).commands  # type: ignore[attr-defined]
README = ENGLISH.read_text("utf-8")
COMMANDS = README.partition("\n## Commands")[2].partition("\n## ")[0]


def below(name: str) -> dict[str, object]:
    """The commands of a group."""
    return getattr(PROGRAM[name], "commands", {})


def test_readme__its_table_of_commands__has_all_of_them() -> None:
    rows: dict[str, set[str]] = {}
    for row in re.findall(r"^\| (.*?) \| ", COMMANDS, re.MULTILINE):
        name = ""
        for other, words in re.findall(r"`(?:screener ([a-z]+)|…)([^`]*)`", row):
            name = other or name
            rows.setdefault(name, set()).update(re.findall(r"[a-z]+", words))
    assert rows.keys() == PROGRAM.keys() - {"version"}
    assert {
        name: below(name).keys() - words for name, words in rows.items() if below(name).keys() - words
    } == {}


def test_readme__commands_without_a_configuration__are_named() -> None:
    every = {name: one for name, one in PROGRAM.items() if not below(name)}
    every |= {f"{name} {other}": one for name in PROGRAM for other, one in below(name).items()}
    without = {name for name, one in every.items() if not any("--config" in each.opts for each in one.params)}
    sentence = re.search(r"\nAll but (.*) take\s`--config DIR`", COMMANDS)
    assert sentence
    assert set(re.findall("`([^`]+)`", sentence[1])) == without
