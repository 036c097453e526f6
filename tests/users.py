"""Other users of the machine, for tests that root runs: what they may do with a file is seen by trying."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OURS, ASTERISK, OTHER = 12001, 12002, 12003
"""The screener's user, Asterisk's, and anybody's; groups have the same numbers. None of them has a name."""
T = TypeVar("T")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")


def reachable(path: Path) -> None:
    """Let every user get to this place of a test, as they get to a real spool directory."""
    for one in (path, *path.parents):
        if one.stat().st_mode & 0o005 != 0o005:
            one.chmod(0o755)


def as_user(user: int, does: Callable[[], T], *groups: int, umask: int = 0o022) -> T:
    """Do something in a process of another user; its result, or the error that it ended with, raised here."""
    read, write = os.pipe()
    if not (child := os.fork()):
        try:
            os.setgroups(groups)
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            os.umask(umask)
            answer = pickle.dumps((does(), None))
        except Exception as error:  # noqa: BLE001 - it is raised on the other side
            answer = pickle.dumps((None, error))
        os.write(write, answer)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        result, failure = pickle.loads(pipe.read())  # noqa: S301 - from ourselves
    os.waitpid(child, 0)
    if failure:
        raise failure
    return result  # type: ignore[no-any-return]
