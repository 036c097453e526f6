"""Sounds that callers hear, and the place where what they say is kept."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from screener import app, dialplan, retention, spool
from screener.control import SOCKET
from screener.doctor import rights
from screener.doctor.checkup import aside, fail, fine, warn
from screener.doctor.rights import R, W, X
from screener.errors import NotChecked
from screener.recordings import FILE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from screener.doctor.checkup import Finding
    from screener.doctor.patient import Patient

LOST = "what callers say is not recorded, or not filed"
INODES_LOW = 10_000
HEADER_BYTES = 44
"""Of a WAV file; one that is no longer holds no sound."""
GRACE = timedelta(days=2)
"""So long after its time a recording may still be there: retention works once a day."""


async def place(patient: Patient) -> AsyncIterator[Finding]:
    """The dialplan records where the screener looks."""
    ours, theirs = str(patient.pbx.recordings_dir), await patient.value("SCREENER_SPOOL")
    if theirs and theirs != ours:
        mend = f"[globals] in extensions.conf, behind the include: SCREENER_SPOOL={ours}; dialplan reload"
        yield fail(f"the dialplan records in {theirs}, recordings_dir is {ours}", LOST, mend)


async def prompts(patient: Patient) -> AsyncIterator[Finding]:
    """Every prompt is there in each language that is spoken, with sound, and Asterisk may read it."""
    sounds = (await patient.asterisk()).sounds
    codes = await patient.value("DIALPLAN_EXISTS(screener-code,s,1)") == "1"
    who = rights.of_process((await patient.about())["PID file"])
    for language in await _languages(patient):
        for finding in await aside(lambda: list(_spoken(sounds, language, who, with_codes=codes))):  # noqa: B023
            yield finding


async def _languages(patient: Patient) -> list[str]:
    spoken = await patient.value("SCREENER_LANGUAGE") or (await patient.about())["Default language"]
    named = {profile.language for profile in patient.config.document.profiles.profiles.values()}
    return sorted({spoken, *filter(None, named)})


def _spoken(sounds: Path, language: str, who: rights.Who, *, with_codes: bool) -> Iterator[Finding]:
    shipped = dialplan.shipped_dir() / "prompts"
    lines = (shipped / "en.txt").read_text("utf-8").splitlines()
    names = [line.partition(":")[0] for line in lines if line and not line.startswith("#")]
    names = [name for name in names if with_codes or not name.startswith("code-")]
    notice = "a challenge lets everybody through; the voicemail has Asterisk's own words, or records nobody"
    make = f"scripts/prompts {sounds}"
    if not (shipped / f"{language}.txt").is_file():
        make = f"[globals]: SCREENER_LANGUAGE=en, for there are no prompts in {language}; dialplan reload"
    folder = sounds / language / "screener"
    absent, empty, closed = [], [], ""
    for name in names:
        found = [one for one in folder.glob(f"{name}.*") if one.suffix != ".txt"]
        if not found:
            absent.append(name)
        elif not any(one.stat().st_size > HEADER_BYTES for one in found):
            empty.append(name)
        else:
            closed = closed or who.lacks(found[0].resolve(), R)
    if absent:
        what = f"{len(absent)} of {len(names)} prompts are missing in {folder}: {', '.join(absent[:3])} …"
        yield fail(what, notice, make)
    if empty:
        mend = f"rm {folder}/{empty[0]}.*; {make}"
        yield fail(f"prompts without sound in {folder}: {', '.join(empty[:3])}", notice, mend)
    if closed:
        yield fail(closed, notice, f"chmod -R a+rX {sounds / language}")


async def access(patient: Patient) -> AsyncIterator[Finding]:
    """Asterisk writes recordings, the screener reads and deletes them, nobody else sees them."""
    root = patient.pbx.recordings_dir
    theirs = rights.of_process((await patient.about())["PID file"])
    make = f"install -d -o screener -g asterisk -m 2770 {root}, see docs/recordings.md"
    if not await aside(root.is_dir):
        what = f"{root} does not exist; Asterisk makes it at the first recording, readable for everybody"
        yield warn(what, "nothing yet", make)
        return
    if lack := await aside(lambda: theirs.lacks(root, W | X)):
        yield fail(f"Asterisk cannot record: {lack}", LOST, make)
    if lack := await aside(lambda: _owner(patient).lacks(root, R | X)):
        yield fail(f"the screener cannot read recordings: {lack}", LOST, make)
    elif lack := await aside(lambda: _owner(patient).lacks(root, W | X)):
        notice = "recordings are kept longer than `retention` says, which the law may forbid"
        yield warn(f"the screener cannot delete recordings: {lack}", notice, make)
    if allowed := await aside(lambda: rights.open_to_others(root)):
        what = f"{root}: every user of this machine has the rights {allowed} to it"
        yield fail(what, "others can hear what callers say", f"chmod o= {root}")


def _owner(patient: Patient) -> rights.Who:
    """The service's user: whose socket it is, or whose directory while none runs."""
    for one in (patient.state / SOCKET, patient.state):
        if one.exists():
            return rights.of_user(one.stat().st_uid)
    return rights.of_user(os.geteuid())


def disk(patient: Patient) -> Iterator[Finding]:
    """There is room for recordings and for the ledger."""
    unfiled = "calls are not filed"
    places = (("recordings_dir", patient.pbx.recordings_dir, LOST), ("state_dir", patient.state, unfiled))
    for key, path, notice in places:
        there = next(one for one in (path, *path.parents) if os.path.lexists(one))
        if not there.is_dir():
            mend = f"another {key} in screener.yaml, or move {there} away"
            yield fail(f"{path} cannot be made: {there} is no directory", notice, mend)
            continue
        free, about = spool.free_bytes(path), os.statvfs(there)
        mend = f"df -h {there}; make room, or shorten `retention` in screener.yaml"
        if free < spool.LOW_DISK_BYTES:
            yield fail(f"{path}: {free / 1e6:.0f} MB are left on its disk", notice, mend)
        elif about.f_files and about.f_favail < INODES_LOW:
            mend = f"df -i {there}; delete small files there"
            yield fail(f"{path}: {about.f_favail} files more can be made on its disk", notice, mend)
        else:
            yield fine(f"{free / 1e9:.0f} GB free for {path}")


def kept(patient: Patient) -> Iterator[Finding]:
    """No recording is older than `retention` allows."""
    days = patient.settings.retention.recordings_days
    root = patient.pbx.recordings_dir
    if not days:
        return
    if not os.access(root, R | X) and root.exists():
        raise NotChecked(f"{root} is closed to this user: run this as root or as the screener's user")
    before = (patient.clock() - timedelta(days=days) - GRACE).date().isoformat()
    late = [
        one for one in root.glob("????-??-??/*.wav") if one.parent.name < before and FILE.fullmatch(one.name)
    ]
    if not late:
        return
    notice = "callers' words are kept longer than you have said"
    path = app.ledger_path(patient.settings)
    due = retention.expire(path, patient.settings, lambda: patient.clock() - GRACE, dry_run=True)
    if due.recordings:
        what = f"{due.recordings} recordings are older than {days} days: retention does not work"
        yield warn(what, notice, "screener ledger expire, as the service's user, says why")
    elif due.held:
        yield fine(f"{len(late)} are older than {days} days, and calls are held")
    else:
        what = f"{len(late)} recordings are older than {days} days and in no ledger, such as {late[0]}"
        yield warn(what, notice, "screener recordings verify names them; file or delete them by hand")
