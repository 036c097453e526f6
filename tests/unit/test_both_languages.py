"""What a caller hears and what the person who was called reads: each in English and Chinese.

The keys are taken from the code that uses them: a new one without its words is found. The prompts that
callers hear are in test_prompts.py.
"""

from __future__ import annotations

import ast
import inspect
import re
from string import Formatter
from typing import TYPE_CHECKING, get_args

import pytest

from screener import call, delivering, notifying
from screener.evidence import pages
from screener.evidence.dossier import CLAIMS
from screener.evidence.words import PLACES, README, WORDS, Language
from screener.ledger import reader
from screener.verdict import Action
from screener.wording import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

HAN = re.compile(r"[\u4e00-\u9fff]")


def fields(text: str) -> set[str]:
    """What is filled into a text."""
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def texts(code: object) -> set[str]:
    """All texts in the code of a function or module, but docstrings."""
    tree = ast.parse(inspect.getsource(code))  # type: ignore[arg-type]
    described = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        and isinstance(node.body[0], ast.Expr)
    }
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in described)
    return {node.value for node in found if isinstance(node.value, str)}


def asked(module: ModuleType) -> Iterator[str]:
    """The words that a module asks for by name: `words["…"]`, also where one of two is chosen."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Subscript) and "words" in ast.unparse(node.value).lower():
            parts = (
                (node.slice.body, node.slice.orelse) if isinstance(node.slice, ast.IfExp) else (node.slice,)
            )
            yield from (
                one.value for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str)
            )


def test_words__both_languages__have_the_same_keys_and_fields() -> None:
    assert set(WORDS) == set(PLACES) == set(README) == set(notifying.WORDS) == set(get_args(Language))
    for table in (WORDS, notifying.WORDS):
        english, chinese = table["en"], table["zh"]
        assert {key: fields(text) for key, text in english.items()} == {
            key: fields(text) for key, text in chinese.items()
        }
        assert all(HAN.search(text) for text in chinese.values())
        assert not any(HAN.search(text) for text in english.values())


def test_words__each_that_the_pages_ask_for__is_there() -> None:
    keys = set(asked(pages))
    assert {"timeline", "no_incidents", "soft", "withheld"} <= keys
    assert keys - set(get_args(Language)) <= WORDS["en"].keys()


def test_words__each_verdict_end_finding_and_kind_of_entry__has_its_own() -> None:
    ends = {one for one in texts(call._disposition) if one.islower()}
    states = {one for one in texts(reader.state_of) if one.islower()} - {
        "status",
        "message-end",
        "message-release",
    }
    assert {"answered", "abandoned"} <= ends
    assert {"released", "unknown"} <= states
    missing = {*Action, *get_args(Kind), *CLAIMS, *ends, *states} - WORDS["zh"].keys()
    assert not missing


def test_places_of_a_complaint__both_languages__are_the_same_ones() -> None:
    numbers = [[name for name, _ in PLACES[one] if name.isdigit()] for one in PLACES]
    assert numbers[0] == numbers[1]
    assert len(PLACES["en"]) == len(PLACES["zh"])


def test_readme_of_a_bundle__both_languages__name_the_same_files_and_commands() -> None:
    commands = [re.findall(r"^    \S.*$", README[one], re.MULTILINE) for one in README]
    files = [set(re.findall(r"^[\w.-]+/?(?=  )", README[one], re.MULTILINE)) for one in README]
    assert commands[0] == commands[1]
    assert len(commands[0]) == 2
    assert files[0] == files[1]
    assert {"index.html", "ledger.jsonl"} <= files[0]


@pytest.mark.parametrize("module", [delivering, notifying])
def test_notification__each_event_that_is_told__has_its_title(module: ModuleType) -> None:
    told = re.findall(r"titled\(\s*\"(\w+)\"", inspect.getsource(module))
    assert told
    assert set(told) <= notifying.WORDS["zh"].keys()
    # None is told in words of its own.
    assert not re.findall(r"\.tell\(\s*\"\w+\",\s*f?\"", inspect.getsource(module))


def test_title__caller_without_a_number__is_told_in_both_languages() -> None:
    assert notifying.titled("recorded", caller="", called="100") == (
        "no number left a message for 100 · 号码未显示 给 100 留言"
    )
