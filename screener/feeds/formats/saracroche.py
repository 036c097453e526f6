"""Patterns of Saracroche, a French blocker: international without a plus, `33162######`, one `#` a digit.

As JSON `[{"operator_name": …, "pattern": …}]`, or as lines of text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from screener.feeds.formats.reading import BadRow, Entry, Json, Parsed, lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PATTERN = re.compile(r"\+?[0-9]{3,15}#{0,12}")


def parse(raw: bytes, _columns: Mapping[str, str]) -> Iterator[Parsed]:
    """Every pattern as one vote, with the operator as its label."""
    if raw[:200].lstrip().startswith(b"["):
        document = Json(raw)
        for place, row in enumerate(document.elements(), start=1):
            known = row if isinstance(row, dict) else {}
            yield _entry(place, known.get("pattern"), known.get("operator_name"))
        document.end()
    else:
        for line, text in lines(raw):
            yield _entry(line, text, "")


def _entry(line: int, pattern: object, operator: object) -> Entry | BadRow:
    if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
        return BadRow(line, "not a pattern such as 33162######")
    return Entry("+" + pattern.removeprefix("+"), label=operator if isinstance(operator, str) else "")
