"""The Asterisk of this machine is found, or asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from screener import asterisk
from screener.errors import AsteriskNotFound

if TYPE_CHECKING:
    from pathlib import Path


def test_asterisk__down__is_described_by_its_files(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(asterisk, "_program", lambda: "")
    found = asterisk.find(etc)
    assert (found.running, found.spool, found.sounds) == (
        False, etc.parent / "spool", etc.parent / "data/sounds",
    )  # fmt: skip


def test_asterisk__several_or_none__is_asked_for(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = etc.parent / "second"
    second.mkdir()
    with pytest.raises(AsteriskNotFound, match=r"neither asterisk.conf nor"):
        asterisk.find(second)
    (second / "asterisk.conf").write_text("")
    monkeypatch.setattr(asterisk, "USUAL", (etc, second))
    with pytest.raises(AsteriskNotFound, match=r"more than one .*--asterisk-etc"):
        asterisk.find()
    monkeypatch.setattr(asterisk, "USUAL", (etc.parent,))
    with pytest.raises(AsteriskNotFound, match=r"no asterisk.conf in"):
        asterisk.find()
