"""The commands of feeds, on a store of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commandline import Command

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch, command: Command) -> Run:
    (tmp_path / "screener.yaml").write_text(json.dumps({"redis": {"url": store_url}}))
    ours = {"enabled": "true", "description": "ours", "licence": "ours", "source": str(tmp_path / "list")}
    feeds = {"feeds": {"ours": ours | {"format": "plain"}}}
    (tmp_path / "feeds.yaml").write_text(json.dumps(feeds))
    monkeypatch.setenv("SCREENER_CONFIG", str(tmp_path))

    def run(*arguments: str) -> tuple[int, str]:
        ended = command(*arguments)
        return ended.code, ended.out + ended.err

    return run


def test_feed__from_the_first_refresh_to_a_roll_back__each_command_says_so(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("+8617712345678,debt\x1b[31m\nnonsense\n")
    assert run("feed", "list")[0] == 0
    code, said = run("feed", "refresh")
    assert code == 0
    assert "ours: 1 entries, bad rows: 1\n" in said
    code, said = run("feed", "show", "17712345678")
    assert code == 0
    assert "+8617712345678" in said
    assert "1.00" in said
    assert "\x1b" not in said
    code, said = run("feed", "show", "17712345679")
    assert code == 1
    assert "no feed lists this caller" in said

    file.write_text("+8617712345679\n")
    code, said = run("feed", "refresh", "ours")
    assert code == 2
    assert "screener feed refresh ours --any-change" in said
    (row,) = [line for line in run("feed", "list")[1].splitlines() if line.startswith("ours")]
    assert "would change 100% of the entries" in row
    assert run("feed", "refresh", "ours", "--any-change")[0] == 0
    assert run("feed", "show", "17712345679")[0] == 0

    code, said = run("feed", "rollback", "ours")
    assert code == 0
    assert "ours: 1 entries of 20" in said
    assert run("feed", "show", "17712345678")[0] == 0
    code, said = run("feed", "refresh", "ours")
    assert code == 2
    assert "rolled back" in said


def test_feed__explain__knows_the_feeds(run: Run, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("+8617712345678\n")
    run("feed", "refresh")
    _, said = run("explain", "17712345678")
    assert "listed by ours, 1 votes" in said


def test_feed__unknown_or_switched_off__refused(run: Run) -> None:
    for name, reason in (("theirs", "there is no feed 'theirs'"), ("ftc", "ftc is switched off")):
        code, said = run("feed", "refresh", name)
        assert code == 2
        assert reason in said


def test_feed__nothing_there__no_roll_back(run: Run) -> None:
    code, said = run("feed", "rollback", "ours")
    assert code == 2
    assert "no snapshot of ours before" in said
