"""The catalogue of facts: everything a rule may ask about a call.

A fact is a named, typed value with a unit and a source. A fact that could not
be learned is absent, never guessed: rules that need it are skipped and listed.

To add a fact: one row in `CATALOGUE`, one entry in the derivation of its source below
(none for the source `state`), one row in its test.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from screener.call import fits
from screener.number import CallerNumber, Kind, city_of, parse, says_withheld
from screener.sip import parameter
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

    from screener.call import Call

FactValue = str | int | float | bool
FactType = Literal["string", "int", "double", "bool"]
Source = Literal["call", "number", "clock", "state", "challenge"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of the catalogue; `source` says what must work for the fact to be known.

    `call`: what the dialplan sent; `number`: the numbering plans; `clock`: the moment of the question
    in the site's time zone; `state`: Redis; `challenge`: the caller has been challenged in this call.
    """

    name: str
    type: FactType
    unit: str
    source: Source
    meaning: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where this PBX stands: its country and time zone, and where its trunks come from.

    `trunks` are pairs of a trunk (or a beginning, `PJSIP/sip*`) and its country. `city` says whether
    the tables of `caller.city` are wanted.
    """

    region: str
    zone: tzinfo
    trunks: tuple[tuple[str, str], ...]
    city: bool

    def region_of(self, trunk: str) -> str:
        """Country in whose plan a trunk's numbers are read: of the first entry that fits, else our own."""
        return next((region for pattern, region in self.trunks if fits(pattern, trunk)), self.region)


CATALOGUE: Final[tuple[Fact, ...]] = (
    Fact("caller.e164", "string", "", "number", "caller's number, +86…; known for some withheld callers too"),
    Fact("caller.kind", "string", "", "number", "one of " + ", ".join(Kind)),
    Fact("caller.valid", "bool", "", "number", "in an assigned range; absent for withheld and internal"),
    Fact("caller.possible", "bool", "", "number", "of a right length; absent for withheld and internal"),
    Fact("caller.region", "string", "ISO 3166", "number", "country of the number, 001 if of none"),
    Fact("caller.from_abroad", "bool", "", "number", "the number belongs to another country than `region`"),
    Fact("caller.carrier", "string", "", "number", "carrier first assigned the mobile prefix, in English"),
    Fact("caller.city", "string", "", "number", "place of the prefix, in English; with `city: true` only"),
    Fact("caller.national", "string", "digits", "number", "number without country code, for prefix rules"),
    Fact("caller.block", "string", "", "number", "block of 10,000 numbers: e164 less its last four digits"),
    Fact(
        "caller.is_neighbour",
        "bool",
        "",
        "number",
        "in the same block as the called number, or equal to it",
    ),
    Fact(
        "caller.asserted_differs", "bool", "", "number", "the network asserts another number than From shows"
    ),
    Fact(
        "caller.domestic_on_foreign_trunk",
        "bool",
        "",
        "number",
        "our own country's number on a trunk of another; absent there for a number without a country",
    ),
    Fact("caller.name", "string", "", "call", "name as presented (CNAM), cleaned, at most 80 characters"),
    Fact("caller.has_name", "bool", "", "call", "the name holds letters and is not a word for withheld"),
    Fact("called.did", "string", "", "call", "our number as the trunk delivered it"),
    Fact("called.e164", "string", "", "number", "our number in international form"),
    Fact("trunk.name", "string", "", "call", "carrier link by which the call arrived"),
    Fact(
        "trunk.region", "string", "ISO 3166", "number", "country in whose plan the trunk's numbers are read"
    ),
    Fact("call.stage", "string", "", "call", "setup before the answer, challenge after the key press"),
    Fact("call.presentation", "string", "", "call", "CALLERID(pres): allowed…, prohib…, unavailable"),
    Fact("call.diverted", "bool", "", "call", "the call was forwarded to us from another number"),
    Fact("call.diverted_from", "string", "", "number", "that other number in international form"),
    Fact("call.local_hour", "int", "h", "clock", "hour of the day, 0 to 23, in the site's time zone"),
    Fact("call.local_weekday", "int", "day", "clock", "1 Monday to 7 Sunday, in the site's time zone"),
    Fact("call.local_minute", "int", "min", "clock", "minutes since local midnight, 0 to 1439"),
    Fact("call.local_date", "string", "", "clock", "the day, such as 2026-10-01, in the site's time zone"),
    Fact("stir.attestation", "string", "", "call", "STIR/SHAKEN A, B or C; absent does not mean failed"),
    Fact("stir.verified", "string", "", "call", "passed or failed; absent when nothing was verified"),
    Fact("challenge.result", "string", "", "challenge", "passed or failed"),
    Fact("list.allow", "bool", "", "state", "an allow entry decides for this caller"),
    Fact("list.block", "bool", "", "state", "a block entry decides for this caller"),
    Fact("list.entry", "string", "", "state", "the deciding entry: a number, a prefix or a block"),
    Fact("list.reason", "string", "", "state", "why the deciding entry was made"),
    Fact("list.source", "string", "", "state", "who or which feed made the deciding entry"),
    Fact("feed.asked", "int", "feeds", "state", "feeds of which we hold a snapshot"),
    Fact("feed.count", "int", "feeds", "state", "feeds that list the caller"),
    Fact("feed.names", "string", "", "state", "the feeds that list the caller, heaviest first, with commas"),
    Fact("feed.weight", "double", "points", "state", "sum of their weights, less for age and for few votes"),
    Fact("feed.max_votes", "int", "votes", "state", "most votes for the caller in one feed, 0 if not listed"),
    Fact("caller.calls_1m", "int", "calls", "state", "attempts in the last minute, this one included"),
    Fact("caller.calls_1h", "int", "calls", "state", "attempts in the last hour, this one included"),
    Fact("caller.calls_1d", "int", "calls", "state", "attempts in the last 24 hours, this one included"),
    Fact("caller.calls_7d", "int", "calls", "state", "attempts in the last 7 days, this one included"),
    Fact("caller.dids_1h", "int", "numbers", "state", "distinct numbers of ours called within an hour"),
    Fact("caller.first_seen_days", "double", "days", "state", "since the first attempt remembered; 0 if new"),
    Fact("caller.is_new", "bool", "", "state", "first attempt in the memory of 8 days"),
    Fact(
        "caller.dialled_by_us_days", "double", "days", "state", "since we dialled the number; 9999 if never"
    ),
    Fact(
        "caller.talk_s_total", "int", "s", "state", "talk of ours with the caller, halved by each half-life"
    ),
    Fact("caller.good_calls", "double", "calls", "state", "long talks, kept messages; halved as above"),
    Fact("caller.bad_calls", "double", "calls", "state", "half for each deleted message; halved as above"),
    Fact(
        "caller.trust",
        "double",
        "share",
        "state",
        "share of good calls at least (Wilson, z 1.96), 0 if unknown",
    ),
)
"""Every fact there is, in the order in which people are shown them."""

BY_NAME: Final[Mapping[str, Fact]] = {fact.name: fact for fact in CATALOGUE}

PYTHON_TYPES: Final[Mapping[FactType, type]] = {"string": str, "int": int, "double": float, "bool": bool}
"""The type of a fact's value in Python; exactly this type, not a subclass of it."""

NEVER_DAYS: Final = 9999.0
"""Since we dialled a number that we have not dialled within memory."""

NO_DEALINGS: Final[Mapping[str, FactValue]] = {
    "caller.dialled_by_us_days": NEVER_DAYS,
    "caller.talk_s_total": 0,
    "caller.good_calls": 0.0,
    "caller.bad_calls": 0.0,
    "caller.trust": 0.0,
}
"""Of a caller who never had to do with us: known to be nothing, so that no rule is skipped for him."""

UNLISTED: Final[Mapping[str, FactValue]] = {
    "list.allow": False,
    "list.block": False,
    "list.entry": "",
    "list.reason": "",
    "list.source": "",
    "feed.asked": 0,
    "feed.count": 0,
    "feed.names": "",
    "feed.weight": 0.0,
    "feed.max_votes": 0,
    **NO_DEALINGS,
}
"""What the store says of a caller whom no list and no feed names, and who never had to do with us."""

_FIRST_CALL: Final[Mapping[str, FactValue]] = {
    "caller.calls_1m": 1,
    "caller.calls_1h": 1,
    "caller.calls_1d": 1,
    "caller.calls_7d": 1,
    "caller.dids_1h": 1,
    "caller.first_seen_days": 0.0,
    "caller.is_new": True,
}

_OBSERVED_TYPES = {fact.name: PYTHON_TYPES[fact.type] for fact in CATALOGUE if fact.source == "state"}
PRESENTATIONS: Final = {"unavailable"} | {
    f"{shown}{screening}"
    for shown in ("allowed", "prohib")
    for screening in ("", "_not_screened", "_passed_screen", "_failed_screen")
}
_ATTESTATIONS = frozenset(("A", "B", "C"))
_RESULTS = frozenset(("passed", "failed"))
_PASSED = frozenset(("success", "Verification passed"))
_FAILED = {"signature_validation", "cid_orig_tn_mismatch", "cert_not_trusted", "cert_date_failure"}
_FAILED |= {"iat_range_error", "Signature failed", "Verification mismatch"}
"""Of Asterisk's results, new and old, those that say something of the caller: not those of a missing
header, or of a certificate that could not be fetched."""
_NO_PUBLIC_NUMBER = frozenset((Kind.WITHHELD, Kind.INTERNAL))
_MAX_INT = 2**63 - 1
_MAX_NAME = 80
_MAX_DIALLED = 64
_MAX_TEXT = 200
_CACHED = 4096


def facts_of(
    call: Call,
    caller: CallerNumber,
    observed: Mapping[str, FactValue],
    place: Place,
) -> dict[str, FactValue]:
    """Collect what is known of this call, each fact of its declared type; what is not known is absent.

    `caller` is `parse(call.number, place.region_of(call.trunk), …)`; the other numbers of the call are
    read by the same numbering plan. `observed` is what the store knows, named as in the catalogue:
    empty when it is down. Of `observed` only the facts whose source is `state` are taken, and only in
    their declared type; the rest is dropped, since a store that others write to must not decide who is
    calling.
    """
    facts = (
        {name: _admitted(name, value) for name, value in observed.items()}
        | _about_number(call, caller, place)
        | _about_call(call)
        | _about_moment(call, place.zone)
    )
    return {name: value for name, value in facts.items() if value is not None and value != ""}


def never_seen(caller: CallerNumber) -> dict[str, FactValue]:
    """What an empty store says of this caller's first call; one without a number has no counters."""
    return {**UNLISTED, **(_FIRST_CALL if caller.key else {})}


def _about_number(call: Call, caller: CallerNumber, place: Place) -> dict[str, FactValue | None]:
    public = caller.e164 is not None or caller.kind not in _NO_PUBLIC_NUMBER
    block, called = caller.block, parse(call.did, caller.home)
    asserted = parse(call.asserted, caller.home).key if call.asserted else ""
    # Asterisk may have taken the caller ID from the asserted identity; From is what the caller wrote.
    presented = parse(call.sender, caller.home).key if call.sender else caller.key
    foreign = caller.home != place.region
    return {
        "caller.e164": caller.e164,
        "caller.kind": caller.kind.value,
        "caller.valid": caller.valid if public else None,
        "caller.possible": caller.possible if public else None,
        "caller.region": caller.region,
        "caller.from_abroad": caller.region != place.region if caller.region else None,
        "caller.carrier": caller.carrier,
        "caller.city": city_of(caller.e164) if place.city and caller.e164 and caller.valid else None,
        "caller.national": caller.national,
        "caller.block": block,
        "caller.is_neighbour": block == called.block if block and called.block else None,
        "caller.asserted_differs": asserted != presented if asserted and presented else None,
        "caller.domestic_on_foreign_trunk": (caller.region == place.region if caller.region else None)
        if foreign
        else False,
        "called.e164": called.e164,
        "trunk.region": caller.home,
        "call.diverted_from": parse(call.diversion, caller.home).e164 if call.diversion else None,
    }


def _about_call(call: Call) -> dict[str, FactValue | None]:
    name, has_name = _name(call.name[: 2 * _MAX_NAME])
    verified, attestation = _signed(call)
    return {
        "caller.name": name,
        "caller.has_name": has_name,
        "called.did": _dialled(call.did[: 2 * _MAX_DIALLED]),
        "trunk.name": _dialled(call.trunk[: 2 * _MAX_DIALLED]),
        "call.stage": call.stage.value,
        "call.presentation": call.presentation if call.presentation in PRESENTATIONS else None,
        "call.diverted": call.diversion.strip() != "",
        "stir.attestation": attestation if attestation in _ATTESTATIONS else None,
        "stir.verified": verified,
        "challenge.result": call.challenge if call.challenge in _RESULTS else None,
    }


def _signed(call: Call) -> tuple[str | None, str]:
    """The verify result and the attestation; our own Asterisk counts before the carrier, PAI before From."""
    verdicts = (parameter(header, "verstat") for header in (call.asserted, call.sender))
    verstat = next(filter(None, verdicts), "")
    attested = call.attestation[:8].strip() or parameter(call.asserted, "attest")
    if not attested and verstat.startswith("tn-validation-passed-"):
        attested = verstat[-1]
    if call.verified in _PASSED or (not call.verified and verstat.startswith("tn-validation-passed")):
        return "passed", attested.upper()
    if call.verified in _FAILED or (not call.verified and verstat.startswith("tn-validation-failed")):
        return "failed", attested.upper()
    return None, attested.upper()


def _about_moment(call: Call, zone: tzinfo) -> dict[str, FactValue | None]:
    local = call.at.astimezone(zone)
    return {
        "call.local_hour": local.hour,
        "call.local_weekday": local.isoweekday(),
        "call.local_minute": local.hour * 60 + local.minute,
        "call.local_date": local.date().isoformat(),
    }


def _admitted(name: str, value: FactValue) -> FactValue | None:
    """Take a value from the store if it is what the catalogue says; None drops it, as it does NaN."""
    expected = _OBSERVED_TYPES.get(name)
    if expected is float and type(value) is int and abs(value) <= _MAX_INT:
        value = float(value)
    if type(value) is not expected:
        return None
    if isinstance(value, str):
        return printable(value, _MAX_TEXT)
    return value if abs(value) <= _MAX_INT else None


@lru_cache(maxsize=_CACHED)
def _name(raw: str) -> tuple[str, bool]:
    name = printable(raw, _MAX_NAME)
    return name, any(map(str.isalpha, name)) and not says_withheld(name)


@lru_cache(maxsize=_CACHED)
def _dialled(raw: str) -> str:
    return printable(raw, _MAX_DIALLED)
