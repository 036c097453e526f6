"""The facts of one call, derived from what is known of it; pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from screener.call import fits
from screener.facts.catalogue import CATALOGUE, PYTHON_TYPES
from screener.number import CallerNumber, Kind, city_of, parse, says_withheld
from screener.sip import parameter
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

    from screener.call import Call
    from screener.facts.catalogue import FactValue

_OBSERVED = frozenset(("state", "talk", "message"))
_OBSERVED_TYPES = {fact.name: PYTHON_TYPES[fact.type] for fact in CATALOGUE if fact.source in _OBSERVED}
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


def facts_of(
    call: Call,
    caller: CallerNumber,
    observed: Mapping[str, FactValue],
    place: Place,
) -> dict[str, FactValue]:
    """Collect what is known of this call, each fact of its declared type; what is not known is absent.

    `caller` is `parse(call.number, place.region_of(call.trunk), …)`; the other numbers of the call are
    read by the same numbering plan. `observed` is what the store knows, named as in the catalogue:
    empty when it is down; how the caller talked; and what a message says. Of `observed` only the facts whose
    source is `state`, `talk` or `message` are taken, and only in their declared type; the rest is dropped,
    since a store that others write to must not decide who is calling.
    """
    facts = (
        {name: _admitted(name, value) for name, value in observed.items()}
        | _about_number(call, caller, place)
        | _about_call(call)
        | _about_moment(call, place.zone)
    )
    return {name: value for name, value in facts.items() if value is not None and value != ""}


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
        "caller.short_code": caller.digits if caller.kind is Kind.SHORT_CODE and caller.valid else None,
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
    """The verify result and the attestation; our own Asterisk counts before the carrier, PAI before From.

    A signature that is not valid attests nothing: it may be one of another call.
    """
    verdicts = (parameter(header, "verstat") for header in (call.asserted, call.sender))
    verstat = next(filter(None, verdicts), "")
    attested = call.attestation[:8].strip() or parameter(call.asserted, "attest")
    if not attested and verstat.startswith("tn-validation-passed-"):
        attested = verstat[-1]
    if call.verified in _PASSED or (not call.verified and verstat.startswith("tn-validation-passed")):
        return "passed", attested.upper()
    if call.verified in _FAILED or (not call.verified and verstat.startswith("tn-validation-failed")):
        return "failed", ""
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
