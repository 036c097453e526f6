"""JSON schemas by which an editor completes and checks the files of a site while they are written.

Made from the models; the meaning of a setting is taken from the comment in the shipped file, where it
is kept. A file of the site holds only what it changes, so nothing is required here: `screener check`
knows what is missing. A schema knows neither facts nor symbols; they too are for `screener check`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from screener.config.examples import ExamplesFile
from screener.config.feeds import FeedsFile
from screener.config.layers import (
    EXAMPLES,
    FEEDS,
    PACKS,
    POLICY,
    PROFILES,
    RULES,
    SETTINGS,
    WORDING,
    shipped_dir,
)
from screener.config.nodes import Tree, read_tree
from screener.config.packs import PackDocument
from screener.config.settings import Settings
from screener.policy import Group, PolicyFile, ProfilesFile
from screener.wording import Lexicon

if TYPE_CHECKING:
    from collections.abc import Mapping

    from screener.policy import Written

MODELS: Final[Mapping[str, tuple[str, type[Written]]]] = {
    "screener": (SETTINGS, Settings),
    "policy": (POLICY, PolicyFile),
    "rules": (f"{RULES}/*.yaml", Group),
    "profiles": (PROFILES, ProfilesFile),
    "feeds": (FEEDS, FeedsFile),
    "examples": (EXAMPLES, ExamplesFile),
    "wording": (f"{WORDING}/*.yaml", Lexicon),
    "packs": (f"{PACKS}/*.yaml", PackDocument),
}
"""Of each schema by its name: the files that it is for, and the model that it is made from."""

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_COMMENT = re.compile(r"(?:^|\s)#\s?(.*)$")
_SCALAR = ["string", "number", "boolean"]
"""What an editor may take a text for: 0201234567 is a number to it, and true a switch."""


def schema(name: str) -> dict[str, Any]:
    """The schema of one of `MODELS`, as plain values; raises KeyError for another name."""
    files, model = MODELS[name]
    made = {"$schema": _DRAFT, **model.model_json_schema(), "title": files}
    _loosen(made)
    if "*" not in files:
        raw = (shipped_dir() / files).read_bytes()
        tree, _ = read_tree(raw, files)
        if tree is not None:
            _describe(made, made, tree, raw.decode().splitlines())
    return made


def _loosen(part: Any) -> None:  # noqa: ANN401 - any JSON value
    if isinstance(part, list):
        for one in part:
            _loosen(one)
    if not isinstance(part, dict):
        return
    part.pop("required", None)
    part.pop("default", None)
    if part.get("type") == "string" and not part.keys() & {"enum", "pattern"}:
        part["type"] = _SCALAR
        part.pop("format", None)
    if "off" in part.get("enum", []):
        part["enum"] = [*part["enum"], False]  # what an editor with YAML 1.1 takes off for
        part.pop("type", None)
    for one in part.values():
        _loosen(one)


def _describe(whole: dict[str, Any], part: dict[str, Any], tree: Tree, lines: list[str]) -> None:
    """Take the comment beside each key over, with the lines that continue it."""
    while "$ref" in part:
        part = whole["$defs"][part["$ref"].rpartition("/")[2]]
    for key, place in tree.key_places.items():
        known = part.get("properties", {}).get(key)
        if known is None:
            continue
        if comment := _comment(lines[place.line - 1 :]):
            known["description"] = comment
        if isinstance(below := tree[key], Tree):
            _describe(whole, known, below, lines)


def _comment(lines: list[str]) -> str:
    words = []
    for number, line in enumerate(lines):
        found = _COMMENT.search(line)
        continues = line.lstrip().startswith("#") and line.startswith("  ")
        if not found or (number and not continues):
            break
        words.append(found[1].strip())
    return " ".join(words)
