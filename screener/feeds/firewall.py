"""What of a snapshot may stand in the store; a feed that would do harm is refused whole.

Pure: bytes → fields of the store. Bad rows are skipped and counted; one entry for our own number, an
emergency or short number or a whole country is poison, and then nothing of the feed is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from screener.errors import FeedRefused, ListEntryRefused
from screener.feeds.formats import FORMATS, Row, Version
from screener.state.patterns import Pattern, read
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from screener.config.feeds import Feed

FEW_BAD_ROWS = 5
"""So many bad rows are never too many, however small the feed."""


@dataclass(slots=True)
class Snapshot:
    """One snapshot on its way through; the counts are complete when `fields` has ended."""

    raw: bytes = field(repr=False)
    feed: Feed
    region: str
    own: Collection[str] = ()
    rows: int = 0
    bad: int = 0
    first_bad: str = ""
    version: int | None = None

    def fields(self) -> Iterator[tuple[str, str | None]]:
        """Each entry as field and value of the store; None takes an earlier one back.

        Raises FeedRefused for poison, too many rows or bad rows, and for what is not of the format.
        """
        if self.raw[:200].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            raise FeedRefused("a web page instead of the feed: has its address changed?")
        for row in FORMATS[self.feed.format](self.raw, self.feed.columns.named):
            if isinstance(row, Version):
                self.version = row
                continue
            self.rows += 1
            if self.rows > self.feed.max_entries:
                raise FeedRefused(f"more than {self.feed.max_entries} rows (max_entries)")
            try:
                listing = row.listing
                patterns = self._patterns(row)
            except ListEntryRefused as refusal:
                self.bad += 1
                self.first_bad = self.first_bad or f"row {row.line}: {printable(str(refusal), 200)}"
                continue
            for pattern in patterns:
                yield pattern.text, listing.value if listing.votes else None
        if self.bad > max(FEW_BAD_ROWS, self.feed.max_bad * self.rows):
            raise FeedRefused(f"{self.bad} of {self.rows} rows are unreadable, such as {self.first_bad}")

    def _patterns(self, row: Row) -> tuple[Pattern, ...]:
        """What a row stands for; raises ListEntryRefused if it is no full number, FeedRefused for poison."""
        patterns = read(str(row.number), self.feed.country or self.region)
        for pattern in patterns:
            if poison := self._poison(pattern):
                raise FeedRefused(f"poison in row {row.line}: {poison}")
            if pattern.harm:
                raise ListEntryRefused(pattern.harm)
        return patterns

    def _poison(self, pattern: Pattern) -> str:
        """Why a pattern is dangerous; empty also for what is merely no full number, which is a bad row."""
        mine = next((own for own in self.own if pattern.matches(own)), None)
        if mine is not None:
            return f"{pattern.text} matches our own number {mine}"
        if pattern.harm and (pattern.is_prefix or not pattern.harms_allow):
            return pattern.harm
        # A short number is one at home too, whatever country the feed's own numbers belong to.
        if pattern.harm and self.feed.country not in {"", self.region}:
            at_home = read(pattern.text, self.region)[0]
            return at_home.harm if not at_home.harms_allow else ""
        return ""
