"""What of a snapshot may stand in the store; a feed that would do harm is refused whole.

Pure: bytes → fields of the store. Bad rows are skipped and counted; one entry for our own number, an
emergency or short number or a whole country is poison, and then nothing of the feed is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from screener.errors import FeedRefused, ListEntryRefused
from screener.feeds.formats import FORMATS, BadRow, Entry, Version
from screener.state.patterns import Pattern, read
from screener.state.rows import MAX_NAME
from screener.state.weighing import Listing
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from screener.config.feeds import Feed

MAX_REPORTED = 20
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
    reported: list[BadRow] = field(default_factory=list)
    version: int | None = None

    def fields(self) -> Iterator[tuple[str, str | None]]:
        """Each entry as field and value of the store; None takes an earlier one back.

        Raises FeedRefused for poison, too many rows or bad rows, and for what is not of the format.
        """
        if self.raw[:200].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            raise FeedRefused("a web page instead of the feed: has its address changed?")
        for parsed in FORMATS[self.feed.format](self.raw, self.feed.columns.named):
            if isinstance(parsed, Version):
                self.version = parsed.number
                continue
            self.rows += 1
            if self.rows > self.feed.max_entries:
                raise FeedRefused(f"more than {self.feed.max_entries} rows (max_entries)")
            if isinstance(parsed, BadRow):
                self._report(parsed)
                continue
            for pattern in self._patterns(parsed):
                listing = Listing(parsed.votes, parsed.seen_at, printable(parsed.label, MAX_NAME))
                yield pattern.text, listing.value if parsed.votes else None
        if self.bad > max(FEW_BAD_ROWS, self.feed.max_bad * self.rows):
            raise FeedRefused(f"{self.bad} of {self.rows} rows are unreadable, such as {self.first_bad}")

    @property
    def first_bad(self) -> str:
        """The first bad row in words; empty if there is none."""
        return f"row {self.reported[0].line}: {self.reported[0].reason}" if self.reported else ""

    def _patterns(self, entry: Entry) -> tuple[Pattern, ...]:
        try:
            patterns = read(entry.number, self.feed.country or self.region, self.own)
        except ListEntryRefused as refusal:
            self._report(BadRow(self.rows, str(refusal)))
            return ()
        for pattern in patterns:
            if poison := self._poison(pattern):
                raise FeedRefused(f"poison in row {self.rows}: {poison}")
            if pattern.harm:
                self._report(BadRow(self.rows, pattern.harm))
                return ()
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

    def _report(self, row: BadRow) -> None:
        self.bad += 1
        if len(self.reported) < MAX_REPORTED:
            self.reported.append(BadRow(row.line, printable(row.reason, 200)))
