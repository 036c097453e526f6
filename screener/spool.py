"""The directory of recordings: who may read it, what room is left, what is wrong with it at this moment.

Asterisk writes there by its own user and the screener reads by another; nobody else may. The directory
itself keeps others out, whatever the rights of the files in it are: those are by Asterisk's umask.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import stat
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from screener import disk, recordings
from screener.errors import ScreenerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from screener.recordings import Recording

log = structlog.get_logger(__name__)

CHECK_S = 30.0
LOW_DISK_BYTES = 500_000_000
"""About nine hours of both legs; below this an alarm is raised, recording goes on."""
DAY_S = 86400.0

_DEFAULT_ACL: Final = "system.posix_acl_default"
_NOBODY: Final = 2**32 - 1
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20


class Spool:
    """The directory `root`, and the alarms about it: each is logged when it begins and when it ends.

    `alarm` is called, from whatever thread looks, with the text of each that begins.
    """

    def __init__(self, root: Path, alarm: Callable[[str], None] | None = None) -> None:
        self.root, self.alarms = root, dict[str, str]()
        self.filed = self.lost = self.refused = self._bytes = 0
        self._free_bytes: int | None = None
        self._alarm = alarm
        self._lost = self._unrecorded = 0

    async def watch(self) -> None:
        """Check now and then, until cancelled."""
        while True:
            await asyncio.to_thread(self.check)
            await asyncio.sleep(CHECK_S)

    def check(self) -> None:
        """Look who may read the directory, mend that where we may, and look at the room. Never raises."""
        self._note("rights", secure(self.root))
        try:
            self._free_bytes = free = free_bytes(self.root)
        except ScreenerError as error:
            self._free_bytes = None
            self._note("disk", f"recordings cannot be written: {error}")
        else:
            text = "little space left for recordings: make room, or new ones are cut short"
            self._note("disk", text if free < LOW_DISK_BYTES else "", free_bytes=free)

    def filed_one(self, call_id: str, found: Recording) -> None:
        """Note that a recording was filed: whatever kept others from it is over."""
        self.filed += 1
        self._bytes += found.bytes
        self._note("filing", "")
        self._note("too_many", "")
        log.info("recording filed", call=call_id, leg=found.leg, seconds=found.seconds)

    def lost_one(self, event: str, **fields: object) -> None:
        """Note that a call has no recording, or none that can be filed; the log says it for each."""
        self.lost += 1
        self._note("filing", event, again=True, **fields)

    def refused_one(self) -> None:
        """Note that the dialplan did not record a call, for too many were being recorded."""
        self.refused += 1
        text = "a call was not recorded, too many were at that moment: see SCREENER_RECORDINGS_MAX"
        self._note("too_many", text)

    def unkept(self, lost: int, unrecorded: int) -> None:
        """Note messages that came while the screener was away and had no room; an alarm until a restart.

        The `lost` reached nobody, the `unrecorded` were delivered.
        """
        self._lost += lost
        self._unrecorded += unrecorded
        were = [f"{n} message{'s were' if n != 1 else ' was'} lost" for n in [self._lost] if n]
        were += [f"{n} {'were' if n != 1 else 'was'} delivered unrecorded" for n in [self._unrecorded] if n]
        text = (
            f"{' and '.join(were)} while the screener was away: its directory was full or not to be written"
        )
        self._note("unkept", text, again=True)

    def status(self) -> dict[str, Any]:
        """Plain values for `screener status`."""
        return {
            "directory": str(self.root),
            "filed": self.filed,
            "bytes": self._bytes,
            "free_bytes": self._free_bytes,
            "lost": self.lost,
            "refused": self.refused,
            "alarms": list(self.alarms.values()),
        }

    def _note(self, kind: str, text: str, *, again: bool = False, **fields: object) -> None:
        began = bool(text) and kind not in self.alarms
        if began or (text and again):
            log.error(text, directory=str(self.root), **fields)
        if began and self._alarm:
            self._alarm(text)
        if text:
            self.alarms[kind] = text
        elif self.alarms.pop(kind, ""):
            log.info("recordings: an alarm is over", alarm=kind)


def secure(root: Path) -> str:
    """Keep other users of the machine out of `root`; returns what must be done by hand, empty if nothing.

    Never makes it: Asterisk could not write there. What others may write into is left alone as well, for
    Asterisk may be one of these others.
    """
    try:
        about = root.stat()
        rights = stat.S_IMODE(about.st_mode)
        if rights & stat.S_IRWXO:
            by_hand = f"run as root: chmod o= {root}"
            if rights & stat.S_IWOTH:
                return (
                    f"every user can write among the recordings: let Asterisk do so by group, then {by_hand}"
                )
            if not _may_close(about):
                return f"every user of this machine can read the recordings: {by_hand}"
            root.chmod(rights & ~stat.S_IRWXO)
            log.warning(
                "recordings were readable for every user of this machine, not any more", directory=str(root)
            )
        if not os.access(root, os.R_OK | os.X_OK):
            return f"recordings cannot be read by the screener's user: see docs/recordings.md, then {root}"
        _let_us_in(root, about)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"recordings cannot be looked at: {error}; let the screener's user read {root}"
    return ""


def free_bytes(root: Path) -> int:
    """Space left for recordings; of the nearest directory that exists while `root` does not.

    Raises ScreenerError when the file system does not tell.
    """
    place = root.absolute()
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
        return shutil.disk_usage(place).free
    except OSError as error:
        raise ScreenerError(
            f"{root}: the space left for recordings is unknown: {error}; check the disk"
        ) from error


def kept(root: Path, path: Path) -> Path:
    """The real place of a recording for commands, which root may give; ScreenerError as `recordings.inside`.

    Root follows no link to `root` that somebody else has put there.
    """
    try:
        disk.place(root)
    except OSError as error:
        raise ScreenerError(f"{path}: refused, {error.filename}: {error.strerror}") from error
    return recordings.inside(root, path)


def delete(root: Path, paths: Iterable[Path]) -> list[Path]:
    """Delete recordings, and their day's directory if that leaves it empty; returns what was there.

    Raises ScreenerError at the first that is not a recording below `root`, or that may not be deleted.
    """
    deleted = []
    for path in paths:
        place = kept(root, path)
        if not recordings.FILE.fullmatch(place.name):
            raise ScreenerError(f"{path}: not deleted, it has not the name of a recording")
        try:
            with disk.opened(place.parent) as folder:
                os.unlink(place.name, dir_fd=folder)
            deleted.append(path)
            # Of today's directory Asterisk may be about to make use.
            if place.parent.name < time.strftime("%Y-%m-%d", time.gmtime(time.time() - DAY_S)):
                with suppress(OSError), disk.opened(place.parent.parent) as above:
                    os.rmdir(place.parent.name, dir_fd=above)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ScreenerError(
                f"{path}: the recording cannot be deleted: {error}; see docs/recordings.md on rights"
            ) from error
    return deleted


def delete_filed(root: Path, filed: Mapping[Path, str]) -> None:
    """Delete recordings by their paths in the ledger, with their SHA-256, also where `root` was before.

    What does not lie below `root` is deleted only if it is a recording of ours to the last byte, in the
    directory of a day. ScreenerError as `delete`.
    """
    for path, sha256 in filed.items():
        if path.is_absolute() and not path.parent.resolve().is_relative_to(root.resolve()):
            _delete_moved(path, sha256)
        else:
            delete(root, [path])


def _delete_moved(path: Path, sha256: str) -> None:
    """Delete by the directory that was looked at, so that a link put in its place leads nowhere."""
    refused = f"{path}: not deleted, it is not below recordings_dir and"
    if not (recordings.FILE.fullmatch(path.name) and recordings.DAY.fullmatch(path.parent.name)):
        raise ScreenerError(f"{refused} has not the place of a recording")
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ScreenerError(f"{refused} its directory cannot be opened: {error}") from error
    try:
        file = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        with os.fdopen(file, "rb") as content:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise ScreenerError(f"{refused} is no file")
            if hashlib.file_digest(content, "sha256").hexdigest() != sha256:
                raise ScreenerError(f"{refused} is not what was filed: delete it by hand if it is to go")
        os.unlink(path.name, dir_fd=folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ScreenerError(f"{refused} cannot be deleted: {error}") from error
    finally:
        os.close(folder)


def digest(root: Path, path: Path) -> str:
    """The SHA-256 of a recording as it is now, empty when it is gone; ScreenerError as `delete`."""
    file = recordings.opened(kept(root, path))
    if file is None:
        return ""
    with file:
        try:
            return hashlib.sha256(file.read()).hexdigest()
        except OSError as error:
            raise ScreenerError(f"{path}: the recording cannot be read: {error}; check the disk") from error


def _may_close(about: os.stat_result) -> bool:
    """Whether a chmod of ours takes nothing away but what it should: strangers to a group lose its setgid."""
    ours = {os.getegid(), *os.getgroups()}
    return os.geteuid() in {0, about.st_uid} and (
        os.geteuid() == 0 or not about.st_mode & stat.S_ISGID or about.st_gid in ours
    )


def _let_us_in(root: Path, about: os.stat_result) -> None:
    """Have what Asterisk makes in a directory of ours readable, and deletable, whatever its umask is."""
    shared = os.geteuid() == about.st_uid != 0 and about.st_mode & stat.S_IWGRP
    if not shared or _DEFAULT_ACL in os.listxattr(root):
        return
    entries = (
        (_USER_OBJ, 7, _NOBODY), (_USER, 7, about.st_uid), (_GROUP_OBJ, 7, _NOBODY), (_MASK, 7, _NOBODY),
        (_OTHER, 0, _NOBODY),
    )  # fmt: skip
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    with suppress(OSError):  # a file system without them: then Asterisk's umask must let us
        os.setxattr(root, _DEFAULT_ACL, acl)
