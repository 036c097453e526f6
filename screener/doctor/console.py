"""What Asterisk's console and files say, taken apart. Pure but for reading a file and its includes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from glob import glob
from typing import TYPE_CHECKING, NamedTuple

from screener.errors import NotChecked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

DEPTH = 10
"""So deep files may include each other."""

_SETTING = re.compile(r"^ *([^:\n]+?):+ +(.*?) *$", re.MULTILINE)
_CONTEXT = re.compile(r"^\[ Context '(.+)' created by '(.+)' \]$")
_STEP = re.compile(r"^ *(?:'.*' => +|\[.*\] +)?\d+\. (\w+)\((.*?)\)? +\[([^\[\]]+)\]$")
"""Asterisk cuts a step that is longer than a thousand characters, and its closing parenthesis with it."""
_INCLUDE = re.compile(r"^ +Include => +'(.+?)'")
_INNER = re.compile(r"[?:](\w+)\(")
"""Of ExecIf."""
_FUNCTION = re.compile(r"\$\{(?:\w+ *\( *)?([A-Z][A-Z_0-9]+)\(|^([A-Z][A-Z_0-9]+)\(.*\)=")
_SECTION = re.compile(r"\[([^\]]+)\]")


class Step(NamedTuple):
    """One priority of the dialplan, as it is loaded."""

    application: str
    arguments: str
    origin: str


class Line(NamedTuple):
    """One `key = value` of a file of Asterisk's, and where it stands."""

    key: str
    value: str
    place: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """A dialplan by its contexts: their steps, and the contexts that they include."""

    steps: dict[str, list[Step]]
    includes: dict[str, list[str]]

    @classmethod
    def read(cls, text: str) -> Loaded:
        """Take apart what `dialplan show` prints."""
        steps: dict[str, list[Step]] = {}
        includes: dict[str, list[str]] = {}
        context = ""
        for line in text.splitlines():
            if found := _CONTEXT.match(line):
                context = found[1]
                steps[context], includes[context] = [], []
            elif context and (found := _STEP.match(line)):
                steps[context].append(Step(found[1], found[2], found[3]))
            elif context and (found := _INCLUDE.match(line)):
                includes[context].append(found[1])
        return cls(steps, includes)

    def callers_of(self, context: str) -> list[str]:
        """The contexts, not of ours, from which a Gosub leads to this one."""
        call = re.compile(rf"\b{re.escape(context)},\w+,1\b")
        return [
            name
            for name, steps in self.steps.items()
            if not is_ours(name)
            and any(
                "Gosub" in f"{one.application}({one.arguments}" and call.search(one.arguments)
                for one in steps
            )
        ]

    def unfiltered(self, context: str) -> list[str]:
        """The lines in which a called number could be the other branch of an ExecIf, see `dialplan.LINE`."""
        return [
            one.origin
            for name, steps in self.steps.items()
            for one in steps
            if not is_ours(name) and one.application == "ExecIf" and f"({context}," in one.arguments
            if "(${EXTEN" in one.arguments
        ]

    def reached_from(self, contexts: Iterable[str]) -> set[str]:
        """The contexts that calls may get to: by an include, or because a step names them."""
        reached, waiting = set[str](), [name for name in contexts if name in self.steps]
        while waiting:
            if (name := waiting.pop()) in reached:
                continue
            reached.add(name)
            words = set(re.findall(r"[\w-]+", " ".join(one.arguments for one in self.steps[name])))
            waiting += [one for one in {*self.includes[name], *words} if one in self.steps]
        return reached


def is_ours(context: str) -> bool:
    """Whether a context is one of the screener's dialplan."""
    return context == "screener" or context.startswith("screener-")


def applications(steps: Iterable[Step]) -> set[str]:
    """The applications that these steps run."""
    found = set[str]()
    for one in steps:
        found.add(one.application)
        if one.application == "ExecIf":
            found |= set(_INNER.findall(one.arguments.partition("]")[2] or one.arguments))
    return found


def functions(steps: Iterable[Step]) -> set[str]:
    """The functions that these steps ask or set."""
    found = (match for one in steps for match in _FUNCTION.finditer(one.arguments))
    return {match[1] or match[2] for match in found}


def settings_of(text: str) -> dict[str, str]:
    """`Name: value` by its name."""
    return {name.strip(): value for name, value in _SETTING.findall(text)}


def listed(text: str) -> set[str]:
    """The first words of the lines: what `core show applications` and `core show functions` list."""
    return {words[0].rstrip(":") for line in text.splitlines() if (words := line.split())}


def sections_of(path: Path) -> dict[str, list[Line]]:
    """The lines of a file of Asterisk's and of those that it includes, in their order, by section.

    NotChecked when one cannot be read.
    """
    found: dict[str, list[Line]] = {}
    section = ""
    for place, text in _lines(path, path.parent, DEPTH):
        if matched := _SECTION.match(text):
            section = matched[1]
            found.setdefault(section, [])
        elif "=" in text:
            key, _, value = text.partition("=")
            found.setdefault(section, []).append(
                Line(key.strip().lower(), value.removeprefix(">").strip(), place)
            )
    return found


def _lines(path: Path, base: Path, depth: int) -> Iterator[tuple[str, str]]:
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise NotChecked(f"{path}: {error.strerror}; run this as root or as Asterisk's user") from error
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(None, 1)
        if words and words[0].lower() in {"#include", "#tryinclude"} and len(words) > 1:
            pattern = words[1].split(";")[0].strip().strip('"<>')
            if depth:
                for one in sorted(glob(str(base / pattern))):  # noqa: PTH207 - base / an absolute pattern
                    yield from _lines(base / one, base, depth - 1)
            continue
        if kept := re.sub(r"(?<!\\);.*", "", line).strip():
            yield f"{path}:{number}", kept
