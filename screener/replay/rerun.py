"""Past calls in the order of time: three things at once, each a batch behind the other.

The server counts a batch while the one before it is judged, on large sources in a process of its own.
"""

from __future__ import annotations

import heapq
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING, Final

from screener.call import Stage
from screener.errors import ScreenerError
from screener.number import parse
from screener.policy import compile_policy
from screener.replay.comparing import Bench
from screener.replay.past import PastDial
from screener.state import CALLER_TTL_S, TRUST_TTL_S, Over, Question, Taught, trust

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from screener.facts import Place
    from screener.number import CallerNumber
    from screener.policy import PolicyDocument
    from screener.replay.cdr import CdrFile
    from screener.replay.comparing import Heard, Judge, Judged
    from screener.replay.past import PastCall
    from screener.replay.recorded import LedgerFile
    from screener.state import Rehearsal

WARM_UP: Final = timedelta(seconds=CALLER_TTL_S)
"""Calls so long before the first one that is judged are counted, since the counters remember so long."""
MEMORY: Final = timedelta(seconds=TRUST_TTL_S)
"""Calls so long before it teach, but are not counted."""
BATCH: Final = 200

_bench: list[Bench] = []
"""In the other process, its only one."""


def rerun(  # noqa: PLR0913 - what a replay is made of
    source: CdrFile | LedgerFile,
    state: Rehearsal,
    judge: Judge,
    region_of: Callable[[str], str],
    since: datetime | None = None,
    *,
    long_call_s: int,
) -> Iterator[Judged]:
    """Judge the calls of a source that began at `since` or later: batch by batch the changes and counts.

    `region_of` gives the country of a trunk, our own for none. Raises what the source and the stores raise.
    """
    asked = _Asked(source, state, region_of, since, long_call_s)
    batch = asked.batch()
    judged: Callable[[], Judged] | None = None
    while batch:
        observed = state.answers()
        following = asked.batch()
        if judged:
            yield judged()
        judged = judge(
            [
                (past, caller, known)
                for (past, caller), known in zip(batch, observed, strict=True)
                if since is None or past.call.at >= since
            ]
        )
        batch = following
    if judged:
        yield judged()


class _Asked:
    """Reads the source and asks the state, batch by batch; a call teaches when it is over, not before."""

    def __init__(
        self,
        source: CdrFile | LedgerFile,
        state: Rehearsal,
        region_of: Callable[[str], str],
        since: datetime | None,
        long_call_s: int,
    ) -> None:
        self._calls = source.calls(since - MEMORY if since else None)
        self._state, self._region_of, self._long_call_s = state, region_of, long_call_s
        self._counts_from = since - WARM_UP if since else None
        self._lessons: list[tuple[float, int, Taught | Over]] = []
        self._taken = 0

    def batch(self) -> list[tuple[PastCall, CallerNumber]]:
        """The next questions, which have been sent; empty at the end."""
        batch: list[tuple[PastCall, CallerNumber]] = []
        sent: list[Question | Taught | Over] = []
        for past in self._calls:
            if isinstance(past, PastDial):
                self._heed(past)
                continue
            call = past.call
            caller = parse(call.number, self._region_of(call.trunk), call.presentation)
            if self._counts_from is None or call.at >= self._counts_from:
                at = call.at.timestamp()
                sent += self._learned_by(at)
                asks = call.stage is Stage.SETUP
                sent.append(Question(caller.key, call.did, call.id, at, asks, call.trunk, call.agent))
                batch.append((past, caller))
                if asks and past.manner:
                    over_at = at + past.over_s
                    self._keep(Over(caller.key, call.did, call.id, past.manner, over_at))
            if call.stage is Stage.SETUP and (past.answered or past.challenge):
                self._heed_call(past, caller)
            if len(batch) == BATCH:
                break
        self._state.ask(sent)
        return batch

    def _heed(self, dial: PastDial) -> None:
        called = parse(dial.number, self._region_of(""))
        lesson = trust.of_dialling(answered=dial.answered, talk_s=dial.talk_s, long_call_s=self._long_call_s)
        self._keep(Taught(called.key, lesson, dial.at.timestamp()))

    def _heed_call(self, past: PastCall, caller: CallerNumber) -> None:
        passed = past.challenge == "passed"
        lesson = trust.of_call(
            answered=past.answered, talk_s=past.talk_s, passed=passed, long_call_s=self._long_call_s
        )
        for one in (trust.of_challenge(past.challenge), trust.of_talk(past.challenge, past.symbols), lesson):
            if one:
                self._keep(Taught(caller.key, one, past.call.at.timestamp() + past.talk_s))

    def _keep(self, one: Taught | Over) -> None:
        if one.caller:
            self._taken += 1
            heapq.heappush(self._lessons, (one.at, self._taken, one))

    def _learned_by(self, now: float) -> Iterator[Taught | Over]:
        while self._lessons and self._lessons[0][0] <= now:
            yield heapq.heappop(self._lessons)[2]


@contextmanager
def aside(new: PolicyDocument, before: PolicyDocument | None, place: Place) -> Iterator[Judge]:
    """The judge of a replay, by the documents of its policies; a batch is judged while we do other things."""
    # Not forked: a fork would copy threads' locks in whatever state they are.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, context, _begin, (new, before, place)) as process:
            yield lambda batch: process.submit(_judge, batch).result
    except BrokenProcessPool as error:
        raise ScreenerError("the process that judges past calls ended; is there enough memory?") from error


def _begin(
    new: PolicyDocument, before: PolicyDocument | None, place: Place
) -> None:  # pragma: no cover - in another process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends us
    Thread(target=_end_with_parent, daemon=True).start()
    _bench.append(Bench(compile_policy(new), compile_policy(before) if before else None, place))


def _end_with_parent() -> None:  # pragma: no cover - in another process
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _judge(batch: Sequence[Heard]) -> Judged:  # pragma: no cover - in another process
    return _bench[0].judge(batch)
