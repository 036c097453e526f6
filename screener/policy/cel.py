"""The only door to CEL, the Common Expression Language in which rules are written.

Limits of the library that are closed here: it answers missing names and run-time errors
with values instead of exceptions, checks the pattern of `matches` only when a call comes,
and raises on text that is not valid Unicode.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from cel_expr_python import cel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from screener.facts import FactValue

UNKNOWN_SYMBOL = "unknown symbol"
"""How the complaint about a symbol that no rule has begins."""
_KEPT = 512
"""Expressions that are not compiled again for the next policy: one that is loaded anew differs in few."""

Values: TypeAlias = cel.Activation
"""Names bound to the values of one call."""

_TYPES = {"string": cel.Type.STRING, "int": cel.Type.INT, "double": cel.Type.DOUBLE, "bool": cel.Type.BOOL}
_TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*)
  | (?P<string>
        (?:[rR][bB]?|[bB][rR])(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')
      | [bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    )
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<number>[0-9][A-Za-z0-9_.]*)
  | (?P<mark>\S)
    """,
    re.VERBOSE | re.DOTALL,
)
_PROBLEM = re.compile(r"ERROR: <input>:(\d+):(\d+): ([^\n]*)")
_MISSING = re.compile(r'No value with name "([^"]+)" found')
_UNDECLARED = re.compile(r"undeclared reference to '([^']+)'")
_STRAY = re.compile(r"(?:token recognition error at: |mismatched input |extraneous input )'(\S+) ?'$")
_OPERATORS = {"and": "&&", "or": "||", "&": "&&", "|": "||", "=": "==", "=>": ">="}
"""What people write from habit, and what it is called here."""
_OVERLOAD = re.compile(r"found no matching overload for '_?([^'_]+)_?' applied to '([^']*)'")


@dataclass(frozen=True, slots=True)
class CelProblem:
    """What is wrong in an expression, and where in it: line and column, both from 1."""

    line: int
    column: int
    text: str


class CelError(Exception):
    """An expression that cannot be used; `problems` holds every reason."""

    def __init__(self, problems: list[CelProblem]) -> None:
        super().__init__("; ".join(problem.text for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Missing:
    """The answer of an expression that could not be decided: the absent name, or what went wrong."""

    what: str


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int
    column: int


class Expression:
    """A compiled question over facts and symbols, whose answer is yes, no, or `Missing`."""

    __slots__ = ("_compiled",)

    def __init__(self, compiled: cel.Expression) -> None:
        self._compiled = compiled

    def ask(self, values: Values) -> bool | Missing:
        """Never raises: an evaluation that fails is `Missing`, with the reason as its text."""
        try:
            answer = self._compiled.eval(values)
        except RuntimeError as error:
            return Missing(str(error))
        if answer.type() == cel.Type.BOOL:
            return bool(answer.value())
        text = str(answer.value())
        absent = _MISSING.search(text)
        return Missing(absent[1] if absent else text.partition(": ")[2] or text)


class Questionnaire:
    """Several questions asked at once; many times cheaper than one by one."""

    __slots__ = ("_compiled",)

    def __init__(self, compiled: cel.Expression) -> None:
        self._compiled = compiled

    def ask(self, values: Values) -> list[bool] | None:
        """All the answers in order, or None if any of the questions cannot be decided."""
        try:
            answer = self._compiled.eval(values)
        except RuntimeError:
            return None
        return None if answer.type() == cel.Type.ERROR else answer.plain_value()


class Language:
    """CEL with a fixed set of names and their types; everything else is a compile error."""

    def __init__(self, types: Mapping[str, str]) -> None:
        self._names = frozenset(types)
        self._env = _environment(frozenset(types.items()))

    def values(self, values: Mapping[str, FactValue]) -> Values:
        """Bind names to values for `Expression.ask`; names that are left out are missing."""
        return self._env.Activation(values)

    def names(self, text: str) -> frozenset[str]:
        """The declared names that an expression mentions."""
        return frozenset(name for chain in _chains(_tokens(text)) if (name := self._declared(chain)))

    def compile(self, text: str) -> Expression:
        """Raises CelError for anything that could fail later: syntax, names, types, patterns."""
        tokens = _tokens(text)
        try:
            compiled = _compiled(self._env, text)
        except RuntimeError as error:
            raise CelError(list(self._problems(str(error), tokens))) from None
        if compiled.return_type() != cel.Type.BOOL:
            raise CelError(
                [CelProblem(1, 1, f"must be true or false, but its type is {compiled.return_type()}")]
            )
        if problems := list(self._bad_patterns(tokens)):
            raise CelError(problems)
        return Expression(compiled)

    def compile_all(self, texts: Iterable[str]) -> Questionnaire | None:
        """Put expressions that compile alone into one; None if together they pass a limit of CEL."""
        # The line break ends a comment that an expression may close with.
        together = ", ".join(f"{text}\n" for text in texts)
        try:
            return Questionnaire(_compiled(self._env, f"[{together}]"))
        except RuntimeError:
            return None

    def _declared(self, chain: list[_Token]) -> str | None:
        parts = [token.text for token in chain]
        return next(
            (name for end in range(len(parts), 0, -1) if (name := ".".join(parts[:end])) in self._names), None
        )

    def _problems(self, text: str, tokens: Sequence[_Token]) -> Iterator[CelProblem]:
        found = [(int(line), int(column), said) for line, column, said in _PROBLEM.findall(text)]
        if not found:
            yield CelProblem(1, 1, text.removeprefix("CANCELLED: ").removesuffix(" [CANCELLED]"))
        starts = {
            (token.line, token.column): (chain[0].line, chain[0].column)
            for chain in _chains(tokens)
            for token in chain
        }
        for line, column, said in found:
            if undeclared := _UNDECLARED.match(said):
                # CEL points at the last dot of a dotted name; the reader looks for its beginning.
                line, column = starts.get((line, column + 1), (line, column))  # noqa: PLW2901
                told = unknown(name := undeclared[1], self._names)
                bare = "." not in name and told.endswith(name)
                yield CelProblem(line, column, told + f"; a text stands in quotes: '{name}'" * bare)
            else:
                yield CelProblem(line, column, _plainly(said))

    def _bad_patterns(self, tokens: Sequence[_Token]) -> Iterator[CelProblem]:
        """CEL compiles `matches("[")` happily; a pattern built from facts would let the caller write it."""
        for start, token in enumerate(tokens[:-1]):
            if token.text != "matches" or tokens[start + 1].text != "(":
                continue
            pattern = _last_argument(tokens, start + 1)
            if [part.kind for part in pattern] != ["string"]:
                at = (pattern or [token])[0]
                yield CelProblem(at.line, at.column, "the pattern of matches() must be a text in quotes")
                continue
            asked = Expression(_compiled(self._env, f"''.matches({pattern[0].text})"))
            answer = asked.ask(self._env.Activation({}))
            if isinstance(answer, Missing):
                yield CelProblem(pattern[0].line, pattern[0].column, answer.what)


@lru_cache(maxsize=4)
def _environment(types: frozenset[tuple[str, str]]) -> cel.Env:
    return cel.NewEnv(variables={name: _TYPES[kind] for name, kind in types})


@lru_cache(maxsize=_KEPT)
def _compiled(environment: cel.Env, text: str) -> cel.Expression:
    return environment.compile(text)


@lru_cache(maxsize=_KEPT)
def _tokens(text: str) -> tuple[_Token, ...]:
    found = []
    for match in _TOKEN.finditer(text):
        if match.lastgroup and match.lastgroup != "comment":
            line = text.count("\n", 0, match.start()) + 1
            column = match.start() - text.rfind("\n", 0, match.start())
            found.append(_Token(match.lastgroup, match[0], line, column))
    return tuple(found)


def _chains(tokens: Sequence[_Token]) -> Iterator[list[_Token]]:
    """Names joined by dots, such as `caller.kind`."""
    chain: list[_Token] = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.kind == "name" and before is not None and before.text == "." and chain:
            chain.append(token)
        elif token.text != "." or not chain:
            if chain:
                yield chain
            chain = [token] if token.kind == "name" else []
    if chain:
        yield chain


def _last_argument(tokens: Sequence[_Token], opening: int) -> list[_Token]:
    depth = 0
    argument: list[_Token] = []
    for token in tokens[opening:]:
        depth += (token.text in {"(", "[", "{"}) - (token.text in {")", "]", "}"})
        if depth == 0:
            break
        starts_anew = depth == 1 and token.text in {"(", ","}
        argument = [] if starts_anew else [*argument, token]
    return argument


def unknown(name: str, names: Collection[str]) -> str:
    """The complaint about a misspelt fact or symbol, with the name that was probably meant."""
    kind = UNKNOWN_SYMBOL if name.startswith("symbol.") else "unknown fact"
    close = get_close_matches(name, names, 1, 0.6)
    return f"{kind} {name}" + (f"; did you mean {close[0]}?" if close else "")


def _plainly(said: str) -> str:
    said = said.removeprefix("Syntax error: ").partition(" expecting ")[0]
    if said == "mismatched input '<EOF>'":
        return "the expression ends too early"
    if (stray := _STRAY.match(said)) and (meant := _OPERATORS.get(stray[1].lower())):
        return f"{stray[1]} is no operator; did you mean {meant}?"
    return _OVERLOAD.sub(r"no operator or function '\1' for \2", said)
