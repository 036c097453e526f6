"""The `because` of a rule: words with facts in braces, safe to show whatever the caller wrote into them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from screener.policy.cel import unknown
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from screener.facts import FactValue

MAX_FACT = 64
MAX_TEXT = 240
"""Characters shown of one fact, and of a whole reason; the rest is cut."""

_BRACES = re.compile(r"\{([^{}]*)\}")


def template_problems(text: str, facts: Collection[str]) -> Iterator[tuple[int, str]]:
    """What is wrong in a template: the offset of each place, and the reason."""
    for match in _BRACES.finditer(text):
        if match[1] not in facts:
            yield match.start() + 1, unknown(match[1], facts)
    for match in re.finditer(r"[{}]", _BRACES.sub(lambda found: " " * len(found[0]), text)):
        yield match.start(), f"a {match[0]} without its partner"


class Template:
    """A checked template; rendering is plain substitution, no format language that a value could reach."""

    __slots__ = ("_parts",)

    def __init__(self, text: str) -> None:
        # Literal text and names of facts take turns. The mark keeps blanks at the seams.
        self._parts = [
            part if odd % 2 else printable(f"|{part}|", MAX_TEXT)[1:-1]
            for odd, part in enumerate(_BRACES.split(text))
        ]

    def render(self, facts: Mapping[str, FactValue]) -> str:
        """One line without control, bidi or invisible characters; a missing fact reads `?`."""
        parts = self._parts
        if len(parts) == 1:
            return parts[0]
        text = "".join([_shown(facts.get(part)) if odd % 2 else part for odd, part in enumerate(parts)])
        return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _shown(value: FactValue | None) -> str:
    if isinstance(value, str):
        return printable(value, MAX_FACT)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return "?" if value is None else str(value)
