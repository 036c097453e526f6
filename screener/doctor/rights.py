"""Whom a path lets in, by its owner, groups and mode; also where its rights are those of somebody else."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from screener.errors import NotChecked

if TYPE_CHECKING:
    from collections.abc import Collection

R, W, X = 4, 2, 1
_ACL = "system.posix_acl_access"


@dataclass(frozen=True, slots=True)
class Who:
    """A user of this machine, with the groups that count for him."""

    uid: int
    groups: Collection[int]

    @property
    def name(self) -> str:
        """His name, or the number if he has none."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"#{self.uid}"

    def lacks(self, path: Path, bits: int) -> str:
        """Where the way to `path` ends for him: the first place, and what he may not do; empty if nowhere.

        A place with an access control list of its own is believed to let him in.
        """
        for place in (*reversed(path.absolute().parents), path):
            wanted = bits if place == path else X
            if not self._may(place, wanted):
                return f"{place}: {self.name} may not {_words(wanted)} there"
        return ""

    def _may(self, place: Path, bits: int) -> bool:
        about = place.stat()
        if self.uid == 0 or _ACL in os.listxattr(place):
            return True
        shift = 6 if self.uid == about.st_uid else 3 if about.st_gid in self.groups else 0
        return about.st_mode >> shift & bits == bits


def of_user(uid: int) -> Who:
    """A user and the groups that the machine knows him in."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Who(uid, (uid,))
    return Who(uid, os.getgrouplist(entry.pw_name, entry.pw_gid))


def of_process(pid_file: str) -> Who:
    """Whom a running process is; NotChecked when that cannot be seen."""
    try:
        pid = int(Path(pid_file).read_text("ascii"))
        lines = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
            if ":" in line
        )
        gids = {int(lines["Gid"].split()[1]), *map(int, lines["Groups"].split())}
        return Who(int(lines["Uid"].split()[1]), gids)
    except (OSError, ValueError, LookupError) as error:
        raise NotChecked(f"as whom Asterisk runs cannot be seen: {pid_file}: {error}") from error


def open_to_others(path: Path) -> str:
    """The rights that every user of the machine has there, as `rwx`; empty if none."""
    mode = stat.S_IMODE(path.stat().st_mode)
    return "".join(letter for letter, bit in (("r", R), ("w", W), ("x", X)) if mode & bit)


def _words(bits: int) -> str:
    return ", ".join(word for word, bit in (("read", R), ("write", W), ("go through", X)) if bits & bit)
