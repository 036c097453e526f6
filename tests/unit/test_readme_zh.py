"""README.zh.md says the same as README.md, as far as a program can see."""

from __future__ import annotations

from itertools import zip_longest

from tests.readme import CHINESE, ENGLISH, sections

HINT = "translate what changed in README.md; `python -m tests.readme` takes over the code blocks"


def test_readmes__section_by_section__have_the_same_headings_blocks_links_and_commands() -> None:
    ours, theirs = (sections(page.read_text("utf-8")) for page in (ENGLISH, CHINESE))
    assert len(ours) > 5
    for one, other in zip_longest(ours, theirs):
        assert other == one, HINT


def test_readmes__at_their_tops__link_to_each_other() -> None:
    assert "(README.zh.md)" in ENGLISH.read_text("utf-8").partition("\n## ")[0]
    assert "(README.md)" in CHINESE.read_text("utf-8").partition("\n## ")[0]


def test_readme_zh__each_section__is_in_chinese() -> None:
    for part in CHINESE.read_text("utf-8").split("\n## "):
        assert sum("\u4e00" <= char <= "\u9fff" for char in part) > 30, part[:60]
