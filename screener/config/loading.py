"""`load`: from the merged layers to models and a policy, with every problem at its file, line and column."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pydantic import BaseModel, SecretStr

from screener.config.examples import Example, ExamplesFile, unknown_names
from screener.config.feeds import Feed, FeedsFile, forced_by_feeds, told_once, with_defaults
from screener.config.layers import (
    EXAMPLES,
    FEEDS,
    POLICY,
    PROFILES,
    SETTINGS,
    SHIPPED,
    SITE,
    WORDING,
    Layers,
    Stamps,
    read_layers,
    shipped_dir,
    stamps,
)
from screener.config.nodes import Node, Place, Scalar, Sequence, Tree
from screener.config.packs import packs_of
from screener.config.pbxs import (
    UnusableError,
    complete,
    contradictions,
    readable_certificates,
    secret_of,
    take_secret,
)
from screener.config.servers import unusable_urls
from screener.config.settings import Settings
from screener.config.validating import MISSING, check, key_place, locate, salvage
from screener.errors import ConfigError
from screener.policy import (
    UNKNOWN_GROUP,
    UNKNOWN_SYMBOL,
    Actions,
    Group,
    Policy,
    PolicyDocument,
    PolicyFile,
    Problem,
    ProfilesFile,
    compile_policy,
)
from screener.text import HIDDEN, without_password
from screener.wording import Lexicon, Wording

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from screener.packs import Pack

M = TypeVar("M", bound=BaseModel)

_NO_ACTIONS = Actions(challenge=None, voicemail=None, reject=None)
"""Stands in for actions that are wrong, while the rest is checked."""


class Effective(NamedTuple):
    """One value that is in force: its path, the value (secrets hidden), and `file:line` of its origin."""

    path: str
    value: str | list[str]
    origin: str


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration in force; `policy` is ready to judge.

    A path names a value by its file without `.yaml` and its keys: `screener.ami.host`,
    `policy.actions.voicemail`, `rules/velocity.rules.DID_FANOUT.score`, `profiles.holidays`.
    """

    settings: Settings
    document: PolicyDocument
    policy: Policy
    trees: dict[str, Tree] = field(repr=False)
    feeds: Mapping[str, Feed] = field(default_factory=dict)
    examples: Mapping[str, Example] = field(default_factory=dict)
    lexicons: tuple[Lexicon, ...] = ()
    packs: Mapping[str, Pack] = field(default_factory=dict)
    made_for: str = ""
    site: Path | None = None
    stamps: Stamps = ()

    def origin(self, path: str) -> str:
        """`file:line` where the effective value was written; raises KeyError for a path that is not set."""
        return self._place(path).origin

    def effective(self) -> Iterator[Effective]:
        """Every value that is in force, file by file, as `screener config show --origin` prints it."""
        for name, tree in sorted(self.trees.items()):
            yield from _leaves(name.removesuffix(".yaml"), tree)

    @property
    def wording(self) -> Wording:
        """What finds the phrases of all languages in a transcript, compiled anew."""
        return Wording(self.lexicons)

    def ami_secrets(self) -> dict[str, SecretStr]:
        """The secret of the manager account of every Asterisk, by its name.

        Raises ConfigError when there is none, or a file that the account needs cannot be read.
        """
        found = {}
        for name, pbx in self.settings.asterisks.items():
            key = f"pbxs.{name}" if name else "ami"
            try:
                readable_certificates(pbx)
                found[name] = secret_of(pbx, key)
            except UnusableError as error:
                place = self._own(f"screener.{key}.{error.key}")
                raise ConfigError([f"{place}: {key}.{error.key}: {error}"]) from None
        return found

    def _own(self, path: str) -> Place:
        """The place of a value; where it is a shipped one, the nearest of the site around it."""
        around = [path.rsplit(".", up)[0] for up in range(path.count(".") + 1)]
        places = [place for one in around if not (place := self._place(one)).file.startswith(f"{SHIPPED}/")]
        return next(iter(places), Place(str((self.site or SITE) / SETTINGS), 1, 1))

    def _place(self, path: str) -> Place:
        name, *keys = path.split(".")
        node: Node = self.trees[f"{name}.yaml"]
        for key in keys:
            if not isinstance(node, Tree):
                raise KeyError(path)
            node = node[key]
        return node.place


def load(
    site: Path | None = None, *, shipped: Path | None = None, environ: Mapping[str, str] | None = None
) -> Config:
    """Read the shipped configuration, over it the variant that the site chooses, over it that of the site.

    Raises ConfigError with all problems of all files together. Nothing is created or contacted;
    `secret_file` is read only when the secret is needed (`Config.ami_secrets`).
    """
    before = stamps(site)
    layers = read_layers(shipped or shipped_dir(), site)
    take_secret(layers, os.environ if environ is None else environ)
    problems = layers.problems
    complete(layers)
    settings = _checked(Settings, SETTINGS, layers)
    if settings is not None:
        problems += contradictions(layers.trees[SETTINGS], settings)
        problems += unusable_urls(layers.trees[SETTINGS], settings)
    actions = _checked(PolicyFile, POLICY, layers)
    feeds = _checked(FeedsFile, FEEDS, layers, defaults_under="feeds")
    examples = _checked(ExamplesFile, EXAMPLES, layers, defaults_under="examples")
    lexicons = [_checked(Lexicon, name, layers) for name in sorted(layers.trees) if name.startswith(WORDING)]
    packs = packs_of(layers, settings)
    groups = _groups(layers)
    problems += forced_by_feeds(groups, [layers.trees[name] for name in layers.rule_files])
    profiles = _checked(ProfilesFile, PROFILES, layers)
    document = PolicyDocument(
        actions=actions.actions if actions else _NO_ACTIONS,
        groups=groups,
        profiles=profiles or ProfilesFile(),
    )
    policy = _compiled(document, layers)
    if examples and not problems:  # else a name may be unknown only because its rule could not be read
        problems += unknown_names(examples.examples, layers.trees[EXAMPLES], document)
    if problems or not (settings and policy and feeds and examples):
        pieces = policy.pieces() if policy else []
        policy = None
        while pieces:
            del pieces[-16:]
            time.sleep(0)  # a running service loads in a thread: its callers have the turn
        raise ConfigError(list(dict.fromkeys(problems)))
    tried, home = examples.examples, layers.made_for
    said = tuple(filter(None, lexicons))
    return Config(
        settings, document, policy, layers.trees, feeds.feeds, tried, said, packs, home, site, before
    )


def state_dir(site: Path | None) -> Path:
    """Where the running service keeps its socket, also if other parts of the configuration are wrong."""
    layers = read_layers(shipped_dir(), site)
    if SETTINGS in layers.broken:
        raise ConfigError(layers.problems)
    tree = layers.trees[SETTINGS]
    about = [one for one in check(Settings, tree)[1] if re.search("[ .]state_dir[:?]", one)]
    if about:  # at the usual place another service may run
        raise ConfigError(about)
    return Path(str(tree["state_dir"]))


def _checked(model: type[M], name: str, layers: Layers, *, defaults_under: str = "") -> M | None:
    if name in layers.broken:
        return None
    if name not in layers.trees:
        layers.problems.append(f"{name}:1:1: file: is missing from the shipped configuration")
        return None
    if defaults_under:
        layers.trees[name] = with_defaults(layers.trees[name], defaults_under)
    checked, problems = check(model, layers.trees[name])
    layers.problems += told_once(problems) if defaults_under else problems
    return checked


def _groups(layers: Layers) -> tuple[Group, ...]:
    """The groups of all rule files; of two with the same name or symbol the later one is a problem."""
    groups: list[Group] = []
    names: dict[str, Place] = {}
    symbols: dict[str, Place] = {}
    for name in layers.rule_files:
        tree = layers.trees[name]
        if name in layers.broken:
            continue
        group, problems = check(Group, tree)
        others = [one for one in layers.rule_files if one != name]
        for alike in get_close_matches(name, others, 1, 0.85):
            # A file of a name of its own needs all keys: that it lacks some tells a mistyped one.
            problems = [one + f"; did you mean {alike}?" * one.endswith(MISSING) for one in problems]
        layers.problems += problems
        if group is None and (group := salvage(tree)) is None:
            layers.broken.add(name)
            continue
        if not problems:
            layers.problems += _taken(names, {group.group: locate(tree, ("group",)).place}, "group")
        rules = tree.get("rules")
        places = rules.key_places if isinstance(rules, Tree) else {}
        if not places or group.rules.keys() != places.keys():
            layers.broken.add(name)
        doubled = _taken(symbols, {symbol: places[symbol] for symbol in group.rules}, "rules")
        layers.problems += doubled
        fresh = {symbol: rule for symbol, rule in group.rules.items() if symbols[symbol] == places[symbol]}
        groups.append(group.model_copy(update={"rules": fresh}))
    return tuple(groups)


def _taken(first: dict[str, Place], found: dict[str, Place], key: str) -> Iterator[str]:
    for name, place in found.items():
        if (before := first.setdefault(name, place)) != place:
            yield f"{place}: {key}.{name}: is taken already, at {before}; override it in a file of that name"


def _compiled(document: PolicyDocument, layers: Layers) -> Policy | None:
    files: dict[str, Tree] = {}
    for name in reversed(layers.rule_files):
        rules = layers.trees[name].get("rules")
        files |= dict.fromkeys(rules if isinstance(rules, Tree) else (), layers.trees[name])
    lenient = bool(layers.broken)

    def describe(problem: Problem) -> str:
        if lenient and problem.text.startswith((UNKNOWN_SYMBOL, UNKNOWN_GROUP)):
            return ""
        path = problem.path
        if path[0] == "profiles":
            return f"{key_place(layers.trees[PROFILES], path)}: {'.'.join(path)}: {problem.text}"
        path = ("rules", *path[2:])
        value = locate(files[path[1]], path)
        place = value.at(problem.line, problem.column) if isinstance(value, Scalar) else value.place
        return f"{place}: {'.'.join(path)}: {problem.text}"

    try:
        return compile_policy(document, describe=describe)
    except ConfigError as error:
        layers.problems += filter(None, error.problems)
    return None


def _leaves(path: str, node: Node) -> Iterator[Effective]:
    if isinstance(node, Tree):
        for key, below in node.items():
            yield from _leaves(f"{path}.{key}", below)
    elif isinstance(node, Sequence):
        texts = [_shown(path, item) for item in node if isinstance(item, Scalar)]
        yield Effective(path, texts, node.place.origin)
    else:
        yield Effective(path, _shown(path, node), node.place.origin)


def _shown(path: str, text: str) -> str:
    if re.fullmatch(r"screener\.(ami|pbxs\.[^.]+)\.secret", path) and text:
        return HIDDEN
    if path == "screener.notify.urls":
        return f"{text.partition(':')[0]}://{HIDDEN}"
    if path in {"screener.redis.url", "screener.ledger.url"}:
        return without_password(text)
    return text
