"""The catalogue of facts: everything a rule may ask about a call.

A fact that could not be learned is absent, never guessed: rules that need it are skipped and listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from screener.number import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from screener.number import CallerNumber

FactValue = str | int | float | bool
FactType = Literal["string", "int", "double", "bool"]
Source = Literal["call", "number", "clock", "state", "challenge", "talk", "message"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of the catalogue; `source` says what must work for the fact to be known.

    `call`: what the dialplan sent; `number`: the numbering plans; `clock`: the moment of the question
    in the site's time zone; `state`: Redis; `challenge`: the caller has been challenged in this call;
    `talk`: Asterisk tells when he talks (TALK_DETECT), which it does on the screening leg alone;
    `message`: it is a SIP MESSAGE, whose text is read.
    """

    name: str
    type: FactType
    unit: str
    source: Source
    meaning: str


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
    Fact(
        "caller.short_code", "string", "digits", "number", "the short number, as dialled at home: 110, 95588"
    ),
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
    Fact("call.stage", "string", "", "call", "setup, challenge after the key press, or message"),
    Fact("call.presentation", "string", "", "call", "CALLERID(pres): allowed…, prohib…, unavailable"),
    Fact("call.diverted", "bool", "", "call", "the call was forwarded to us from another number"),
    Fact("call.diverted_from", "string", "", "number", "that other number in international form"),
    Fact("call.local_hour", "int", "h", "clock", "hour of the day, 0 to 23, in the site's time zone"),
    Fact("call.local_weekday", "int", "day", "clock", "1 Monday to 7 Sunday, in the site's time zone"),
    Fact("call.local_minute", "int", "min", "clock", "minutes since local midnight, 0 to 1439"),
    Fact("call.local_date", "string", "", "clock", "the day, such as 2026-10-01, in the site's time zone"),
    Fact("stir.attestation", "string", "", "call", "STIR/SHAKEN A, B or C; absent also where it failed"),
    Fact("stir.verified", "string", "", "call", "passed or failed; absent when nothing was verified"),
    Fact("challenge.result", "string", "", "challenge", "passed or failed"),
    Fact("talk.over_share", "double", "share", "talk", "of our prompts so far: how much he talked over"),
    Fact("talk.through_s", "double", "s", "talk", "talked on when we began to speak again; 0: he paused"),
    Fact("talk.monologue_s", "double", "s", "talk", "his longest speech without a pause of 1.2 s"),
    Fact("talk.silent_s", "double", "s", "talk", "from our latest prompt's end to his first word or now"),
    Fact(
        "message.sender", "string", "", "message", "alphanumeric if a name, such as BANK, else as caller.kind"
    ),
    Fact("message.chars", "int", "characters", "message", "length of the text"),
    Fact("message.links", "int", "links", "message", "web addresses in it"),
    Fact("message.amounts", "int", "amounts", "message", "sums of money that it names"),
    Fact("message.dates", "int", "days", "message", "days by which something is due"),
    Fact("message.debts", "int", "phrases", "message", "phrases of debt collection"),
    Fact(
        "message.threats", "int", "phrases", "message", "phrases that threaten: court, police, credit record"
    ),
    Fact("message.pretexts", "int", "phrases", "message", "phrases of fraud: trouble, offers, a parcel held"),
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
    Fact(
        "campaign.id", "string", "", "state", "recording that the caller, or two of the block, spoke before"
    ),
    Fact("campaign.calls", "int", "calls", "state", "calls that spoke it, 0 if none is known"),
    Fact("campaign.callers", "int", "numbers", "state", "numbers that spoke it, 128 at most, 0 if none"),
    Fact("campaign.name", "string", "", "state", "what a person named it"),
    Fact("campaign.verdict", "string", "", "state", "unknown, or by a person harmless or robocall"),
    Fact("caller.calls_1m", "int", "calls", "state", "attempts in the last minute, this one included"),
    Fact("caller.calls_1h", "int", "calls", "state", "attempts in the last hour, this one included"),
    Fact("caller.calls_1d", "int", "calls", "state", "attempts in the last 24 hours, this one included"),
    Fact("caller.calls_7d", "int", "calls", "state", "attempts in the last 7 days, this one included"),
    Fact("caller.dids_1h", "int", "numbers", "state", "distinct numbers of ours called within an hour"),
    Fact("caller.first_seen_days", "double", "days", "state", "since the first attempt remembered; 0 if new"),
    Fact("caller.is_new", "bool", "", "state", "first attempt in the memory of 8 days, 16 from the third on"),
    Fact("caller.sweep_run", "int", "numbers", "state", "run of neighbouring numbers (±1) called in an hour"),
    Fact("caller.block_new_1h", "int", "callers", "state", "of the block: new this hour, 1 or 2 calls each"),
    Fact("caller.live", "int", "calls", "state", "of the caller that are up, this one included"),
    Fact(
        "caller.gap_cv", "double", "of mean", "state", "variation coefficient of the last 5 gaps; 9 if fewer"
    ),
    Fact("caller.unanswered_1d", "int", "calls", "state", "over within 24 hours, that none of us answered"),
    Fact("caller.short_rings", "int", "calls", "state", "given up in under 15 s of ringing, in 24 hours"),
    Fact("caller.short_ring_dids", "int", "numbers", "state", "distinct numbers of ours that rang so"),
    Fact("caller.answered_n", "int", "calls", "state", "that we, or our machine, answered within 7 days"),
    Fact(
        "caller.cut_short_n", "int", "calls", "state", "that one of us took and ended within 25 s, in 7 days"
    ),
    Fact("caller.abandon_ratio", "double", "share", "state", "of them those left in under 10 s; 0 if none"),
    Fact(
        "agent.strangers_7d",
        "int",
        "blocks",
        "state",
        "blocks of unknown callers with this User-Agent, on the trunk in 7 days; absent if it is everybody's",
    ),
    Fact(
        "agent.stranger_share", "double", "share", "state", "of its calls those of unknown callers; as above"
    ),
    Fact(
        "trunk.rate_ratio",
        "double",
        "times",
        "state",
        "calls of an hour to its usual number; 1 for two weeks",
    ),
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
    Fact(
        "caller.challenge_passed_days",
        "double",
        "days",
        "state",
        "since he passed the challenge; 9999 if never",
    ),
    Fact("caller.challenges_failed_1d", "int", "calls", "state", "challenges failed within 24 hours"),
    Fact(
        "trunk.challenges_failed_1h",
        "int",
        "calls",
        "state",
        "challenges failed within an hour by callers without a number, on this trunk",
    ),
    Fact(
        "house.expecting_code",
        "bool",
        "",
        "state",
        "a call is awaited: by star code, or after an emergency call",
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

NO_CHALLENGES: Final[Mapping[str, FactValue]] = {
    "caller.challenge_passed_days": NEVER_DAYS,
    "caller.challenges_failed_1d": 0,
}
"""Of a caller whom nobody has challenged."""

QUIET: Final[Mapping[str, FactValue]] = {"trunk.challenges_failed_1h": 0, "house.expecting_code": False}
"""What the store says of trunk and house when nothing is going on."""

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
    "campaign.id": "",
    "campaign.calls": 0,
    "campaign.callers": 0,
    "campaign.name": "",
    "campaign.verdict": "",
    **NO_DEALINGS,
    **NO_CHALLENGES,
}
"""What the store says of a caller whom no list and no feed names, and who never had to do with us."""

NO_TEXT: Final[Mapping[str, FactValue]] = {
    "message.sender": "mobile",
    **{fact.name: 0 for fact in CATALOGUE if fact.source == "message" and fact.type == "int"},
}
"""Of an empty message from a mobile number."""

_FIRST_CALL: Final[Mapping[str, FactValue]] = {
    "caller.calls_1m": 1,
    "caller.calls_1h": 1,
    "caller.calls_1d": 1,
    "caller.calls_7d": 1,
    "caller.dids_1h": 1,
    "caller.first_seen_days": 0.0,
    "caller.is_new": True,
    "caller.sweep_run": 1,
    "caller.block_new_1h": 1,
    "caller.live": 1,
    "caller.gap_cv": 9.0,
    "caller.unanswered_1d": 0,
    "caller.short_rings": 0,
    "caller.short_ring_dids": 0,
    "caller.answered_n": 0,
    "caller.cut_short_n": 0,
    "caller.abandon_ratio": 0.0,
    "trunk.rate_ratio": 1.0,
}


def never_seen(caller: CallerNumber) -> dict[str, FactValue]:
    """What an empty store says of this caller's first call; one without a number has no counters."""
    return {**UNLISTED, **QUIET, **(_FIRST_CALL if caller.key else {})}
