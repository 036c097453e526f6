"""Take out what was installed, while calls go on.

A call that stands in a context which vanishes is lost. So new calls are led past the screener first, then
those that are with it are waited for, and only then anything is removed.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from screener.errors import InstallRefused, InstallUndone
from screener.installing import changes as changing
from screener.installing import disk, pbx, record, service, text
from screener.installing.applying import all_or_none, load, make, put_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from screener.asterisk import Asterisk
    from screener.installing.changes import Changes
    from screener.installing.record import Record

DRAIN_S: Final = 240.0
"""How long calls are waited for: the longest message, and the voice before it."""
_LOOK_S: Final = 0.2
_INERT: Final = "dialplan remove extension s@screener 1"
"""Every line that leads to the screener asks first whether this is there."""
_FORGET: Final = ("database deltree screener", "dialplan set global SCREENER_MIRRORED none")


def uninstall(
    found: Asterisk, site: Path, old: Record, changes: Changes, waiting: Callable[[list[str]], object]
) -> None:
    """Undo an installation, or leave all of it as it is: InstallRefused, InstallUndone.

    `waiting` hears again and again of the channels that are still being screened.
    """
    trunks = bool(old.trunks)
    arrivals = [
        one for one in changes.made if one.path.name.startswith("pjsip") and str(one.path) in old.blocks
    ]
    others = [one for one in changes.made if one not in arrivals]
    with record.alone(site), all_or_none() as undo:
        make(changing.Changes(arrivals), undo)
        if found.running:
            undo.insert(0, partial(load, found, trunks=trunks))
            if trunks:
                found.console("module reload res_pjsip.so")
            found.console(_INERT)
            _drain(found, waiting)
        served = str(service.UNITS / service.UNIT) in old.files and service.here()
        if served:
            service.stop()
            undo.insert(0, service.start)
        make(changing.Changes(others), undo)
        if found.running:
            load(found, trunks=trunks)
            if not changes.kept and "screener" in pbx.contexts(found, "screener"):
                raise InstallUndone(
                    "Asterisk still has [screener] after a reload: its log says why; everything is as it was"
                )
            for command in _FORGET:
                found.console(command)
        kept = disk.read(site / record.NAME)
        undo.append(partial(put_back, site / record.NAME, kept))
        disk.remove(site / record.NAME)
        disk.sweep(site / record.NAME)
        if served:
            service.forget()


def clear(old: Record, *, purge: bool) -> list[str]:
    """Remove the directories that were made, if nothing is left in them; what stays, for people."""
    for name in (*old.files, *old.blocks):
        disk.sweep(Path(name))
    left = []
    for name in reversed(old.directories):
        path = Path(name)
        if purge and name in {old.state, old.recordings} and path.is_dir() and disk.real(path) == path:
            disk.remove_tree(path)
        if not disk.remove_directory(path):
            left.append(f"{path}: kept, for there is something in it")
    return left


def _drain(found: Asterisk, waiting: Callable[[list[str]], object]) -> None:
    until = time.monotonic() + DRAIN_S
    while busy := [
        channel for channel, context in _channels(found)
        if context.startswith(("screener", text.ARRIVAL)) and context != "screener-deliver"
    ]:  # fmt: skip
        if time.monotonic() > until:
            raise InstallRefused(
                f"still being screened or recorded: {', '.join(busy)}; try later, all is as it was"
            )
        waiting(busy)
        time.sleep(_LOOK_S)


def _channels(found: Asterisk) -> list[tuple[str, str]]:
    rows = (line.split("!") for line in found.console("core show channels concise").splitlines())
    return [(row[0], row[1]) for row in rows if len(row) > 1]
