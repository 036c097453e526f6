"""Whatever the bytes: entries, bad rows or FeedRefused; and nothing that is taken can do harm."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from screener.config import load
from screener.errors import FeedRefused, ListEntryRefused
from screener.feeds.fetch import unpacked
from screener.feeds.firewall import Snapshot
from screener.feeds.formats import FORMATS, MAX_VOTES, Row, lines
from screener.state.patterns import MIN_NATIONAL_DIGITS, read
from screener.state.weighing import Listing, Terms, fields_of, weight_of

if TYPE_CHECKING:
    from screener.config.feeds import Feed

FEED: Feed = load(None, environ={}).feeds["our-own-csv"]
COLUMNS = {"number": "1", "votes": "2", "label": "3", "seen": "4"}
OWN = ("+862161234567",)

digits = st.text("0123456789+*#.- ", max_size=20)
cell = digits | st.text(max_size=12) | st.integers().map(str)
table = st.lists(st.lists(cell, max_size=5).map(",".join), max_size=8).map("\n".join)
leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | digits
row = st.dictionaries(st.sampled_from(["phone", "votes", "rating", "lastActivity", "pattern"]), leaf)
document = st.dictionaries(st.sampled_from(["numbers", "version"]), st.lists(row) | leaf) | st.lists(row)
raw = st.binary(max_size=200) | table.map(lambda text: text.encode("utf-8", "surrogatepass"))
raw |= document.map(lambda value: json.dumps(value).encode())


@pytest.mark.parametrize("name", sorted(FORMATS))
@given(raw=raw)
@example(raw=b"[" * 5000)
@example(raw=b'{"a":' * 5000)
@example(raw=b'{"version": ' + b"9" * 5000 + b"}")
@example(raw=b'"' * 5000 + b"\n\x00,\x00")
@settings(max_examples=60, deadline=None)
def test_formats__any_bytes__entries_bad_rows_or_a_refusal(name: str, raw: bytes) -> None:
    try:
        found = list(FORMATS[name](raw, COLUMNS))
    except FeedRefused:
        return
    for one in found:
        with contextlib.suppress(ListEntryRefused):
            if isinstance(one, Row):
                listing = one.listing
                assert 0 <= listing.votes <= MAX_VOTES
                assert 0 <= listing.seen_at < 2**33
                assert Listing.stored(listing.value) == listing


@given(rows=st.lists(st.tuples(digits, st.integers(0, 99), st.text(max_size=30)), max_size=8))
@example(rows=[("+86", 1, ""), ("110", 1, "")])
@settings(max_examples=150, deadline=None)
def test_snapshot__any_rows__what_is_taken_harms_nobody_and_is_found_again(
    rows: list[tuple[str, int, str]],
) -> None:
    text = "\n".join(f"{number},{votes},{label}" for number, votes, label in rows)
    feed = FEED.model_copy(
        update={"columns": FEED.columns.model_copy(update=COLUMNS | {"seen": ""}), "max_bad": 1.0}
    )
    try:
        taken = list(Snapshot(text.encode("utf-8", "surrogatepass"), feed, "CN", OWN).fields())
    except FeedRefused:
        return
    for field, value in taken:
        (pattern,) = read(field, "CN", OWN)
        assert (pattern.text, pattern.harm) == (field, "")
        assert len(field.strip("+*")) > MIN_NATIONAL_DIGITS
        caller = field.replace("*", "")
        assert field in fields_of(caller)
        assert value is None or Listing.stored(value).votes > 0


@given(raw=st.binary(max_size=400), limit=st.integers(0, 300))
def test_unpacked__any_bytes__never_more_than_allowed_out_of_gzip(raw: bytes, limit: int) -> None:
    try:
        plain = unpacked(b"\x1f\x8b" + raw, limit)
    except FeedRefused:
        return
    assert len(plain) <= limit


@given(raw=st.binary(max_size=300))
def test_lines__any_bytes__numbered_upwards_and_never_blank(raw: bytes) -> None:
    found = list(lines(raw))
    assert [number for number, _ in found] == sorted({number for number, _ in found})
    assert all(text.strip() for _, text in found)


@given(
    votes=st.integers(0, MAX_VOTES),
    seen_at=st.integers(0, 2**33),
    as_of=st.integers(0, 2**33),
    now=st.integers(0, 2**33),
    half_life=st.floats(0.01, 999) | st.just(float("inf")),
)
def test_weight_of__any_listing__never_above_the_weight_of_its_feed(
    votes: int, seen_at: int, as_of: int, now: int, half_life: float
) -> None:
    terms = Terms("a", 3.0, half_life, 7)
    weight = weight_of(Listing(votes, seen_at), terms, as_of, now)
    assert 0 <= weight <= 3.0
    assert weight_of(Listing(votes, seen_at), terms, as_of, now + 86400) <= weight
