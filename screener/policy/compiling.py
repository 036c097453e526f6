"""From the written policy to one that can judge; whatever is wrong in it is found here, not in a call.

Composites are ordered by their dependencies into layers, and the rules of a layer put into
batches (see `judging.Batch`). A profile changes no question, so each is compiled once for all of them.

While a policy is loaded, calls are judged by the old one in another thread. CEL does not give the
interpreter away, so no step here, nor the end of what was compiled, may be one long step of CEL.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from screener.call import Stage
from screener.errors import ConfigError
from screener.facts import CATALOGUE
from screener.policy.cel import CelError, Language
from screener.policy.document import Problem
from screener.policy.judging import SYMBOL, Batch, CompiledRule, Layer, Policy
from screener.policy.overriding import canonical, profile_problems, under
from screener.policy.profiles import Condition
from screener.policy.templates import Template, template_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from screener.facts import Fact
    from screener.policy.cel import Questionnaire
    from screener.policy.document import Group, PolicyDocument, Rule

_TOGETHER = 24
"""Rules in one evaluation at most: compiling them holds the interpreter for 2 ms, and callers with it."""


def _in_the_rule(problem: Problem) -> str:
    return f"{'.'.join(problem.path[1:])}:{problem.line}:{problem.column}: {problem.text}"


def compile_policy(
    document: PolicyDocument,
    *,
    catalogue: Collection[Fact] = CATALOGUE,
    describe: Callable[[Problem], str] = _in_the_rule,
) -> Policy:
    """Check and compile every rule; raises ConfigError with all problems, each put into words by `describe`.

    Rules that are not enabled are checked too, so that switching one on holds no surprise.
    """
    compiler = _Compiler(document, {fact.name: fact for fact in catalogue})
    problems = [*compiler.problems(), *profile_problems(document)]
    if problems:
        compiler.forget()
        raise ConfigError([describe(problem) for problem in problems])
    text = canonical(document)
    base = compiler.policy(document, text)
    written = document.profiles
    profiles = tuple(
        (
            Condition.of(profile, written.holidays),
            replace(compiler.policy(under(document, profile), text, name), speaks=profile.language),
        )
        for name, profile in written.profiles.items()
    )
    return replace(base, profiles=profiles)


class _Compiler:
    def __init__(self, document: PolicyDocument, facts: dict[str, Fact]) -> None:
        self._facts = facts
        self._rules = [(group, symbol, rule) for group, symbol, rule in _rules(document)]
        self._by_symbol = {symbol: (group, rule) for group, symbol, rule in self._rules}
        types: dict[str, str] = {name: fact.type for name, fact in facts.items()}
        self.language = Language(types | {SYMBOL + symbol: "bool" for symbol in self._by_symbol})
        self._names = {symbol: self.language.names(rule.when) for _, symbol, rule in self._rules}
        self._needs = {
            symbol: {name.removeprefix(SYMBOL) for name in names if name.startswith(SYMBOL)}
            for symbol, names in self._names.items()
        }
        self.mentioned = {SYMBOL + symbol for needs in self._needs.values() for symbol in needs}
        self._compiled: dict[str, CompiledRule] = {}
        self._at_once: dict[tuple[str, ...], Questionnaire | None] = {}

    def problems(self) -> list[Problem]:
        """Compile every rule by itself; what is found is in the order in which the rules are written."""
        circles = list(self._circles())
        found: list[Problem] = []
        for group, symbol, rule in self._rules:
            at = ("rules", group.group, symbol)
            try:
                expression = self.language.compile(rule.when)
            except CelError as error:
                found += (Problem((*at, "when"), one.line, one.column, one.text) for one in error.problems)
            else:
                names, blind = self._names[symbol], expression.ask(self.language.values({}))
                because = Template(rule.because)
                self._compiled[symbol] = CompiledRule(
                    symbol, group.group, rule, expression, names, blind, because
                )
            for circle in circles:
                if circle[0] == symbol:
                    text = f"symbols in a circle: {' needs '.join(circle)}"
                    found.append(Problem((*at, "when"), 1, 1, text))
            for later in sorted(self._later_than(rule, symbol)):
                found.append(
                    Problem(
                        (*at, "when"),
                        1,
                        1,
                        f"{later} is not asked before stage {self._by_symbol[later][1].stage}",
                    )
                )
            for offset, text in template_problems(rule.because, self._facts):
                line = rule.because.count("\n", 0, offset) + 1
                column = offset - rule.because.rfind("\n", 0, offset)
                found.append(Problem((*at, "because"), line, column, text))
        return found

    def _later_than(self, rule: Rule, symbol: str) -> Iterator[str]:
        for needed in self._needs[symbol]:
            if self._by_symbol[needed][1].stage not in {Stage.SETUP, rule.stage}:
                yield needed

    def _circles(self) -> Iterator[list[str]]:
        """Every circle of symbols, from the first of its symbols in the alphabet back to it."""
        graph = {symbol: set(needs) for symbol, needs in self._needs.items()}
        while True:
            try:
                TopologicalSorter(graph).prepare()
            except CycleError as error:
                circle: list[str] = error.args[1][:0:-1]
                start = circle.index(min(circle))
                circle = circle[start:] + circle[:start]
                graph[circle[0]].discard(circle[1 % len(circle)])
                yield [*circle, circle[0]]
            else:
                return

    def forget(self) -> None:
        """Let go of what was compiled, rule by rule."""
        while self._compiled:
            self._compiled.popitem()

    def policy(self, document: PolicyDocument, text: str, profile: str = "") -> Policy:
        """The document, or what a profile makes of it, ready to judge; `text` is the canonical whole."""
        return Policy(
            hash=hashlib.sha256(text.encode()).hexdigest()[:12],
            document=text,
            actions=document.actions,
            groups={group.group: group for group in document.groups if group.enabled},
            rules={
                symbol: rule for group, symbol, rule in _rules(document) if group.enabled and rule.enabled
            },
            language=self.language,
            symbols=dict.fromkeys(sorted(self.mentioned), False),
            layers={stage: tuple(self._layers(document, stage)) for stage in Stage},
            profile=profile,
        )

    def _layers(self, document: PolicyDocument, stage: Stage) -> Iterator[Layer]:
        """The enabled rules of a stage, ordered so that every symbol is known before it is needed."""
        asked = {
            symbol: rule
            for group, symbol, rule in _rules(document)
            if group.enabled and rule.enabled and _asked(group, rule, stage)
        }
        depth: dict[str, int] = {}
        for symbol in TopologicalSorter(self._needs).static_order():
            depth[symbol] = max((depth[needed] + 1 for needed in self._needs[symbol]), default=0)
        keyed: dict[tuple[int, bool], list[str]] = {}
        for symbol in sorted(asked):
            # Only composites see symbols, so only they must be kept apart by what they see.
            shadow = depth[symbol] > 0 and asked[symbol].shadow
            keyed.setdefault((depth[symbol], shadow), []).append(symbol)
        for (_, shadow), symbols in sorted(keyed.items()):
            names = sorted(set().union(*(self._names[symbol] for symbol in symbols)))
            yield Layer(
                shadow=shadow,
                facts=tuple(name for name in names if name in self._facts),
                symbols=tuple(name for name in names if name.startswith(SYMBOL)),
                batches=tuple(self._batches({symbol: asked[symbol] for symbol in symbols})),
            )

    def _batches(self, asked: dict[str, Rule]) -> Iterator[Batch]:
        together: dict[frozenset[str], list[CompiledRule]] = {}
        for symbol, rule in asked.items():
            sources = frozenset(
                self._facts[name].source for name in self._names[symbol] if name in self._facts
            )
            together.setdefault(sources, []).append(replace(self._compiled[symbol], rule=rule))
        for alike in together.values():
            for start in range(0, len(alike), _TOGETHER):
                rules = tuple(alike[start : start + _TOGETHER])
                yield Batch(self._asked_at_once(rules), rules)

    def _asked_at_once(self, rules: tuple[CompiledRule, ...]) -> Questionnaire | None:
        if len(rules) == 1:
            return None
        symbols = tuple(one.symbol for one in rules)
        if symbols not in self._at_once:
            self._at_once[symbols] = self.language.compile_all(one.rule.when for one in rules)
        return self._at_once[symbols]


def _asked(group: Group, rule: Rule, stage: Stage) -> bool:
    also = group.messages if stage is Stage.MESSAGE else True
    return rule.stage is stage or (rule.stage is Stage.SETUP and also)


def _rules(document: PolicyDocument) -> Iterator[tuple[Group, str, Rule]]:
    for group in document.groups:
        for symbol, rule in group.rules.items():
            yield group, symbol, rule
