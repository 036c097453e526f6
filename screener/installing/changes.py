"""From what is wanted and what is there: the changes, which are shown and made alike.

A file that we did not write, or that was changed since we did, is never replaced unless that is forced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from screener.errors import InstallRefused
from screener.installing import disk, text
from screener.installing.record import digest

if TYPE_CHECKING:
    from screener.installing.disk import Kept, Rights
    from screener.installing.planning import Plan
    from screener.installing.record import Record
    from screener.installing.wanted import Hook, Wanted


@dataclass(frozen=True)
class Change:
    """One file: as it is, and as it shall be; None where it is not there."""

    path: Path
    before: Kept | None
    after: bytes | None
    rights: Rights
    verbatim: bool = False


@dataclass
class Changes:
    """All changes in the order of making, and the files that stay as somebody has made them."""

    made: list[Change] = field(default_factory=list)
    directories: list[tuple[Path, Rights]] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.made or self.directories)

    def add(
        self, path: Path, before: Kept | None, after: bytes | None, rights: Rights, *, shipped: bool
    ) -> None:
        """Add one, if it is one."""
        if (before.content if before else None) != after:
            self.made.append(Change(path, before, after, before.rights if before else rights, shipped))


def to_install(plan: Plan, old: Record, *, force: bool) -> Changes:
    """The changes that lead to a plan, whose record is completed; InstallRefused names what is in the way."""
    changes, foreign = Changes(), list[Path]()
    changes.directories = [(path, rights) for path, rights in plan.directories if not path.is_dir()]
    plan.record.directories = [*old.directories, *(str(path) for path, _ in changes.directories)]
    for wanted in plan.files:
        if not _file(wanted, plan, old, changes, force=force):
            foreign.append(wanted.path)
    if foreign:
        raise InstallRefused(
            "not written by `screener install`, so not replaced: " + ", ".join(map(str, foreign))
            + "; move them away, or --force replaces them (each is kept beside as NAME.before)"
        )  # fmt: skip
    for gone in sorted(old.files.keys() - {str(one.path) for one in plan.files}):
        _remove(Path(gone), old, changes, force=False)
    places = {hook.path for hook in plan.hooks}
    for path in map(Path, old.blocks):
        if path not in places:
            _take_out(path, old, changes, force=False)
    for hook in plan.hooks:
        _hook(hook, plan, old, changes, force=force)
    return changes


def to_remove(old: Record, *, force: bool) -> Changes:
    """The changes that undo what is recorded: first what leads Asterisk to the rest."""
    changes = Changes()
    for path in map(Path, reversed(old.blocks)):
        _take_out(path, old, changes, force=force)
    for path in map(Path, reversed(old.files)):
        _remove(path, old, changes, force=force)
    return changes


def _file(wanted: Wanted, plan: Plan, old: Record, changes: Changes, *, force: bool) -> bool:
    """Plan one file; whether it may be: not over somebody else's."""
    before, name = disk.read(wanted.path), str(wanted.path)
    ours = before is None or old.wrote(wanted.path, before.content)
    if before is not None and (wanted.seed or not (ours or force)):
        if name in old.files:
            plan.record.files[name] = old.files[name]
            changes.kept += [] if wanted.seed else [wanted.path]
        return wanted.seed or name in old.files or before.content == wanted.content
    if before is not None and not ours:
        beside = wanted.path.with_name(f"{wanted.path.name}.before")
        changes.add(beside, disk.read(beside), before.content, before.rights, shipped=True)
    plan.record.files[name] = [digest(wanted.content)]
    changes.add(wanted.path, before, wanted.content, wanted.rights, shipped=wanted.verbatim)
    return True


def _remove(path: Path, old: Record, changes: Changes, *, force: bool) -> None:
    before = disk.read(path)
    if before is not None and not force and not old.wrote(path, before.content):
        changes.kept.append(path)
    elif before is not None:
        changes.add(path, before, None, before.rights, shipped=True)


def _decoded(kept: Kept | None) -> str:
    return kept.content.decode("utf-8", "surrogateescape") if kept else ""


def _encoded(content: str) -> bytes:
    return content.encode("utf-8", "surrogateescape")


def _hook(hook: Hook, plan: Plan, old: Record, changes: Changes, *, force: bool) -> None:
    before, name = disk.read(hook.path), str(hook.path)
    content, known = _decoded(before), old.blocks.get(str(hook.path), "")
    rest = content.replace(known, "", 1) if known else content
    if text.BEGIN in rest:
        if not force:
            raise InstallRefused(
                f"{hook.path}: what stands between the marks of `screener install` is not what it wrote: put "
                "that back, or take it out with both marks; --force replaces it"
            )
        rest = text.without_block(rest)
    after, plan.record.blocks[name] = text.insertion(
        hook.path, rest, text.block(hook.include), at_end=hook.at_end
    )
    if before is None or name in old.created:
        plan.record.created.append(name)
    folder = disk.read(hook.path.parent / "asterisk.conf")
    rights = folder.rights if folder else plan.rights
    changes.add(hook.path, before, _encoded(after), rights, shipped=False)


def _take_out(path: Path, old: Record, changes: Changes, *, force: bool) -> None:
    before, known = disk.read(path), old.blocks[str(path)]
    if before is None:
        return
    content = _decoded(before)
    if known in content:
        rest = content.replace(known, "", 1)
    elif force:
        rest = text.without_block(content)
    else:
        if text.BEGIN in content:
            changes.kept.append(path)
        return
    after = None if not rest and str(path) in old.created else _encoded(rest)
    changes.add(path, before, after, before.rights, shipped=False)


def shown(changes: Changes, secret: str) -> list[str]:
    """The changes for people: what is shipped by its name alone, all else line by line, secrets hidden."""
    lines = [f"new directory {path}" for path, _ in changes.directories]
    sounds = [change for change in changes.made if change.path.suffix == ".wav"]
    for folder in sorted({change.path.parent for change in sounds}):
        there = [change for change in sounds if change.path.parent == folder]
        gone = "removed from" if there[0].after is None else "in"
        lines.append(f"{len(there)} prompts {gone} {folder}")
    for change in (one for one in changes.made if one.path.suffix != ".wav"):
        after = None if change.after is None else change.after.decode("utf-8", "replace")
        if change.verbatim and (change.before is None or after is None):
            what = "removed" if after is None else f"new, as shipped, {len(after.splitlines())} lines"
            lines.append(f"{change.path}: {what}")
        else:
            before = None if change.before is None else _decoded(change.before)
            lines += text.difference(change.path, before, after, secret).splitlines()
    lines += [f"{path}: changed by somebody since it was written: left as it is" for path in changes.kept]
    return lines
