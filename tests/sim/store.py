"""The store of an imagined house: what calls, people, feeds and recordings leave there, in the order of time.

It is asked and taught by the scripts that live calls use, at the moments of the history. Sound alone is made
up: the same recording is taken to be known again each time (measured: 99.7 % and more, docs/campaigns.md),
and no other for it.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Literal

from screener.call import Stage
from screener.facts import UNLISTED
from screener.feeds import terms_of
from screener.state import Entry, Over, Question, Rehearsal, Taught, campaigns, trust
from screener.state.asking import (
    CAMPAIGNS_KEY,
    EXPECTING_KEY,
    FEED_KEY,
    KEYS,
    LISTS_KEY,
    SPOKE_KEY,
    answer,
    is_key,
    question,
)
from screener.state.learning import teaching
from screener.state.weighing import Listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from screener.call import Call
    from screener.config import Config
    from screener.facts import FactValue
    from screener.number import CallerNumber
    from screener.state import Lesson, ListKind, Manner

    Command = tuple[str, ...]

FEEDS = ("phoneblock", "ftc")
"""Two shipped feeds lend their terms to the two that a house reads, in whatever country it stands."""
AT_ONCE = 500
_CAMPAIGN_KEYS = (
    CAMPAIGNS_KEY,
    *(KEYS + "campaigns:" + name for name in ("prints", "forget_at", "callers", "last")),
)


class Store(Rehearsal):
    """Counters that know nothing yet, and what is done to them besides; times are Unix times."""

    def __init__(self, url: str, config: Config) -> None:
        self._half_life_days = config.settings.trust.half_life_days
        terms = terms_of({name: config.feeds[name].model_copy(update={"enabled": True}) for name in FEEDS})
        super().__init__(url, feeds=terms, half_life_days=self._half_life_days)
        self._hear = str(self._counters.client.script_load(campaigns._HEAR))
        self._due: list[tuple[float, int, Callable[[], Iterable[Command]]]] = []
        self._told = 0
        self._sent: list[Command] = []
        self._recordings: dict[str, str] = {}
        self._expected_until = 0.0

    def observe(
        self, caller: str, call: Call, foreseen: Mapping[str, FactValue] | None = None
    ) -> Mapping[str, FactValue]:
        """What a live call is told, at its moment; all that was due before has happened.

        An answer that is `foreseen` is not waited for.
        """
        at, setup = call.at.timestamp(), call.stage is Stage.SETUP
        self._sent += self._commands(Question(caller, call.did, call.id, at, setup, call.trunk, call.agent))
        if foreseen is not None and len(self._sent) < AT_ONCE:
            return foreseen
        self._counters.send(self._sent)
        self._sent = []
        *_, reply = (one for one in self._counters.receive() if isinstance(one, dict))
        facts = answer(reply, self._feeds if caller else (), at)
        return facts if caller else {**UNLISTED, **facts}

    def _commands(self, one: Question | Taught | Over) -> Iterator[Command]:
        counted = list(super()._commands(one))
        if not isinstance(one, Question):
            yield from counted
            return
        while self._due and self._due[0][0] <= one.at:
            yield from heapq.heappop(self._due)[2]()
        # The same question, with lists and feeds, and of a caller without a number, as `State.observe` asks.
        yield from counted[:-1]
        keys, arguments = question(
            one.caller, one.did, one.call_id, trunk=one.trunk, agent=one.agent, count=one.counts, at=one.at,
            feeds=self._feeds if one.caller else (),
        )  # fmt: skip
        yield self._counters.script(keys, arguments)

    def _later(self, at: float, commands: Callable[[], Iterable[Command]]) -> None:
        self._told += 1
        heapq.heappush(self._due, (at, self._told, commands))

    def over(self, at: float, caller: str, did: str, call_id: str, manner: Manner) -> None:
        """A call is over."""
        self._later(at, lambda: self._commands(Over(caller, did, call_id, manner, at)))

    def taught(self, at: float, caller: str, lesson: Lesson | None, trunk: str = "") -> None:
        """Something is learned about a caller; of one without a number only what he failed."""
        if lesson and is_key(caller):
            self._later(at, lambda: self._commands(Taught(caller, lesson, at)))
        elif lesson and lesson.challenge == trust.FAILED:
            keys, arguments = teaching("", "", lesson, self._half_life_days, at, trunk=trunk)
            self._later(at, lambda: [("EVALSHA", self._learn, str(len(keys)), *keys, *arguments)])

    def listed(self, at: float, caller: str, kind: ListKind | Literal[""]) -> None:
        """Somebody puts the caller on a list, or on none."""
        if kind and is_key(caller):
            entry = Entry(caller, kind, reason="of the house", by="person", added_at=int(at))
            self._later(at, lambda: [("HSET", LISTS_KEY, entry.field, entry.value)])

    def reported(self, at: float, key: str, feed: int, votes: int) -> None:
        """A feed's snapshot of this moment names a number."""
        value = Listing(votes, int(at)).value
        stored = ("HSET", FEED_KEY + FEEDS[feed], "@", str(int(at)), key, value)
        if is_key(key):
            self._later(at, lambda: [stored])

    def expecting(self, at: float, for_s: float) -> None:
        """A call is awaited: by star code, or after a call to an emergency number."""

        def end() -> Iterable[Command]:
            return [("UNLINK", EXPECTING_KEY)] if self._expected_until <= at + for_s else []

        def begin() -> Iterable[Command]:
            self._expected_until = max(self._expected_until, at + for_s)
            return [("SET", EXPECTING_KEY, "1")]

        self._later(at, begin)
        self._later(at + for_s, end)

    def heard(self, at: float, recording: str, caller: CallerNumber) -> None:
        """A recording of ours has the caller's recording on it, and is compared."""

        def hear() -> Iterable[Command]:
            known = self._recordings.get(recording, "")
            # The script numbers new ones in turn; none is forgotten within the four weeks.
            self._recordings.setdefault(recording, str(len(self._recordings) + 1))
            keys = (*_CAMPAIGN_KEYS, SPOKE_KEY + caller.key, SPOKE_KEY + (caller.block or ""))
            limits = (campaigns.KEEP_S, campaigns.KEEP_SINGLE_S, campaigns.MAX_CAMPAIGNS)
            told = (known, "print", caller.key, caller.block or "", int(at), *limits, campaigns.MAX_CALLERS)
            return [("EVALSHA", self._hear, str(len(keys)), *keys, *map(str, told))]

        self._later(at, hear)

    def judged(self, at: float, recording: str, verdict: str) -> None:
        """Somebody says what a recording is, or nothing."""

        def judge() -> Iterable[Command]:
            known = self._recordings.get(recording)
            return [("HSET", CAMPAIGNS_KEY, f"{known}:verdict", verdict)] if known else []

        if verdict:
            self._later(at, judge)
