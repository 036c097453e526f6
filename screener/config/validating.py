"""From what pydantic says about a tree to problems that name file, line, column and key."""

from __future__ import annotations

from difflib import get_close_matches
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from screener.config.nodes import Node, Place, Sequence, Tree
from screener.policy import Group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)
Steps = tuple[int | str, ...]

_KEY = "[key]"
"""What pydantic appends to the path when not the value but the key of a dict is at fault."""
MISSING = "is required, but missing"
_PLAINLY = {
    "missing": MISSING,
    "string_type": "expected a text",
    "string_too_short": "must not be empty",
    "model_type": "expected keys with values below it",
    "dict_type": "expected keys with values below it",
    "tuple_type": "expected a list",
    "frozen_set_type": "expected a list",
}
_STAND_INS: dict[str, object] = {"score": "0", "when": "true", "because": "-"}
_GROUP_STAND_INS: dict[str, object] = {
    "group": "unreadable",
    "description": "-",
    "enabled": "true",
    "max_score": "1",
    "rules": {},
}


def check(model: type[M], tree: Tree) -> tuple[M | None, list[str]]:
    """The tree as a model, or None and every problem with it."""
    try:
        return model.model_validate(tree), []
    except ValidationError as error:
        return None, list(_problems(error.errors(include_url=False, include_input=False), model, tree))


def salvage(tree: Tree) -> Group | None:
    """A group with stand-ins for whatever is wrong in it.

    It is never put in force; it lets the expressions of its sound parts be checked in the same run.
    """
    whole: dict[str, Any] = {**tree}
    if isinstance(rules := tree.get("rules"), Tree):
        whole["rules"] = {name: {**rule} if isinstance(rule, Tree) else rule for name, rule in rules.items()}
    for _ in ("as it is", "with stand-ins"):
        try:
            return Group.model_validate(whole)
        except ValidationError as error:
            for one in error.errors(include_url=False, include_input=False):
                _stand_in(whole, one["loc"])
    return None


def locate(tree: Tree, path: Steps) -> Node:
    """The node at a path, or the deepest one above it that exists."""
    node: Node = tree
    for part in path:
        if isinstance(node, Tree) and part in node:
            node = node[str(part)]
        elif isinstance(node, Sequence) and isinstance(part, int):
            node = node[part]
    return node


def _problems(errors: list[ErrorDetails], model: type[BaseModel], tree: Tree) -> Iterator[str]:
    meant = {}
    for one in errors:
        if one["type"] == "extra_forbidden":
            meant[one["loc"]] = _meant(model, tree, one["loc"])
    # One typing mistake is one problem, not an unknown key and a missing one.
    explained = {(*path[:-1], name) for path, name in meant.items() if name}
    for one in errors:
        path = one["loc"]
        if one["type"] == "extra_forbidden":
            name = meant[path]
            text = "unknown key" + (f"; did you mean {name}?" if name else "")
        elif one["type"] == "missing" and path in explained:
            continue
        else:
            text = _said(one)
            if one["type"] == "missing" and (name := _alike(tree, path[:-1])):
                text += f"; did you mean {name}?"
        key = ".".join(str(part) for part in path if part != _KEY)
        yield f"{_place(tree, one)}: {key}: {text}"


def _said(one: ErrorDetails) -> str:
    if one["type"] in {"literal_error", "enum"}:
        return f"expected {one['ctx']['expected']}"
    if one["type"] == "string_too_long":
        return f"longer than {one['ctx']['max_length']} characters"
    return _PLAINLY.get(one["type"], one["msg"])


def _place(tree: Tree, one: ErrorDetails) -> Place:
    path = one["loc"]
    if path[-1:] == (_KEY,) or one["type"] == "missing":
        return key_place(tree, path[:-1])
    if one["type"] in {"extra_forbidden", "condition"}:
        return key_place(tree, path)
    return locate(tree, path).place


def key_place(tree: Tree, path: Steps) -> Place:
    """Where the key at the end of a path is written, or the mapping above it."""
    parent = locate(tree, path[:-1])
    if path and isinstance(parent, Tree):
        return parent.key_places[str(path[-1])]
    return parent.place


def _meant(model: type[BaseModel], tree: Tree, path: Steps) -> str | None:
    """The known key that is very like the unknown one, or one not used yet that is somewhat like it."""
    kind: Any = model
    for part in path[:-1]:
        fields = getattr(kind, "model_fields", None)
        kind = fields[part].annotation if fields else [one for one in get_args(kind) if one is not ...][-1]
        if isinstance(kind, UnionType):
            kind = get_args(kind)[0]
    used = locate(tree, path[:-1])
    free = [name for name in kind.model_fields if not isinstance(used, Tree) or name not in used]
    # A lower layer or `defaults` may have set the one that is meant.
    for names, likeness in ((list(kind.model_fields), 0.85), (free or list(kind.model_fields), 0.6)):
        for close in get_close_matches(str(path[-1]), names, 1, likeness):
            return str(close)
    return None


def _alike(tree: Tree, path: Steps) -> str | None:
    """A name in another file, so of another layer, that is very like the last one of this path."""
    if path and isinstance(beside := locate(tree, path[:-1]), Tree):
        here = key_place(tree, path).file
        names = [name for name, place in beside.key_places.items() if place.file != here]
        for close in get_close_matches(str(path[-1]), names, 1, 0.8):
            return close
    return None


def _stand_in(whole: dict[str, Any], path: Steps) -> None:
    match [str(step) for step in path]:
        case ["rules", symbol, key] if key != _KEY:
            at, stand_ins = whole["rules"][symbol], _STAND_INS
        case ["rules", key, *_]:
            at, stand_ins = whole["rules"], {}
        case [key, *_]:
            at, stand_ins = whole, _GROUP_STAND_INS
        case _:
            return
    at.pop(key, None)
    if key in stand_ins:
        at[key] = stand_ins[key]
