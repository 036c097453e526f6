"""YAML text → a tree in which every value still knows its file, line and column.

The tree is dicts, lists and text, as a model takes them.
Only what a configuration needs: mappings, lists and text. No tags, anchors or aliases (nothing can
grow by being repeated), no second document, no repeated key. Values stay text; models type them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeAlias

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

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


class Scalar(str):
    """A text. `indent` is the column where its lines begin, or 0 if its lines cannot be found in the file."""

    __slots__ = ("first_line", "indent", "place")

    def __new__(cls, text: str, place: Place, indent: int = 0, first_line: int = 0) -> Self:
        """Scalar that was written there."""
        made = super().__new__(cls, text)
        made.place, made.indent, made.first_line = place, indent, first_line
        return made

    place: Place
    indent: int
    first_line: int

    @property
    def is_missing(self) -> bool:
        """Nothing was written, as after a key whose lines below are all commented out."""
        return self == "" and self.indent == self.place.column

    def at(self, line: int, column: int) -> Place:
        """The place of a position in the text; the place of the whole where it was folded or escaped."""
        if not self.indent:
            return self.place
        return Place(self.place.file, self.first_line + line - 1, self.indent + column - 1)


class Sequence(list["Node"]):
    """A list; layers replace it as a whole."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place


class Tree(dict[str, "Node"]):
    """Values by their keys in the order of writing; `key_places` says where each key itself stands."""

    def __init__(
        self, place: Place, items: Mapping[str, Node] | None = None, keys: Mapping[str, Place] | None = None
    ) -> None:
        super().__init__(items or {})
        self.place, self.key_places = place, dict(keys or {})

    def having(self, key: str, node: Node, place: Place | None = None) -> Tree:
        """The same but for one key; trees are shared, so that none is changed once it is built.

        `place` is where the key stands if it is new.
        """
        keys = {key: place} if place else {}
        return Tree(self.place, {**self, key: node}, keys | self.key_places)


Node: TypeAlias = Scalar | Sequence | Tree


class _UnreadableError(Exception):
    """The file ends here; its argument is the last problem."""


def read_tree(raw: bytes, file: str) -> tuple[Tree | None, tuple[str, ...]]:
    """Read one file, whose top must be a mapping; an empty file is an empty mapping.

    Gives the tree and the problems, as `file:line:col: key: text`. With repeated keys there are
    both, so that the rest can be checked as well; after a syntax error there is no tree.
    """
    problems: list[str] = []
    try:
        root = _Builder(file, _decoded(raw, file), problems).build()
        if isinstance(root, Tree):
            return root, tuple(problems)
        problems.append(f"{root.place}: yaml: expected keys with values, such as 'region: CN'")
    except _UnreadableError as error:
        problems.append(str(error))
    return None, tuple(problems)


def merge(base: Tree, over: Tree) -> Tree:
    """Lay one tree over another: mappings key by key, everything else is replaced as a whole.

    A key with nothing behind it, where there was a mapping or a list, changes nothing.
    """
    items = {**base, **over}
    for key in base.keys() & over.keys():
        below, node = base[key], over[key]
        if isinstance(below, Tree) and isinstance(node, Tree):
            items[key] = merge(below, node)
        elif not isinstance(below, Scalar) and isinstance(node, Scalar) and node.is_missing:
            items[key] = below
    return Tree(over.place, items, base.key_places | over.key_places)


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


class _Builder:
    """Builds the tree from the parser's events, which come without recursion; ours ends at MAX_DEPTH."""

    def __init__(self, file: str, text: str, problems: list[str]) -> None:
        self._file = file
        self._lines = text.splitlines()
        self._problems = problems
        self._events = iter(yaml.parse(text, Loader=_Loader))

    def build(self) -> Node:
        """What the file holds; an empty file holds no keys."""
        try:
            next(self._events)  # the stream begins
            if isinstance(next(self._events), yaml.StreamEndEvent):
                return Tree(Place(self._file, 1, 1))
            root = self._node(next(self._events), 0)
            next(self._events)  # the document ends
            if not isinstance(event := next(self._events), yaml.StreamEndEvent):
                self._refuse(event, "a second document (---) in one file; use one file for each")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise _UnreadableError(f"{self._at(mark)}: yaml: {self._said(error)}") from None
        return root

    def _said(self, error: yaml.MarkedYAMLError) -> str:
        mark, said = error.problem_mark, error.problem or error.context or "not valid YAML"
        if mark and mark.line < len(self._lines) and self._lines[mark.line][mark.column :].startswith("\t"):
            return "a tab where spaces are needed"
        return said

    def _node(self, event: yaml.Event, depth: int) -> Node:
        place = self._begun(event)
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(event.value, place, *self._lines_of(event, place))
        if depth == MAX_DEPTH:
            self._refuse(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.SequenceStartEvent):
            sequence = Sequence(place)
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                sequence.append(self._node(event, depth + 1))
            return sequence
        tree = Tree(place)
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            place = self._begun(event)
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, "a key must be a plain word")
            node = self._node(next(self._events), depth + 1)
            if first := tree.key_places.get(event.value):
                where = f"the first one is at {first.line}:{first.column}"
                self._problems.append(f"{place}: {event.value}: written twice; {where}")
            else:
                tree[event.value], tree.key_places[event.value] = node, place
        return tree

    def _begun(self, event: yaml.Event) -> Place:
        """Where a key or value begins; what makes YAML more than mappings, lists and text is refused."""
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._refuse(event, "anchors and aliases (& and *) are not supported; write the value out")
        if getattr(event, "tag", None):
            self._refuse(event, "tags (!) are not supported; put the text in quotes")
        return self._at(event.start_mark)

    def _lines_of(self, event: yaml.ScalarEvent, place: Place) -> tuple[int, int]:
        """Column and line of the text's first character, if the text stands in the file as it is."""
        style = event.style or ""
        if style == "|":
            for line in self._lines[place.line :]:
                if line.strip():
                    return len(line) - len(line.lstrip(" ")) + 1, place.line + 1
        quote = 1 if style in ("'", '"') else 0
        start = place.column - 1 + quote
        line = self._lines[place.line - 1] if place.line <= len(self._lines) else ""
        if style != ">" and line[start : start + len(event.value)] == event.value:
            return start + 1, place.line
        return 0, 0

    def _at(self, mark: Any) -> Place:  # noqa: ANN401 - the marks of the two parsers share no class
        return Place(self._file, mark.line + 1, mark.column + 1) if mark else Place(self._file, 1, 1)

    def _refuse(self, event: yaml.Event, text: str) -> NoReturn:
        raise _UnreadableError(f"{self._at(event.start_mark)}: yaml: {text}")
