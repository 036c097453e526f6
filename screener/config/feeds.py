"""Feeds as they stand in `feeds.yaml`: what is fetched from where, how it is read, what it may weigh."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

import phonenumbers
from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from screener.config.nodes import Scalar, Tree, merge
from screener.config.validating import MISSING, locate
from screener.config.values import Line, OptionalLine, such, whole
from screener.policy import Flag, Number, Positive, Text, Written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from screener.policy import Group

Format = Literal["plain", "csv", "phoneblock", "ftc", "prefixes", "saracroche"]

SHIPPED = "shipped:"
"""Before the name of a file that comes with the screener, in `config/feeds/`."""


def _or_never(value: object, days: ValidatorFunctionWrapHandler) -> float:
    return math.inf if value == "off" else float(days(value))


def _source(text: str) -> str:
    try:
        url = urlsplit(text)
        host, with_password = url.hostname, "@" in url.netloc
    except ValueError:
        host, with_password, url = None, False, urlsplit("")
    if with_password:
        raise PydanticCustomError("source", "holds a name or password; put a token into token_file")
    local = text.startswith(("/", "file:///")) or re.fullmatch(rf"{SHIPPED}[a-z0-9-]+\.txt", text)
    if not local and not (url.scheme in {"http", "https"} and host):
        raise PydanticCustomError(
            "source", "expected https://…, http://…, or the path of a file that begins with /"
        )
    return text


Share = Annotated[Number, such(lambda share: 0 <= share <= 1, "expected a share from 0 to 1, such as 0.3")]
Country = Annotated[
    str,
    such(
        {"", *phonenumbers.SUPPORTED_REGIONS}.__contains__,
        "no such country; expected two capital letters such as US, or nothing",
    ),
]
Name = Annotated[
    str,
    such(
        re.compile("[a-z][a-z0-9_-]{0,31}").fullmatch,
        "the name of a feed is written in small letters, such as phoneblock",
    ),
]
Days = Annotated[
    Positive,
    WrapValidator(_or_never),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1000}, {"enum": ["off", False]}]}
    ),
]
Whole = Annotated[int, whole(99_999_999)]


ColumnName = Annotated[str, StringConstraints(max_length=100)]


class Columns(Written):
    """Where a CSV has what: names of its header or positions from 1; empty for what it has not."""

    number: ColumnName = ""
    votes: ColumnName = ""
    label: ColumnName = ""
    seen: ColumnName = ""

    @property
    def named(self) -> dict[str, str]:
        """Those that there are."""
        return {name: column for name, column in self if column}


class Defaults(Written):
    """What every feed has unless it says otherwise; `inf` days stand for `off`."""

    country: Country
    columns: Columns
    token_file: OptionalLine
    refresh_hours: Positive
    timeout_s: Positive
    max_bytes: Whole
    max_entries: Whole
    max_change: Share
    max_bad: Share
    max_age_days: Days
    half_life_days: Days
    weight: Positive
    full_votes: Whole


class Feed(Defaults):
    """One feed: a source that somebody else keeps, and how far its word goes here."""

    enabled: Flag
    description: Text
    licence: Line
    source: Annotated[OptionalLine, AfterValidator(_source)]
    format: Format

    @model_validator(mode="after")
    def _has_columns(self) -> Self:
        if self.format == "csv" and not self.columns.number:
            raise PydanticCustomError("columns", "format csv needs columns with at least number")
        columns = self.columns.named.values()
        if any(map(str.isdecimal, columns)) and not all(one.isdecimal() and int(one) for one in columns):
            raise PydanticCustomError("columns", "columns are either names of a header or positions from 1")
        return self


class FeedsFile(Written):
    """The contents of `feeds.yaml`, once `defaults` is laid under each feed."""

    defaults: Defaults
    feeds: dict[Name, Feed] = Field(description="The feeds by their names.")


def with_defaults(tree: Tree, key: str = "feeds") -> Tree:
    """The file with `defaults` laid under each feed; every value keeps the place where it was written.

    `key` is where they stand; what is said of feeds here holds for whatever stands there.
    """
    defaults, feeds = tree.get("defaults"), tree.get(key)
    if not isinstance(feeds, Tree):
        return tree
    whole = {}
    if isinstance(defaults, Tree):  # else that is the problem, not each value that no feed has
        for name, feed in feeds.items():
            whole[name] = merge(defaults, feed) if isinstance(feed, Tree) else feed
    return tree.having(key, Tree(feeds.place, whole, feeds.key_places))


def told_once(problems: Iterable[str]) -> list[str]:
    """The problems with the file: a wrong default is wrong in each feed that takes it, yet one problem.

    So is a misspelt default, which no feed has then.
    """
    told: dict[tuple[str, str, str], str] = {}
    parts = [(*problem.split(": ", 2), problem) for problem in problems]
    misspelt = any(key.startswith("defaults.") for _, key, _, _ in parts)
    for place, key, text, problem in parts:
        if not (misspelt and text == MISSING):
            told.setdefault((place, key.rpartition(".")[2], text), problem)
    return list(told.values())


def forced_by_feeds(groups: Iterable[Group], files: Iterable[Tree]) -> Iterator[str]:
    """A problem for each rule over feeds that forces: the word of strangers adds to a score only."""
    forcing = [
        symbol
        for group in groups
        for symbol, rule in group.rules.items()
        if rule.force and re.search(r"\bfeed\.", rule.when)
    ]
    for tree in files:
        for path in (("rules", symbol, "force") for symbol in forcing):
            if isinstance(node := locate(tree, path), Scalar):
                yield f"{node.place}: {'.'.join(path)}: a feed may not force an action; give it a score"
