"""Generated histories of cases, the packs and the oracle compared over them, and packs with a mistake."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from screener.config import load
from screener.config.packs import PackDocument
from screener.packs import Contact, Pack, compile_pack, evaluate
from screener.packs.document import Rule
from tests.oracle import DAY, ORACLES, WINTER_H, Case, Outcome, days_of, local, summer

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBERS = (
    "",
    "+8617712345678",
    "+8613800138000",
    "+862062345678",
    "+33612345678",
    "+33123456789",
    "+12125550101",
)
EDGES_H = (0, 2, 3, 8, 10, 13, 14, 19, 20, 21, 22, 24)
SPANS_DAYS = (0.3, 1, 2, 8, 32, 90)


@dataclass(frozen=True)
class Habit:
    """What the contacts of one history have in common."""

    unknown: float
    answered: tuple[bool, ...]
    called: tuple[str, ...]


def history(chance: Random) -> tuple[str, list[Contact]]:
    """A zone, and up to 24 contacts around a moment at which clocks and calendars are special, or not."""
    zone = chance.choice(tuple(WINTER_H))
    begun = _start(chance, zone)
    length = chance.choice(SPANS_DAYS) * DAY
    habit = Habit(
        unknown=chance.choice((0, 0, 0.05, 0.3)),
        answered=chance.choice(
            ((True, False), (True, True, True, False), (False, False, False, True), (False,))
        ),
        called=chance.choice((("home",), ("home", "home", "home", "office"))),
    )
    contacts = [
        _contact(chance, str(one), _moment(chance, zone, begun + chance.random() * length), habit)
        for one in range(chance.randint(1, 24))
    ]
    return zone, contacts


def _start(chance: Random, zone: str) -> int:
    year = chance.randint(2024, 2031)
    days = {
        "leap day": days_of(2028, 2, 29),
        "year's end": days_of(year, 12, 31),
        "holiday": days_of(year, 5, 1),
        "no holidays known": days_of(2040, 1, 1),
        "any": days_of(year, 1, 1) + chance.randrange(365),
    }
    if chance.random() < 0.4 and summer(zone, year)[0]:
        return chance.choice(summer(zone, year)) - chance.randrange(2 * DAY)
    return chance.choice(list(days.values())) * DAY - chance.randrange(DAY)


def _moment(chance: Random, zone: str, utc_s: float) -> datetime:
    """Any moment, or one at, just before or after an hour at which some rule changes its mind."""
    at = datetime.fromtimestamp(int(utc_s), UTC)
    if chance.random() < 0.5:
        day = at.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, tzinfo=None)
        wall = day + timedelta(hours=chance.choice(EDGES_H), seconds=chance.choice((-1, 0, 1)))
        at = wall.replace(tzinfo=ZoneInfo(zone), fold=chance.randrange(2)).astimezone(UTC)
    return at.astimezone(ZoneInfo(chance.choice((zone, "UTC", "Asia/Shanghai"))))


def _contact(chance: Random, name: str, at: datetime, habit: Habit) -> Contact:
    def maybe(values: tuple[Any, ...]) -> Any:
        return None if chance.random() < habit.unknown else chance.choice(values)

    answered = maybe(habit.answered)
    return Contact(
        id=name,
        at=at,
        kind=chance.choice(("call",) * 9 + ("message", "visit", "letter")),
        number=chance.choice(NUMBERS),
        called=chance.choice(habit.called),
        answered=answered,
        talk_s=maybe((0.0, 0.0, 1.0, 9.9, 10.0, 59.0, 60.0, 300.0)) if answered is not False else 0.0,
        ring_s=maybe((3.0, 9.9, 10.0, 14.9, 15.0, 40.0)),
        ended_by_caller=maybe((True, True, False)),
        robot=maybe((True, False)),
        live_after_s=maybe((0.5, 2.0, 2.1, 5.0, 5.1, math.inf)),
        refused=chance.random() < 0.04,
        to_debtor=maybe((True, True, False)),
        wording=maybe((frozenset(), frozenset({"collection"}), frozenset({"threat", "amount"}))),
    )


def disagreements(pack: Pack, count: int, seed: int) -> list[str]:
    """Each history of which the pack says something else than the oracle; empty if they always agree."""
    found = []
    for number in range(count):
        zone, contacts = history(Random(f"{pack.name} {seed} {number}"))
        case = Case.of(zone, contacts)
        told = evaluate(pack, contacts, ZoneInfo(zone))
        said = sorted((one.rule, one.decided, int(one.at.timestamp()), one.contacts) for one in told)
        expected = sorted(ORACLES[pack.name](case))
        if said != expected:
            found.append(f"history {number} in {zone}: {_difference(said, expected)}")
        for one in told:
            wall = one.at.hour * 3600 + one.at.minute * 60 + one.at.second
            if (days_of(one.at.year, one.at.month, one.at.day), wall) != local(zone, int(one.at.timestamp())):
                found.append(f"history {number} in {zone}: {one.at} is not what the wall shows")
    return found


def _difference(said: list[Outcome], expected: list[Outcome]) -> str:
    extra = [one for one in said if one not in expected]
    absent = [one for one in expected if one not in said]
    return f"said {extra}, expected {absent}"


def document(pack: Pack) -> PackDocument:
    assert isinstance(pack.written, PackDocument)
    return pack.written


def changes(rule: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Mistakes that somebody could make in one rule."""
    yield "never", rule | {"when": "false"}
    yield "decided", rule | {"decided_by": "D" if rule["decided_by"] == "X" else "X"}
    if limit := rule.get("limit"):
        yield "one more", rule | {"limit": limit | {"more_than": limit["more_than"] + 1}}
        yield "one less", rule | {"limit": limit | {"more_than": limit["more_than"] - 1}}
        yield "a day more", rule | {"limit": limit | {"days": limit["days"] + 1}}
        if limit["days"] > 1:
            yield "a day less", rule | {"limit": limit | {"days": limit["days"] - 1}}
        if limit.get("each"):
            yield "all together", rule | {"limit": limit | {"each": ""}}
    if (after := rule.get("after")) and after.get("days"):
        yield "a day more", rule | {"after": after | {"days": after["days"] + 1}}
        yield "a day less", rule | {"after": after | {"days": after["days"] - 1}}
    for days, (first, *others) in (
        (days, spans) for days, spans in (rule.get("hours") or {}).items() if spans
    ):
        if first != "00:00-24:00":
            late, early = f"{first[:-2]}01", f"{first[:3]}01{first[5:]}"
            yield f"{days} late", rule | {"hours": rule["hours"] | {days: [late, *others]}}
            yield f"{days} early", rule | {"hours": rule["hours"] | {days: [early, *others]}}
    if "holiday" in (rule.get("hours") or {}):
        without = {days: spans for days, spans in rule["hours"].items() if days != "holiday"}
        yield "no holidays", rule | {"hours": without}


def as_text(value: Any) -> Any:
    """As YAML files are read: all that is no mapping and no list is text."""
    if isinstance(value, dict):
        return {key: as_text(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_text(one) for one in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


PACKS = load(None, environ={}).packs
CHANGES = {
    f"{name} {symbol} {what}": (name, symbol, rule)
    for name, pack in PACKS.items()
    for symbol, written in pack.written.rules.items()
    for what, rule in changes(written.model_dump(exclude_unset=True))
}


def changed(change: str) -> Pack:
    """The pack in which one rule has this mistake."""
    name, symbol, rule = CHANGES[change]
    written = document(PACKS[name])
    fresh = Rule.model_validate(as_text(rule))
    pack, problems = compile_pack(
        name, written.model_copy(update={"rules": {**written.rules, symbol: fresh}})
    )
    assert not [one for one in problems if one.path[-1] != "decided_by"]
    return pack
