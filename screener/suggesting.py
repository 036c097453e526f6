"""Which calls might be a case, for what they have in common. Pure; a person confirms it, or does not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from screener import number
from screener.cases import caller_of, campaign_of
from screener.ledger import Sought

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from screener.cases import Case
    from screener.ledger import CallRecord

_KEYS: Final = ("campaign", "company", "call back", "block", "number")
"""What calls may have in common, what says most first."""


SOUGHT: Final = Sought(
    bodies=[("campaign", '"campaign":'), ("transcript", '"wording":[{'), ("message", '"wording":[{')]
)
"""Only such calls and messages have anything in common: see `_keys`."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Calls that seem to come from the same people, and why; `case` is the number of one they may belong to.

    `keys` say what they have in common: `campaign:7`, `company:acme`, `call back:+86…`, `block:+861771234`,
    `number:95588`.
    """

    keys: tuple[str, ...]
    numbers: tuple[str, ...]
    campaigns: tuple[int, ...]
    calls: tuple[str, ...]
    case: int | None
    first: datetime
    last: datetime


def suggest(records: Iterable[CallRecord], cases: Sequence[Case], region: str) -> list[Suggestion]:
    """What might be a case: two calls or more with a key in common, of which not all are in one already.

    Anybody can say another's name: a suggestion proves nothing until a person confirms it.
    """
    of_key: dict[str, list[CallRecord]] = defaultdict(list)
    keys_of: dict[str, list[str]] = {}
    for record in records:
        keys_of[record.call_id] = _keys(record, region)
        for key in keys_of[record.call_id]:
            of_key[key].append(record)
    found, seen = [], set[str]()
    for start in sorted(of_key, key=_rank):
        calls: dict[str, CallRecord] = {}
        keys, waiting = list[str](), [start]
        while waiting:
            key = waiting.pop()
            if key not in seen:
                seen.add(key)
                keys.append(key)
                for record in of_key[key]:
                    calls[record.call_id] = record
                    waiting += keys_of[record.call_id]
        owners = [
            next((one.number for one in cases if one.has(call, region)), None) for call in calls.values()
        ]
        if len(calls) > 1 and None in owners:
            found.append(_suggestion(sorted(keys, key=_rank), list(calls.values()), owners, region))
    return found


def _suggestion(
    keys: Sequence[str], calls: Sequence[CallRecord], owners: Iterable[int | None], region: str
) -> Suggestion:
    times = [one.at for one in calls]
    return Suggestion(
        tuple(keys),
        tuple(sorted({caller_of(one, region) for one in calls} - {""})),
        tuple(int(key.partition(":")[2]) for key in keys if key.startswith("campaign:")),
        tuple(one.call_id for one in sorted(calls, key=lambda one: one.at)),
        next((one for one in owners if one), None),
        min(times),
        max(times),
    )


def _rank(key: str) -> tuple[int, str]:
    return _KEYS.index(key.partition(":")[0]), key


def _keys(record: CallRecord, region: str) -> list[str]:
    """What a call may have in common with others of its caller's: its recording, and what was said."""
    heard, said = campaign_of(record), record.transcript.get("wording", ())
    kinds, keys = {one["kind"] for one in said}, []
    if heard.get("campaign") and heard.get("verdict") != "harmless":
        keys.append(f"campaign:{heard['campaign']}")
    for one in said:
        if one["kind"] == "company" and one["value"]:
            keys.append(f"company:{one['value'].casefold()}")
        if one["kind"] == "call_back" and one["value"]:
            keys.append(f"call back:{one['value']}")
    caller = caller_of(record, region)
    if caller and kinds & {"collection", "threat"}:
        block = number.parse(caller, region).block  # those who write in bulk have numbers without one
        keys.append(f"block:{block}" if block else f"number:{caller}")
    return keys
