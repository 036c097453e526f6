"""Prefixes as a numbering authority writes them: `0162 0163 09475-09479`, read by the country's plan.

French telemarketing is confined to such prefixes by its regulator. Separated by white space,
commas or semicolons; `#` begins a comment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from screener.feeds.formats.reading import BadRow, Entry, Parsed, lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SEPARATORS = re.compile(r"[\s,;]+")
_PREFIXES = re.compile(r"(?P<plus>\+?)(?P<first>[0-9]{2,12})(?:[-\u2013](?P<last>[0-9]{2,12}))?")
_WIDEST = 100
"""Prefixes of one range; more of them would be a shorter prefix."""


def parse(raw: bytes, _columns: Mapping[str, str]) -> Iterator[Parsed]:
    """Every prefix as one vote."""
    for line, text in lines(raw):
        for word in filter(None, _SEPARATORS.split(text.partition("#")[0])):
            read = _PREFIXES.fullmatch(word)
            width = len(read["first"]) if read else 0
            last = int(read["last"] or read["first"]) if read else 0
            count = last - int(read["first"]) + 1 if read else 0
            if read is None or not 0 < count <= _WIDEST or len(read["last"] or read["first"]) != width:
                yield BadRow(
                    line, f"{word[:40]!r} is neither a prefix nor a range of up to {_WIDEST} of them"
                )
                continue
            for prefix in range(last - count + 1, last + 1):
                yield Entry(f"{read['plus']}{prefix:0{width}}*")
