"""The directory of recordings: closed to others where we may, told where not; deleted and compared safely."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from screener import spool as module
from screener.errors import ScreenerError
from screener.spool import Spool, delete, delete_filed, digest, secure
from tests.users import ASTERISK, OTHER, OURS, as_user, needs_root, reachable

if TYPE_CHECKING:
    from collections.abc import Callable

STEM = "2026-03-02/1700000000.1"
LEGS = (f"{STEM}-caller.wav", f"{STEM}-mix.wav")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "spool"
    directory.mkdir()
    reachable(directory)
    return directory


def records(root: Path) -> None:
    """What MixMonitor does: a directory 0777 and a file 0666, less the umask."""
    (root / LEGS[0]).parent.mkdir(mode=0o777, exist_ok=True)
    for leg in LEGS:
        os.close(os.open(root / leg, os.O_CREAT | os.O_WRONLY, 0o666))
        (root / leg).write_bytes(b"sound")


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refused(user: int, does: Callable[[], object], *groups: int) -> bool:
    try:
        as_user(user, does, *groups)
    except PermissionError:
        return True
    return False


@needs_root
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o000])
def test_directory__set_up_as_documented__only_asterisk_and_we_read_whatever_the_umask(
    root: Path, umask: int
) -> None:
    os.chown(root, OURS, ASTERISK)
    root.chmod(0o2770)
    try:  # owner, group and others, as the mode has them
        acl = struct.pack("<IHHIHHIHHI", 2, 1, 7, 0, 4, 7, 0, 32, 0, 0)
        os.setxattr(root.parent, "system.posix_acl_default", acl)
    except OSError as error:
        pytest.skip(f"the file system of this machine has no access control lists: {error}")
    assert as_user(OURS, partial(secure, root)) == ""
    as_user(ASTERISK, partial(records, root), umask=umask)
    for leg in LEGS:
        assert as_user(OURS, (root / leg).read_bytes) == b"sound"
        assert refused(OTHER, partial((root / leg).read_bytes))
    assert refused(OTHER, partial(os.listdir, root))
    assert as_user(OURS, partial(delete, root, [root / leg for leg in LEGS])) == [root / leg for leg in LEGS]
    assert not (root / LEGS[0]).parent.exists()
    as_user(ASTERISK, partial(records, root), umask=umask)


@needs_root
def test_directory__of_asterisks_own_making__is_told_and_closed_as_soon_as_somebody_may(root: Path) -> None:
    os.chown(root, ASTERISK, ASTERISK)
    as_user(ASTERISK, partial(records, root))
    assert as_user(OTHER, (root / LEGS[0]).read_bytes) == b"sound"
    told = as_user(OURS, partial(secure, root))
    assert told == f"every user of this machine can read the recordings: run as root: chmod o= {root}"
    assert as_user(ASTERISK, partial(secure, root)) == ""  # where both are one user
    assert rights(root) == 0o750
    assert refused(OTHER, partial((root / LEGS[0]).read_bytes))
    assert "cannot be read by the screener's user" in as_user(OURS, partial(secure, root))
    assert as_user(OURS, partial(secure, root), ASTERISK) == ""
    assert as_user(OURS, (root / LEGS[0]).read_bytes, ASTERISK) == b"sound"


@needs_root
def test_directory__that_asterisk_may_be_writing_to_as_anybody__is_never_closed(root: Path) -> None:
    os.chown(root, OURS, OURS)
    root.chmod(0o1777)
    assert "every user can write" in as_user(OURS, partial(secure, root))
    as_user(ASTERISK, partial(records, root))
    # A chmod of ours would take away the setgid bit by which Asterisk's group gets to what is made here.
    os.chown(root, OURS, ASTERISK)
    root.chmod(0o2775)
    assert "chmod o=" in as_user(OURS, partial(secure, root))
    assert rights(root) == 0o2775


def test_directory__not_made_yet__is_not_made_by_us(tmp_path: Path) -> None:
    assert secure(tmp_path / "none") == ""
    assert not (tmp_path / "none").exists()


def test_spool__an_alarm__is_logged_and_told_once_and_ends(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    one = Spool(root, told.append)
    with capture_logs() as logs:
        monkeypatch.setattr(module, "LOW_DISK_BYTES", 1 << 62)
        one.check()
        one.check()
        one.refused_one()
        one.refused_one()
        one.lost_one("a recording cannot be filed", reason="one")
        one.lost_one("a recording cannot be filed", reason="two")
        assert len(one.status()["alarms"]) == len(told) == 3
        monkeypatch.setattr(module, "LOW_DISK_BYTES", 0)
        one.check()
    errors = [str(line["event"]) for line in logs if line["log_level"] == "error"]
    assert [text.split(":")[0] for text in errors] == [
        "little space left for recordings",
        "a call was not recorded, too many were at that moment",
        "a recording cannot be filed",  # each of them is a lost recording
        "a recording cannot be filed",
    ]
    assert (one.status()["lost"], one.status()["refused"], len(one.status()["alarms"])) == (2, 2, 2)


def test_delete__what_is_no_recording_below_the_root__is_refused(root: Path, tmp_path: Path) -> None:
    records(root)
    outside = tmp_path / "2026-03-02"
    outside.mkdir()
    (outside / "1-mix.wav").write_bytes(b"precious")
    (root / "2026-03-03").symlink_to(outside)
    (root / "2026-03-02/notes.txt").write_text("precious")
    days, other = root / "2026-03-02", root / "2026-03-03"
    names = ("../2026-03-02/1-mix.wav", "notes.txt", "a\0-mix.wav")
    for path in (outside / "1-mix.wav", other / "1-mix.wav", days, *(days / name for name in names)):
        with pytest.raises(ScreenerError):
            delete(root, [path])
    assert (outside / "1-mix.wav").read_bytes() == b"precious"
    (root / "2026-03-02/2-mix.wav").symlink_to(outside / "1-mix.wav")
    assert delete(root, [root / "2026-03-02/2-mix.wav", root / LEGS[0], root / "2026-03-02/9-mix.wav"])
    assert (outside / "1-mix.wav").read_bytes() == b"precious"
    assert (root / "2026-03-02/notes.txt").exists()


class Late(type(Path())):  # type: ignore[misc]
    """A path by which the day is swapped for a link in the moment between looking and deleting."""

    @property
    def name(self) -> str:
        day = Path(os.path.dirname(self))  # noqa: PTH120 - its own parent is such a path again
        if not day.is_symlink():
            day.rename(day.with_name("moved"))
            day.symlink_to(day.parent.parent / "victim")
        return str(super().name)


def test_delete__day_becomes_a_link_after_it_was_looked_at__leads_nowhere(root: Path, tmp_path: Path) -> None:
    records(root)
    victim = tmp_path / "victim" / Path(LEGS[0]).name
    victim.parent.mkdir()
    victim.write_bytes(b"precious")
    with pytest.raises(ScreenerError, match="cannot be deleted"):
        delete(root, [Late(root / LEGS[0])])
    assert victim.read_bytes() == b"precious"


@needs_root
@pytest.mark.parametrize(("owner", "goes"), [(0, True), (ASTERISK, False)])
def test_delete__by_root_where_the_directory_is_a_link__follows_roots_own_alone(
    root: Path, tmp_path: Path, owner: int, *, goes: bool
) -> None:
    records(root)
    link = tmp_path / "link"
    link.symlink_to(root)
    os.chown(link, owner, owner, follow_symlinks=False)
    if goes:
        assert delete(link, [link / LEGS[0]])
    else:
        with pytest.raises(ScreenerError, match="a symbolic link that is not root's"):
            delete(link, [link / LEGS[0]])
    assert (root / LEGS[0]).exists() != goes


def test_digest__of_a_file_a_link_and_nothing__is_its_own_or_refused_or_empty(root: Path) -> None:
    records(root)
    assert digest(root, root / LEGS[0]) == hashlib.sha256(b"sound").hexdigest()
    assert digest(root, root / "2026-03-02/9-mix.wav") == ""
    (root / "2026-03-02/2-mix.wav").symlink_to(root / LEGS[0])
    with pytest.raises(ScreenerError):
        digest(root, root / "2026-03-02/2-mix.wav")


def moved(tmp_path: Path) -> tuple[Path, Path, str]:
    """Where recordings are now, and one from before with its SHA-256."""
    old = tmp_path / "old" / "2025-01-01" / "1.1-mix.wav"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"RIFF of a call")
    (tmp_path / "new").mkdir()
    return tmp_path / "new", old, hashlib.sha256(b"RIFF of a call").hexdigest()


def test_delete__recording_from_before_the_directory_moved__goes(tmp_path: Path) -> None:
    root, old, sha256 = moved(tmp_path)
    delete_filed(root, {old: sha256})
    assert not old.exists()
    delete_filed(root, {old: sha256, tmp_path / "gone/2025-01-01/1.1-mix.wav": sha256})


def test_delete__elsewhere_and_not_what_was_filed__stays(tmp_path: Path) -> None:
    root, old, sha256 = moved(tmp_path)
    with pytest.raises(ScreenerError, match="not what was filed"):
        delete_filed(root, {old: "0" * 64})
    other = tmp_path / "passwd"
    other.write_bytes(old.read_bytes())
    unlike = old.with_name("notes.txt")
    unlike.write_bytes(old.read_bytes())
    for path in (other, unlike, tmp_path / "x-mix.wav"):
        with pytest.raises(ScreenerError, match="has not the place of a recording"):
            delete_filed(root, {path: sha256})
    assert other.exists()
    assert unlike.exists()


@pytest.mark.parametrize("what", ["file", "day", "pipe"])
def test_delete__link_or_pipe_where_a_recording_was__leads_nowhere(tmp_path: Path, what: str) -> None:
    root, old, sha256 = moved(tmp_path)
    victim = tmp_path / "victim" / "1.1-mix.wav"
    victim.parent.mkdir()
    victim.write_bytes(old.read_bytes())
    old.unlink()
    if what == "file":
        old.symlink_to(victim)
    elif what == "pipe":
        os.mkfifo(old)
    else:
        old.parent.rmdir()
        old.parent.symlink_to(victim.parent)
    with pytest.raises(ScreenerError, match="not deleted"):
        delete_filed(root, {old: sha256})
    assert victim.exists()
