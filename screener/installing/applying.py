"""Make changes, all of them or none, and see whether Asterisk takes them."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from screener.errors import InstallRefused, InstallUndone, ScreenerError
from screener.installing import disk, pbx, record, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from screener.asterisk import Asterisk
    from screener.installing.changes import Changes
    from screener.installing.planning import Plan
    from screener.installing.record import Record

_UNDONE: Final = "everything is as it was"
LOADS_S: Final = 10.0
"""How long Asterisk may take to have a new dialplan after it was told to."""


@contextmanager
def all_or_none() -> Iterator[list[Callable[[], object]]]:
    """Collects how to undo each step; what fails, or is interrupted, is undone backwards."""
    undo: list[Callable[[], object]] = []
    try:
        yield undo
    except BaseException as error:
        failed = []
        for step in reversed(undo):
            try:
                step()
            except (ScreenerError, OSError) as again:
                failed.append(str(again))
        if failed:
            raise InstallRefused(f"{error}\nand not all could be taken back: {'; '.join(failed)}") from error
        raise


def make(changes: Changes, undo: list[Callable[[], object]]) -> None:
    """Make the changes; InstallRefused at the first that cannot be, or whose file has changed meanwhile."""
    for path, rights in changes.directories:
        if disk.make_directory(path, rights):
            undo.append(partial(disk.remove_directory, path))
    for change in changes.made:
        now = disk.read(change.path)
        if (now.content if now else None) != (change.before.content if change.before else None):
            raise InstallRefused(f"{change.path}: somebody changed it at this moment; run this again")
        undo.append(partial(put_back, change.path, now))
        if change.after is None:
            disk.remove(change.path)
        else:
            disk.write(change.path, change.after, change.rights)


def install(found: Asterisk, plan: Plan, old: Record, changes: Changes, *, reload: bool) -> None:
    """Make the changes of a plan; where Asterisk does not take them, all is as before: InstallUndone."""
    trunks, reload = bool(plan.record.trunks or old.trunks), reload and found.running
    before = pbx.contexts(found) if reload else set()
    with all_or_none() as undo:
        for path, rights in changes.directories:
            if path == plan.site and disk.make_directory(path, rights):
                undo.append(partial(disk.remove_directory, plan.site))
        with record.alone(plan.site):
            kept = disk.read(plan.site / record.NAME)
            undo.append(partial(put_back, plan.site / record.NAME, kept))
            record.save(plan.site, plan.record.beside(old))
            make(changes, undo)
            record.save(plan.site, plan.record)
            if reload:
                undo.insert(0, partial(load, found, trunks=trunks))
                load(found, trunks=trunks)
                verify(found, plan, before)


def verify(found: Asterisk, plan: Plan, before: set[str]) -> None:
    """InstallUndone unless Asterisk has what was written, and still has all it had."""
    if plan.record.by_hand:
        return
    until = time.monotonic() + LOADS_S
    while plan.stamp not in found.console("dialplan show s@screener-installed"):
        if time.monotonic() > until:
            raise InstallUndone(
                f"Asterisk did not load {found.etc}/screener: its log says why. A line of yours that waits "
                f"for a reload may be wrong; {_UNDONE}"
            )
        time.sleep(0.05)
    if gone := sorted(before - pbx.contexts(found)):
        raise InstallUndone(
            f"after a reload Asterisk had lost the contexts {', '.join(gone)}; {_UNDONE}. If they are still "
            "missing, a change of yours had waited for a reload"
        )
    if not re.search(r"username: screener\b", found.console("manager show user screener")):
        raise InstallUndone(
            f"Asterisk did not take the account in {found.etc}/screener/manager.conf; {_UNDONE}"
        )
    for trunk, context in plan.record.trunks.items():
        if pbx.endpoint_context(found, trunk) not in {"", text.ARRIVAL + context}:  # empty: it is gone
            raise InstallUndone(
                f"the trunk {trunk} did not take another context (is it in a database or a wizard?): "
                f"use --context {context}, and set its context there; {_UNDONE}"
            )


def load(found: Asterisk, *, trunks: bool) -> None:
    """Have Asterisk read what was written: contexts before what leads there."""
    for command in ("manager reload", "dialplan reload", *(["module reload res_pjsip.so"] if trunks else [])):
        found.console(command)


def put_back(path: Path, before: disk.Kept | None) -> None:
    """Make a file what it was."""
    if before is None:
        disk.remove(path)
    else:
        disk.write(path, before.content, before.rights)
