"""Callers whom somebody wants to hear, and who look like diallers in one respect or another.

As in `attackers`: from what they do, each range with its source or the word proposal.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from screener.simulation.attempts import keyless, person, recording
from screener.simulation.house import ABROAD, DAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from screener.simulation.house import Campaign

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)


def school_broadcast(make: Campaign) -> None:
    """The school tells all parents that it is closed; some of them work with us.

    1 to 3 broadcasts, each to 2 to 8 of our numbers within 2 to 30 minutes, on several lines, once more to
    whom it did not reach. A recording of 20 to 60 s. proposal
    """
    number, dids = make.landline(), make.some_dids(2, 8)
    for _ in range(make.chance.randint(1, 3)):
        begin, span = make.at(make.day(), 6.5, 17), make.chance.uniform(2, 30)
        for did in dids:
            at = begin + make.chance.uniform(0, span) * _MINUTE
            for again in range(2):
                make.call(
                    at + again * 10 * _MINUTE, number, did, recording, patience_s=(25, 40), talk_s=(20, 60),
                    stays_s=(20, 60), errand=f"{make.name} {begin} {did}", caller_ends=True,
                )  # fmt: skip


def pharmacy_reminder(make: Campaign) -> None:
    """A machine reminds of a prescription, by the clock: same number, same time, same person.

    Each day, second day or week at the same minute (within 5 s), 4 to 14 times; a recording of 15 to 40 s;
    if nobody answers once more an hour later. proposal
    """
    number, did = make.landline(), make.did()
    at, every = make.at(make.day(), 9, 17), make.chance.choice((1, 1, 2, 7))
    for n in range(make.chance.randint(4, 14)):
        for again in range(2):
            moment = at + timedelta(days=n * every, seconds=make.chance.uniform(0, 5)) + again * _HOUR
            make.call(
                moment, number, did, recording, patience_s=(25, 35), talk_s=(15, 40), stays_s=(15, 40),
                errand=f"{make.name} {n}", caller_ends=True,
            )  # fmt: skip


def courier(make: Campaign) -> None:
    """The courier of the street: the same mobile on many days, to whoever gets a parcel, in a hurry.

    3 to 12 days, 1 to 4 of our numbers a day, up to 3 tries in 15 minutes each; rings 12 to 30 s. proposal
    """
    number, begin = make.mobile(), make.day()
    for day in range(make.chance.randint(3, 12)):
        round_at = make.at(begin + day, 9, 18)
        for n, did in enumerate(make.some_dids(1, 4)):
            at = round_at + n * make.chance.uniform(1, 20) * _MINUTE
            for _ in range(3):
                make.call(
                    at, number, did, person, patience_s=(12, 30), talk_s=(8, 45), stays_s=(2, 12),
                    errand=f"{make.name} {day} {did}",
                )  # fmt: skip
                at += make.chance.uniform(1, 6) * _MINUTE


def hospital_call_back(make: Campaign) -> None:
    """A ward calls back whom it could not reach, behind the number of the switchboard or behind none.

    2 to 5 patients among us, each 1 to 4 tries over one or two days; half of the hospitals withhold their
    number; every second patient had called the hospital before. proposal
    """
    number, hidden = make.landline(), make.chance.random() < 0.5
    for did in make.some_dids(2, 5):
        day, tries = make.day(), make.chance.randint(1, 4)
        if make.chance.random() < 0.5:
            make.dialled(make.at(day - 1, 9, 17), number, make.chance.choice((0, 90)))
        for _ in range(tries):
            make.call(
                make.at(day + make.chance.choice((0, 0, 1)), 8, 19), number, did, person,
                patience_s=(20, 45), talk_s=(60, 400), stays_s=(3, 40), errand=f"{make.name} {did}",
                hidden=hidden,
            )  # fmt: skip


def emergency_call_back(make: Campaign) -> None:
    """We called the emergency number and the line broke: they call back at once, and again.

    2 to 6 tries within 10 minutes, from the short number, a fixed line or a withheld one. A person, who
    will not listen to a machine. proposal
    """
    plan, did, at = make.house.plan, make.did(), make.at(make.day(workday=False), 0, 24)
    make.dialled(at, make.number(plan.emergency), make.chance.uniform(5, 90))
    number = make.chance.choice((make.number(plan.emergency), make.landline()))
    hidden = make.chance.random() < 0.3
    for _ in range(make.chance.randint(2, 6)):
        at += timedelta(seconds=make.chance.uniform(20, 120))
        make.call(
            at, number, did, keyless, patience_s=(15, 45), talk_s=(30, 300), stays_s=(3, 20), pickup=0.5,
            errand=make.name, hidden=hidden,
        )  # fmt: skip


def b2b_call_centre(make: Campaign) -> None:
    """A supplier whose people all call from numbers of one block: orders, service, invoices.

    On 3 to 10 days, 2 to 12 calls a day to 2 to 8 of our numbers, from 3 to 30 numbers of the block; some of
    us call them as well. proposal
    """
    block, dids, begin = make.block(make.landline()), make.some_dids(2, 8), make.day()
    agents = [block() for _ in range(make.chance.randint(3, 30))]
    for day in range(make.chance.randint(3, 10)):
        if make.chance.random() < 0.3:
            make.dialled(make.at(begin + day, 9, 17), make.chance.choice(agents), 120)
        for n in range(make.chance.randint(2, 12)):
            at, did = make.at(begin + day, 8.5, 17.5), make.chance.choice(dids)
            make.call(
                at, make.chance.choice(agents), did, person, stays_s=(5, 40), errand=f"{make.name} {day} {n}"
            )


def one_time_password(make: Campaign) -> None:
    """A bank's machine reads a code to whoever logs in: wanted at this second, and it hears nothing.

    2 to 8 log-ins over days, some by several of us, two in five of whom tell the telephone system before;
    from a service number or one of a block; up to 3 tries a minute apart; 15 to 30 s of recording. proposal
    """
    plan = make.house.plan
    block = make.block(make.landline())
    numbers = [make.number(plan.service)] if make.chance.random() < 0.5 else [block() for _ in range(4)]
    dids = make.some_dids(1, 3)
    for n in range(make.chance.randint(2, 8)):
        at, did = make.at(make.day(), 8, 22), make.chance.choice(dids)
        if make.chance.random() < 0.4:
            make.awaits(at - timedelta(seconds=40))
        for _ in range(3):
            make.call(
                at, make.chance.choice(numbers), did, recording, patience_s=(20, 30), talk_s=(15, 30),
                stays_s=(15, 30), pickup=0.9, errand=f"{make.name} {n}", caller_ends=True,
            )  # fmt: skip
            at += make.chance.uniform(0.7, 1.5) * _MINUTE


def worried_family(make: Campaign) -> None:
    """Something has happened: the same mobile again and again, until somebody answers.

    4 to 20 tries within 5 to 90 minutes to 1 or 2 numbers; they hang up when a machine answers, and know us:
    in the weeks before they called or were called now and then. proposal
    """
    number, dids, day = make.mobile(), make.some_dids(1, 2), make.day(workday=False)
    for _ in range(make.chance.randint(0, 4)):
        before = make.at(day - make.chance.randint(1, 12), 9, 21)
        if make.chance.random() < 0.4:
            make.dialled(before, number, make.chance.uniform(0, 300))
        else:
            make.call(before, number, dids[0], person, talk_s=(20, 600))
    begin, span = make.at(day, 0, 23), make.chance.uniform(5, 90)
    for _ in range(make.chance.randint(4, 20)):
        make.call(
            begin + make.chance.uniform(0, span) * _MINUTE, number, make.chance.choice(dids), person,
            patience_s=(15, 60), talk_s=(60, 900), stays_s=(1, 9), pickup=0.15, errand=make.name,
        )  # fmt: skip


def hunt_group(make: Campaign) -> None:
    """A customer's call is passed along a row of our numbers until one is free: a sweep of our own making.

    3 to 6 neighbouring numbers, 12 to 25 s each, on 1 to 4 days; half of the houses say that it was
    forwarded. proposal
    """
    number, says_so = make.chance.choice((make.mobile, make.landline))(), make.chance.random() < 0.5
    for _ in range(make.chance.randint(1, 4)):
        at = first_at = make.at(make.day(), 8, 18)
        length = make.chance.randint(3, 6)
        first = make.chance.randrange(len(make.house.dids) - length)
        row = make.house.dids[first : first + length]
        for did in row:
            ring_s = make.chance.uniform(12, 25)
            make.call(
                at, number, did, person, patience_s=(ring_s, ring_s), pickup=0.35, stays_s=(5, 40),
                errand=f"{make.name} {first_at}", diversion=row[0] if says_so and did != row[0] else "",
            )  # fmt: skip
            at += timedelta(seconds=ring_s + make.chance.uniform(0.2, 1.5))


def elderly_caller(make: Campaign) -> None:
    """Calls on some days, lets it ring for long, talks for long, and will not press a key.

    4 to 20 calls in 2 weeks to one number, at times a second try soon after; is called back now and then.
    proposal
    """
    number, did, begin = make.landline(), make.did(), make.day() - 7
    for n in range(make.chance.randint(4, 20)):
        at = make.at(begin + make.chance.randrange(14), 8, 20)
        if make.chance.random() < 0.2:
            make.dialled(at - _HOUR, number, make.chance.uniform(0, 400))
        for again in range(2):
            make.call(
                at + again * make.chance.uniform(2, 10) * _MINUTE, number, did, keyless, patience_s=(30, 90),
                talk_s=(60, 1200), stays_s=(5, 40), errand=f"{make.name} {n}",
            )  # fmt: skip


def public_service(make: Campaign) -> None:
    """An authority's hotline calls back about what somebody had reported, until it reaches him.

    1 to 3 of our numbers, each 2 to 6 times a day on 1 to 3 days, from the hotline's short number; every
    second one also warns or asks 4 to 10 of us within the hour. proposal
    """
    number = make.number(make.house.plan.public)
    if make.chance.random() < 0.5:
        begin_at = make.at(make.day(), 9, 17)
        for did in make.some_dids(4, 10):
            at = begin_at + make.chance.uniform(0, 50) * _MINUTE
            make.call(at, number, did, person, patience_s=(20, 40), talk_s=(30, 200), stays_s=(3, 20))
    for did in make.some_dids(1, 3):
        begin, tries = make.day(), make.chance.randint(2, 6)
        for day in range(make.chance.randint(1, 3)):
            for _ in range(tries):
                make.call(
                    make.at(begin + day, 8.5, 18), number, did, person, patience_s=(20, 40), talk_s=(60, 400),
                    stays_s=(3, 20), pickup=0.3, errand=f"{make.name} {did}",
                )  # fmt: skip


def roaming_colleague(make: Campaign) -> None:
    """One of us travels: his mobile number of this country comes in by a trunk of another one.

    2 to 12 calls on 1 to 6 days to 1 to 3 of our numbers. proposal
    """
    number, dids, begin = make.in_full(make.mobile()), make.some_dids(1, 3), make.day()
    make.trunk = ABROAD
    days = make.chance.randint(1, 6)
    for _ in range(make.chance.randint(2, 12)):
        at = make.at(begin + make.chance.randrange(days), 7, 21)
        make.call(at, number, make.in_full(make.chance.choice(dids)), person, talk_s=(20, 600))


def background(make: Campaign) -> None:
    """Everybody else: customers and friends who call again, strangers who do not, and our own calls.

    1 to 4 calls a working day for each of our numbers, a fifth at weekends, most from 9 to 12 and 14 to 17 h;
    4 in 10 from contacts, of whom a few call often; 3 in 100 withhold their number. proposal
    """
    contacts = [make.chance.choice((make.mobile, make.landline))() for _ in range(4 * len(make.house.dids))]
    shy = {number for number in contacts if make.chance.random() < 0.03}
    busy = make.chance.uniform(1, 4) * len(make.house.dids)
    for day in range(DAYS):
        for n in range(round(busy * make.chance.uniform(0.8, 1.2) * (0.2 if day % 7 > 4 else 1))):
            hour = make.chance.choice((10.5, 15.5)) + make.chance.gauss(0, 1.6)
            at = make.house.at(day, min(23.9, max(0.0, hour)))
            known = make.chance.random() < 0.4
            favourite = contacts[int(len(contacts) * make.chance.random() ** 2)]
            number = favourite if known else make.chance.choice((make.mobile, make.landline))()
            if make.chance.random() < 0.15:
                make.dialled(at, number, make.chance.choice((0, 60, 200)))
                continue
            hidden = number in shy if known else make.chance.random() < 0.03
            did = make.did()
            for again in range(2):
                make.call(
                    at + again * make.chance.uniform(5, 60) * _MINUTE, number, did, person,
                    talk_s=(20, 500), errand=f"{make.name} {day} {n}",
                    hidden=hidden, agent=make.equipment(number),
                )  # fmt: skip


ORDINARY: Final[Mapping[str, Callable[[Campaign], None]]] = {
    "school broadcast": school_broadcast,
    "pharmacy reminder": pharmacy_reminder,
    "courier": courier,
    "hospital call-back": hospital_call_back,
    "emergency call-back": emergency_call_back,
    "B2B call centre": b2b_call_centre,
    "one-time password": one_time_password,
    "worried family": worried_family,
    "hunt group": hunt_group,
    "elderly caller": elderly_caller,
    "public service": public_service,
    "roaming colleague": roaming_colleague,
    "background": background,
}
"""The classes of wanted callers, by name."""
