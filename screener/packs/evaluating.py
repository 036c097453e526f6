"""From the contacts of a case to incidents. Every answer is yes, no, or what is not known.

Days and hours are those on the wall of the person called, so a day may have 23 or 25 hours. One breach is
one incident: where `hours` or `when` alone decide, each contact is a breach of its own; of a `limit`, or
of the silence `after` an event, the contact that breaks it begins the incident, with all that prove it, and
each further one belongs to it until the rule's next contact keeps the rule again.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from screener.packs.contact import NAMES, SAYS, asked
from screener.policy import Problem
from screener.policy.cel import CelError, Language, Missing
from screener.policy.profiles import HOLIDAY, span, weekdays

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, tzinfo

    from screener.packs.contact import Contact
    from screener.packs.document import Holidays, Limit, PackFile, Rule
    from screener.policy.cel import Expression

Answer: TypeAlias = bool | Missing
_Found: TypeAlias = tuple[str, int, Answer, list[int]]
"""Of one contact, by its place in order of time: the run it belongs to, whether it breaks, what proves it."""


@dataclass(frozen=True, slots=True)
class Incident:
    """A breach of one rule, or what may be one.

    `decided` is false where something is not known that could excuse it (`because` names it), and always
    where one person called can never tell (X): such an incident is evidence, and raises nothing. `soft`: the
    rule only recommends. `at` is when it was broken, on the wall of the person called; `contacts` are the
    ids of those that prove it, in order of time.
    """

    pack: str
    rule: str
    clause: str
    decided: bool
    soft: bool
    at: datetime
    contacts: tuple[str, ...]
    because: str


@dataclass(frozen=True, slots=True)
class Compiled:
    """A rule that can be asked. Minutes of `hours` are those of a day, 1 to 7, and 0 for a holiday."""

    name: str
    written: Rule
    when: Expression
    event: Expression | None
    hours: dict[int, list[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack that can be asked; made by `compile_pack`."""

    name: str
    written: PackFile
    rules: tuple[Compiled, ...]


@dataclass(slots=True)
class _Breach:
    """An incident while it grows: whether it is sure, when it happened, its proof and what is not known."""

    decided: bool
    begun: int
    proof: set[int]
    unknown: dict[str, None]


@lru_cache(maxsize=1)
def _language() -> Language:
    return Language(NAMES)


def compile_pack(name: str, written: PackFile) -> tuple[Pack, list[Problem]]:
    """The pack and what is wrong in it, each problem with its path from `rules` on."""
    problems: list[Problem] = []

    def compiled(path: tuple[str, ...], text: str) -> Expression | None:
        try:
            return _language().compile(text)
        except CelError as error:
            problems.extend(Problem(path, one.line, one.column, one.text) for one in error.problems)
        return None

    rules = []
    for symbol, rule in written.rules.items():
        path = ("rules", symbol)
        when = compiled((*path, "when"), rule.when)
        event = compiled((*path, "after", "event"), rule.after.event) if rule.after else None
        asked_for = f"{rule.when}\n{rule.after.event if rule.after else ''}"
        heard = sorted(one for one in _language().names(asked_for) if one.startswith(SAYS))
        if rule.decided_by == "D" and heard:
            text = f"call records alone do not tell {heard[0]}; it takes T"
            problems.append(Problem((*path, "decided_by"), 1, 1, text))
        if HOLIDAY in (rule.hours or {}) and not written.holidays:
            problems.append(Problem((*path, "hours", HOLIDAY), 0, 0, "the pack has no holidays"))
        if when is not None:
            rules.append(Compiled(symbol, rule, when, event, _hours(rule)))
    return Pack(name, written, tuple(rules)), problems


def evaluate(pack: Pack, contacts: Iterable[Contact], zone: tzinfo) -> list[Incident]:
    """The incidents of one case, in order of time; `zone` is that of the person called.

    The contacts may come in any order; of two at the same moment the one given first was first.
    """
    case = _Case(pack, contacts, zone)
    found = [case.incident(rule, one) for rule in pack.rules for one in case.breaches(rule)]
    return sorted(found, key=lambda one: one.at.astimezone(UTC))


class _Case:
    def __init__(self, pack: Pack, contacts: Iterable[Contact], zone: tzinfo) -> None:
        self._pack = pack
        # By way of UTC: two moments of one zone compare by the wall, which shows an hour twice in autumn.
        self._contacts = sorted(contacts, key=lambda one: one.at.astimezone(UTC))
        self._local = [one.at.astimezone(UTC).astimezone(zone) for one in self._contacts]
        self._days = [one.toordinal() for one in self._local]
        self._values = [_language().values(asked(one)) for one in self._contacts]

    def incident(self, rule: Compiled, breach: _Breach) -> Incident:
        written = rule.written
        because = "; not known: ".join(filter(None, (written.because, ", ".join(breach.unknown))))
        if written.decided_by == "X":
            because += "; the one who was called cannot tell whether the rule is broken"
        return Incident(
            self._pack.name,
            rule.name,
            written.clause,
            breach.decided and written.decided_by != "X",
            written.soft,
            self._local[breach.begun],
            tuple(self._contacts[place].id for place in sorted(breach.proof)),
            because,
        )

    def breaches(self, rule: Compiled) -> Iterator[_Breach]:
        matches = [rule.when.ask(values) for values in self._values]
        if rule.written.limit:
            return _runs(self._limited(rule.written.limit, matches))
        if rule.event:
            return _runs(self._after(rule, matches, rule.event))
        return _runs(self._acts(rule, matches))

    def _acts(self, rule: Compiled, matches: list[Answer]) -> Iterator[_Found]:
        """Each contact that breaks the rule is a run of its own; those of which it is not known are one."""
        for place, matched in enumerate(matches):
            answer = both(matched, self._outside(rule, place))
            if answer is not False:
                yield str(place) if answer is True else "", place, answer, [place]

    def _outside(self, rule: Compiled, place: int) -> Answer:
        """Whether the rule allows no contact at that time; one without hours allows none at any."""
        if rule.written.hours is None:
            return True
        local = self._local[place]
        ordinary, on_holiday = (
            _at_other_times(local, rule.hours.get(day)) for day in (local.isoweekday(), 0)
        )
        if 0 not in rule.hours or ordinary == on_holiday:
            return ordinary
        holiday = _is_holiday(self._pack.written.holidays, local)
        return holiday if isinstance(holiday, Missing) else on_holiday if holiday else ordinary

    def _limited(self, limit: Limit, matches: list[Answer]) -> Iterator[_Found]:
        windows: dict[str, deque[int]] = defaultdict(deque)
        for place, matched in enumerate(matches):
            if matched is False:
                continue
            key = self._contacts[place].called if limit.each else ""
            window = windows[key]
            window.append(place)
            while self._days[place] - self._days[window[0]] >= limit.days:
                window.popleft()
            sure = [one for one in window if matches[one] is True]
            if len(sure) > limit.more_than and matched is True:
                yield key, place, True, sure
            elif len(window) > limit.more_than:
                yield key, place, _first_unknown(matches, window), list(window)
            else:
                yield key, place, False, []

    def _after(self, rule: Compiled, matches: list[Answer], event: Expression) -> Iterator[_Found]:
        events = [event.ask(values) for values in self._values]
        days = rule.written.after.days if rule.written.after else None
        last: dict[bool, int] = {}
        for place, matched in enumerate(matches):
            near = {
                sure: one
                for sure, one in last.items()
                if days is None or self._days[place] - self._days[one] < days
            }
            if matched is True and True in near:
                yield "", place, True, [near[True], place]
            elif matched is not False and near:
                proof = [near.get(True, near.get(False, place)), place]
                yield "", place, both(matched, events[proof[0]]), proof
            elif matched is not False:
                yield "", place, False, []
            if events[place] is not False:
                last[events[place] is True] = place


def _runs(found: Iterator[_Found]) -> Iterator[_Breach]:
    """Contacts of a run that break the rule one after another are one breach; sure ones outweigh the rest."""
    running: dict[str, _Breach] = {}
    for key, place, answer, proof in found:
        sure = answer is True
        if answer is False:
            if key in running:
                yield running.pop(key)
            continue
        breach = running.get(key)
        if breach is None or (sure and not breach.decided):
            breach = running[key] = _Breach(decided=sure, begun=place, proof=set(), unknown={})
        if breach.decided is sure:
            breach.proof.update(proof)
        if isinstance(answer, Missing) and not breach.decided:
            breach.unknown[answer.what] = None
    yield from running.values()


def both(one: Answer, other: Answer) -> Answer:
    """Whether both hold: no if either does not, whatever the other may be."""
    if one is False or other is False:
        return False
    return other if one is True else one


def _first_unknown(matches: list[Answer], window: Iterable[int]) -> Answer:
    return next((matches[one] for one in window if matches[one] is not True), True)


def _hours(rule: Rule) -> dict[int, list[tuple[int, int]]]:
    return {
        day: [pair for text in spans if (pair := span(text))]
        for days, spans in (rule.hours or {}).items()
        for day in weekdays(days)
    }


def _at_other_times(local: datetime, spans: list[tuple[int, int]] | None) -> bool:
    """Whether a moment is in none of the spans of its day; both their ends belong to them."""
    if spans is None:
        return False
    at_min = local.hour * 60 + local.minute + (local.second + local.microsecond / 1e6) / 60
    return not any(start <= at_min <= end for start, end in spans)


def _is_holiday(holidays: Holidays | None, local: datetime) -> Answer:
    today = local.date().isoformat()
    if holidays is None or not holidays.since <= today <= holidays.until:
        return Missing(HOLIDAY)
    return today in holidays.dates
