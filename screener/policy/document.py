"""The policy as it is written: actions, groups, rules and profiles as plain, frozen data.

Optional keys of a rule have their default here, everything else must be written down.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from screener.call import Stage
from screener.policy.profiles import ProfilesFile
from screener.policy.values import (
    FirstStage,
    Flag,
    Forced,
    GroupName,
    Number,
    Positive,
    Symbol,
    Text,
    Threshold,
    Written,
)


class Rule(Written):
    """One symbol: what it asks, what it adds, and what it says to the person who reads the verdict.

    `stage` is the first stage of a call at which the rule is asked; it is asked at all later ones too, and
    with `messages` in its group of messages. With the stage `message` it is asked of messages alone.
    """

    score: Number = Field(description="What it adds to the score: + is suspicious, - is trust, 0 observes.")
    when: Text = Field(description="The question, in CEL over the facts that `screener facts` lists.")
    because: Text = Field(description="The reason shown with the verdict; facts stand in {braces}.")
    source: str = Field(default="", description="Where the score comes from, or the word proposal.")
    shadow: Flag = Field(default=False, description="Counted and shown, but changes no verdict.")
    force: Forced = Field(default=None, description="Decides whatever the score is.")
    enabled: Flag = Field(default=True, description="false: not asked.")
    stage: FirstStage = Field(default=Stage.SETUP, description="challenge or message: asked only then.")


class Group(Written):
    """Rules of one subject, whose positive scores together add at most `max_score`."""

    group: GroupName = Field(description="The group's name, in small letters.")
    description: Text = Field(description="What the rules have in common.")
    enabled: Flag = Field(description="false: none of the rules is asked.")
    messages: Flag = Field(default=False, description="true: asked of SIP messages, too.")
    max_score: Positive = Field(description="The most that the positive scores add together.")
    rules: dict[Symbol, Rule] = Field(description="The rules by their symbols, in capitals.")


class Actions(Written):
    """The score from which on each action is taken, mildest first; None (`off`): no score leads to it."""

    challenge: Threshold
    voicemail: Threshold
    reject: Threshold

    @model_validator(mode="after")
    def _severity_rises_with_score(self) -> Self:
        rows = [(name, at) for name, at in self if at is not None]
        for (milder, low), (harsher, high) in pairwise(rows):
            if high <= low:
                raise PydanticCustomError(
                    "order",
                    "{harsher} ({high}) must be above {milder} ({low}), or {milder} off",
                    {"harsher": harsher, "high": f"{high:g}", "milder": milder, "low": f"{low:g}"},
                )
        return self


class PolicyFile(Written):
    """The contents of `policy.yaml`."""

    actions: Actions


class PolicyDocument(Written):
    """The whole policy as written, before its expressions are compiled."""

    actions: Actions
    groups: tuple[Group, ...]
    profiles: ProfilesFile = ProfilesFile()


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in the document.

    `path` leads to it: `rules GROUP SYMBOL KEY`, or `profiles NAME …`. `line` and `column` (from 1) are
    inside the value; 0 where the key is at fault.
    """

    path: tuple[str, ...]
    line: int
    column: int
    text: str
