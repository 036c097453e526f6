"""What holds for every caller ID, and for the facts made from it, whatever the caller writes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import phonenumbers
from hypothesis import example, given
from hypothesis import strategies as st

from screener.call import Call, Stage
from screener.facts import BY_NAME, PYTHON_TYPES, Place, facts_of
from screener.number import CallerNumber, Kind, parse, warm
from screener.text import printable

warm("CN", city=True)  # else the first example of a run would pay for the tables and miss its deadline

ALL_REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
COUNTRY_CODES = sorted({str(phonenumbers.country_code_for_region(region)) for region in ALL_REGIONS})

regions = st.sampled_from([*ALL_REGIONS, "ZZ", ""])
digits = st.text("0123456789", min_size=1, max_size=18)
prefixes = st.sampled_from(["", "0", "00", "011", "+", "+0", *("+" + code for code in COUNTRY_CODES)])
numbers = st.builds(lambda prefix, rest: prefix + rest, prefixes, digits)
addresses = st.builds(
    lambda name, scheme, number, rest: f'"{name}" <{scheme}{number}{rest}>',
    st.text(max_size=20),
    st.sampled_from(["sip:", "SIPS:", "tel:", ""]),
    numbers,
    st.sampled_from(["", "@host", ";ext=1", ":pw@[::1]:5060;user=phone"]),
)
anything = st.one_of(st.text(st.characters(), max_size=700), numbers, addresses, st.binary().map(repr))
presentations = st.one_of(
    st.sampled_from(["", "allowed", "prohib_not_screened", "unavailable"]), st.text(max_size=9)
)


def is_sane(number: CallerNumber) -> bool:
    return (
        (number.e164 is None or re.fullmatch(r"\+[1-9][0-9]{3,17}", number.e164) is not None)
        and (number.e164 is None) == (number.national is None)
        and re.fullmatch(r"[0-9]{0,64}", number.digits) is not None
        and number.shown.isprintable()
        and 1 <= len(number.shown) <= 32
        and number.carrier.isprintable()
        and (number.possible or not number.valid)
    )


@given(anything, regions, presentations)
@example("\ud800" * 600, "CN", "\ud800")
@example("+" + "1" * 63, "CN", "")
def test_parse__any_text__never_raises_and_stays_in_bounds(raw: str, region: str, presentation: str) -> None:
    assert is_sane(parse(raw, region, presentation))


@given(st.one_of(numbers, addresses), regions, regions)
@example("+3100174325", "NL", "US")
@example("+391095000", "AC", "CN")
def test_parse__normal_form_again__same_in_every_region(raw: str, region: str, elsewhere: str) -> None:
    once = parse(raw, region)
    if once.e164 is not None:
        again = parse(once.e164, elsewhere)
        assert (again.e164, again.national, again.region, again.carrier, again.valid) == (
            (once.e164, once.national, once.region, once.carrier, once.valid)
        )


@given(numbers, regions, st.lists(st.tuples(st.integers(1, 20), st.sampled_from(" -./()")), max_size=8))
def test_parse__separators_strewn_in__change_nothing(
    plain: str, region: str, strewn: list[tuple[int, str]]
) -> None:
    spelled = plain
    for at, separator in strewn:
        spelled = spelled[:at] + separator + spelled[at:]
    assert parse(spelled, region) == parse(plain, region)


@given(numbers, regions)
def test_parse__full_width__same_as_ascii(plain: str, region: str) -> None:
    assert parse("".join(chr(ord(char) + 0xFEE0) for char in plain), region) == parse(plain, region)


@given(digits, st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1), digits, regions)
def test_parse__letters_among_digits__no_number(before: str, letters: str, after: str, region: str) -> None:
    number = parse(before + letters + after, region)
    assert (number.kind, number.key) == (Kind.INVALID, "")


@given(anything, regions)
def test_parse__prohibited__always_withheld_and_never_shown(raw: str, region: str) -> None:
    number = parse(raw, region, "prohib_passed_screen")
    assert (number.kind, number.shown) == (Kind.WITHHELD, "withheld")
    assert number.e164 == parse(raw, region).e164


@given(st.text(st.characters()), st.integers(2, 80))
def test_printable__any_text__printable_bounded_idempotent(text: str, limit: int) -> None:
    cleaned = printable(text, limit)
    assert cleaned.isprintable()
    assert len(cleaned) <= limit
    assert printable(cleaned, limit) == cleaned


calls = st.builds(
    Call,
    id=st.just("1.1"),
    channel=st.text(max_size=300),
    stage=st.sampled_from(Stage),
    at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
    number=anything,
    name=st.text(st.characters(), max_size=300),
    did=anything,
    presentation=presentations,
    asserted=anything,
    diversion=anything,
    sender=anything,
    verified=st.one_of(st.sampled_from(["success", "signature_validation"]), st.text(max_size=9)),
    attestation=st.one_of(st.sampled_from("ABC"), st.text(max_size=9)),
    challenge=st.one_of(st.sampled_from(["passed", "failed"]), st.text(max_size=9)),
)
values = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=300))
observations = st.dictionaries(st.one_of(st.sampled_from(sorted(BY_NAME)), st.text(max_size=9)), values)
places = st.builds(
    Place,
    region=regions,
    zone=st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours))),
    trunks=st.lists(st.tuples(st.sampled_from(["*", "P*", "PJSIP/a"]), regions), max_size=3).map(tuple),
    city=st.booleans(),
)


@given(calls, observations, places)
def test_facts_of__anything__declared_names_types_and_bounds(
    call: Call, observed: dict[str, bool | int | float | str], place: Place
) -> None:
    facts = facts_of(
        call, parse(call.number, place.region_of(call.trunk), call.presentation), observed, place
    )
    for name, value in facts.items():
        assert type(value) is PYTHON_TYPES[BY_NAME[name].type], name
        if isinstance(value, str):
            assert value.isprintable(), name
            assert 1 <= len(value) <= 200, name
        else:
            assert abs(value) < 2**63, name


@given(calls, observations, places)
def test_facts_of__store_content__never_changes_what_the_call_itself_says(
    call: Call, observed: dict[str, bool | int | float | str], place: Place
) -> None:
    caller = parse(call.number, "CN", call.presentation)
    with_store = facts_of(call, caller, observed, place)
    assert facts_of(call, caller, {}, place) == {
        name: value
        for name, value in with_store.items()
        if BY_NAME[name].source not in {"state", "talk", "message"}
    }
