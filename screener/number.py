"""Whatever arrives as a caller ID, in one normal form.

Trunks write the same caller in a dozen ways (`017712345678`, `+86 177…`, `008617712345678`,
`"Anonymous" <sip:anonymous@anonymous.invalid>`), and a hostile caller writes what he likes.
Lists, counters and rules see only what `parse` makes of it.

Choices that the numbering plans leave open:

- A number that arrives with a prohibiting presentation is `withheld` to rules and to people
  (`kind`, `shown`), but `e164` is kept: block entries and counters still know the caller.
- Short codes are recognised only as dialled at home (`95588`). The same digits in international
  form (`+8695588`) are a well-known spoof and stay `unknown`, without an `e164`.
- China's short codes also arrive behind an area code (`01095588`, `+861095588`, `0755110`): a valid
  `short_code` that keeps its `e164`. With a tail of their owner's (`1008611`, `950131234567`) they are
  a `short_code` that is not valid, except where the plan has that very range (`95013123456`); then,
  as for 400, 800 and 1010 numbers, its kind counts (`shared_cost`, `toll_free`).
- `internal` means "looks like an extension", nothing more: anybody may present `201`.
- A number that its length betrays as local (`5550100` in the US) is possible, yet without its area
  code nobody can say whose it is: no `e164`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType, ValidationResult

from screener.sip import user_and_host
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_HEADER = 512
_MAX_NUMBER = 64
_MAX_SHOWN = 32
_CACHED = 8192
_BLOCK_DIGITS = 4
_MIN_NATIONAL_OF_BLOCK = 7
_MIN_INTERNATIONAL_WITHOUT_PLUS = 11

_WIDE_TO_ASCII = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {
    **dict.fromkeys((0x00A0, 0x2007, 0x2009, 0x202F, 0x3000), " "),
    **dict.fromkeys((*range(0x2010, 0x2016), 0x2212), "-"),
}
_SEPARATORS = str.maketrans("", "", " -./()")
_NUMBER = re.compile(r"\+?[0-9]{1,32}")  # what the store takes for a key
_EXTENSION = re.compile(r"[1-9][0-9]{1,5}")
_INTERNATIONAL_PREFIXES = ("00", "011")
_NO_REGION = "ZZ"
_CHINA = "CN"
_AREA_AND_CODE = re.compile(r"(?:10|2[0-9]|[3-9][0-9]{2})((?:1|9[56])[0-9]{2,5})")
_CODE_AND_TAIL = re.compile(r"(100[0-9]{2}|9[56][0-9]{3})[0-9]{1,10}")

_WITHHELD_WORDS = """
    anonymous anonym anonyme anonimo anonymouscaller unknown unknownnumber unknowncaller unbekannt inconnu
    restricted private privatenumber privatecaller unavailable notavailable withheld numberwithheld blocked
    blockednumber callerblocked calleridblocked nocallerid nonumber hidden hiddennumber outofarea idwithheld
    confidential masked none null p o 匿名 匿名号码 未知 未知号码 私人号码 隐藏号码 无号码 秘密号码
"""
_WITHHELD = frozenset(_WITHHELD_WORDS.split())
"""Letters and digits only, case folded; `p` and `o` are the two reasons for absence in Bellcore caller ID."""


class Kind(StrEnum):
    """What sort of line a caller ID names, by its numbering plan; it says nothing about who really calls."""

    MOBILE = "mobile"
    LANDLINE = "landline"
    FIXED_OR_MOBILE = "fixed_or_mobile"
    VOIP = "voip"
    TOLL_FREE = "toll_free"
    PREMIUM = "premium"
    SHARED_COST = "shared_cost"
    UAN = "uan"
    PAGER = "pager"
    PERSONAL = "personal"
    VOICEMAIL = "voicemail"
    SHORT_CODE = "short_code"
    INTERNAL = "internal"
    WITHHELD = "withheld"
    INVALID = "invalid"
    UNKNOWN = "unknown"


_KINDS = {
    PhoneNumberType.MOBILE: Kind.MOBILE,
    PhoneNumberType.FIXED_LINE: Kind.LANDLINE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: Kind.FIXED_OR_MOBILE,
    PhoneNumberType.VOIP: Kind.VOIP,
    PhoneNumberType.TOLL_FREE: Kind.TOLL_FREE,
    PhoneNumberType.PREMIUM_RATE: Kind.PREMIUM,
    PhoneNumberType.SHARED_COST: Kind.SHARED_COST,
    PhoneNumberType.UAN: Kind.UAN,
    PhoneNumberType.PAGER: Kind.PAGER,
    PhoneNumberType.PERSONAL_NUMBER: Kind.PERSONAL,
    PhoneNumberType.VOICEMAIL: Kind.VOICEMAIL,
}
_KINDS_WITH_CARRIER = frozenset((Kind.MOBILE, Kind.FIXED_OR_MOBILE, Kind.PAGER))


@dataclass(frozen=True, slots=True)
class CallerNumber:
    """A caller ID after `parse`; nothing in it is as the caller wrote it, except the text of `shown`.

    `e164` (`+86…`) is None when no such number exists; `national` is its national significant
    number. `digits` is what was dialled, without separators, for any input that is a number.
    `valid`: in a range that the numbering plan has assigned (for a short code: an existing one);
    `possible`: at least of a right length. `region` is ISO 3166, or `001` for numbers of no
    country. `carrier` is the one to which the prefix was assigned, in English, before any porting;
    empty if not published. `home` is the region in whose plan the input was read.
    """

    kind: Kind
    e164: str | None = None
    national: str | None = None
    digits: str = ""
    region: str | None = None
    carrier: str = ""
    valid: bool = False
    possible: bool = False
    shown: str = ""
    home: str = ""

    @property
    def key(self) -> str:
        """The name under which lists and counters know this caller: `e164`, else the digits, else empty."""
        return self.e164 or self.digits

    @property
    def block(self) -> str | None:
        """The block of 10,000 numbers: `e164` less its last four digits; None if too short for blocks."""
        long = len(self.national or "") >= _MIN_NATIONAL_OF_BLOCK and self.kind is not Kind.SHORT_CODE
        return self.e164[:-_BLOCK_DIGITS] if self.e164 and long else None


def parse(raw: str, region: str, presentation: str = "") -> CallerNumber:
    """Read a caller ID, a SIP or tel URI, or the value of a From or P-Asserted-Identity header.

    `region` (ISO 3166) is the country of the trunk; national numbers and short codes are read by its
    plan. With an unknown region only international forms are understood. `presentation` is Asterisk's
    CALLERID(pres). Never raises: what cannot be a number is `invalid`, whatever its bytes.

    Measured on one core: 30 to 90 µs for a number, 0.2 ms for the worst hostile text found, up to 9 ms
    for the first number of a country (regular expressions are compiled), 0.3 µs for a repeated caller.
    """
    hidden = presentation[:64].strip().casefold().startswith(("prohib", "unavailable"))
    # An overlong text is cut before it becomes a key: the cache must not hold megabytes of attack.
    return _parse(raw[: _MAX_HEADER + 1], region, hidden)


def says_withheld(text: str) -> bool:
    """Whether a caller ID or name is one of the words that networks put in place of a refused number."""
    return "".join(char for char in text[:_MAX_NUMBER].casefold() if char.isalnum()) in _WITHHELD


@lru_cache(maxsize=_CACHED)
def city_of(e164: str) -> str:
    """Place to which a valid number's prefix belongs, in English; empty where none is published."""
    from phonenumbers import geocoder  # noqa: PLC0415 - 0.3 s and 100 MB that hardly anybody asks for

    return geocoder.description_for_valid_number(phonenumbers.parse(e164), "en")


def warm(*regions: str, city: bool = False) -> None:
    """Load the tables that the first callers would wait for; never in the path of a call.

    About 0.4 s and 50 MB; with `city` another 0.3 s and 100 MB.
    """
    phonenumbers.PhoneMetadata.load_all()
    _carrier(phonenumbers.PhoneNumber(country_code=86, national_number=17700000000))
    for region in regions:
        parse("112", region)
    if city:
        city_of("+861012345678")


@lru_cache(maxsize=_CACHED)
def _parse(raw: str, region: str, hidden: bool) -> CallerNumber:  # noqa: FBT001 - part of the cache's key
    number = replace(_read(raw, region), home=region)
    if hidden or number.kind is Kind.WITHHELD:
        return replace(number, kind=Kind.WITHHELD, shown=Kind.WITHHELD.value)
    return replace(number, shown=printable(number.key or raw, _MAX_SHOWN) or Kind.INVALID.value)


def _read(raw: str, region: str) -> CallerNumber:
    text = raw.translate(_WIDE_TO_ASCII)
    if len(text) > _MAX_HEADER or not text.isprintable():
        return CallerNumber(Kind.INVALID)
    user, host = user_and_host(text)
    if len(user) > _MAX_NUMBER:
        return CallerNumber(Kind.INVALID)
    if user == "" or host == "anonymous.invalid" or says_withheld(user):
        return CallerNumber(Kind.WITHHELD)
    digits = user.translate(_SEPARATORS)
    if not _NUMBER.fullmatch(digits):
        return CallerNumber(Kind.INVALID)
    if not digits.startswith("+") and _is_short_code(digits, region):
        return CallerNumber(Kind.SHORT_CODE, digits=digits, region=region, valid=True, possible=True)
    return _with_service_of_china(_by_numbering_plan(digits, region), digits, region)


def _is_short_code(digits: str, region: str) -> bool:
    number = _understood(digits, region)
    return (
        number is not None
        and phonenumbers.national_significant_number(number) == digits
        and phonenumbers.is_valid_short_number_for_region(number, region)
    )


def _by_numbering_plan(digits: str, region: str) -> CallerNumber:
    plain = digits.removeprefix("+")
    number = _likeliest(digits, region)
    valid = number is not None and phonenumbers.is_valid_number(number)
    if not valid and _EXTENSION.fullmatch(digits):
        return CallerNumber(Kind.INTERNAL, digits=plain)
    if number is None or plain.strip("0") == "":
        return CallerNumber(Kind.INVALID, digits=plain)
    where = phonenumbers.region_code_for_number(number)
    length = phonenumbers.is_possible_number_with_reason(number)
    if length == ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
        return CallerNumber(Kind.UNKNOWN, digits=plain, region=where, possible=True)
    if length != ValidationResult.IS_POSSIBLE:
        return CallerNumber(Kind.INVALID, digits=plain)
    kind = _KINDS.get(phonenumbers.number_type(number), Kind.UNKNOWN)
    return CallerNumber(
        kind,
        e164=phonenumbers.format_number(number, PhoneNumberFormat.E164),
        national=phonenumbers.national_significant_number(number),
        digits=plain,
        region=where,
        carrier=_carrier(number) if kind in _KINDS_WITH_CARRIER else "",
        valid=valid,
        possible=True,
    )


def _with_service_of_china(number: CallerNumber, digits: str, region: str) -> CallerNumber:
    """Recognise a Chinese short code behind an area code, or before a tail of its owner's."""
    if (number.region or region) != _CHINA or not (number.e164 or "+86").startswith("+86"):
        return number
    dialled = number.national or (digits if region == _CHINA and digits.startswith("0") else "")
    behind_area = _AREA_AND_CODE.fullmatch(dialled.removeprefix("0"))
    code = behind_area or (None if number.valid else _CODE_AND_TAIL.fullmatch(digits))
    if not code or not _is_short_code(code[1], _CHINA):
        return number
    valid = behind_area is not None
    return replace(number, kind=Kind.SHORT_CODE, region=_CHINA, valid=valid, possible=True)


def _likeliest(digits: str, region: str) -> phonenumbers.PhoneNumber | None:
    """Pick the first reading that is a valid number, else the first that can be read at all.

    None also for the rare nonsense that its own E.164 form is not read as (what looks like a trunk
    prefix is stripped, and the rest begins with one again): stored in a list under one form, it
    would be looked up under another.
    """
    read = (_understood(form, region) for form in _forms(digits, region))
    readings = [number for number in read if number is not None]
    if not readings:
        return None
    number = next(filter(phonenumbers.is_valid_number, readings), readings[0])
    again = _understood(phonenumbers.format_number(number, PhoneNumberFormat.E164), _NO_REGION)
    return number if again == number else None


def _forms(digits: str, region: str) -> Iterator[str]:
    """List the ways to read the digits, the likeliest first; a later one counts only if it is valid.

    Trunks use the international prefix of another country, or leave out the plus sign. Without a known
    region nearly every national number would pass for one of those, so there the plus sign is required.
    """
    yield digits
    if digits.startswith("+"):
        return
    for prefix in _INTERNATIONAL_PREFIXES:
        if digits.startswith(prefix):
            yield "+" + digits.removeprefix(prefix)
    if len(digits) >= _MIN_INTERNATIONAL_WITHOUT_PLUS and region in phonenumbers.SUPPORTED_REGIONS:
        yield "+" + digits


def _understood(digits: str, region: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None


def _carrier(number: phonenumbers.PhoneNumber) -> str:
    from phonenumbers import carrier  # noqa: PLC0415 - 0.3 s and 50 MB that most commands do not need

    return carrier.name_for_valid_number(number, "en")
