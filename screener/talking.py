"""How a caller talks while we speak to him: on the screening leg alone, never on a call that rings.

Asterisk says when he begins to talk and when he stops, the dialplan when our prompts begin and end. All of
it comes by one connection, in order, and is timed on arrival by one clock. What may have been missed is not
known, and never guessed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from screener.headers import TOKEN, Headers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TALK_EVENT: Final = "ScreenerTalk"
"""UserEvent by which the dialplan says that a leg begins or is over, that a prompt begins or ends."""
STARTS, STOPS = "ChannelTalkingStart", "ChannelTalkingStop"

GAP_S: Final = 1.2
"""A pause that ends a monologue: people leave room for an answer."""
BLIP_S: Final = 0.1
"""Shorter sounds are no speech: clicks, keys."""
SPANS_MAX: Final = 500
CALLS_MAX: Final = 1000

Span: TypeAlias = tuple[float, float]
"""From when to when, in seconds."""


def pattern(prompts: Sequence[Span], speech: Sequence[Span], now: float) -> dict[str, float]:
    """The facts `talk.*` of a leg, from when we spoke and when the caller did; none if we never spoke.

    The times are in order and may reach up to `now`.
    """
    said = [(start, stop) for start, stop in speech if stop - start >= BLIP_S]
    ours_s = sum(max(0.0, stop - start) for start, stop in prompts)
    if ours_s <= 0:
        return {}
    over_s = sum(max(0.0, min(b, d) - max(a, c)) for a, b in prompts for c, d in said)
    through = [d - again for again, _ in prompts[1:] for c, d in said if c < again < d]
    ended = prompts[-1][1]
    answers = [max(0.0, start - ended) for start, stop in said if stop > ended]
    return {
        "talk.over_share": min(1.0, round(over_s / ours_s, 3)),
        "talk.through_s": round(max(through, default=0.0), 2),
        "talk.monologue_s": round(_longest(said), 2),
        "talk.silent_s": round(min([*answers, max(0.0, now - ended)]), 2),
    }


def _longest(said: Sequence[Span]) -> float:
    longest, begun, until = 0.0, 0.0, float("-inf")
    for start, stop in said:
        if start - until > GAP_S:
            begun = start
        until = max(until, stop)
        longest = max(longest, until - begun)
    return longest


@dataclass(slots=True)
class _Leg:
    """A call on the screening leg; the prompt and the speech that are going on have only begun."""

    name: str
    prompts: list[Span] = field(default_factory=list)
    speech: list[Span] = field(default_factory=list)
    prompt_at: float | None = None
    talks_at: float | None = None

    def told(self, now: float) -> dict[str, float]:
        prompts = [*self.prompts, *([] if self.prompt_at is None else [(self.prompt_at, now)])]
        speech = [*self.speech, *([] if self.talks_at is None else [(self.talks_at, now)])]
        return pattern(prompts, speech, now)


class Talks:
    """What is heard of the callers who are on the screening leg. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._legs: OrderedDict[str, _Leg] = OrderedDict()
        self._hears = False

    def clear(self) -> None:
        """Forget everything: events may have been lost. Legs that began before stay unknown."""
        self._legs.clear()
        self._hears = False

    def receive(self, event: Mapping[str, object], at: float) -> None:
        """Take a TALK_EVENT, or one of Asterisk's own; raises ValueError if it makes no sense.

        Until Asterisk has told of anybody's speech nothing is known: the account may not hear such events.
        """
        call_id = event.get("Uniqueid")
        if not isinstance(call_id, str) or not TOKEN.fullmatch(call_id):
            raise ValueError("whose talk it is is missing or malformed")
        if event.get("Event") in {STARTS, STOPS}:
            self._hears = True
            if leg := self._legs.get(call_id):
                _speech(leg, event, at)
        else:
            self._prompt(call_id, Headers(event), at)
        leg = self._legs.get(call_id)
        if leg and len(leg.prompts) + len(leg.speech) > SPANS_MAX:
            del self._legs[call_id]

    def _prompt(self, call_id: str, read: Headers, at: float) -> None:
        name, prompt = read.text("Leg"), read.text("Prompt")
        leg = self._legs.get(call_id)
        if prompt == "begins" and leg:
            leg.prompt_at = at
        elif prompt == "ends" and leg and leg.prompt_at is not None:
            leg.prompts.append((leg.prompt_at, at))
            leg.prompt_at = None
        elif not prompt:
            before = self._legs.pop(call_id, None)
            if name:
                talks = before is not None and before.talks_at is not None
                self._legs[call_id] = _Leg(name[:20], talks_at=at if talks else None)
            if len(self._legs) > CALLS_MAX:
                self._legs.popitem(last=False)

    def known(self, call_id: str, now: float) -> dict[str, float]:
        """The facts `talk.*` of a call up to now; empty if they are not known."""
        leg = self._legs.get(call_id)
        return leg.told(now) if leg and self._hears else {}

    def over(self, call_id: str, now: float) -> dict[str, str | float]:
        """The same and the name of the leg, when the call is over on it: it is forgotten."""
        facts, leg = self.known(call_id, now), self._legs.pop(call_id, None)
        return {"leg": leg.name, **facts} if leg and facts else {}


def _speech(leg: _Leg, event: Mapping[str, object], at: float) -> None:
    if event.get("Event") == STARTS:
        leg.talks_at = leg.talks_at or at
    elif leg.talks_at is not None:
        # It is told after the silence that ends it: how long he talked is told with it.
        talked_s = float(str(event.get("Duration"))) / 1000
        leg.speech.append((leg.talks_at, min(at, leg.talks_at + talked_s)))
        leg.talks_at = None
