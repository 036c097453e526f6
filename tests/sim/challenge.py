"""The challenge as the shipped dialplan plays it: who passes, and after how many seconds since the answer.

The lengths of the prompts are those of the sounds that scripts/prompts made; what the dialplan asks for
is read from screener.conf.
"""

from __future__ import annotations

import re
import wave
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from screener.talking import pattern
from tests.pbx.asterisk import CACHE, ROOT

if TYPE_CHECKING:
    import random

    from screener.simulation import Reaction


@dataclass(frozen=True, slots=True)
class Challenge:
    """What is played and awaited, in seconds; at each of the two tries `digits` keys, named in one breath."""

    press_s: float
    digit_s: float
    again_s: float
    thanks_s: float
    wait_s: float
    digits: int

    def meet(self, reaction: Reaction, chance: random.Random) -> tuple[bool, float]:
        """Whether the caller passes, and when after the answer his telephone would ring or he is recorded."""
        at = 0.0
        for n, press in enumerate(reaction.tries):
            at += (self.again_s if n else 0.0) + self.press_s + self.digits * self.digit_s
            if press is None or press.after_s > self.wait_s:
                at += self.wait_s
                continue
            at += press.after_s + (self.digits - 1) * press.pace_s
            named = "".join(str(chance.randrange(10)) for _ in range(self.digits))
            if press.keys is None or press.keys[: self.digits] == named:
                return True, at + self.thanks_s
        return False, at

    def talk(self, reaction: Reaction, through_s: float, *, passed: bool) -> dict[str, float]:
        """The facts `talk.*` at its verdict; `meet` told whether he passed and when."""
        first, named_s = reaction.tries[0], self.press_s + (self.digits - 1) * self.digit_s
        pressed = first is not None and first.after_s <= self.wait_s
        took_s = first.after_s + (self.digits - 1) * first.pace_s if first and pressed else self.wait_s
        again, now = named_s + self.digit_s + took_s, through_s - self.thanks_s * passed
        prompts = [(0.0, named_s)]
        if again + self.again_s < now:
            prompts.append((again, again + self.again_s + named_s))
        begins = now if reaction.speaks_after_s is None else reaction.speaks_after_s
        return pattern(prompts, [(begins, min(now, begins + reaction.speaks_s))], now)


@cache
def shipped() -> Challenge:
    """The challenge of this checkout, in English."""
    text = (ROOT / "dialplan" / "screener.conf").read_text("utf-8")

    def option(name: str, default: int) -> int:
        found = re.search(rf"^SCREENER_{name}=(\d+)", text, re.MULTILINE)
        return int(found[1]) if found else default

    digits = [_seconds(f"digit-{n}") for n in range(10)]
    return Challenge(
        press_s=_seconds("press"),
        digit_s=sum(digits) / len(digits),
        again_s=_seconds("again"),
        thanks_s=_seconds("thanks"),
        wait_s=option("KEY_WAIT_S", 6),
        digits=option("DIGITS", 1),
    )


@cache
def notice_s() -> float:
    """What is said before anything is recorded."""
    return _seconds("notice")


def _seconds(prompt: str) -> float:
    with wave.open(str(CACHE / "sounds" / "en" / "screener" / f"{prompt}.wav"), "rb") as sound:
        return sound.getnframes() / sound.getframerate()
