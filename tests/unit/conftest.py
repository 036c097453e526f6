"""Fixtures that unit tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.commandline import command
from tests.postgres import cluster, place
from tests.valkey import state_directory, store_url, valkey_server

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["cluster", "command", "place", "state_directory", "store_url", "valkey_server"]

ETC = {
    "asterisk.conf": "[directories]\n{directories}\n[options]\n",
    "extensions.conf": "; mine\n[from-trunk]\nexten => _X.,1,Dial(PJSIP/phone)\n",
    "manager.conf": '[general]\nenabled = yes\nport = 5039\n#include "manager.d/*.conf" \n',
    "manager.d/README.conf": "; nothing\n",
}


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """An Asterisk that is down, below a directory of its own."""
    directory = tmp_path / "etc"
    paths = {
        "astetcdir": directory, "astdatadir": tmp_path / "data", "astspooldir": tmp_path / "spool",
        "astvarlibdir": tmp_path / "data", "astrundir": tmp_path / "run",
    }  # fmt: skip
    for folder in ("etc/manager.d", "data/sounds/en", "spool", "run"):
        (tmp_path / folder).mkdir(parents=True)
    for name, content in ETC.items():
        (directory / name).write_text(
            content.replace("{directories}", "\n".join(f"{key} => {value}" for key, value in paths.items()))
        )
    return directory
