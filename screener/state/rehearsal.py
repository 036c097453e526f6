"""Past calls on counters of their own, in their own time, by the script that live calls ask.

A private server counts them; nothing of theirs reaches the live store, which is only looked at for
the lists of today. Questions go out in batches, so that the server counts while we judge.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from redis import Redis
from redis.exceptions import RedisError

from screener.errors import StateUnavailable
from screener.state.asking import SCRIPT, answer, is_key, question, without_store
from screener.state.connecting import UNREACHABLE, describe
from screener.state.learning import LEARN, OVER, ending, teaching
from screener.state.trust import TRUST_TTL_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from screener.state.asking import Fact
    from screener.state.manner import Manner
    from screener.state.trust import Lesson
    from screener.state.weighing import Terms

CALLER_TTL_S: Final = 1_382_400
CALL_TTL_S: Final = 3600
DAY_TTL_S: Final = 86_400
"""As in the scripts, whose own expiry goes by the server's clock and so never comes here."""
LISTED = ("list.", "feed.")
"""Facts that the live store gives, as of today; its counters are not those of a past call."""

_REMEMBERED = 20_000
_TIMEOUT_S = 60.0
_DAY_S = 86_400


class Question(NamedTuple):
    """What `State.observe` is asked for one call, with the moment of the call (Unix time)."""

    caller: str
    did: str
    call_id: str
    at: float
    counts: bool
    trunk: str = ""
    agent: str = ""


class Over(NamedTuple):
    """How a call ended, and when (Unix time)."""

    caller: str
    did: str
    call_id: str
    manner: Manner
    at: float


class Taught(NamedTuple):
    """A lesson about a caller, and when it was learned (Unix time)."""

    caller: str
    lesson: Lesson
    at: float


class Rehearsal:
    """Counters that know nothing yet, at `url`, a server of their own; lists and feeds are those at `live`.

    An entry counts that is in the live store today, unless it had expired by the day of the call.
    Every method raises StateUnavailable when a server cannot be reached.
    """

    def __init__(
        self, url: str, live: str | None = None, feeds: Sequence[Terms] = (), *, half_life_days: int
    ) -> None:
        with _needed():
            self._counters = _Pipe(url)
            self._learn = str(self._counters.client.script_load(LEARN))
            self._over = str(self._counters.client.script_load(OVER))
            # Nothing here is worth writing to a disk.
            self._counters.client.config_set("appendonly", "no")
        with _needed():
            self._live = _Pipe(live) if live else None
        self._feeds = feeds
        self._listed: OrderedDict[tuple[str, int], Mapping[str, Fact]] = OrderedDict()
        self._kept = [_Kept(ttl) for ttl in (CALL_TTL_S, DAY_TTL_S, CALLER_TTL_S, TRUST_TTL_S)]
        self._hour, self._day, self._callers, self._trusted = self._kept
        self._half_life_days = half_life_days
        self._asked: list[Question] = []

    def ask(self, batch: Sequence[Question | Taught | Over]) -> None:
        """Send a batch, in the order of time; the server counts and learns while we do other things."""
        self._asked = [one for one in batch if isinstance(one, Question)]
        with _needed():
            self._look_up(self._asked)
            self._counters.send([command for one in batch for command in self._commands(one)])

    def answers(self) -> list[Mapping[str, Fact]]:
        """The facts for each question of the batch that was sent last."""
        with _needed():
            replies = iter([reply for reply in self._counters.receive() if isinstance(reply, dict)])
        found: list[Mapping[str, Fact]] = []
        for one in self._asked:
            known = without_store(one.caller)
            counted = answer(next(replies), (), one.at) if known is None else known.facts
            found.append({**counted, **self._listed.get(_listed_on(one), {})})
        return found

    def close(self) -> None:
        """Close the connections."""
        for pipe in (self._counters, self._live):
            if pipe is not None:
                pipe.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _commands(self, one: Question | Taught | Over) -> Iterator[tuple[str, ...]]:
        if not is_key(one.caller):
            return
        stale = [key for kept in self._kept for key in kept.expired(one.at)]
        if stale:
            yield ("UNLINK", *stale)
        if isinstance(one, Taught):
            keys, arguments = teaching(one.caller, "", one.lesson, self._half_life_days, one.at)
            self._trusted.keep(keys[:2], one.at)
            yield ("EVALSHA", self._learn, str(len(keys)), *keys, *arguments)
        elif isinstance(one, Over):
            keys, arguments = ending(one.caller, one.did, one.call_id, one.manner, one.at)
            self._callers.keep(keys[:1], one.at)
            self._hour.keep(keys[1:3], one.at)
            self._day.keep(keys[3:], one.at)
            yield ("EVALSHA", self._over, str(len(keys)), *keys, *arguments)
        else:
            keys, arguments = question(
                one.caller,
                one.did,
                one.call_id,
                trunk=one.trunk,
                agent=one.agent,
                count=one.counts,
                at=one.at,
                feeds=None,
            )
            if one.counts:
                self._callers.keep(keys[1:2], one.at)
                self._hour.keep((keys[2], keys[3], keys[5], keys[6]), one.at)
            yield self._counters.script(keys, arguments)

    def _look_up(self, questions: Sequence[Question]) -> None:
        """Learn what lists and feeds say of callers who were not met on the same day."""
        if self._live is None:
            return
        wanted = dict.fromkeys(_listed_on(one) for one in questions if without_store(one.caller) is None)
        fresh = [(caller, day) for caller, day in wanted if (caller, day) not in self._listed]
        asked = [
            question(caller, "", "", trunk="", count=False, at=float(day), feeds=self._feeds)
            for caller, day in fresh
        ]
        self._live.send([self._live.script(keys, arguments) for keys, arguments in asked])
        while len(self._listed) > _REMEMBERED:
            self._listed.popitem(last=False)
        for (caller, day), reply in zip(fresh, self._live.receive(), strict=True):
            facts = answer(reply, self._feeds, day)
            self._listed[caller, day] = {name: facts[name] for name in facts if name.startswith(LISTED)}


class _Kept:
    """Keys that expire so long after they were written last."""

    def __init__(self, ttl_s: int) -> None:
        self._ttl_s = ttl_s
        self._at: OrderedDict[str, float] = OrderedDict()

    def keep(self, keys: Sequence[str], at: float) -> None:
        for key in keys:
            self._at[key] = at
            self._at.move_to_end(key)

    def expired(self, now: float) -> Iterator[str]:
        while self._at and next(iter(self._at.values())) + self._ttl_s <= now:
            yield self._at.popitem(last=False)[0]


def _listed_on(one: Question) -> tuple[str, int]:
    return one.caller, int(one.at // _DAY_S) * _DAY_S


class _Pipe:
    """One connection, on which many commands are sent before their replies are read."""

    def __init__(self, url: str) -> None:
        self.client = Redis.from_url(
            url,
            protocol=3,
            decode_responses=True,
            encoding_errors="replace",
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
        )
        self._sha = str(self.client.script_load(SCRIPT))
        self._connection = self.client.connection_pool.get_connection()
        self._sent = 0

    def script(self, keys: list[str], arguments: list[str]) -> tuple[str, ...]:
        return ("EVALSHA", self._sha, str(len(keys)), *keys, *arguments)

    def send(self, commands: Sequence[tuple[str, ...]]) -> None:
        self._sent = len(commands)
        if commands:
            connection: Any = self._connection
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)

    def receive(self) -> list[Any]:
        replies = [self._connection.read_response() for _ in range(self._sent)]
        self._sent = 0
        return replies


@contextmanager
def _needed() -> Iterator[None]:
    try:
        yield
    except (RedisError, *UNREACHABLE) as error:
        raise StateUnavailable(f"a store for the past calls failed: {describe(error)}") from error
