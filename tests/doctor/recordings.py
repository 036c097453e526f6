"""Breaks of the sounds that callers hear, and of the place where recordings go."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from screener.doctor import Level, recordings
from tests.doctor.house import breaks, mode, ours
from tests.pbx.faults import small_disk
from tests.users import ASTERISK, OURS, reachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.doctor.house import Examined

WARN = Level.WARN


@breaks(recordings.place, "the dialplan records in /elsewhere", "SCREENER_SPOOL=")
async def elsewhere(here: Examined) -> AsyncIterator[None]:
    async with here.global_set("SCREENER_SPOOL", "/elsewhere"):
        yield


@breaks(recordings.prompts, "prompts are missing in", "SCREENER_LANGUAGE=en")
async def language(here: Examined) -> AsyncIterator[None]:
    async with here.global_set("SCREENER_LANGUAGE", "de"):
        yield


@breaks(recordings.prompts, " prompts are missing in", "scripts/prompts")
async def missing(here: Examined) -> AsyncIterator[None]:
    with _own_prompts(here) as folder:
        (folder / "notice.wav").unlink()
        yield


@breaks(recordings.prompts, "prompts without sound in", "scripts/prompts")
async def empty(here: Examined) -> AsyncIterator[None]:
    with _own_prompts(here) as folder:
        (folder / "press.wav").write_bytes(b"")
        yield


@breaks(recordings.prompts, f"press.wav: #{ASTERISK} may not read there", "chmod -R a+rX ", runs=True)
async def closed_prompts(here: Examined) -> AsyncIterator[None]:
    with _as_asterisk(here), _own_prompts(here) as folder:
        (folder / "press.wav").chmod(0o600)
        yield


@breaks(recordings.access, "Asterisk cannot record: ", "install -d -o screener -g asterisk -m 2770")
async def unwritable(here: Examined) -> AsyncIterator[None]:
    with _as_asterisk(here), _own_prompts(here), mode(here.pbx.spool, 0o2750):
        yield


@breaks(recordings.access, "the screener cannot read recordings: ", "docs/recordings.md")
async def unreadable(here: Examined) -> AsyncIterator[None]:
    with _as_asterisk(here), _own_prompts(here):
        os.chown(here.pbx.spool, ASTERISK, ASTERISK)
        yield
        os.chown(here.pbx.spool, OURS, ASTERISK)


@breaks(recordings.access, "every user of this machine has the rights rx", "chmod o= ", runs=True)
async def open_spool(here: Examined) -> AsyncIterator[None]:
    with mode(here.pbx.spool, 0o755):
        yield


@breaks(recordings.access, "does not exist; Asterisk makes it", "install -d", level=WARN)
async def no_spool(here: Examined) -> AsyncIterator[None]:
    moved = here.pbx.spool.rename(here.pbx.spool.with_name("moved"))
    yield
    moved.rename(here.pbx.spool)


@breaks(recordings.disk, "MB are left on its disk", "make room", also=("recordings.place",))
async def full(here: Examined) -> AsyncIterator[None]:
    # A disk of its own: on that of the house the service would raise an alarm, sooner or later.
    directory = here.house.directory / "small"
    with small_disk(directory, 1024), here.configured(recordings_dir=str(directory)):
        ours(directory)
        yield


@breaks(
    recordings.kept, "1 recordings are older than 30 days and in no ledger", "recordings verify", level=WARN
)
async def old(here: Examined) -> AsyncIterator[None]:
    path = here.pbx.spool / "2020-01-01" / "1577836800.1-caller.wav"
    path.parent.mkdir()
    path.write_bytes(b"")
    yield
    shutil.rmtree(path.parent)


@contextlib.contextmanager
def _own_prompts(here: Examined) -> Iterator[Path]:
    """The house has a copy of its own of the prompts inside: others share them."""
    folder = here.pbx.directory / "data/sounds/en/screener"
    shared = folder.readlink()
    folder.unlink()
    shutil.copytree(shared, folder)
    reachable(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        folder.symlink_to(shared)


@contextlib.contextmanager
def _as_asterisk(here: Examined) -> Iterator[None]:
    """Asterisk runs as another user inside, by what its pid file says; the service as one more."""
    if os.geteuid():
        pytest.skip("only root can be several users")
    pid_file = here.pbx.directory / "run/asterisk.pid"
    before = pid_file.read_text()
    sleeper = subprocess.Popen(["sleep", "60"], user=ASTERISK, group=ASTERISK, extra_groups=[])
    pid_file.write_text(str(sleeper.pid))
    spool = here.pbx.spool
    os.chown(spool, OURS, ASTERISK)
    spool.chmod(0o2770)
    try:
        yield
    finally:
        sleeper.kill()
        sleeper.wait()
        pid_file.write_text(before)
        os.chown(spool, OURS, OURS)
        spool.chmod(0o700)
