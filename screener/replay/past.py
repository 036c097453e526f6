"""A past call, whatever it was read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from screener.call import Call
    from screener.facts import FactValue
    from screener.state.manner import Manner


@dataclass(frozen=True, slots=True)
class PastCall:
    """One question of a past call, and what became of the call.

    `answered`: a person of ours took it, and talked for `talk_s`; `challenge`: "passed", "failed" or empty,
    and `symbols` the rules that counted when it was judged.
    `unknown` names facts that this source cannot tell, although they could be computed from the empty fields
    of `call`. `facts` and `verdict` are those of the ledger, None where it was not asked; `blind`: the store
    did not answer then. `over_s` is how long after its beginning the call was over, and `manner` how it
    ended; None where the source does not tell.
    """

    call: Call
    answered: bool = False
    talk_s: int = 0
    unknown: frozenset[str] = frozenset()
    facts: Mapping[str, FactValue] | None = None
    verdict: Mapping[str, Any] | None = None
    blind: bool = False
    challenge: str = ""
    symbols: frozenset[str] = frozenset()
    over_s: float = 0.0
    manner: Manner | None = None


@dataclass(frozen=True, slots=True)
class PastDial:
    """A past call of ours to the outside: it is not judged, it teaches whom we trust.

    `number` is read by our own country's plan, whatever telephone dialled it; `at` is the end.
    """

    number: str
    at: datetime
    answered: bool
    talk_s: int
