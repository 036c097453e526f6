"""The parts of docs/rules.md that are made: `python -m tests.docs` writes them anew.

They stand between `<!-- NAME -->` and `<!-- /NAME -->`; a test compares them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from screener import config
from screener.facts import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).parent.parent / "docs" / "rules.md"


def facts() -> Iterator[str]:
    """The catalogue of facts as a table."""
    yield from ("| fact | type | unit | source | meaning |", "| --- | --- | --- | --- | --- |")
    for fact in CATALOGUE:
        yield f"| `{fact.name}` | {fact.type} | {fact.unit} | {fact.source} | {cell(fact.meaning)} |"


def shipped() -> Iterator[str]:
    """The shipped rules, group by group."""
    for group in config.load(None, environ={}).document.groups:
        off = "" if group.enabled else ", switched off as shipped"
        yield f"**{group.group}**: {group.description}; at most {group.max_score:g}{off}"
        yield from ("", "| symbol | score | when | source |", "| --- | --- | --- | --- |")
        for symbol, rule in group.rules.items():
            marks = [f"forces {rule.force}"] * bool(rule.force) + ["shadow"] * rule.shadow
            score = ", ".join([f"{rule.score:+g}", *marks, *(["off"] * (not rule.enabled))])
            when = f"`{cell(rule.when)}`"
            yield f"| `{symbol}` | {score} | {when} | {cell(rule.source)} |"
        yield ""


def cell(text: str) -> str:
    """Text that does not end its cell."""
    return " ".join(text.split()).replace("|", "\\|")


MADE: Final = {"facts": facts, "shipped rules": shipped}


def renewed(page: str) -> str:
    """The page with all its made parts as they should be."""
    for name, make in MADE.items():
        before, mark, rest = page.partition(f"<!-- {name} -->")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        assert end, f"{PAGE.name} has no place for {name}"
        made = "\n".join(make()).strip()
        page = f"{before}{mark}\n{made}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")
