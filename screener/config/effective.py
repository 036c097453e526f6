"""Every value in force, as `screener config show` prints it; secrets are hidden."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from screener.config.nodes import Scalar, Sequence, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from screener.config.nodes import Node

_HIDDEN = "********"


class Effective(NamedTuple):
    """One value that is in force: its path, the value (secrets hidden), and `file:line` of its origin."""

    path: str
    value: str | list[str]
    origin: str


def leaves(path: str, node: Node) -> Iterator[Effective]:
    """The values under a node whose path is known, in the order of writing."""
    if isinstance(node, Tree):
        for key, below in node.items.items():
            yield from leaves(f"{path}.{key}", below)
    elif isinstance(node, Sequence):
        yield Effective(
            path, [item.text for item in node.items if isinstance(item, Scalar)], node.place.origin
        )
    else:
        yield Effective(path, _shown(path, node.text), node.place.origin)


def _shown(path: str, text: str) -> str:
    if path == "screener.ami.secret" and text:
        return _HIDDEN
    if path == "screener.redis.url":
        return re.sub(r"(?<=:)[^:@/]+(?=@)", _HIDDEN, text)
    return text
