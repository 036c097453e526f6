"""README.zh.md beside README.md: `python -m tests.readme` takes over the code blocks, the same in both.

What must be translated is for a person; a test compares headings, links and words of code by section.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh.md"
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
EACH_OTHER = {"README.md", "README.zh.md"}


class Section(NamedTuple):
    """What is the same in both: level of the heading, blocks, targets of links, words of code, rows."""

    level: int
    blocks: list[str]
    links: list[str]
    words: Counter[str]
    rows: int


def sections(page: str) -> list[Section]:
    """The sections of a page, in order."""
    blocks = iter(BLOCK.findall(page))
    found = []
    for part in re.split(r"^(?=#+ )", BLOCK.sub("\0", page), flags=re.MULTILINE)[1:]:
        links = [one for one in re.findall(r"\]\(([^)]+)\)", part) if one not in EACH_OTHER]
        level = len(part) - len(part.lstrip("#"))
        words = Counter(re.findall(r"`([^`]+)`", part))
        rows = len(re.findall(r"^\|", part, re.MULTILINE))
        found.append(Section(level, [next(blocks) for _ in range(part.count("\0"))], links, words, rows))
    return found


def renewed(translated: str, page: str) -> str:
    """The translation with the blocks of the page; ValueError if it has not as many."""
    blocks = iter(BLOCK.findall(page))
    if len(BLOCK.findall(translated)) != len(BLOCK.findall(page)):
        raise ValueError(f"{CHINESE.name} and {ENGLISH.name} have not as many code blocks")
    return BLOCK.sub(lambda _: next(blocks), translated)


if __name__ == "__main__":
    CHINESE.write_text(renewed(CHINESE.read_text("utf-8"), ENGLISH.read_text("utf-8")), "utf-8")
