"""The layers of configuration: the shipped files, and those of the site merged over them.

A file of the site counts by its name. A name that nothing reads is a problem, because it
would otherwise be a silent typing mistake.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias

from screener.config.nodes import Tree, merge, read_tree

SETTINGS = "screener.yaml"
POLICY = "policy.yaml"
FEEDS = "feeds.yaml"
PROFILES = "profiles.yaml"
RULES = "rules"

Stamps: TypeAlias = tuple[tuple[str, int, int, int], ...]
"""Name, time of change, size and identity of each file of the site: another one, another stamp."""

_SHIPPED = "shipped"
"""Shown in front of shipped files instead of the place where they happen to be installed."""


@dataclass(slots=True)
class Layers:
    """The merged tree of each file by its name; a file in `broken` could not be read in some layer."""

    trees: dict[str, Tree] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    @property
    def rule_files(self) -> list[str]:
        """Names of the files that hold rules, those of the site alone at the end."""
        return [name for name in self.trees if name.startswith(f"{RULES}/")]


def shipped_dir() -> Path:
    """The configuration that comes with the screener: in the package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "_config"
    return installed if installed.is_dir() else package.parent / "config"


def read_layers(shipped: Path, site: Path | None) -> Layers:
    """Read and merge all files of both layers; whatever is wrong is in `problems`, nothing is raised."""
    layers = Layers()
    _read_directory(layers, shipped, _SHIPPED)
    if site is not None:
        _read_directory(layers, site, str(site))
    return layers


def stamps(site: Path | None) -> Stamps:
    """What tells whether a file of the site was changed. Never raises: what cannot be seen is left out."""
    found = []
    with contextlib.suppress(OSError):
        for path in sorted(site / name for name in _names(site)) if site else ():
            with contextlib.suppress(OSError):
                seen = path.stat()
                found.append((str(path), seen.st_mtime_ns, seen.st_size, seen.st_ino))
    return tuple(found)


def _read_directory(layers: Layers, directory: Path, shown: str) -> None:
    try:
        names = sorted(_names(directory))
    except OSError as error:
        layers.problems.append(f"{shown}:1:1: directory: cannot be read: {error.strerror}")
        return
    for name in names:
        file = f"{shown}/{name}"
        if problem := _misplaced(name):
            layers.problems.append(f"{file}:1:1: file: {problem}")
            continue
        try:
            raw = (directory / name).read_bytes()
        except OSError as error:
            layers.problems.append(f"{file}:1:1: file: cannot be read: {error.strerror}")
            layers.broken.add(name)
            continue
        tree, problems = read_tree(raw, file)
        layers.problems += problems
        if tree is None:
            layers.broken.add(name)
        else:
            below = layers.trees.get(name)
            layers.trees[name] = tree if below is None else merge(below, tree)


def _names(directory: Path) -> list[str]:
    found = [path.name for path in directory.iterdir() if _is_yaml(path)]
    rules = directory / RULES
    if rules.is_dir():
        found += [f"{RULES}/{path.name}" for path in rules.iterdir() if _is_yaml(path)]
    return found


def _is_yaml(path: Path) -> bool:
    # Editors leave .name.yaml.swp and .#name.yaml behind; other files are nobody's business.
    return path.suffix in {".yaml", ".yml"} and not path.name.startswith(".")


def _misplaced(name: str) -> str | None:
    if name.endswith(".yml"):
        return f"is not read; name it {name.removesuffix('.yml')}.yaml"
    if name in {SETTINGS, POLICY, FEEDS, PROFILES} or name.startswith(f"{RULES}/"):
        return None
    close = get_close_matches(name, [SETTINGS, POLICY, FEEDS, PROFILES], 1, 0.7)
    return "is not read" + (f"; did you mean {close[0]}?" if close else f"; rules belong into {RULES}/")
