"""Laws of list patterns: what is stored is what arrives, and nothing else matches."""

from __future__ import annotations

import phonenumbers
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from screener.errors import ListEntryRefused
from screener.number import parse
from screener.state import patterns as reading
from screener.state.patterns import Pattern, matching_fields, read
from screener.state.rows import HEADER, Entry, Row, row_of, rows_in

digits = st.text("0123456789", min_size=1, max_size=15)
keys = st.one_of(digits.map("+{}".format), digits)
patterns = st.one_of(keys, digits.map("+{}*".format))
moments = st.integers(0, 4_000_000_000)


@given(keys, st.lists(st.tuples(st.sampled_from("ab"), patterns), max_size=8))
def test_fields__any_entries__are_exactly_those_that_match(key: str, entries: list[tuple[str, str]]) -> None:
    fields = matching_fields(key)
    for letter, text in entries:
        assert (letter + text in fields) == Pattern(text).matches(key)


@given(keys)
def test_fields__any_caller__name_the_most_specific_first(key: str) -> None:
    fields = matching_fields(key)
    specific = [(len(field.rstrip("*")), not field.endswith("*"), field[0] == "a") for field in fields]
    assert specific == sorted(specific, reverse=True)
    assert len(set(fields)) == len(fields)


@settings(deadline=None)  # the first number of a country loads its numbering plan
@given(st.text(max_size=70), st.sampled_from(["CN", "DE", "US", "IT", "RU", "ZZ"]))
def test_read__any_text__is_refused_or_gives_patterns_that_read_as_themselves(text: str, region: str) -> None:
    try:
        found = read(text, region)
    except ListEntryRefused as refusal:
        said = str(refusal)
        found = ()
    else:
        said = ""
    assert said.isprintable()
    for pattern in found:
        assert [again.text for again in read(pattern.text, region)] == [pattern.text]


@settings(deadline=None)
@given(st.text("0123456789+*# .-/()", max_size=24), st.sampled_from(["CN", "DE", "US", "IT", "RU"]))
def test_read__number_like_text__gives_patterns_that_read_as_themselves(text: str, region: str) -> None:
    try:
        found = read(text, region)
    except ListEntryRefused:
        return
    for pattern in found:
        if pattern.text.startswith("+"):
            assert [again.text for again in read(pattern.text, region)] == [pattern.text]


@settings(deadline=None)
@given(st.text("0123456789+ ", min_size=1, max_size=20), st.sampled_from(["CN", "DE", "US", "IT"]))
def test_read__a_number__matches_the_call_that_presents_it(text: str, region: str) -> None:
    try:
        (pattern,) = read(text, region)
    except ListEntryRefused:
        return
    assert pattern.matches(parse(text, region).key)


@settings(deadline=None)
@given(st.integers(0, 99_999), st.integers(0, 99_999), st.integers(0, 99_999))
def test_range__any_number__is_inside_or_outside(one: int, other: int, asked: int) -> None:
    low, high = sorted((one, other))
    found = read(f"+493012{low:05d}..+493012{high:05d}", "DE")
    assert sum(pattern.matches(f"+493012{asked:05d}") for pattern in found) == (low <= asked <= high)


@given(
    patterns,
    st.sampled_from(["allow", "block"]),
    st.text(),
    st.text(),
    st.text(),
    moments,
    st.none() | moments,
)
def test_entry__any_texts__survive_the_store_and_the_file(
    pattern: str, kind: str, reason: str, source: str, by: str, added_at: int, expires_at: int | None
) -> None:
    row = Row(pattern, kind, reason=reason, source=source, by=by, added_at=added_at, expires_at=expires_at)  # type: ignore[arg-type]
    entry = Entry.of(pattern, row, 0)
    assert Entry.stored(entry.field, entry.value) == entry
    line = row_of(entry)
    assert line.isprintable()
    assert len(line) < 2000
    ((_, back),) = rows_in([HEADER, line])
    assume(not isinstance(back, str))
    assert isinstance(back, Row)
    assert Entry.of(back.text, back, 0) == entry


@given(st.lists(st.text(max_size=60), max_size=10))
def test_rows__any_lines__never_fail_and_keep_their_numbers(lines: list[str]) -> None:
    numbers = [number for number, _ in rows_in(lines)]
    assert numbers == sorted(set(numbers))
    assert all(1 <= number <= len(lines) for number in numbers)


countries = st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE))


@settings(deadline=None, max_examples=400)
@given(countries, st.text("0123456789", min_size=1, max_size=13), st.sampled_from(["CN", "US", "IT", "ZZ"]))
@example(1, "1212555010", "US")  # a trunk prefix
@example(54, "93435551212", "ZZ")  # a mobile that Argentina dials differently
@example(52, "14499780001", "US")
@example(39, "0236618300", "IT")  # a zero that belongs to the number
@example(49, "01771234567", "CN")  # one that does not
@example(86, "110", "CN")
def test_number__in_full_form__is_read_alike_with_and_without_its_short_cut(
    country: int, national: str, region: str
) -> None:
    text = f"+{country}{national}"
    if reading._is_own_key(text):
        assert reading._number(text, region) == Pattern(text)


def test_short_cut__example_numbers_of_all_countries__covers_most_and_errs_in_none() -> None:
    taken = 0
    for region in phonenumbers.SUPPORTED_REGIONS:
        number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if number else ""
        if reading._is_own_key(text):
            taken += 1
            assert reading._number(text, "CN") == Pattern(text)
    assert taken > 0.7 * len(phonenumbers.SUPPORTED_REGIONS)
