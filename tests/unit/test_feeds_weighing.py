"""What a listing weighs: pure arithmetic, one row one case."""

from __future__ import annotations

import math

import pytest

from screener.state.patterns import MIN_NATIONAL_DIGITS
from screener.state.weighing import DAY_S, NOT_LISTED, SHORTEST_FIELD, Listing, Terms, fields_of, weigh
from screener.state.weighing import weight_of as weight

NOW = 1_760_000_000
TERMS = Terms("a", 2.0, 30.0, 10)


@pytest.mark.parametrize(
    ("listing", "as_of_days", "half_life", "expected"),
    [
        (Listing(10), 0, 30, 2.0),
        (Listing(1000), 0, 30, 2.0),
        (Listing(5), 0, 30, 1.0),
        (Listing(10), 30, 30, 1.0),
        (Listing(10), 90, 30, 0.25),
        (Listing(10), 9000, math.inf, 2.0),
        (Listing(10, int(NOW - 60 * DAY_S)), 0, 30, 0.5),  # complained of long ago, in a fresh snapshot
        (
            Listing(10, NOW + 10**6),
            30,
            30,
            1.0,
        ),  # a complaint from the future is no younger than its snapshot
        (Listing(10), -5, 30, 2.0),  # nor is a snapshot from the future worth more
    ],
)
def test_weight_of__age_and_votes__halved_and_shared(
    listing: Listing, as_of_days: float, half_life: float, expected: float
) -> None:
    terms = Terms("a", 2.0, half_life, 10)
    assert weight(listing, terms, NOW - as_of_days * DAY_S, NOW) == pytest.approx(expected)


def test_weigh__two_of_three_feeds_list__sum_and_heaviest_first() -> None:
    terms = [TERMS, Terms("b", 1.0, math.inf, 1), Terms("c", 3.0, 30.0, 1)]
    found = [[0, str(NOW), "+86177*", "5"], [1, str(NOW), "", ""], [2, str(NOW), "+8617712345678", "3\t\tx"]]
    assert weigh(found, terms, NOW) == {
        "feed.asked": 3,
        "feed.count": 2,
        "feed.names": "c, a",
        "feed.weight": 4.0,
        "feed.max_votes": 5,
    }


@pytest.mark.parametrize("value", ["", "x", "-3", "1e9", "9" * 40, "\t\t", "0"])
def test_weigh__nonsense_in_the_store__is_no_entry(value: str) -> None:
    assert weigh([[0, "nonsense", "+86177*", value]], [TERMS], NOW) == {**NOT_LISTED, "feed.asked": 1}


def test_weigh__nothing_asked__as_for_a_caller_without_number() -> None:
    assert weigh([], [], NOW) == NOT_LISTED


def test_fields_of__longest_key__thirteen_fields_the_number_first() -> None:
    fields = fields_of("+123456789012345")
    assert len(fields) == 13
    assert fields[:2] == ("+123456789012345", "+123456789012345*")
    assert fields[-1] == "+1234*"
    assert len("+1") + MIN_NATIONAL_DIGITS == SHORTEST_FIELD


@pytest.mark.parametrize("key", ["", "95588", "+1234567890123456"])
def test_fields_of__no_key_of_a_feed__none(key: str) -> None:
    assert fields_of(key) == ()


@pytest.mark.parametrize(
    "listing", [Listing(1), Listing(7, NOW), Listing(7, 0, "a label"), Listing(7, NOW, "x")]
)
def test_listing__stored__read_back(listing: Listing) -> None:
    assert Listing.stored(listing.value) == listing
