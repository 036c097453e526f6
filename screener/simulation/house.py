"""The house that is called, the numbers that callers have, and how a campaign is written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from screener.simulation import attempts
from screener.simulation.attempts import Attempt, Awaiting, Dialling

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from screener.simulation.attempts import Event, Reaction

WARM_UP_DAYS: Final = 14
"""Only ordinary calls come in so many days, so that a house knows its own habits; then campaigns begin."""
DAYS: Final = 28

_AGENTS = (
    "",
    "FreeSWITCH",
    "Yealink SIP-T46U",
    "Cisco-SIPGateway",
    "Grandstream HT812",
    "Sonus_UAC",
    "ZTE-IMS",
)
_DIALLERS = ("VICIdial", "friendly-dialer", "Asterisk PBX 13.1", "GoAutoDial", "eyeBeam", "SIPp")


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbers of a country as a trunk presents them; each # is a digit."""

    dids: str
    mobile: tuple[str, ...]
    landline: tuple[str, ...]
    emergency: tuple[str, ...]
    service: tuple[str, ...]
    forged: tuple[str, ...]
    called_only: tuple[str, ...]
    premium: tuple[str, ...]
    public: tuple[str, ...]
    code: str
    attested: bool


PLANS: Final[Mapping[str, Plan]] = {
    "CN": Plan(
        dids="010655512##",
        mobile=("138########", "139########", "159########", "186########", "177########", "199########"),
        landline=("0106#######", "0215#######", "02082######", "07558#######"),
        emergency=("110", "120", "119"),
        service=("95588", "10086", "12345"),
        forged=("+8695588", "1########", "010#############"),
        called_only=("4008######",),
        premium=("16867###",),
        public=("12345", "12320", "12366"),
        code="+86",
        attested=False,
    ),
    "US": Plan(
        dids="21256512##",
        mobile=("9173######", "6467######", "3472######", "2018######"),
        landline=("2123######", "7186######", "3126######", "4157######"),
        emergency=("911",),
        service=("+18002######",),
        forged=("0#########", "+1911#######", "212##############", "1112######"),
        called_only=("8882######",),
        premium=("9002######",),
        public=("311", "211"),
        code="+1",
        attested=True,
    ),
}
"""Where a house can stand; 177 is the prefix of the article that the product comes from."""

ABROAD: Final = "PJSIP/abroad"
"""The trunk of a number that the house has in another country; numbers come by it in full."""

_WANGIRI = ("+22245######", "+23276######", "+67572######", "+3736#######", "+21698######", "+88216#######")
"""Mauritania, Sierra Leone, Papua New Guinea, Moldova, Tunisia, satellite: named in warnings of the
US FCC and the German BNetzA."""

_ATTESTED = {"A": (60, 20), "B": (10, 34), "C": (5, 28), "": (25, 18)}
"""Signed calls in percent, benign and robocalls: the shares of robocalls among A, B, C and unsigned calls
(3.4, 26.5, 37.6 and 7.0 %, TransNexus 2022) turned round by Bayes; the benign column is a proposal."""


@dataclass(frozen=True, slots=True)
class House:
    """Who is called: neighbouring numbers of ours, and the trunks that they are called by.

    `midnight` begins a Monday. `rewritten`: the carrier's border element hides the callers' equipment.
    `anonymous`: a withheld number does not reach us, as on most trunks; on others it does, marked.
    `mailbox`: who is not answered can leave a message.
    """

    region: str
    midnight: datetime
    dids: tuple[str, ...]
    trunks: tuple[str, ...]
    rewritten: bool
    anonymous: bool
    mailbox: bool

    @property
    def plan(self) -> Plan:
        """The numbering of its country."""
        return PLANS[self.region]

    def at(self, day: float, hour: float) -> datetime:
        """A moment of local time."""
        return self.midnight + timedelta(days=int(day), hours=hour)


def build(chance: random.Random, region: str, monday: datetime, zone: tzinfo) -> House:
    """A house of 8 to 40 neighbouring numbers. proposal: a small office up to a practice or a school."""
    size, first = chance.randint(8, 40), chance.randrange(50)
    dids = tuple(PLANS[region].dids.replace("##", f"{first + n:02d}") for n in range(size))
    trunks = ("PJSIP/carrier", "PJSIP/second")[: chance.choice((1, 2))]
    midnight = monday.replace(tzinfo=zone)
    rewritten, anonymous, mailbox = (chance.random() < share for share in (0.67, 0.7, 0.5))
    return House(region, midnight, dids, trunks, rewritten, anonymous, mailbox)


@dataclass(slots=True)
class Campaign:
    """The calls of one caller or of many that belong together, of one class; `attacks`: unwanted."""

    kind: str
    name: str
    chance: random.Random
    house: House
    attacks: bool
    events: list[Event] = field(default_factory=list)
    agent: str = ""
    trunk: str = ""

    def __post_init__(self) -> None:
        known = _DIALLERS if self.attacks else _AGENTS
        self.agent = "Carrier SBC" if self.house.rewritten else self.chance.choice(known)
        self.trunk = self.chance.choice(self.house.trunks)

    def number(self, patterns: tuple[str, ...]) -> str:
        """Some number of one of these ranges."""
        pattern = self.chance.choice(patterns)
        return "".join(str(self.chance.randrange(10)) if char == "#" else char for char in pattern)

    def mobile(self) -> str:
        """Some mobile number."""
        return self.number(self.house.plan.mobile)

    def landline(self) -> str:
        """Some number of a fixed line."""
        return self.number(self.house.plan.landline)

    def premium_lure(self) -> str:
        """Some number that costs those who call back."""
        return self.number(_WANGIRI)

    def in_full(self, number: str) -> str:
        """A number of the country with the code of that before it, as other countries write it."""
        return self.house.plan.code + number.removeprefix("0")

    def block(self, of: str) -> Callable[[], str]:
        """Makes numbers that share all but the last four digits with `of`."""
        return lambda: f"{of[:-4]}{self.chance.randrange(10_000):04d}"

    def did(self) -> str:
        """One of our numbers."""
        return self.chance.choice(self.house.dids)

    def some_dids(self, low: int, high: int) -> list[str]:
        """Several of our numbers, as far as there are so many, in no order."""
        return self.chance.sample(self.house.dids, min(self.chance.randint(low, high), len(self.house.dids)))

    def day(self, *, workday: bool = True) -> int:
        """A day on which it begins."""
        days = [day for day in range(WARM_UP_DAYS, DAYS) if day % 7 < 5 or not workday]
        return self.chance.choice(days)

    def at(self, day: float, low: float, high: float) -> datetime:
        """A moment between two hours of a day."""
        return self.house.at(day, self.chance.uniform(low, high))

    def call(  # noqa: PLR0913 - a call has as many sides
        self,
        at: datetime,
        number: str,
        did: str,
        react: Callable[[random.Random], Reaction],
        *,
        patience_s: tuple[float, float] = (20, 45),
        talk_s: tuple[float, float] = (30, 240),
        stays_s: tuple[float, float] = (3, 30),
        pickup: float = 0.7,
        hidden: bool = False,
        **more: Any,  # noqa: ANN401 - further fields of Attempt, which checks them
    ) -> None:
        """Add a call; ranges are those of its times, `pickup` is how likely one of us is at the telephone."""
        chance = self.chance
        person = react in {attempts.person, attempts.keyless}
        there = chance.random() < pickup * (1.0 if 7 <= at.hour < 22 else 0.3)
        weights = [shares[self.attacks] for shares in _ATTESTED.values()]
        if hidden and self.house.anonymous:
            number = "anonymous"
        self.events.append(
            Attempt(
                at, self.kind, self.name, number, did, self.trunk,
                presentation="prohib_not_screened" if hidden else "allowed_not_screened",
                patience_s=chance.uniform(*patience_s),
                pickup_s=chance.uniform(3, 18) if there else None,
                talk_s=chance.uniform(*talk_s),
                stays_s=chance.uniform(*stays_s),
                person=person, reaction=react(chance),
                attestation=chance.choices(list(_ATTESTED), weights)[0] if self.house.plan.attested else "",
                **{"caller_ends": chance.random() < 0.5, "agent": self.agent, **more},
            )
        )  # fmt: skip

    def equipment(self, number: str) -> str:
        """What an ordinary caller telephones with; each his own, where the carrier does not hide it."""
        own = _AGENTS[crc32(number.encode()) % len(_AGENTS)]
        return self.agent if self.house.rewritten else own

    def dialled(self, at: datetime, number: str, talk_s: float) -> None:
        """Add a call of ours; no talk is no answer."""
        self.events.append(Dialling(at, number, self.trunk, talk_s > 0, talk_s))

    def awaits(self, at: datetime) -> None:
        """One of us says that a call with a code is to come."""
        self.events.append(Awaiting(at))
