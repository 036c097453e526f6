"""Which rows are skipped and which condemn the whole feed."""

from __future__ import annotations

from typing import Any

import pytest

from screener.config import load
from screener.errors import FeedRefused
from screener.feeds.firewall import FEW_BAD_ROWS, Snapshot
from screener.state.weighing import Listing

PLAIN = load(None, environ={}).feeds["our-own-numbers"]
OWN = ("+862161234567",)


def snapshot(text: str | bytes, **changes: Any) -> Snapshot:
    raw = text.encode() if isinstance(text, str) else text
    return Snapshot(raw, PLAIN.model_copy(update=changes), "CN", OWN)


def test_snapshot__good_rows__fields_of_the_store() -> None:
    text = "17712345678,debt\r\n+86178*\n+4930123400..+4930123419\n"
    assert list(snapshot(text).fields()) == [
        ("+8617712345678", "1\t\tdebt"),
        ("+86178*", "1"),
        ("+493012340*", "1"),
        ("+493012341*", "1"),
    ]


@pytest.mark.parametrize(
    ("poison", "country"),
    [
        ("021 6123 4567", ""),  # our own number
        ("+862161234567", "US"),
        ("+86216123*", ""),  # a prefix over it
        ("+862161234560..+862161234569", ""),
        ("110", ""),
        ("911", "US"),
        ("112", "DE"),
        ("95588", ""),  # a bank's short number
        ("95588", "DE"),  # … of ours in a feed from elsewhere
        ("+86*", ""),
        ("+1*", ""),
        ("+4930*", ""),
        ("+7######", ""),
    ],
)
def test_snapshot__poison__refused_whole(poison: str, country: str) -> None:
    with pytest.raises(FeedRefused, match=r"^poison in row 2: "):
        list(snapshot(f"+8617712345678\n{poison}\n", country=country).fields())


@pytest.mark.parametrize(
    "bad",
    ["=HYPERLINK(1)", "hello", "*", "5550100", "201", "1" * 70, "+86177*1", "\x00", "-1+cmd|' /C calc'!A0"],
)
def test_snapshot__bad_row__reported_and_skipped(bad: str) -> None:
    one = snapshot(f"+8617712345678\n{bad}\n+8617712345679\n", country="US")
    assert [name for name, _ in one.fields()] == ["+8617712345678", "+8617712345679"]
    assert (one.rows, one.bad) == (3, 1)
    assert one.first_bad.startswith("row 2: ")
    assert one.first_bad.isprintable()


def test_snapshot__too_many_bad_rows__refused_with_the_first() -> None:
    text = "+8617712345678\n" * 30 + "x\n" * 30
    with pytest.raises(FeedRefused, match="30 of 60 rows are unreadable, such as row 31: "):
        list(snapshot(text, max_bad=0.05).fields())


@pytest.mark.parametrize("bad", ["0162######x", "hello", "#", "33*162", '[{"start": "33"}]', "[7]"])
def test_snapshot__bad_pattern_of_saracroche__reported_and_skipped(bad: str) -> None:
    one = snapshot(bad, format="saracroche", country="FR")
    assert list(one.fields()) == []
    assert (one.bad, one.first_bad[:7]) == (1, "row 1: ")


def test_snapshot__few_bad_rows_of_few__tolerated() -> None:
    assert len(list(snapshot("+8617712345678\n" + "x\n" * FEW_BAD_ROWS, max_bad=0.0).fields())) == 1


def test_snapshot__more_rows_than_allowed__refused() -> None:
    with pytest.raises(FeedRefused, match="more than 2 rows"):
        list(snapshot("+8617712345678\n" * 3, max_entries=2).fields())


@pytest.mark.parametrize("page", ["<!DOCTYPE html><p>Log in", "\ufeff\n <html>", "<?xml version='1.0'?>"])
def test_snapshot__web_page__refused(page: str) -> None:
    with pytest.raises(FeedRefused, match="a web page"):
        list(snapshot(page).fields())


def test_snapshot__no_votes__takes_the_entry_back() -> None:
    raw = '{"numbers":[{"phone":"+4930123456","votes":3},{"phone":"+4930123456","votes":0}],"version":7}'
    one = snapshot(raw, format="phoneblock")
    assert list(one.fields()) == [("+4930123456", "3"), ("+4930123456", None)]
    assert one.version == 7


def test_snapshot__label_of_a_stranger__cleaned_and_cut() -> None:
    ((_, value),) = snapshot("+8617712345678,\x1b[2Jspam\u202e" + "x" * 500).fields()
    assert value is not None
    label = Listing.stored(value).label
    assert label.startswith("[2Jspamxx")
    assert len(label) == 64
