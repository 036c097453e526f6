"""YAML text → a tree in which every value still knows its file, line and column.

Only what a configuration needs: mappings, lists and text. No tags, anchors or aliases (nothing can
grow by being repeated), no second document, no repeated key. Values stay text; models type them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import yaml

MAX_BYTES = 1_000_000
MAX_DEPTH = 16
"""Limits of one file; the shipped ones need a hundredth and a quarter of that."""

# libyaml is ten times faster; the pure loader gives the same events where it is not built.
_Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: `line` and `column` from 1 (0 outside of files), `file` as shown to people."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def origin(self) -> str:
        """`file:line`, or what stands in place of a file."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text. `indent` is the column where its lines begin, or 0 if its lines cannot be found in the file."""

    text: str
    place: Place
    indent: int = 0
    first_line: int = 0

    @property
    def is_empty(self) -> bool:
        """Nothing was written, as after a key whose lines below are all commented out."""
        return self.text == "" and self.indent == self.place.column

    def at(self, line: int, column: int) -> Place:
        """The place of a position in the text; the place of the whole where it was folded or escaped."""
        if not self.indent:
            return self.place
        return Place(self.place.file, self.first_line + line - 1, self.indent + column - 1)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list; layers replace it as a whole."""

    place: Place
    items: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Tree:
    """Keys in the order of writing, each with the place of the key itself."""

    place: Place
    items: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)


Node = Scalar | Sequence | Tree


class _UnreadableError(Exception):
    """The file ends here; its argument is the last problem."""


def read_tree(raw: bytes, file: str) -> tuple[Tree | None, list[str]]:
    """Read one file, whose top must be a mapping; an empty file is an empty mapping.

    Gives the tree and the problems, as `file:line:col: key: text`. With repeated keys there are
    both, so that the rest can be checked as well; after a syntax error there is no tree.
    """
    problems: list[str] = []
    try:
        root = _Builder(file, _decoded(raw, file), problems).build() or Tree(Place(file, 1, 1))
        if isinstance(root, Tree):
            return root, problems
        problems.append(f"{root.place}: yaml: expected keys with values, such as 'region: CN'")
    except _UnreadableError as error:
        problems.append(str(error))
    return None, problems


def merge(base: Tree, over: Tree) -> Tree:
    """Lay one tree over another: mappings key by key, everything else is replaced as a whole.

    A key with nothing behind it, where there was a mapping or a list, changes nothing.
    """
    items = dict(base.items)
    for key, node in over.items.items():
        below = items.get(key)
        if isinstance(below, Tree) and isinstance(node, Tree):
            items[key] = merge(below, node)
        elif below is None or isinstance(below, Scalar) or not (isinstance(node, Scalar) and node.is_empty):
            items[key] = node
    return Tree(over.place, items, base.keys | over.keys)


def plain(node: Node) -> object:
    """The tree as dicts, lists and text."""
    if isinstance(node, Tree):
        return {key: plain(value) for key, value in node.items.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.text


def _decoded(raw: bytes, file: str) -> str:
    if len(raw) > MAX_BYTES:
        raise _UnreadableError(
            f"{file}:1:1: file: {len(raw)} bytes, more than {MAX_BYTES}; is this the right one?"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        where = _place_of(before, len(before), file)
        message = f"{where}: file: byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise _UnreadableError(message) from None
    if bad := _UNPRINTABLE.search(text):
        where = _place_of(text, bad.start(), file)
        raise _UnreadableError(f"{where}: file: control character U+{ord(bad[0]):04X}; remove it")
    return text


def _place_of(text: str, offset: int, file: str) -> Place:
    return Place(file, text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


class _Mark(Protocol):
    """Where the parser is; its two implementations share no class."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


class _Builder:
    """Builds the tree from parser events, on a stack of its own: no depth of nesting can exhaust Python's."""

    def __init__(self, file: str, text: str, problems: list[str]) -> None:
        self._file = file
        self._text = text
        self._lines = text.splitlines()
        self._problems = problems
        self._root: Node | None = None
        self._open: list[Tree | Sequence] = []
        self._key: tuple[str, Place] | None = None

    def build(self) -> Node | None:
        try:
            for event in yaml.parse(self._text, Loader=_Loader):
                self._take(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise _UnreadableError(f"{self._at(mark)}: yaml: {self._said(error)}") from None
        return self._root

    def _said(self, error: yaml.MarkedYAMLError) -> str:
        mark, said = error.problem_mark, error.problem or error.context or "not valid YAML"
        if mark and mark.line < len(self._lines) and self._lines[mark.line][mark.column :].startswith("\t"):
            return "a tab where spaces are needed"
        return said

    def _take(self, event: yaml.Event) -> None:
        place = self._at(event.start_mark)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._refuse(place, "anchors and aliases (& and *) are not supported; write the value out")
        if getattr(event, "tag", None):
            self._refuse(place, "tags (!) are not supported; put the text in quotes")
        if isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
            self._refuse(place, "a second document (---) in one file; use one file for each")
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, place)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            opened = Tree(place) if isinstance(event, yaml.MappingStartEvent) else Sequence(place)
            self._attach(opened)
            self._open.append(opened)
            if len(self._open) > MAX_DEPTH:
                self._refuse(place, f"nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._open.pop()

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> None:
        if self._expects_key():
            self._key = (event.value, place)
        else:
            first_line, indent = self._lines_of(event, place)
            self._attach(Scalar(event.value, place, indent, first_line))

    def _expects_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1], Tree) and self._key is None

    def _attach(self, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        if isinstance(parent, Sequence):
            parent.items.append(node)
            return
        if self._key is None:
            self._refuse(node.place, "a key must be a plain word")
        (key, place), self._key = self._key, None
        if key in parent.items:
            first = parent.keys[key]
            self._problems.append(
                f"{place}: {key}: written twice; the first one is at {first.line}:{first.column}"
            )
        else:
            parent.items[key] = node
            parent.keys[key] = place

    def _lines_of(self, event: yaml.ScalarEvent, place: Place) -> tuple[int, int]:
        """Line and column of the text's first character, if the text stands in the file as it is."""
        style = event.style or ""
        if style == "|":
            for line in self._lines[place.line :]:
                if line.strip():
                    return place.line + 1, len(line) - len(line.lstrip(" ")) + 1
        quote = 1 if style in ("'", '"') else 0
        start = place.column - 1 + quote
        line = self._lines[place.line - 1] if place.line <= len(self._lines) else ""
        if style != ">" and line[start : start + len(event.value)] == event.value:
            return place.line, start + 1
        return 0, 0

    def _at(self, mark: _Mark | None) -> Place:
        return Place(self._file, mark.line + 1, mark.column + 1) if mark else Place(self._file, 1, 1)

    def _refuse(self, place: Place, text: str) -> NoReturn:
        raise _UnreadableError(f"{place}: yaml: {text}")
