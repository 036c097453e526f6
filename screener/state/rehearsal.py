"""Past calls on counters of their own, in their own time, by the script that live calls ask.

A private server counts them; nothing of theirs reaches the live store, which is only looked at for
the lists of today. Questions go out in batches, so that the server counts while we judge.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from redis import Redis
from redis.exceptions import RedisError

from screener.errors import StateUnavailable
from screener.state.client import SCRIPT, UNREACHABLE, answer, describe, is_key, question, without_store
from screener.state.learning import LEARN, teaching
from screener.state.trust import TRUST_TTL_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from screener.state.client import Fact
    from screener.state.trust import Lesson
    from screener.state.weighing import Terms

CALLER_TTL_S: Final = 691_200
CALL_TTL_S: Final = 3600
"""As in `observe.lua`, whose own expiry goes by the server's clock and so never comes here."""
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
            # Nothing here is worth writing to a disk.
            self._counters.client.config_set("appendonly", "no")
        with _needed():
            self._live = _Pipe(live) if live else None
        self._feeds = feeds
        self._listed: OrderedDict[tuple[str, int], Mapping[str, Fact]] = OrderedDict()
        self._callers: OrderedDict[str, tuple[float, list[str]]] = OrderedDict()
        self._calls: deque[tuple[float, str]] = deque()
        self._trusted: OrderedDict[str, float] = OrderedDict()
        self._half_life_days = half_life_days
        self._asked: list[Question] = []

    def ask(self, batch: Sequence[Question | Taught]) -> None:
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

    def _commands(self, one: Question | Taught) -> Iterator[tuple[str, ...]]:
        if isinstance(one, Taught):
            yield from self._taught(one)
            return
        if without_store(one.caller) is not None:
            return
        keys, arguments = question(one.caller, one.did, one.call_id, count=one.counts, at=one.at, feeds=None)
        if one.counts:
            yield from self._forget(one.at)
            self._callers[one.caller] = (one.at, keys[1:3])
            self._callers.move_to_end(one.caller)
            self._calls.append((one.at, keys[3]))
        yield self._counters.script(keys, arguments)

    def _taught(self, one: Taught) -> Iterator[tuple[str, ...]]:
        if not is_key(one.caller):
            return
        keys, arguments = teaching(one.caller, "", one.lesson, self._half_life_days, one.at)
        while self._trusted and next(iter(self._trusted.values())) + TRUST_TTL_S <= one.at:
            yield ("UNLINK", self._trusted.popitem(last=False)[0])
        self._trusted[keys[0]] = one.at
        self._trusted.move_to_end(keys[0])
        yield ("EVALSHA", self._learn, "1", *keys, *arguments)

    def _forget(self, now: float) -> Iterator[tuple[str, ...]]:
        """Let expire what would have expired by now."""
        while self._callers and (oldest := next(iter(self._callers.values())))[0] + CALLER_TTL_S <= now:
            self._callers.popitem(last=False)
            yield ("UNLINK", *oldest[1])
        stale = []
        while self._calls and self._calls[0][0] + CALL_TTL_S <= now:
            stale.append(self._calls.popleft()[1])
        if stale:
            yield ("UNLINK", *stale)

    def _look_up(self, questions: Sequence[Question]) -> None:
        """Learn what lists and feeds say of callers who were not met on the same day."""
        if self._live is None:
            return
        wanted = dict.fromkeys(_listed_on(one) for one in questions if without_store(one.caller) is None)
        fresh = [(caller, day) for caller, day in wanted if (caller, day) not in self._listed]
        asked = [
            question(caller, "", "", count=False, at=float(day), feeds=self._feeds) for caller, day in fresh
        ]
        self._live.send([self._live.script(keys, arguments) for keys, arguments in asked])
        while len(self._listed) > _REMEMBERED:
            self._listed.popitem(last=False)
        for (caller, day), reply in zip(fresh, self._live.receive(), strict=True):
            facts = answer(reply, self._feeds, day)
            self._listed[caller, day] = {name: facts[name] for name in facts if name.startswith(LISTED)}


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
