"""Past calls in the order of time: three things at once, each a batch behind the other.

The server counts a batch while the one before it is judged, on large sources in a process of its own.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from screener.call import Stage
from screener.number import parse
from screener.state import CALLER_TTL_S, Question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from screener.number import CallerNumber
    from screener.replay.comparing import Changed, Heard, Tally
    from screener.replay.past import PastCall, Source
    from screener.state import Rehearsal

WARM_UP: Final = timedelta(seconds=CALLER_TTL_S)
"""Calls so long before the first one that is judged are counted, since the counters remember so long."""
BATCH: Final = 200


class Judge(Protocol):
    """A `Bench`, here or in another process."""

    def submit(self, batch: Sequence[Heard]) -> None:
        """Take a batch in the order of time."""

    def result(self) -> tuple[list[Changed], Tally]:
        """The changes in the batch that was submitted last, and its counts."""


def rerun(
    source: Source,
    state: Rehearsal,
    judge: Judge,
    region_of: Callable[[str], str],
    since: datetime | None = None,
) -> Iterator[tuple[list[Changed], Tally]]:
    """Judge the calls of a source that began at `since` or later: batch by batch the changes and counts.

    `region_of` gives the country of a trunk. Raises what the source and the stores raise.
    """
    calls = source.calls(since - WARM_UP if since else None)
    batch = _asked(calls, state, region_of)
    judging = False
    while batch:
        observed = state.answers()
        following = _asked(calls, state, region_of)
        if judging:
            yield judge.result()
        judge.submit(
            [
                (past, caller, known)
                for (past, caller), known in zip(batch, observed, strict=True)
                if since is None or past.call.at >= since
            ]
        )
        judging = True
        batch = following
    if judging:
        yield judge.result()


def _asked(
    calls: Iterator[PastCall], state: Rehearsal, region_of: Callable[[str], str]
) -> list[tuple[PastCall, CallerNumber]]:
    batch = []
    for past in islice(calls, BATCH):
        call = past.call
        batch.append((past, parse(call.number, region_of(call.trunk), call.presentation)))
    state.ask([_question(past, caller) for past, caller in batch])
    return batch


def _question(past: PastCall, caller: CallerNumber) -> Question:
    call = past.call
    return Question(caller.key, call.did, call.id, call.at.timestamp(), call.stage is Stage.SETUP)
