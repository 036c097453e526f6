"""A verdict is a sum of named hits that a person can read, tune and defend."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    """What the dialplan does with the call; each has `dialplan/actions/NAME.conf`.

    The order is that of severity, mildest first.
    """

    ALLOW = "allow"
    CHALLENGE = "challenge"
    VOICEMAIL = "voicemail"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that fired: its symbol, what it adds to the sum, and why in words."""

    symbol: str
    group: str
    score: float
    because: str
    force: Action | None = None
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """A rule that could not be asked, and the fact that was missing."""

    symbol: str
    missing: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on one stage of one call, and the whole reason for it.

    `score` is the sum after the groups' caps. `forced_by` names the symbol that
    decided regardless of the score, if one did. `policy` is the hash of the
    effective policy, so that the verdict can be computed again later; `profile` names the
    profile of it that was in force, empty if none was, and `language` that of the prompts, empty if the
    profile names none.
    """

    action: Action
    score: float
    hits: tuple[Hit, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    forced_by: str | None = None
    policy: str = ""
    profile: str = ""
    language: str = ""

    @property
    def reasons(self) -> str:
        """The symbols with their scores, strongest first, on one line; those in shadow are marked."""
        ranked = sorted(self.hits, key=lambda hit: (-abs(hit.score), hit.symbol))
        return " ".join(f"{hit.symbol}({hit.score:+g}{' shadow' * hit.shadow})" for hit in ranked)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, in a fixed order."""
        return {
            "action": str(self.action),
            "score": self.score,
            "forced_by": self.forced_by,
            "policy": self.policy,
            "profile": self.profile,
            **({"language": self.language} if self.language else {}),
            "hits": [
                {
                    "symbol": hit.symbol,
                    "group": hit.group,
                    "score": hit.score,
                    "because": hit.because,
                    "force": str(hit.force) if hit.force else None,
                    "shadow": hit.shadow,
                }
                for hit in self.hits
            ],
            "skipped": [{"symbol": skip.symbol, "missing": skip.missing} for skip in self.skipped],
        }
