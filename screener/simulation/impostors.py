"""How unwanted callers dial who show a number that is not theirs to call from, or none; see `attackers`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from screener.simulation.attempts import mute, person, random_keys, recording
from screener.simulation.house import ABROAD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from screener.simulation.house import Campaign


def withheld_robot(make: Campaign) -> None:
    """Dials all day without showing a number, whatever becomes of its calls.

    8 to 40 calls an hour for 2 to 5 hours to any of our numbers; it plays its recording or presses any keys
    as well. proposal
    """
    begin, hours = make.day(), make.chance.randint(2, 5)
    first, react = make.chance.uniform(8.5, 14), make.chance.choice((recording, random_keys))
    for _ in range(hours * make.chance.randint(8, 40)):
        at = make.at(begin, first, first + hours)
        make.call(
            at, make.mobile(), make.did(), react, patience_s=(15, 40), talk_s=(2, 25), stays_s=(15, 45),
            hidden=True,
        )  # fmt: skip


def bank_impostor(make: Campaign) -> None:
    """Shows the service number of a bank, so that people believe it: a recording, an agent on a key.

    3 to 12 of our numbers within 10 to 60 minutes, 1 to 3 lines at once, whom it does not reach once more;
    in a third of the campaigns the carrier asserts who it really is. Of warnings by banks and by the US FCC
    (spoofing); the numbers are proposals.
    """
    number, lines = make.number(make.house.plan.service), make.chance.randint(1, 3)
    real = make.landline() if make.chance.random() < 0.33 else ""
    begin, span_s = make.at(make.day(), 9, 19), make.chance.uniform(600, 3600)
    dids = make.some_dids(3, 12)
    for n, did in enumerate(dids):
        at = begin + timedelta(seconds=span_s * (n // lines * lines) / len(dids))
        for again in range(2):
            make.call(
                at + timedelta(seconds=again * span_s), number, did, recording, patience_s=(15, 35),
                talk_s=(2, 60), stays_s=(10, 40), asserted=real, errand=f"{make.name} {did}",
            )  # fmt: skip


def service_line_sales(make: Campaign) -> None:
    """Sells by telephone and shows the free or shared-cost number that is meant to be called.

    1 to 4 of our numbers, each 2 to 6 times a day on 1 to 3 days. proposal
    """
    number, begin = make.number(make.house.plan.called_only), make.day()
    for did in make.some_dids(1, 4):
        for day in range(make.chance.randint(1, 3)):
            for _ in range(make.chance.randint(2, 6)):
                make.call(
                    make.at(begin + day, 9, 19), number, did, make.chance.choice((person, recording)),
                    patience_s=(15, 35), talk_s=(5, 60), stays_s=(3, 30), pickup=0.4,
                )  # fmt: skip


def premium_lure(make: Campaign) -> None:
    """Rings from a number of the country that costs those who call back; as `wangiri`, and it rings longer.

    1 to 3 numbers, each to 1 to 4 of ours within the day; rings 3 to 20 s. proposal
    """
    day = make.day(workday=False)
    for _ in range(make.chance.randint(1, 3)):
        number = make.number(make.house.plan.premium)
        for did in make.some_dids(1, 4):
            make.call(
                make.at(day, 8, 22), number, did, mute, patience_s=(3, 20), talk_s=(0, 3), stays_s=(0, 2),
                caller_ends=True,
            )  # fmt: skip


def forged_at_home(make: Campaign) -> None:
    """Calls from abroad and shows numbers of our own country, each for a day.

    By the trunk of a number that the house has abroad: 1 to 3 numbers, each 2 to 8 times to 1 to 4 of ours
    within a day. What the UK's Ofcom (2021) asks carriers to block at the border; the counts are proposals.
    """
    day, dids = make.day(), make.some_dids(1, 4)
    make.trunk = ABROAD
    for later in range(make.chance.randint(1, 3)):
        number = make.in_full(make.mobile())
        for _ in range(make.chance.randint(2, 8)):
            make.call(
                make.at(day + later, 8.5, 20.5), number, make.in_full(make.chance.choice(dids)), recording,
                patience_s=(15, 35), talk_s=(2, 25), stays_s=(10, 40), pickup=0.5,
            )  # fmt: skip


IMPOSTORS: Final[Mapping[str, Callable[[Campaign], None]]] = {
    "withheld robot": withheld_robot,
    "bank impostor": bank_impostor,
    "service-line sales": service_line_sales,
    "premium lure": premium_lure,
    "forged at home": forged_at_home,
}
"""These classes, by name."""
