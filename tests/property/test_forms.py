"""Whatever form a listed number arrives in, the mirror of the lists knows it, and knows nobody else by it."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screener.number import parse
from screener.state import forms
from screener.state.patterns import Pattern

REGIONS = ("CN", "DE", "GB", "US", "FR", "IT", "RU", "ES")
ABROAD = ("+8617712345678", "+862155500100", "+4930123456", "+12025550123", "+33162345678", "+390612345678")


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """Numbers of all kinds in E.164: a valid example of a country with its last digits changed."""
    example = phonenumbers.example_number_for_type(
        draw(st.sampled_from(REGIONS)),
        draw(st.sampled_from((phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE))),
    )
    assert example is not None
    e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    return e164[:-4] + f"{draw(st.integers(0, 9999)):04}"


def arriving(e164: str, region: str) -> list[str]:
    """The forms in which carriers of this region write a number."""
    number = phonenumbers.parse(e164)
    national = phonenumbers.national_significant_number(number)
    found = [e164, e164[1:], "00" + e164[1:]]
    if phonenumbers.country_code_for_region(region) == number.country_code:
        plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
        trunk = (plan and plan.national_prefix) or ""
        found += [national, trunk + national]
    return found


@given(numbers(), st.sampled_from(REGIONS))
def test_forms__of_a_number__are_those_that_are_read_as_it_and_no_others(e164: str, region: str) -> None:
    if parse(e164, region).key != e164:
        return
    found = forms(e164, region)
    assert e164 in found
    assert all(parse(form, region).key == e164 for form in found)
    assert {form for form in arriving(e164, region) if parse(form, region).key == e164} <= set(found)


@given(numbers(), st.sampled_from(REGIONS), st.integers(2, 5))
def test_forms__of_a_prefix__begin_every_form_of_its_valid_numbers(e164: str, region: str, cut: int) -> None:
    if not parse(e164, region).valid:
        return
    pattern = e164[:-cut] + "*"
    stems = tuple(form.removesuffix("*") for form in forms(pattern, region))
    assert e164[:-cut] in stems
    for form in (e164, "00" + e164[1:]):
        if parse(form, region).key == e164:
            assert form.startswith(stems)


@given(numbers(), st.sampled_from(REGIONS), st.integers(1, 4))
def test_forms__of_a_prefix__that_begin_a_valid_number__mean_it(e164: str, region: str, cut: int) -> None:
    for form in forms(e164[:-cut] + "*", region):
        for number in ABROAD:
            for arrived in arriving(number, region):
                read = parse(arrived, region)
                if arrived.startswith(form[:-1]) and read.valid:
                    assert Pattern(e164[:-cut] + "*").matches(read.key), (form, arrived)


@pytest.mark.parametrize("pattern", ["95588", "110", "201"])
def test_forms__of_a_number_without_international_form__are_itself(pattern: str) -> None:
    assert forms(pattern, "CN") == (pattern,)


def test_forms__that_would_be_read_as_another_country__are_left_out() -> None:
    assert "177*" not in forms("+177*", "CN")
    assert "177*" in forms("+86177*", "CN")
