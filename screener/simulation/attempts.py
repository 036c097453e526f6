"""One attempt to call us, as its maker means it: before anybody screens it and decides what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator
    from datetime import datetime

MAILBOX_S: Final = 25.0
"""After so much ringing a house that has a mailbox offers it, as Asterisk's own. proposal"""


@dataclass(frozen=True, slots=True)
class Press:
    """Keys, the first `after_s` since the voice had named those to press, `pace_s` between two of them.

    `keys` None are the named ones.
    """

    after_s: float
    keys: str | None
    pace_s: float = 0.3


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a caller does when a voice asks for a key: `tries` one by one, None if no key is pressed.

    `speaks_after_s` is from the answer to his first word, None if he is silent; `speaks_s` is how long he
    then goes on without a pause, whatever he hears meanwhile.
    """

    kind: str
    tries: tuple[Press | None, Press | None]
    speaks_after_s: float | None = None
    speaks_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to one of our numbers.

    He gives up after `patience_s` of ringing. One of us would take the telephone after `pickup_s`, None
    if nobody; they then talk for `talk_s`, and `caller_ends` says who ends it. With a machine of ours he
    stays for `stays_s` at most. `person`: a human is on his line. Who reached one of us for `errand`
    makes no further attempts for it; an empty errand is never done.

    His machine `plays` a recording, over and over; the same text is the same sound, none is a person or
    silence. What people of ours then do, if the call comes to it: `message` is what becomes of the one that
    he leaves in the mailbox of the house, empty if none. After a talk, or `heard_after_s` after a recording
    of ours, his number is blocked, after a recording allowed (`listed`); what he plays is `judged`.
    """

    at: datetime
    kind: str
    campaign: str
    number: str
    did: str
    trunk: str
    patience_s: float
    pickup_s: float | None
    talk_s: float
    stays_s: float
    caller_ends: bool
    person: bool
    reaction: Reaction
    errand: str = ""
    presentation: str = "allowed_not_screened"
    name: str = ""
    asserted: str = ""
    diversion: str = ""
    attestation: str = ""
    verified: str = ""
    agent: str = ""
    plays: str = ""
    message: Literal["", "kept", "deleted"] = ""
    listed: Literal["", "block", "allow"] = ""
    judged: Literal["", "harmless", "robocall"] = ""
    heard_after_s: float = 0.0

    @property
    def answered(self) -> bool:
        """Whether one of us takes it, if it rings."""
        return self.pickup_s is not None and self.pickup_s <= self.patience_s

    @property
    def rings_s(self) -> float:
        """How long it rings, if it rings."""
        return min(self.patience_s, self.patience_s if self.pickup_s is None else self.pickup_s)


@dataclass(frozen=True, slots=True)
class Dialling:
    """A call of ours to the outside."""

    at: datetime
    number: str
    trunk: str
    answered: bool
    talk_s: float


@dataclass(frozen=True, slots=True)
class Awaiting:
    """One of us says to the telephone system that a call with a code is to come."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Complaint:
    """A feed, the first or the second that the house reads, names a number from now on."""

    at: datetime
    number: str
    feed: int
    votes: int


Event: TypeAlias = Attempt | Dialling | Awaiting | Complaint


def as_it_rings(history: Iterable[Event]) -> Iterator[Attempt | Dialling]:
    """What is heard of a history in a house without a screener: no attempt for an errand that is done."""
    done: set[str] = set()
    for one in history:
        if isinstance(one, Awaiting | Complaint):
            continue
        if isinstance(one, Attempt) and one.errand:
            if one.errand in done:
                continue
            if one.answered:
                done.add(one.errand)
        yield one


# ---------------------------------------------------------------- reactions to a challenge


def person(chance: random.Random) -> Reaction:
    """Listens and presses the key; 3 in 100 miss a try, by a wrong key or by none in time.

    proposal; RobocallGuard recognised 97.8 % of people. The delay has a median of 1.6 s, and 0.3 to 1.2 s go
    from one key to the next.
    """

    def press() -> Press | None:
        missed = chance.random()
        if missed < 0.015:
            return None
        keys = _any_keys(chance) if missed < 0.03 else None
        return Press(chance.lognormvariate(0.47, 0.45), keys, chance.uniform(0.3, 1.2))

    return Reaction("person", (press(), press()), chance.uniform(0.3, 1.5), chance.uniform(0.3, 1.2))


def keyless(chance: random.Random) -> Reaction:
    """A person who speaks to the voice, and presses no key."""
    return Reaction("keyless", (None, None), chance.uniform(0.5, 2.0), chance.uniform(1.0, 4.0))


def mute(chance: random.Random) -> Reaction:
    """A silent machine: about 62 % of answered honeypot calls had no audio (Prasad et al. 2020)."""
    del chance
    return Reaction("mute", (None, None))


def recording(chance: random.Random) -> Reaction:
    """Plays its recording from the answer on, over whatever it hears.

    15 to 45 s; in real ones the first "press" comes after 15 to 23 s (US FTC, Point of No Entry).
    """
    return Reaction("recording", (None, None), chance.uniform(0.1, 1.5), chance.uniform(15, 45))


def random_keys(chance: random.Random) -> Reaction:
    """Presses any keys all the time, and plays its recording meanwhile."""
    keys = (Press(chance.uniform(0, 3), _any_keys(chance)), Press(chance.uniform(0, 3), _any_keys(chance)))
    return Reaction("random keys", keys, chance.uniform(0.1, 1.5), chance.uniform(15, 45))


def waits_for_silence(chance: random.Random) -> Reaction:
    """Is still until the voice has ended, then presses any keys: what a robot can do against a challenge."""
    keys = (
        Press(chance.uniform(0.5, 3), _any_keys(chance)),
        Press(chance.uniform(0.5, 3), _any_keys(chance)),
    )
    return Reaction("waits for silence", keys, chance.uniform(5, 9), chance.uniform(15, 45))


def _any_keys(chance: random.Random) -> str:
    """As many as anybody is asked for."""
    return f"{chance.randrange(10_000):04d}"
