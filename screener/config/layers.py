"""The layers of configuration: the shipped files, over them those of a variant, over all those of the site.

A file of the site counts by its name. A name that nothing reads is a problem, because it
would otherwise be a silent typing mistake.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from screener.config.nodes import Scalar, Tree, merge, read_tree

SETTINGS = "screener.yaml"
POLICY = "policy.yaml"
FEEDS = "feeds.yaml"
EXAMPLES = "examples.yaml"
PROFILES = "profiles.yaml"
RULES = "rules"
WORDING = "wording"
PACKS = "packs"
VARIANTS = "variants"
FOLDERS = (RULES, WORDING, PACKS)
FILES = (SETTINGS, POLICY, FEEDS, PROFILES, EXAMPLES)

Stamps: TypeAlias = tuple[tuple[str, int, int, int], ...]
"""Name, time of change, size and identity of each file of the site: another one, another stamp."""

CLOSED = "the screener's own user must be able to read it; as another user run this as root"
"""What to do about a file that who asks may not read: the service, or somebody at a terminal."""
SITE = Path("/etc/screener")
"""The directory of the site where a command names no other."""
SHIPPED = "shipped"
"""Shown in front of shipped files instead of the place where they happen to be installed."""
_read_shipped = lru_cache(maxsize=64)(read_tree)
"""They stay as they are while the screener runs, and are nearly all that is read at a reload."""


@dataclass(slots=True)
class Layers:
    """The merged tree of each file by its name; a file in `broken` could not be read in some layer.

    `made_for` is the country of the layers below the site, whose examples are read by its numbering plan.
    """

    trees: dict[str, Tree] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    made_for: str = ""

    @property
    def rule_files(self) -> list[str]:
        """Names of the files that hold rules, those of the site alone at the end."""
        return [name for name in self.trees if name.startswith(f"{RULES}/")]

    def setting(self, name: str) -> Scalar | None:
        """A text at the top of the settings, and where it is written; None where it is empty or missing."""
        found = self.trees[SETTINGS].get(name) if SETTINGS in self.trees else None
        return found if isinstance(found, Scalar) and found else None

    def lay(self, over: Layers) -> None:
        """Lay another layer over this one."""
        for name, tree in over.trees.items():
            below = self.trees.get(name)
            merged = tree if below is None else merge(below, tree)
            self.trees[name] = _own_first(merged, tree) if name == PROFILES else merged
        self.broken |= over.broken
        self.problems += over.problems


def shipped_dir() -> Path:
    """The configuration that comes with the screener: in the package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "_config"
    return installed if installed.is_dir() else package.parent / "config"


def read_layers(shipped: Path, site: Path | None) -> Layers:
    """Read and merge all files of all layers; whatever is wrong is in `problems`, nothing is raised."""
    layers = _read_directory(shipped, SHIPPED)
    own = _read_directory(site, str(site)) if site else Layers()
    if chosen := own.setting("variant"):
        names = variants(shipped)
        if chosen in names:
            layers.lay(_read_directory(shipped / VARIANTS / chosen, f"{SHIPPED}/{VARIANTS}/{chosen}"))
        else:
            there = f"no such variant; there are {', '.join(names)}"
            layers.problems.append(f"{chosen.place}: variant: {there}")
    if elsewhere := layers.setting("variant"):
        layers.problems.append(f"{elsewhere.place}: variant: only your own {SETTINGS} may choose one")
    layers.made_for = str(layers.setting("region") or "")
    layers.lay(own)
    return layers


def why(error: OSError) -> str:
    """Why a file cannot be read, and what to do about it where it is one of rights."""
    return f"{error.strerror}; {CLOSED}" if isinstance(error, PermissionError) else str(error.strerror)


def variants(shipped: Path) -> list[str]:
    """The names of the variants that come with the screener."""
    return sorted(path.name for path in (shipped / VARIANTS).glob("[a-z]*") if path.is_dir())


def _own_first(merged: Tree, over: Tree) -> Tree:
    """The first profile that matches is in force: those of an upper layer stand before those below it."""
    profiles, own = merged.get("profiles"), over.get("profiles")
    if not (isinstance(profiles, Tree) and isinstance(own, Tree)):
        return merged
    ordered = Tree(profiles.place, {name: profiles[name] for name in (*own, *profiles)}, profiles.key_places)
    return merged.having("profiles", ordered)


def stamps(site: Path | None) -> Stamps:
    """What tells whether a file of the site was changed. Never raises: what cannot be seen is left out."""
    found = []
    with contextlib.suppress(OSError):
        for path in sorted(site / name for name in _names(site)) if site else ():
            with contextlib.suppress(OSError):
                seen = path.stat()
                found.append((str(path), seen.st_mtime_ns, seen.st_size, seen.st_ino))
    return tuple(found)


def _read_directory(directory: Path, shown: str) -> Layers:
    layers = Layers()
    try:
        names = sorted(_names(directory))
    except OSError as error:
        meant = f"; name the directory, {directory.parent}" if directory.is_file() else ""
        layers.problems.append(f"{shown}:1:1: directory: cannot be read: {why(error)}{meant}")
        layers.broken.add(SETTINGS)  # by the shipped ones alone another service may run
        return layers
    for name in names:
        file = f"{shown}/{name}"
        if problem := _misplaced(name):
            layers.problems.append(f"{file}:1:1: file: {problem}")
            if SETTINGS not in names and problem.endswith((f" it {SETTINGS}", f" mean {SETTINGS}?")):
                layers.broken.add(SETTINGS)
            continue
        try:
            raw = (directory / name).read_bytes()
        except OSError as error:
            layers.problems.append(f"{file}:1:1: file: cannot be read: {why(error)}")
            layers.broken.add(name)
            continue
        tree, problems = (_read_shipped if shown.startswith(SHIPPED) else read_tree)(raw, file)
        layers.problems += problems
        if tree is None:
            layers.broken.add(name)
        else:
            layers.trees[name] = tree
    return layers


def _names(directory: Path) -> list[str]:
    found = [path.name for path in directory.iterdir() if _is_yaml(path)]
    for folder in FOLDERS:
        if (directory / folder).is_dir():
            found += [f"{folder}/{path.name}" for path in (directory / folder).iterdir() if _is_yaml(path)]
    # Below others may lie what is not for us, and below .name what an editor or a mount keeps.
    astray = [path for folder in FOLDERS for path in (directory / folder).glob("[!.]*/*")]
    astray += [path for path in directory.glob("[!.]*/*") if _meant(path.parent.name)]
    return found + [path.relative_to(directory).as_posix() for path in astray if _is_yaml(path)]


def _meant(folder: str) -> str:
    """Of which folder of ours this is a misspelt name; empty if of none, or of what is kept, as rules.old."""
    return "" if folder.startswith(FOLDERS) else next(iter(get_close_matches(folder, FOLDERS, 1, 0.7)), "")


def _is_yaml(path: Path) -> bool:
    # Editors leave .name.yaml.swp and .#name.yaml behind; other files are nobody's business.
    return path.suffix in {".yaml", ".yml"} and not path.name.startswith(".")


def _misplaced(name: str) -> str | None:
    *folders, file = Path(name).parts
    if len(folders) > 1 or (folders and folders[0] not in FOLDERS):
        folder = _meant(folders[0]) or folders[0]
        return f"is not read; move it to {folder}/{Path(file).stem}.yaml"
    if name.endswith(".yml"):
        return f"is not read; name it {name.removesuffix('.yml')}.yaml"
    if name in FILES or name.startswith(tuple(f"{folder}/" for folder in FOLDERS)):
        return None
    close = get_close_matches(name, FILES, 1, 0.7)
    return "is not read" + (f"; did you mean {close[0]}?" if close else f"; rules belong into {RULES}/")
