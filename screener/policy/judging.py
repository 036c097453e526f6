"""From facts to a verdict: the sum of the symbols that fired, in groups with caps, against the thresholds.

How the sum is made, so that a person can repeat it:

- In each group the positive scores are added and cut at `max_score`; negative scores (trust) are
  then added in full, whatever the cap took away. So a further positive hit never lowers a total, and
  ten weak rules of one kind cannot outvote one known friend.
- The total is the sum over the groups, rounded to six decimals, so that 0.1 + 0.2 reaches 0.3.
- The highest threshold that the total reaches is the action, unless a rule with `force` fired.
- A caller is challenged once: at the challenge stage the action `challenge` is not available any more,
  neither by score nor by force. Nor is it for a message; what would be recorded is held there.
- A rule in shadow is asked and shown, but everything that counts sees it as not fired, so the verdict is
  the same as without it. Other rules in shadow see whether it fired.
- A rule that is not enabled has not fired.
- All of this under the first profile whose conditions hold, each compiled to a policy of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING

from screener.call import Stage
from screener.verdict import Action, Hit, Skipped, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from screener.facts import FactValue
    from screener.policy.cel import Expression, Language, Missing, Questionnaire, Values
    from screener.policy.document import Actions, Group, Rule
    from screener.policy.profiles import Condition
    from screener.policy.templates import Template

FORCE_PRECEDENCE = (Action.ALLOW, Action.REJECT, Action.VOICEMAIL, Action.CHALLENGE)
"""If several symbols force an action, the first of these wins: a known friend always rings."""

SYMBOL = "symbol."
"""Before a symbol's name in expressions: `symbol.WITHHELD`."""

_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule that is ready to be asked.

    `names` are the facts and symbols that it mentions, `blind` is its answer if it has none of
    them: known beforehand, so that a dead store makes no call slower.
    """

    symbol: str
    group: str
    rule: Rule
    expression: Expression
    names: frozenset[str]
    blind: bool | Missing
    because: Template

    def ask(self, values: Values, known: Mapping[str, FactValue]) -> bool | Missing:
        """The answer of this rule alone."""
        return self.blind if self.names.isdisjoint(known) else self.expression.ask(values)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rules whose facts come from the same sources, so that they are known or missing together.

    `at_once` asks all of them in one evaluation. If a fact is missing it has no answer, and
    they are asked one by one to learn which of them need it.
    """

    at_once: Questionnaire | None
    rules: tuple[CompiledRule, ...]

    def ask(self, values: Values, known: Mapping[str, FactValue]) -> Sequence[bool | Missing]:
        """The answer of each rule."""
        answers = self.at_once.ask(values) if self.at_once else None
        return answers or [one.ask(values, known) for one in self.rules]


@dataclass(frozen=True, slots=True)
class Layer:
    """Rules that depend on nothing but facts and symbols of earlier layers."""

    shadow: bool
    facts: tuple[str, ...]
    symbols: tuple[str, ...]
    batches: tuple[Batch, ...]


@dataclass(frozen=True, slots=True)
class GroupSum:
    """What one group adds: `raw` positive scores, cut at `max_score`, and `trust`, the negative ones."""

    group: str
    max_score: float
    raw: float
    trust: float

    @property
    def capped(self) -> float:
        """The positive scores after the cap."""
        return min(self.raw, self.max_score)

    @property
    def total(self) -> float:
        """What the group adds to the score of the call."""
        return self.capped + self.trust


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled policy; `hash` names it, and `document` is the canonical JSON that the hash is of.

    `groups` and `rules` are those that are enabled. `profiles` are tried in their order, the
    policy itself judges what meets the conditions of none; all of them have one hash.

    The same facts give the same verdict, down to the order of its parts, under every policy of the same hash.
    """

    hash: str
    document: str
    actions: Actions
    groups: Mapping[str, Group]
    rules: Mapping[str, Rule]
    language: Language
    symbols: Mapping[str, bool]
    layers: Mapping[Stage, tuple[Layer, ...]]
    profile: str = ""
    speaks: str = ""
    profiles: tuple[tuple[Condition, Policy], ...] = ()

    def in_force(self, facts: Mapping[str, FactValue]) -> Policy:
        """The policy of the profile that is in force for these facts, or this one."""
        return next((policy for condition, policy in self.profiles if condition.holds(facts)), self)

    def under(self, profile: str) -> Policy:
        """The policy of the profile of this name, as `Verdict.profile` has it."""
        return next((policy for _, policy in self.profiles if policy.profile == profile), self)

    def judge(self, facts: Mapping[str, FactValue]) -> Verdict:
        """Decide one stage of one call; the stage is the fact `call.stage`, setup if there is none.

        Never raises for any facts: a rule that cannot be decided is among `skipped`.
        """
        return self.in_force(facts).judge_as_it_is(facts)

    def if_it_counted(self, verdict: Verdict, symbol: str, stage: Stage) -> Action:
        """The action that a verdict of this policy would have had if a hit in shadow had counted.

        Rules that ask for the symbol are not asked again: only its own score and force are added.
        """
        hits = [replace(hit, shadow=hit.shadow and hit.symbol != symbol) for hit in verdict.hits]
        return self.under(verdict.profile).decide(stage, hits).action

    def pieces(self) -> list[object]:
        """What is to be let go piece by piece with this policy: CEL frees 1,000 rules at once in 30 ms.

        Nothing else runs meanwhile, and callers wait.
        """
        return [
            piece
            for one in (self, *(policy for _, policy in self.profiles))
            for layers in one.layers.values()
            for layer in layers
            for batch in layer.batches
            for piece in (batch.at_once, *(rule.expression for rule in batch.rules))
        ]

    def judge_as_it_is(self, facts: Mapping[str, FactValue]) -> Verdict:
        """Decide without a look at the profiles."""
        stage = stage_of(facts)
        sheet = _Sheet(self.symbols)
        for layer in self.layers[stage]:
            self._ask(layer, facts, sheet)
        sheet.hits.sort(key=attrgetter("group", "symbol"))
        sheet.skipped.sort(key=attrgetter("symbol"))
        return self.decide(stage, sheet.hits, sheet.skipped)

    def sums(self, hits: Iterable[Hit]) -> tuple[GroupSum, ...]:
        """What each group that has counted hits adds to the score, in order of their names."""
        scores: dict[str, list[float]] = {}
        for hit in hits:
            if not hit.shadow:
                scores.setdefault(hit.group, []).append(hit.score)
        return tuple(
            GroupSum(
                group,
                self.groups[group].max_score,
                raw=math.fsum(score for score in scores[group] if score > 0),
                trust=math.fsum(score for score in scores[group] if score < 0),
            )
            for group in sorted(scores)
        )

    def thresholds(self, stage: Stage) -> tuple[tuple[Action, float], ...]:
        """The actions that a score can lead to at this stage, harshest first."""
        rows = (
            (Action.REJECT, self.actions.reject),
            (Action.VOICEMAIL, self.actions.voicemail),
            (Action.CHALLENGE, self.actions.challenge if stage is Stage.SETUP else None),
        )
        return tuple((action, at) for action, at in rows if at is not None)

    def _ask(self, layer: Layer, facts: Mapping[str, FactValue], sheet: _Sheet) -> None:
        symbols = sheet.seen if layer.shadow else sheet.counted
        known = {name: _clean(facts[name]) for name in layer.facts if name in facts}
        known.update((name, symbols[name]) for name in layer.symbols if name in symbols)
        values = self.language.values(known)
        for batch in layer.batches:
            for one, answer in zip(batch.rules, batch.ask(values, known), strict=True):
                if answer is True:
                    sheet.fired(one, one.because.render(facts))
                elif answer is not False:
                    sheet.skip(one, answer.what)

    def decide(self, stage: Stage, hits: Sequence[Hit], skipped: Sequence[Skipped] = ()) -> Verdict:
        """The verdict that these hits make together, held against the thresholds of this policy."""
        score = round(math.fsum(group.total for group in self.sums(hits)), _DECIMALS) + 0.0
        action = next((action for action, at in self.thresholds(stage) if score >= at), Action.ALLOW)
        forcing = {hit.force: hit.symbol for hit in reversed(hits) if hit.force and not hit.shadow}
        if stage is not Stage.SETUP:
            forcing.pop(Action.CHALLENGE, None)
        forced = next((forced for forced in FORCE_PRECEDENCE if forced in forcing), None)
        return Verdict(
            action=forced or action,
            score=score,
            hits=tuple(hits),
            skipped=tuple(skipped),
            forced_by=forcing[forced] if forced else None,
            policy=self.hash,
            profile=self.profile,
            language=self.speaks,
        )


class _Sheet:
    """The working of one verdict: what fired, what was skipped, and how later rules see both.

    `counted` is the view of rules that count, `seen` that of rules in shadow; a symbol
    that was skipped is missing from the views.
    """

    __slots__ = ("counted", "hits", "seen", "skipped")

    def __init__(self, symbols: Mapping[str, bool]) -> None:
        self.hits: list[Hit] = []
        self.skipped: list[Skipped] = []
        self.counted = dict(symbols)
        self.seen = dict(symbols)

    def fired(self, one: CompiledRule, because: str) -> None:
        rule = one.rule
        self.hits.append(Hit(one.symbol, one.group, rule.score, because, rule.force, rule.shadow))
        name = SYMBOL + one.symbol
        self.seen[name] = True
        if not rule.shadow:
            self.counted[name] = True

    def skip(self, one: CompiledRule, missing: str) -> None:
        self.skipped.append(Skipped(one.symbol, missing))
        name = SYMBOL + one.symbol
        self.seen.pop(name, None)
        if not one.rule.shadow:
            self.counted.pop(name, None)


def stage_of(facts: Mapping[str, FactValue]) -> Stage:
    """The stage that the facts belong to."""
    return next((stage for stage in Stage if stage == facts.get("call.stage")), Stage.SETUP)


def _clean(value: FactValue) -> FactValue:
    """CEL refuses text with lone surrogates, as arise from caller names that are not UTF-8."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "replace").decode()
    return value
