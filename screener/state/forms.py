"""In which forms a listed number can arrive as a caller ID: for a dialplan, which has no numbering plan."""

from __future__ import annotations

from functools import lru_cache

import phonenumbers

from screener.number import parse

_NORTH_AMERICA = 1
_FILLS = "5208"
_SAMPLES = 4
_MAX_DIGITS = 15


@lru_cache(maxsize=4096)
def forms(pattern: str, region: str) -> tuple[str, ...]:
    """Every form that `number.parse` reads as this entry's numbers in `region`; prefixes end in `*`.

    A form that would be read as another number is left out, so that no two entries share one. A prefix
    is judged by a few of its numbers. About 0.5 ms for a number, 5 ms for a prefix.
    """
    stem, star = (pattern[:-1], "*") if pattern.endswith("*") else (pattern, "")
    if not stem.startswith("+"):
        return (pattern,)
    tails = _samples(stem, region) if star else ("",)
    return tuple(
        form + star
        for form in _candidates(stem[1:], region)
        if tails and all(parse(form + tail, region).key == stem + tail for tail in tails)
    )


def _candidates(digits: str, region: str) -> dict[str, None]:
    at_home = phonenumbers.country_code_for_region(region) == _NORTH_AMERICA
    prefixes = ("+", "", "00", "011") if at_home else ("+", "", "00")
    return dict.fromkeys([prefix + digits for prefix in prefixes] + _national(digits))


def _national(digits: str) -> list[str]:
    """The forms within the number's own country, with and without its trunk prefix."""
    found = []
    for length in (1, 2, 3):
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:length]), ())
        rest = digits[length:]
        if regions and rest:
            plans = (phonenumbers.PhoneMetadata.metadata_for_region(region) for region in regions)
            found += [(plan.national_prefix or "") + rest for plan in plans if plan] + [rest]
    return found


def _samples(stem: str, region: str) -> tuple[str, ...]:
    """What completes the prefix to a valid number, else to a possible one: a few tails."""
    possible: list[str] = []
    valid: list[str] = []
    for count in range(1, _MAX_DIGITS + 2 - len(stem)):
        for fill in _FILLS:
            tail = fill * count
            number = parse(stem + tail, region)
            if number.e164 == stem + tail:
                (valid if number.valid else possible).append(tail)
        if len(valid) >= _SAMPLES:
            break
    return tuple((valid or possible)[:_SAMPLES])
