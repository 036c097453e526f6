"""Each format: what a good row is, which rows are bad, and what is refused as a whole."""

from __future__ import annotations

from typing import get_args

import pytest

from screener.config import load, shipped_dir
from screener.config.feeds import Format
from screener.errors import FeedRefused, ListEntryRefused
from screener.feeds.formats import FORMATS, MAX_ROW, MAX_VOTES, Row, Version
from screener.state.weighing import Listing

NOON = 1_760_011_200
ONCE = Listing(1)
FTC_HEADER = (
    "Company_Phone_Number,Created_Date,Violation_Date,Consumer_City,Consumer_State,"
    "Consumer_Area_Code,Subject,Recorded_Message_Or_Robocall\n"
)


def parsed(name: str, text: str | bytes, **columns: str) -> list[object]:
    """Of each row its number and what is stored of it, or its line and what is wrong."""
    found: list[object] = []
    for row in FORMATS[name](text.encode() if isinstance(text, str) else text, columns):
        try:
            found.append(row if isinstance(row, Version) else (row.number, row.listing))
        except ListEntryRefused as refusal:
            assert isinstance(row, Row)
            found.append((row.line, str(refusal)))
    return found


def test_formats__config_and_code__name_the_same() -> None:
    assert set(get_args(Format)) == set(FORMATS)


def test_plain__lines_comments_labels__entries() -> None:
    text = "\ufeff# list of the day\r\n+8617712345678, collection ; agency\r\n\r\n 33162######\n0177*\tx"
    assert parsed("plain", text) == [
        ("+8617712345678", Listing(1, label="collection ; agency")),
        ("33162######", ONCE),
        ("0177*", Listing(1, label="x")),
    ]


def test_plain__overlong_line__one_bad_entry_and_the_next_is_read() -> None:
    found = parsed("plain", "1" * 500_000 + "\n+8617712345678")
    assert found == [(f"line-longer-than-{MAX_ROW}-bytes", ONCE), ("+8617712345678", ONCE)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv__header__columns_by_name_in_any_case(delimiter: str) -> None:
    text = "id,PHONE,reports,kind,last\n1,+8617712345678,7,debt,2025-10-09T12:00:00Z\n2,95,x,,\n3\n"
    found = parsed(
        "csv", text.replace(",", delimiter), number="Phone", votes="Reports", label="Kind", seen="Last"
    )
    assert found == [
        ("+8617712345678", Listing(7, NOON, "debt")),
        (3, "'x' is not a number of votes"),
        ("", ONCE),
    ]


def test_csv__positions__no_header() -> None:
    text = '5,"+86 177 1234 5678"\n,010\n'
    assert parsed("csv", text, number="2", votes="1") == [
        ("+86 177 1234 5678", Listing(5)),
        ("010", ONCE),
    ]


def test_csv__column_not_in_header__refused() -> None:
    with pytest.raises(FeedRefused, match="no column 'Phone': a, b"):
        parsed("csv", "a,b\n1,2\n", number="Phone")


def test_csv__stray_quotation_mark__costs_its_line_only() -> None:
    text = 'n\n"+861\n+86177\r1\n+8617712345678\n'
    assert parsed("csv", text, number="n") == [("+861", ONCE), ("+86177 1", ONCE), ("+8617712345678", ONCE)]


def test_phoneblock__list__votes_rating_activity_version() -> None:
    text = """{"numbers": [
        {"phone": "+4930123456", "votes": 12, "rating": "G_FRAUD", "lastActivity": 1760011200000},
        {"phone": "+4930123457", "votes": 0},
        {"phone": "+4930123458", "votes": 9, "rating": "A_LEGITIMATE"},
        {"phone": "+4930123459", "votes": -1}, {"votes": 3}, 7
    ], "extra": {"a": [1]}, "version": 41}"""
    assert parsed("phoneblock", text) == [
        ("+4930123456", Listing(12, NOON, "G_FRAUD")),
        ("+4930123457", Listing(0)),
        ("+4930123458", Listing(0, 0, "A_LEGITIMATE")),
        (4, "'-1' is not a number of votes"),
        (5, "holds no telephone number"),
        (6, "holds no telephone number"),
        Version(41),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"numbers": [{"phone": "1"',
        '{"numbers": [{"phone": "1", "votes": 1} {}]}',
        '{"numbers": []} trailing',
        '{"numbers": ' + "[" * 100_000,
        '{"numbers": [' + '{"a":' * 100_000,
        '{"numbers": [{"phone": "' + "1" * 10_000 + '"}]}',
        '{"x": ' + "9" * 10_000 + "}",
        b'\xff\xfe{"numbers": []}',
    ],
)
def test_phoneblock__broken_or_bomb__refused(text: str | bytes) -> None:
    with pytest.raises(FeedRefused, match=r"^byte "):
        parsed("phoneblock", text)


def test_phoneblock__no_utf8_within_a_row__only_that_row_suffers() -> None:
    raw = b'{"numbers": [{"phone": "+49\xff", "votes": 1}, {"phone": "+4930123456", "votes": 2}]}'
    assert parsed("phoneblock", raw) == [("+49\udcff", ONCE), ("+4930123456", Listing(2))]


def test_ftc__complaints__summed_by_number() -> None:
    text = FTC_HEADER + (
        "2025550134,2025-10-09 12:00:00,2025-10-08 09:00:00,Reno,Nevada,775,Reducing your debt,Y\n"
        ",2025-10-09 12:00:00,2025-10-08 09:00:00,Reno,Nevada,775,Other,N\n"
        "2025550134,2025-10-09 12:00:00,,Reno,Nevada,775,Reducing your debt,N\n"
        "=HYPERLINK(1),2025-10-09 12:00:00,,,,,,\n"
    )
    assert parsed("ftc", text) == [
        (5, "Company_Phone_Number is not ten digits"),
        ("+12025550134", Listing(2, NOON, "Reducing your debt")),
    ]


def test_prefixes__ranges_and_comments__each_prefix() -> None:
    text = "0162, 0163;+33270 # mainland\n09475-09477\n09-0948 9-1 x 00-99999\n"
    found = parsed("prefixes", text)
    good = ("0162*", "0163*", "+33270*", "09475*", "09476*", "09477*")
    assert found[: len(good)] == [(prefix, ONCE) for prefix in good]
    bad = ("09-0948", "9-1", "x", "00-99999")
    wrong = "is neither a prefix nor a range of up to 100 of them"
    assert found[len(good) :] == [(3, f"{word!r} {wrong}") for word in bad]


def test_prefixes__shipped_french_file__all_that_the_regulator_lists() -> None:
    raw = (shipped_dir() / "feeds" / "fr-telemarketing.txt").read_bytes()
    words = "0162 0163 0270 0271 0377 0378 0424 0425 0568 0569 0948 0949 09475 09476 09477 09478 09479"
    assert parsed("prefixes", raw) == [(f"{word}*", ONCE) for word in words.split()]


def test_saracroche__lines_and_json__international_patterns() -> None:
    text = "33162######\n+339475#####\n"
    assert parsed("saracroche", text) == [("+33162######", ONCE), ("+339475#####", ONCE)]
    text = '\ufeff\n[{"operator_name": "Twilio", "pattern": "3315913####"}, {"start": "33"}]'
    assert parsed("saracroche", text) == [("+3315913####", Listing(1, label="Twilio")), ("+", ONCE)]


def test_formats__votes_beyond_measure__bounded() -> None:
    found = parsed("csv", "+8617712345678,999999999", number="1", votes="2")
    assert found == [("+8617712345678", Listing(MAX_VOTES))]


def test_shipped_feeds__all__are_switched_off_and_say_their_licence() -> None:
    feeds = load(None, environ={}).feeds
    assert {feed.format for feed in feeds.values()} == set(FORMATS)
    assert not [name for name, feed in feeds.items() if feed.enabled or not feed.licence]
