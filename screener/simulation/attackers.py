"""How unwanted callers dial. Each function is one campaign; each range has its source or the word proposal.

Written from what such callers do and from the law that shapes it, not from what we look for: this package
may import nothing of the screener (see the floors), so it knows no threshold.
`forged_numbers` and the classes of `impostors` were written after the rules had been read.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from screener.simulation.attempts import mute, person, random_keys, recording, waits_for_silence
from screener.simulation.impostors import IMPOSTORS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from screener.simulation.house import Campaign

_SHORT_TALK_S = (2, 25)
"""Whom a recording calls hangs up soon. proposal"""
_HOURS = (8.5, 20.5)
"""Dialling hours that US 16 CFR 310.4(c) and 12 CFR 1006.6(b) leave (8 to 21), with a margin. proposal"""


def mass_dialler(make: Campaign) -> None:
    """One number works through a list that holds several of ours, many lines at once, and plays a recording.

    4 to 30 calls in 20 minutes to 6 hours, of 1 or 2 numbers; up to 4 lines at once; rings 15 s or longer as
    16 CFR 310.4(b)(4)(ii) demands; every second one comes back with its list 1 to 5 days later. All else
    proposal.
    """
    callers = [make.mobile() for _ in range(make.chance.choice((1, 1, 2)))]
    dids = make.some_dids(4, 30)
    begin, span_s = make.at(make.day(), 8.5, 15), make.chance.uniform(1200, 6 * 3600)
    lines = make.chance.randint(1, 4)
    batches = [dids[at : at + lines] for at in range(0, len(dids), lines)]
    for later in (0, make.chance.randint(1, 5))[: make.chance.choice((1, 2))]:
        for n, batch in enumerate(batches):
            seconds = span_s * (n + make.chance.uniform(0, 0.3)) / len(batches)
            at = begin + timedelta(days=later, seconds=seconds)
            for did in batch:
                at += timedelta(seconds=make.chance.uniform(0, 3))
                make.call(
                    at, make.chance.choice(callers), did, recording, patience_s=(15, 45),
                    talk_s=_SHORT_TALK_S, stays_s=(15, 45), caller_ends=False,
                )  # fmt: skip


def predictive_dialler(make: Campaign) -> None:
    """A call centre that dials more people than it has agents: whoever is left over hears nothing.

    2 to 6 of our numbers, each 3 to 8 times a day for 1 to 3 days, from 1 to 5 numbers of one block; 5 to
    40 % of answers are silent and end within 10 s. The law allows 3 % (16 CFR 310.4(b)(4)(i), Ofcom);
    complaints are about those who do not keep it. The numbers are proposals.
    """
    block = make.block(make.landline())
    callers = [block() for _ in range(make.chance.randint(1, 5))]
    silent, day = make.chance.uniform(0.05, 0.4), make.day()
    for did in make.some_dids(2, 6):
        for later in range(make.chance.randint(1, 3)):
            for _ in range(make.chance.randint(3, 8)):
                at, number = make.at(day + later, *_HOURS), make.chance.choice(callers)
                if make.chance.random() < silent:
                    make.call(
                        at,
                        number,
                        did,
                        mute,
                        patience_s=(15, 30),
                        talk_s=(1, 10),
                        stays_s=(1, 6),
                        caller_ends=True,
                    )
                else:
                    # It takes our voice for an answering machine and gives the line up, or an agent hears it.
                    react = make.chance.choice((mute, person))
                    make.call(at, number, did, react, patience_s=(15, 30), talk_s=(10, 90), stays_s=(2, 8))


def block_rotation(make: Campaign) -> None:
    """A new number of the same block for nearly each call, so that no number is seen often.

    6 to 40 calls within 1 to 6 hours, each number once or twice (detection.md), of 1 or 2 blocks. proposal
    """
    blocks = [make.block(make.mobile()) for _ in range(make.chance.randint(1, 2))]
    begin, span_s = make.at(make.day(), 8.5, 14), make.chance.uniform(1, 6) * 3600
    left = make.chance.randint(6, 40)
    while left > 0:
        number = make.chance.choice(blocks)()
        for _ in range(min(left, make.chance.choice((1, 1, 2)))):
            left -= 1
            at = begin + timedelta(seconds=make.chance.uniform(0, span_s))
            make.call(
                at, number, make.did(), recording, patience_s=(15, 35), talk_s=_SHORT_TALK_S, stays_s=(10, 40)
            )


def sweep(make: Campaign) -> None:
    """Dials our numbers one after the other, up or down, to learn which are alive or to reach anybody.

    6 to 40 numbers, 5 to 90 s apart, every tenth left out; rings for 4 to 25 s. proposal
    """
    number = make.chance.choice((make.mobile, make.landline))()
    dids = list(make.house.dids[make.chance.randrange(3) :])[:: make.chance.choice((1, -1))]
    at, step_s = make.at(make.day(), 8, 19), make.chance.uniform(5, 90)
    for did in dids[: make.chance.randint(6, 40)]:
        at += timedelta(seconds=step_s * make.chance.uniform(0.7, 1.3))
        if make.chance.random() > 0.1:
            make.call(at, number, did, recording, patience_s=(4, 25), talk_s=_SHORT_TALK_S, stays_s=(2, 20))


def collector_reg_f(make: Campaign) -> None:
    """A patient collector within US law: 7 calls in any 7 days for a debt at most, none after a talk.

    12 CFR 1006.14(b)(2): a debtor, so one number of ours; 4 to 7 calls a week over 2 to 4 weeks, from 1 to 3
    numbers of one block; a recording first, an agent on a key. What the law does not say is a proposal. The
    week's rest that it asks for after a talk is here the rest of the week.
    """
    did, block = make.did(), make.block(make.landline())
    callers = [block() for _ in range(make.chance.randint(1, 3))]
    begin, placed = make.day(), list[datetime]()
    for day in range(begin, begin + 7 * make.chance.randint(2, 4), 7):
        for offset in sorted(make.chance.choices(range(7), k=make.chance.randint(4, 7))):
            at = make.at(day + offset, *_HOURS)
            if sum(abs(at - other) < timedelta(days=7) for other in placed) >= 7:
                continue
            placed.append(at)
            make.call(
                at, make.chance.choice(callers), did, recording, patience_s=(20, 40), talk_s=(5, 120),
                stays_s=(10, 40), pickup=0.3, errand=f"{make.name} {day}",
            )  # fmt: skip


def collector_china(make: Campaign) -> None:
    """A collector as the article on debt in China describes: many calls a day, from mobiles of one prefix.

    3 to 12 calls a day for 2 to 7 days, first to the debtor's number, later to 1 to 3 colleagues as well;
    from 2 to 8 numbers of one or two blocks; 8 to 22 h. The counts are proposals above what the industry
    allows itself (detection.md: 6 unanswered a day).
    """
    dids, day = make.some_dids(2, 4), make.day(workday=False)
    blocks = [make.block(make.mobile()) for _ in range(make.chance.randint(1, 2))]
    callers = [make.chance.choice(blocks)() for _ in range(make.chance.randint(2, 8))]
    for later in range(make.chance.randint(2, 7)):
        for _ in range(make.chance.randint(3, 12)):
            did = dids[0] if later < 1 or make.chance.random() < 0.6 else make.chance.choice(dids)
            make.call(
                make.at(day + later, 8, 22), make.chance.choice(callers), did,
                make.chance.choice((recording, recording, person)),
                patience_s=(15, 50), talk_s=(3, 60), stays_s=(3, 40), pickup=0.35,
            )  # fmt: skip


def call_bomber(make: Campaign) -> None:
    """Rings one number by the clock until its owner pays or gives up, as programs sold in China for it do.

    20 to 60 calls, one every 1 to 10 minutes, give or take 5 %, from 1 or 2 numbers; nobody speaks. Of
    reports on 呼死你; the numbers are proposals.
    """
    did, callers = make.did(), [make.mobile() for _ in range(make.chance.randint(1, 2))]
    at, every_s = make.at(make.day(workday=False), 8, 14), make.chance.uniform(60, 600)
    for n in range(make.chance.randint(20, 60)):
        at += timedelta(seconds=every_s * make.chance.uniform(0.95, 1.05))
        make.call(
            at, callers[n % len(callers)], did, mute, patience_s=(8, 30), talk_s=(1, 8), stays_s=(1, 8),
            pickup=0.3, caller_ends=True,
        )  # fmt: skip


def wangiri(make: Campaign) -> None:
    """Rings once and hangs up, so that somebody calls back a number that costs: at any hour, from abroad.

    1 to 4 numbers, each to 2 to 10 of ours within minutes; rings 1 to 5 s. Of warnings of the FCC and BNetzA.
    """
    at = make.at(make.day(workday=False), 0, 23)
    for _ in range(make.chance.randint(1, 4)):
        number = make.premium_lure()
        for did in make.some_dids(2, 10):
            at += timedelta(seconds=make.chance.uniform(1, 120))
            make.call(
                at, number, did, mute, patience_s=(1, 5), talk_s=(0, 3), stays_s=(0, 2), caller_ends=True
            )


def spoofed_neighbours(make: Campaign) -> None:
    """Each call shows another number that looks like the called one, and none is used again.

    Prasad et al. (USENIX Security 2020): a spoofing campaign rarely reuses a number. 5 to 30 calls in 1
    to 10 days, the last four digits are made up; a tenth shows the called number itself, and in a third
    of the campaigns the carrier asserts who it really is. proposal
    """
    begin, days = make.day(), make.chance.uniform(1, 10)
    real = make.landline() if make.chance.random() < 0.33 else ""
    for _ in range(make.chance.randint(5, 30)):
        did = make.did()
        number = did if make.chance.random() < 0.1 else make.block(did)()
        at = make.at(begin + make.chance.uniform(0, days), *_HOURS)
        make.call(
            at,
            number,
            did,
            recording,
            patience_s=(15, 35),
            talk_s=_SHORT_TALK_S,
            stays_s=(10, 40),
            asserted=real,
        )


def forged_numbers(make: Campaign) -> None:
    """Shows a number that nobody can have, another for each call, or none.

    Of no range or no length, a bank's short code with a country code before it, or withheld: what 47 CFR
    64.1200(k)(2) lets carriers block as invalid or unallocated. 4 to 20 calls in 1 to 6 days; where calls
    are signed, a fifth of the signatures does not fit. proposal
    """
    begin, days = make.day(), make.chance.uniform(1, 6)
    for _ in range(make.chance.randint(4, 20)):
        forged = make.number(make.house.plan.forged)
        hidden = make.chance.random() < 0.2
        mismatch = make.house.plan.attested and make.chance.random() < 0.2
        make.call(
            make.at(begin + make.chance.uniform(0, days), *_HOURS), forged, make.did(), recording,
            patience_s=(15, 35), talk_s=_SHORT_TALK_S, stays_s=(10, 40),
            hidden=hidden,
            verified="Verification mismatch" if mismatch else "",
        )  # fmt: skip


def evasive_robot(make: Campaign) -> None:
    """Knows what screeners look for: slow, from new numbers all over the country, and it answers voices.

    5 to 20 calls in 2 to 8 days, each number once or twice; it waits until a voice has ended, or presses
    keys all along. What Li et al. and RoboHalt call evasive; the numbers are proposals.
    """
    begin, days = make.day(), make.chance.uniform(2, 8)
    react = make.chance.choice((waits_for_silence, random_keys))
    number = make.mobile()
    for _ in range(make.chance.randint(5, 20)):
        if make.chance.random() < 0.75:
            number = make.chance.choice((make.mobile, make.landline))()
        at = make.at(begin + make.chance.uniform(0, days), *_HOURS)
        make.call(at, number, make.did(), react, patience_s=(20, 45), talk_s=(5, 60), stays_s=(15, 45))


ATTACKERS: Final[Mapping[str, Callable[[Campaign], None]]] = {
    "mass dialler": mass_dialler,
    "predictive dialler": predictive_dialler,
    "block rotation": block_rotation,
    "sweep": sweep,
    "collector Reg F": collector_reg_f,
    "collector China": collector_china,
    "call bomber": call_bomber,
    "wangiri": wangiri,
    "spoofed neighbours": spoofed_neighbours,
    "forged numbers": forged_numbers,
    "evasive robot": evasive_robot,
    **IMPOSTORS,
}
"""The classes of unwanted callers, by name."""
