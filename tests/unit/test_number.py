"""One row, one caller ID: how it arrives, in which country, and what the screener makes of it."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import pytest

from screener.number import Kind, city_of, parse, says_withheld
from screener.text import printable
from tests.hostile import COSTLY, SPOILT

CHINESE_MOBILE = "+8617712345678"

NUMBERS = [
    # as it arrives, region, e164, kind
    ("17712345678", "CN", CHINESE_MOBILE, Kind.MOBILE),
    ("017712345678", "CN", CHINESE_MOBILE, Kind.MOBILE),
    ("8617712345678", "CN", CHINESE_MOBILE, Kind.MOBILE),
    ("+86 177-1234-5678", "CN", CHINESE_MOBILE, Kind.MOBILE),
    ("(+86) 177.1234.5678", "DE", CHINESE_MOBILE, Kind.MOBILE),
    ("0086 177 1234 5678", "CN", CHINESE_MOBILE, Kind.MOBILE),
    ("011 86 177 1234 5678", "US", CHINESE_MOBILE, Kind.MOBILE),
    ("0086 177 1234 5678", "US", CHINESE_MOBILE, Kind.MOBILE),
    ("011 86 177 1234 5678", "CN", CHINESE_MOBILE, Kind.MOBILE),
    ("8617712345678", "US", CHINESE_MOBILE, Kind.MOBILE),
    ("１７７１２３４５６７８", "CN", CHINESE_MOBILE, Kind.MOBILE),
    ("＋８６　１７７－１２３４－５６７８", "DE", CHINESE_MOBILE, Kind.MOBILE),
    ("+86\u00a0177\u20111234\u20115678", "CN", CHINESE_MOBILE, Kind.MOBILE),
    ("sip:+8617712345678@host", "DE", CHINESE_MOBILE, Kind.MOBILE),
    ("sips:%2B8617712345678:secret@host;transport=tls", "DE", CHINESE_MOBILE, Kind.MOBILE),
    ("+8617712345678@host", "DE", CHINESE_MOBILE, Kind.MOBILE),
    ("<tel:+86-177-1234-5678;phone-context=x>", "DE", CHINESE_MOBILE, Kind.MOBILE),
    ('"17712345678"', "CN", CHINESE_MOBILE, Kind.MOBILE),
    ('"Bob" <sip:+8617712345678@h;user=phone>;party=calling', "DE", CHINESE_MOBILE, Kind.MOBILE),
    ('"Bob \\\\" <sip:+8617712345678@h>', "DE", CHINESE_MOBILE, Kind.MOBILE),
    ('"<sip:+12125550100@h>" <sip:+8617712345678@h>', "US", CHINESE_MOBILE, Kind.MOBILE),
    ('"a\\"<sip:+12125550100@h>" <sip:+8617712345678@h>', "US", CHINESE_MOBILE, Kind.MOBILE),
    ("<sip:+8617712345678@h>, <tel:+4930123456>", "US", CHINESE_MOBILE, Kind.MOBILE),
    ("17712345678" + " " * 60, "CN", CHINESE_MOBILE, Kind.MOBILE),
    ("+8617712345678", "ZZ", CHINESE_MOBILE, Kind.MOBILE),
    ("010 1234 5678", "CN", "+861012345678", Kind.LANDLINE),
    ("400-800-1234", "CN", "+864008001234", Kind.SHARED_COST),
    ("800 810 1234", "CN", "+868008101234", Kind.TOLL_FREE),
    ("+49 (0)30 1234567", "CN", "+49301234567", Kind.LANDLINE),
    ("+49301234567;ext=1", "CN", "+49301234567", Kind.LANDLINE),
    ("0900 1 234567", "DE", "+499001234567", Kind.PREMIUM),
    ("+39 06 69812345", "CN", "+390669812345", Kind.LANDLINE),
    ("12125550100", "CN", "+12125550100", Kind.FIXED_OR_MOBILE),
    ("442079460000", "US", "+442079460000", Kind.LANDLINE),
    ("+44 56 0000 0000", "US", "+445600000000", Kind.VOIP),
    ("+44 7640 123456", "US", "+447640123456", Kind.PAGER),
    ("+44 70 1234 5678", "US", "+447012345678", Kind.PERSONAL),
    ("+44 55 1234 5678", "US", "+445512345678", Kind.UAN),
    ("+800 1234 5678", "CN", "+80012345678", Kind.TOLL_FREE),
    ("201234", "FO", "+298201234", Kind.LANDLINE),
    ("+1 123 456 7890", "US", "+11234567890", Kind.UNKNOWN),
    # without a number of the public plan
    ("95588", "CN", None, Kind.SHORT_CODE),
    ("955 88", "CN", None, Kind.SHORT_CODE),
    ("sip:10086@host", "CN", None, Kind.SHORT_CODE),
    ("12345", "CN", None, Kind.SHORT_CODE),
    ("110", "CN", None, Kind.SHORT_CODE),
    ("000", "AU", None, Kind.SHORT_CODE),
    ("+8695588", "CN", None, Kind.UNKNOWN),
    ("008695588", "CN", None, Kind.UNKNOWN),
    ("+86 110", "CN", None, Kind.INVALID),
    ("5550100", "US", None, Kind.UNKNOWN),
    ("201", "CN", None, Kind.INTERNAL),
    ("95588", "ZZ", None, Kind.INTERNAL),
    ("20", "DE", None, Kind.INTERNAL),
    ("7", "CN", None, Kind.INVALID),
    ("0", "CN", None, Kind.INVALID),
    ("000000", "CN", None, Kind.INVALID),
    ("0000000000", "US", None, Kind.INVALID),
    ("+", "CN", None, Kind.INVALID),
    ("-", "CN", None, Kind.INVALID),
    ("++8617712345678", "CN", None, Kind.INVALID),
    ("1771234+5678", "CN", None, Kind.INVALID),
    ("*67", "US", None, Kind.INVALID),
    ("17712345678", "ZZ", None, Kind.INVALID),
    ("1-800-FLOWERS", "CN", None, Kind.INVALID),
    ("1-800-FLOWERS", "US", None, Kind.INVALID),
    ("sip:alice@host", "CN", None, Kind.INVALID),
    ('"<sip:+8617712345678@h>', "CN", None, Kind.INVALID),
    ("1" * 65, "CN", None, Kind.INVALID),
    ("+86177123456781234567", "CN", None, Kind.INVALID),
    ("+999123456", "CN", None, Kind.INVALID),
    ("+31 00 174325", "NL", None, Kind.INVALID),
    ("<sip:+8617712345678@" + "x" * 600 + ">", "CN", None, Kind.INVALID),
    ("\u0661\u0667\u0667\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668", "CN", None, Kind.INVALID),
]

WITHHELD = [
    "",
    "   ",
    "anonymous",
    "Anonymous",
    "ANONYMOUS CALLER",
    "unknown",
    "<unknown>",
    "Unknown Number",
    "restricted",
    "Private",
    "private-number",
    "unavailable",
    "Not Available",
    "withheld",
    "Number Withheld",
    "blocked",
    "Caller ID Blocked",
    "No Caller ID",
    "Out of Area",
    "P",
    "O",
    "匿名",
    "私人号码",
    "ａｎｏｎｙｍｏｕｓ",
    "anonymous@anonymous.invalid",
    "sip:anonymous@anonymous.invalid",
    "sip:whatever@anonymous.invalid:5060;transport=udp",
    '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1',
    "Anonymous <anonymous@anonymous.invalid>",
    "<>",
    "sip:@host",
]

# In China a number of four kinds of owner is shorter than others, and arrives in many dresses.
SERVICES_OF_CHINA = [
    # as it arrives, region, kind, its name in lists, valid
    ("95588", "CN", Kind.SHORT_CODE, "95588", True),
    ("955881", "CN", Kind.SHORT_CODE, "955881", True),
    ("96110", "CN", Kind.SHORT_CODE, "96110", True),
    ("962288", "CN", Kind.SHORT_CODE, "962288", True),
    ("10086", "CN", Kind.SHORT_CODE, "10086", True),
    ("12345", "CN", Kind.SHORT_CODE, "12345", True),
    ("12306", "CN", Kind.SHORT_CODE, "12306", True),
    ("110", "CN", Kind.SHORT_CODE, "110", True),
    # behind an area code
    ("01095588", "CN", Kind.SHORT_CODE, "+861095588", True),
    ("021 95588", "CN", Kind.SHORT_CODE, "+862195588", True),
    ("02195588", "DE", Kind.LANDLINE, "+492195588", True),
    ("+862195588", "US", Kind.SHORT_CODE, "+862195588", True),
    ("075595588", "CN", Kind.SHORT_CODE, "+8675595588", True),
    ("075512345", "CN", Kind.SHORT_CODE, "+8675512345", True),
    ("02110086", "CN", Kind.SHORT_CODE, "+862110086", True),
    ("01096110", "CN", Kind.SHORT_CODE, "+861096110", True),
    ("010110", "CN", Kind.SHORT_CODE, "010110", True),
    ("0755110", "CN", Kind.SHORT_CODE, "+860755110", True),
    ("01012345678", "CN", Kind.LANDLINE, "+861012345678", True),
    # with a tail of the owner's
    ("1008611", "CN", Kind.SHORT_CODE, "+861008611", False),
    ("100861", "CN", Kind.SHORT_CODE, "100861", False),
    ("955881234", "CN", Kind.SHORT_CODE, "+86955881234", False),
    ("95013123456", "CN", Kind.SHARED_COST, "+8695013123456", True),
    ("950131234567", "CN", Kind.SHORT_CODE, "+86950131234567", False),
    ("9501312345678", "CN", Kind.SHORT_CODE, "9501312345678", False),
    ("9511234567", "CN", Kind.LANDLINE, "+869511234567", True),
    # in international form: a spoof, or as the plan has it
    ("+8695588", "CN", Kind.UNKNOWN, "8695588", False),
    ("+8695588", "US", Kind.UNKNOWN, "8695588", False),
    ("+8610086", "CN", Kind.UNKNOWN, "8610086", False),
    ("+86950131234567", "CN", Kind.UNKNOWN, "+86950131234567", False),
    ("+8695013123456", "US", Kind.SHARED_COST, "+8695013123456", True),
    # only for being called
    ("4008001234", "CN", Kind.SHARED_COST, "+864008001234", True),
    ("04008001234", "CN", Kind.SHARED_COST, "+864008001234", True),
    ("+864008001234", "US", Kind.SHARED_COST, "+864008001234", True),
    ("400800123", "CN", Kind.UNKNOWN, "+86400800123", False),
    ("8008101234", "CN", Kind.TOLL_FREE, "+868008101234", True),
    ("10101111", "CN", Kind.SHARED_COST, "+8610101111", True),
    # no code, for all its digits
    ("01099999", "CN", Kind.UNKNOWN, "+861099999", False),
    ("99999123", "CN", Kind.UNKNOWN, "+8699999123", False),
    ("95588123", "ZZ", Kind.INVALID, "95588123", False),
]


@pytest.mark.parametrize(("raw", "region", "e164", "kind"), NUMBERS)
def test_parse__spelling__one_normal_form(raw: str, region: str, e164: str | None, kind: Kind) -> None:
    number = parse(raw, region)
    assert (number.e164, number.kind) == (e164, kind)


@pytest.mark.parametrize("raw", WITHHELD)
def test_parse__word_for_no_number__withheld(raw: str) -> None:
    number = parse(raw, "CN")
    assert (number.kind, number.e164, number.key, number.shown) == (Kind.WITHHELD, None, "", "withheld")


@pytest.mark.parametrize(("raw", "region", "kind", "key", "valid"), SERVICES_OF_CHINA)
def test_parse__service_number_of_china__told_apart(
    raw: str,
    region: str,
    kind: Kind,
    key: str,
    valid: bool,  # noqa: FBT001 - a row
) -> None:
    number = parse(raw, region)
    assert (number.kind, number.key, number.valid) == (kind, key, valid)


@pytest.mark.parametrize("region", ["CN", "US", "DE", "ZZ"])
def test_parse__hostile_characters_anywhere__no_exception_and_no_number(region: str) -> None:
    assert len(set(SPOILT)) == len(SPOILT) > 500
    for text in SPOILT:
        number = parse(text, region)
        assert number.e164 is None, text
        assert number.kind in {Kind.INVALID, Kind.WITHHELD}, text
        assert number.shown.isprintable(), text


@pytest.mark.parametrize("region", ["CN", "US", "DE", "ZZ"])
def test_parse__costly_text__in_bounds_in_every_country(region: str) -> None:
    for text in COSTLY:
        number = parse(text, region)
        assert len(number.key) <= 64, text
        assert number.shown.isprintable(), text


@pytest.mark.parametrize(
    "presentation", ["prohib", "prohib_passed_screen", " PROHIB_not_screened", "unavailable"]
)
def test_parse__prohibited_presentation__withheld_from_people_known_to_lists(presentation: str) -> None:
    number = parse("17712345678", "CN", presentation)
    assert (number.kind, number.shown) == (Kind.WITHHELD, "withheld")
    assert (number.e164, number.key, number.valid) == (CHINESE_MOBILE, CHINESE_MOBILE, True)


@pytest.mark.parametrize("presentation", ["", "allowed", "allowed_failed_screen", "x-prohib", "\0"])
def test_parse__other_presentation__kind_of_the_number(presentation: str) -> None:
    assert parse("17712345678", "CN", presentation).kind is Kind.MOBILE


def test_parse__chinese_mobile__every_part() -> None:
    number = parse("177 1234 5678", "CN")
    assert number.national == "17712345678"
    assert number.digits == "17712345678"
    assert number.region == "CN"
    assert number.carrier == "China Telecom"
    assert number.block == "+861771234"
    assert number.shown == CHINESE_MOBILE
    assert number.home == "CN"
    assert number.valid
    assert number.possible


def test_parse__unassigned_range__possible_but_not_valid() -> None:
    number = parse("12712345678", "CN")
    assert (number.e164, number.valid, number.possible) == ("+8612712345678", False, True)


def test_parse__short_code__valid_at_home_without_block() -> None:
    number = parse("95588", "CN")
    assert (number.valid, number.region, number.key, number.block) == (True, "CN", "95588", None)


def test_block__service_number_behind_an_area_code__none() -> None:
    assert (parse("01095588", "CN").national, parse("01095588", "CN").block) == ("1095588", None)


def test_city_of__number__place_of_its_prefix() -> None:
    assert [city_of(number) for number in ("+861012345678", "+4930123456", "+80012345678")] == [
        "Beijing",
        "Berlin",
        "",
    ]


def test_warm__city__its_tables_are_loaded_then_and_only_if_wanted() -> None:
    code = """
import sys
from screener import number
number.warm("CN")
assert "phonenumbers.geodata" not in sys.modules
number.warm("CN", city=True)
loaded = set(sys.modules)
assert number.city_of("+4930123456") == "Berlin"
assert set(sys.modules) == loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_block__country_with_short_numbers__none() -> None:
    assert parse("+298201234", "CN").block is None


def test_key__number_without_e164__digits() -> None:
    assert parse("555-0100", "US").key == "5550100"
    assert parse("201", "US").key == "201"
    assert parse("+86 110", "CN").key == "86110"


def test_parse__megabytes__invalid_and_not_kept() -> None:
    tracemalloc.start()
    try:
        number = parse("1" * 5_000_000, "CN")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (number.kind, len(number.shown)) == (Kind.INVALID, 32)
    assert kept < 1_000_000


def test_shown__escape_sequence__harmless() -> None:
    assert parse("\x1b]0;owned\x07 bob\u202e", "CN").shown == "]0;owned bob"


def test_parse__same_caller_twice__same_object() -> None:
    assert parse("17712345678", "CN", "allowed") is parse("17712345678", "CN", "")


@pytest.mark.parametrize(
    ("text", "limit", "cleaned"),
    [
        ("plain", 5, "plain"),
        ("  two\r\n\twords  ", 20, "two words"),
        ("a\u200bb\0c\ud800", 20, "abc"),
        ("abcdef", 5, "abcd…"),
        ("中国工商银行", 80, "中国工商银行"),
        ("\x1b" * 1000 + "x", 10, ""),
    ],
)
def test_printable__any_text__one_clean_line(text: str, limit: int, cleaned: str) -> None:
    assert printable(text, limit) == cleaned


@pytest.mark.parametrize(("text", "withheld"), [("Anonymous", True), ("Bob", False), ("Private Bank", False)])
def test_says_withheld__name__only_whole_words(text: str, withheld: bool) -> None:  # noqa: FBT001 - a row
    assert says_withheld(text) is withheld


@pytest.mark.parametrize(
    ("digits", "key"), [("1" * 32, "1" * 32), ("1" * 33, ""), ("1" * 65, ""), ("+" + "9" * 33, "")]
)
def test_parse__longer_than_the_store_takes_for_a_key__is_a_caller_without_a_number(
    digits: str, key: str
) -> None:
    read = parse(digits, "CN")
    assert (read.kind, read.key) == (Kind.INVALID, key)
