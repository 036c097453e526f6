"""A `Bench` in a process of its own, so that a large replay uses two cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

from screener.errors import ScreenerError
from screener.policy import compile_policy
from screener.replay.comparing import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from screener.facts import Place
    from screener.policy import PolicyDocument
    from screener.replay.comparing import Heard, Judge, Judged

_bench: list[Bench] = []
"""In the other process, its only one."""


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
