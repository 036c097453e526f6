"""A `Bench` in a process of its own, so that a large replay uses two cores."""

from __future__ import annotations

import multiprocessing
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from screener.errors import ScreenerError
from screener.policy import compile_policy
from screener.replay.comparing import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

    from screener.facts import Place
    from screener.policy import PolicyDocument
    from screener.replay.comparing import Changed, Heard, Tally

_END_S = 5.0


class Aside:
    """Like `Bench`, by the documents of its policies; to be used as a context. One batch at a time."""

    def __init__(self, new: PolicyDocument, before: PolicyDocument | None, place: Place) -> None:
        # Not forked: a fork would copy threads' locks in whatever state they are.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, new, before, place), daemon=True)
        self._process.start()
        theirs.close()

    def submit(self, batch: Sequence[Heard]) -> None:
        """Take a batch in the order of time; it is judged while we do other things."""
        with _alive():
            self._pipe.send(batch)

    def result(self) -> tuple[list[Changed], Tally]:
        """The changes in the batch that was submitted last, and its counts; waits for them."""
        with _alive():
            done: tuple[list[Changed], Tally] = self._pipe.recv()
            return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(_END_S)
        if self._process.is_alive():
            self._process.kill()


@contextmanager
def _alive() -> Iterator[None]:
    try:
        yield
    except (EOFError, BrokenPipeError) as error:
        raise ScreenerError("the process that judges past calls ended; is there enough memory?") from error


def _serve(
    pipe: Connection, new: PolicyDocument, before: PolicyDocument | None, place: Place
) -> None:  # pragma: no cover - in another process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the pipe
    bench = Bench(compile_policy(new), compile_policy(before) if before else None, place)
    try:
        while True:
            bench.submit(pipe.recv())
            pipe.send(bench.result())
    except (EOFError, BrokenPipeError):
        return
