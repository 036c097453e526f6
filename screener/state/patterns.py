"""What may stand in a list: one number, or all numbers that begin alike; anything harmful is refused.

An entry is stored as the key by which a caller is known (`screener.number`): `+8617712345678`, a
short code as dialled at home (`95588`), or a prefix (`+86177*`). However it was typed, it is
read by the same numbering plans as the caller ID of a call, so that what is stored is what arrives.
A range is stored as the numbers and prefixes of which it consists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import phonenumbers

from screener.errors import ListEntryRefused
from screener.number import Kind, parse
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

MIN_NATIONAL_DIGITS = 3
"""Digits after the country code that a prefix must have: +86177* and +33162* may stand, +4930* is a city."""

WORLDWIDE_EMERGENCY = frozenset(
    ("000", "08", "110", "111", "112", "113", "119", "120", "122", "911", "995", "999")
)
"""Emergency numbers of large regions; refused everywhere, since trunks and telephones translate them."""

_MAX_TEXT = 64
_MAX_DIGITS = 15
_FILLS = "5208"
_FULL = re.compile(r"\+[1-9][0-9]{5,14}")
_KEY = re.compile(r"\+?[0-9]{1,32}")
_WILDCARD_AT_END = re.compile(r"(?P<stem>[^*#]*)(?P<rest>[*#]+)")
_RANGE = re.compile(r"(?P<first>.+?)\s*(?:\.\.+|…|[-\u2013](?=\s*\+))\s*(?P<last>.+)")
_PREFIX_CHARACTERS = re.compile(r"\+?[0-9]*")
_SEPARATORS = str.maketrans("", "", " -./()[]\u00a0\u2010\u2011\u2012\u2013")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One stored pattern; `harm` says why it should not stand in a block list or, for some, in any list."""

    text: str
    harm: str = ""
    harms_allow: bool = False

    @property
    def is_prefix(self) -> bool:
        """Whether it stands for all numbers that begin alike."""
        return self.text.endswith("*")

    def matches(self, key: str) -> bool:
        """Whether a caller of this key is meant."""
        if self.is_prefix:
            return key.startswith(self.text[:-1])
        return key == self.text


def read(text: str, region: str, own_numbers: Iterable[str] = ()) -> tuple[Pattern, ...]:
    """Read an entry as a person or a feed writes it: a number, `0177*`, `33162######`, `+49301..+49309`.

    `region` is the country whose plan reads national forms; `own_numbers` are keys. Raises
    ListEntryRefused for what cannot be understood at all; what can be, but would do harm, is
    returned with its `harm`.
    """
    text = text.strip()
    if not text:
        raise ListEntryRefused("an empty line is not a number")
    if len(text) > _MAX_TEXT:
        raise ListEntryRefused(
            f"{printable(text, 32)!r} is longer than {_MAX_TEXT} characters: not a telephone number"
        )
    own = tuple(own_numbers)
    if _is_own_key(text):
        return (_with_own(Pattern(text), own),)
    patterns: tuple[Pattern, ...]
    if wildcard := _WILDCARD_AT_END.fullmatch(text):
        patterns = (_prefix(wildcard["stem"], wildcard["rest"], text, region),)
    elif "*" in text or "#" in text:
        raise ListEntryRefused(f"{_shown(text)}: a wildcard may stand only at the end, as in +86177*")
    elif between := _RANGE.fullmatch(text):
        patterns = _range(between["first"], between["last"], text, region)
    else:
        patterns = (_number(text, region),)
    return tuple(_with_own(pattern, own) for pattern in patterns)


def matching_fields(key: str) -> tuple[str, ...]:
    """Every field of the list hash that could match a caller, the winner first.

    The longest pattern wins, and a whole number over a prefix of the same length; at equal length
    allow (`a`) beats block (`b`). Keys that no caller can have match nothing.
    """
    if not _KEY.fullmatch(key):
        return ()
    patterns = [key]
    if key.startswith("+"):
        patterns += [key[:length] + "*" for length in range(len(key), 1, -1)]
    return tuple(letter + pattern for pattern in patterns for letter in "ab")


def _is_own_key(text: str) -> bool:
    """Whether `number.parse` gives this text itself as E.164, whatever the region; False if in doubt.

    A million rows of a list are nearly all such, and this costs a thirtieth of parsing them. What may
    change a number in full form is left to `parse`: digits that could be a trunk prefix, a zero after the
    country code, a length that the plan does not know.
    """
    if not _FULL.fullmatch(text):
        return False
    country, national = _split(text)
    if not country:
        return False
    lengths, trunk_prefix = _plan(int(country))
    return len(national) in lengths and not (trunk_prefix and trunk_prefix.match(national))


@lru_cache(maxsize=512)
def _plan(country: int) -> tuple[frozenset[int], re.Pattern[str] | None]:
    """The lengths of a country's national numbers, and what `phonenumbers` may take from their beginning."""
    region = phonenumbers.region_code_for_country_code(country)
    plan = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(country, region)
    if plan is None or plan.general_desc is None:
        return frozenset(), None
    prefix = plan.national_prefix_for_parsing
    return frozenset(plan.general_desc.possible_length), re.compile(f"0|{prefix}" if prefix else "0")


def _number(text: str, region: str) -> Pattern:
    number = parse(text, region)
    if not number.key:
        raise ListEntryRefused(
            f"{_shown(text)} is not a telephone number: write digits, such as +8617712345678"
        )
    key = number.key
    if (number.kind is Kind.SHORT_CODE and number.valid) or key in WORLDWIDE_EMERGENCY:
        return Pattern(key, _short_harm(key, region))
    if number.kind is Kind.INTERNAL:
        return Pattern(
            key, f"{key} is an extension or a short number, which anybody may present", harms_allow=True
        )
    if number.e164 is None and number.kind is not Kind.SHORT_CODE:
        reason = "has no area code" if number.possible else "is too short or too long for a telephone number"
        return Pattern(key, f"{key} {reason}: write it in full, such as +8617712345678", harms_allow=True)
    return Pattern(key)


def is_emergency(digits: str, region: str) -> bool:
    """Whether the number, as dialled in a country, is one of its emergency services."""
    return digits in WORLDWIDE_EMERGENCY or phonenumbers.is_emergency_number(digits, region)


def _short_harm(digits: str, region: str) -> str:
    if is_emergency(digits, region):
        return f"{digits} is an emergency number: a call-back from it must ring"
    return f"{digits} is a short service number of {region}, such as of a bank or an authority"


def _prefix(stem: str, wildcard: str, text: str, region: str) -> Pattern:
    digits = stem.translate(_SEPARATORS)
    if not _PREFIX_CHARACTERS.fullmatch(digits):
        raise ListEntryRefused(f"{_shown(text)}: a prefix consists of digits, as in +86177*")
    if digits in {"", "+"}:
        raise ListEntryRefused(f"{_shown(text)} would match every caller in the world")
    lengths = range(1, _MAX_DIGITS + 3 - len(digits))
    # 33162###### says how long the number is, and thereby that this is +33 162, not 33162… within France.
    exact = [len(wildcard)] if set(wildcard) == {"#"} else []
    readings = _readings(digits, region, exact, valid_only=True) or _readings(digits, region, lengths)
    if len(readings) > 1:
        could = " or ".join(f"{reading}*" for reading in sorted(readings))
        raise ListEntryRefused(f"{_shown(text)} could mean {could}: write it with + and the country code")
    if not readings and not digits.startswith("+"):
        raise ListEntryRefused(
            f"{_shown(text)} begins no number of {region}: write it with + and the country code"
        )
    return _judged_prefix(readings.pop() if readings else digits)


def _readings(digits: str, region: str, missing: Iterable[int], *, valid_only: bool = False) -> set[str]:
    """What a prefix may mean in international form, found by completing it to numbers of these lengths.

    The numbering plan decides what is a trunk prefix (0177… in Germany is +49177…), and only for whole
    numbers; a national reading is preferred to that of a forgotten plus sign, except where the digits
    begin with the country's own code.
    """
    valid: set[str] = set()
    possible: set[str] = set()
    for count in missing:
        for fill in _FILLS:
            number = parse(digits + fill * count, region)
            if number.e164 is None or len(number.e164) - count < len("+1"):
                continue
            reading = number.e164[:-count]
            possible.add(reading)
            if number.valid:
                valid.add(reading)
    readings = valid if valid_only else valid or possible
    if digits.startswith("+"):
        return {digits} if digits in readings else readings
    home = str(phonenumbers.country_code_for_region(region))
    at_home = {reading for reading in readings if reading.startswith(f"+{home}")}
    if at_home and digits.startswith(home) and len(digits) > len(home):
        at_home.add(f"+{digits}")
    return at_home or readings


def _judged_prefix(stem: str) -> Pattern:
    country, national = _split(stem)
    pattern = stem + "*"
    if not country or not national:
        return Pattern(pattern, f"{pattern} is a whole country or more", harms_allow=True)
    if len(national) < MIN_NATIONAL_DIGITS:
        needed = f"{MIN_NATIONAL_DIGITS} digits after the country code +{country}"
        return Pattern(pattern, f"{pattern} is too short, it needs {needed}", harms_allow=True)
    for region in phonenumbers.region_codes_for_country_code(int(country)):
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
        if metadata and metadata.leading_digits and re.fullmatch(metadata.leading_digits, national):
            return Pattern(pattern, f"{pattern} is a whole country ({region})", harms_allow=True)
    return Pattern(pattern)


def _split(stem: str) -> tuple[str, str]:
    """The country code and what follows it; no country code where the digits end within one."""
    digits = stem.removeprefix("+")
    for length in (1, 2, 3):
        if digits[:length].isdigit() and int(digits[:length]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return digits[:length], digits[length:]
    return "", digits


def _range(first: str, last: str, text: str, region: str) -> tuple[Pattern, ...]:
    ends = [parse(end, region).e164 for end in (first, last)]
    low, high = ends
    if low is None or high is None:
        raise ListEntryRefused(f"{_shown(text)}: both ends of a range must be telephone numbers in full")
    if len(low) != len(high) or low > high:
        raise ListEntryRefused(
            f"{_shown(text)}: the ends of a range must be of one length, the lower one first"
        )
    return tuple(
        Pattern(stem) if len(stem) == len(low) else _judged_prefix(stem)
        for stem in _cover(low.removeprefix("+"), high.removeprefix("+"))
    )


def _cover(low: str, high: str) -> list[str]:
    """The fewest digits-beginnings that stand for all numbers from low to high and for no other."""
    stems: list[str] = []
    at, end = int(low), int(high)
    while at <= end:
        size = 1
        while at % (size * 10) == 0 and at + size * 10 - 1 <= end and size * 10 < 10 ** len(low):
            size *= 10
        stems.append("+" + str(at)[: len(low) - len(str(size)) + 1])
        at += size
    return stems


def _with_own(pattern: Pattern, own_numbers: tuple[str, ...]) -> Pattern:
    mine = next((own for own in own_numbers if pattern.matches(own)), None)
    if mine is None or pattern.harm:
        return pattern
    return Pattern(pattern.text, f"{pattern.text} matches our own number {mine}", harms_allow=True)


def _shown(text: str) -> str:
    return repr(printable(text, _MAX_TEXT))
