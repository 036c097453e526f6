"""`screener recordings`: what was filed, what its files are now, and no way out of the directory."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from screener.ledger import Ledger, Row

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commandline import Command

NOW = datetime.now(UTC)
HOSTILE = "\x1b[31m[red]\r\n=cmd()\u202e"
CALLER = "+8617712345678"


class Kept:
    """A directory of recordings and a ledger that knows of them."""

    def __init__(self, directory: Path) -> None:
        self.root, self.state = directory / "spool", directory / "state"
        self.rows: list[Row] = []

    def call(self, call_id: str, caller: str = CALLER, *, age_d: int = 0, name: str = "") -> Path:
        """A call of which both legs were recorded; the path of the mix."""
        at = NOW - timedelta(days=age_d)
        about = {"number": caller, "e164": caller, "shown": caller, "name": name}
        self.rows.append(
            Row(call_id, "setup", at, {"call": about, "verdict": {"action": "voicemail", "score": 7}})
        )
        for leg in ("caller", "mix"):
            path = self.root / "2026-03-02" / f"{call_id}-{leg}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{call_id} {leg}".encode())
            self.filed(call_id, path, leg)
        return path

    def filed(self, call_id: str, path: Path | str, leg: str = "mix") -> None:
        """A row alone."""
        sha = hashlib.sha256(f"{call_id} {leg}".encode()).hexdigest()
        body: dict[str, Any] = {"path": str(path), "leg": leg, "seconds": 1.5, "sha256": sha, "bytes": 1}
        self.rows.append(Row(call_id, "recording", NOW, body))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


@pytest.fixture
def run(kept: Kept, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    site = tmp_path / "site"
    site.mkdir()
    settings = {"ami": {"secret": "x"}, "state_dir": str(kept.state), "recordings_dir": str(kept.root)}
    (site / "screener.yaml").write_text(json.dumps(settings))
    monkeypatch.setenv("SCREENER_CONFIG", str(site))

    def run(*arguments: object) -> Any:
        with Ledger.open(kept.state / "ledger.db") as ledger:
            for row in kept.rows:
                ledger.append(row)
            kept.rows.clear()
        return command("recordings", *arguments)

    return run


def test_list__filters__give_each_leg_with_call_caller_seconds_and_hash(kept: Kept, run: Command) -> None:
    kept.call("1.1", age_d=40)
    kept.call("1.2", "+8613900000001", name=HOSTILE)
    assert len(json.loads(run("list", "--json").out)) == 4
    [one, mix] = json.loads(run("list", "--json", "--caller", CALLER).out)
    assert (one["call"], one["caller"], one["leg"], mix["leg"]) == ("1.1", CALLER, "caller", "mix")
    assert (one["seconds"], one["hash"]) == (1.5, "ok")
    assert {row["call"] for row in json.loads(run("list", "--json", "--since", "30d").out)} == {"1.2"}
    assert len(json.loads(run("list", "--json", "--since", "2020-01-01").out)) == 4
    assert len(json.loads(run("list", "--json", "--limit", 1).out)) == 2
    assert CALLER in run("list").out
    assert run("list", "--since", "yesterday").code == 2


def test_verify__each_fault__is_named_and_ends_with_1(kept: Kept, run: Command) -> None:
    mix = kept.call("1.1")
    told = run("verify")
    assert (told.code, told.out) == (0, "2 ok\n")
    mix.write_bytes(b"1.1 mux")
    kept.call("1.2").unlink()
    kept.call("1.3").with_name("1.9-mix.wav").write_bytes(b"nobody filed it")
    os.utime(mix.with_name("1.9-mix.wav"), (0, 0))
    mix.with_name("1.8-mix.wav").write_bytes(b"is being recorded")
    kept.filed("1.7", mix.with_name("1.7-mix.wav"))
    gone = {"row": 1, "bytes": 1, "sha256": hashlib.sha256(b"1.7 mix").hexdigest()}
    kept.rows.append(Row("", "erased", NOW, {"rows": [], "recordings": [gone], "because": "age"}))
    told = run("verify")
    assert told.code == 1
    assert sorted(told.out.splitlines()) == sorted(
        [
            f"changed: {mix}, call 1.1",
            f"missing: {mix.with_name('1.2-mix.wav')}, call 1.2",
            f"unfiled: {mix.with_name('1.9-mix.wav')}, call 1.9",
            told.out.splitlines()[-1],
        ]
    )
    found = json.loads(run("verify", "--json").out)
    assert found["counts"] == {"ok": 4, "changed": 1, "missing": 1, "erased": 1, "unfiled": 1}


def test_play__path__is_printed_only_of_what_is_as_it_was_filed(
    kept: Kept, run: Command, tmp_path: Path
) -> None:
    mix = kept.call("1.1")
    assert run("play", "1.1", "--path").out == f"{mix}\n"
    assert run("play", "1.1", "--path", "--leg", "caller").out == f"{mix.with_name('1.1-caller.wav')}\n"
    for unknown in ("1", "", HOSTILE, "-1"):
        told = run("play", "--path", "--", unknown)
        assert (told.code, "nothing was recorded" in told.err) == (1, True)
    mix.write_bytes(b"1.1 mux")
    told = run("play", "1.1", "--path")
    assert (told.code, told.out) == (1, "")
    assert "changed" in told.err
    (tmp_path / "2.1-mix.wav").write_bytes(b"2.1 mix")
    kept.filed("2.1", kept.root / ".." / "2.1-mix.wav")
    kept.filed("2.2", HOSTILE)
    for outside in ("2.1", "2.2"):
        assert "refused" in run("play", outside, "--path").err


def test_play__a_player__is_given_the_path_as_one_argument(
    kept: Kept, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix = kept.call("1.1")
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert "no player here" in run("play", "1.1").err
    player = tmp_path / "bin/aplay"
    player.parent.mkdir()
    player.write_text(f'#!/bin/sh\nfor one; do echo "<$one>"; done > {tmp_path}/played\n')
    player.chmod(0o755)
    monkeypatch.setenv("PATH", str(player.parent))
    assert run("play", "1.1").code == 0
    assert (tmp_path / "played").read_text() == f"<-q>\n<{mix}>\n"
