"""Rows that no screener of this version wrote: readers show the rest of them, and go on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from screener.ledger import Ledger, Row, calls

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commandline import Command

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HIT = {"symbol": "BURST", "score": 1}
STRANGE: list[tuple[str, dict[str, Any]]] = [
    ("setup", {}),
    ("setup", {"call": None, "verdict": None, "timings": 7, "missing": None}),
    ("setup", {"call": "x", "verdict": ["allow"], "facts": "y", "missing": "z"}),
    ("setup", {"call": {"number": 7, "shown": {}, "did": [], "e164": 1, "name": 5, "trunk": {}}}),
    ("setup", {"verdict": {"action": "allow"}}),
    ("setup", {"verdict": {"action": "allow", "score": "high", "hits": []}}),
    ("setup", {"verdict": {"action": "allow", "score": True, "hits": []}}),
    ("setup", {"verdict": {"action": "allow", "score": 1, "hits": "BURST"}}),
    ("setup", {"verdict": {"action": "allow", "score": 1, "hits": [HIT, "BURST"]}}),
    ("setup", {"verdict": {"action": "allow", "score": 1, "hits": [{"symbol": "BURST"}]}}),
    ("setup", {"verdict": {"action": "allow", "score": 1, "hits": [{"score": 1}]}}),
    ("setup", {"verdict": {"action": {}, "score": 1, "hits": [HIT]}}),
    ("challenge", {"verdict": {}}),
    ("end", {}),
    ("end", {"delay_ms": "long", "talk_s": "none", "number": 5, "did": {}, "disposition": 3, "missed": []}),
    ("recording", {}),
    ("recording", {"path": 7, "leg": "caller"}),
    ("recording", {"path": {}, "leg": "caller"}),
    ("recording", {"path": "/rec/1-caller.wav", "leg": "caller"}),
    ("recording", {"path": "/rec/1-caller.wav", "leg": "caller", "seconds": "5", "sha256": 3, "bytes": "x"}),
    ("transcript", {}),
    ("transcript", {"text": 7, "wording": 7}),
    ("transcript", {"text": "a", "wording": ["loan", {}, {"kind": "company"}]}),
    ("transcript", {"text": "a", "wording": [{"kind": 7, "value": None, "name": None, "quote": []}]}),
    ("campaign", {}),
    ("campaign", {"campaign": {}}),
    ("message", {}),
    ("message", {"call": {}}),
    ("message", {"call": {"shown": 7, "did": None, "text": None}, "verdict": {"score": 1}, "wording": 3}),
    ("message-end", {}),
]
CALL = {"number": "13912345678", "e164": "+8613912345678", "shown": "+8613912345678"}
WELL = {"call": CALL, "verdict": {"action": "allow", "score": 1, "hits": [HIT]}}
COMMANDS = (
    ("calls", "--limit", 99), ("calls", "--json", "--limit", 99), ("calls", "--caller", "+8613912345678"),
    ("recordings", "list"), ("recordings", "verify"), ("messages", "list", "--last", "9999d"),
    *(("messages", "show", f"1.{n}") for n, (kind, _) in enumerate(STRANGE) if kind == "message"),
    ("case", "suggest"), ("case", "open", "x", "--number", "+8613912345678"), ("replay",),
    ("ledger", "verify"),
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of strange rows, each of another call, and one that is as we write it."""
    site, found = tmp_path / "site", tmp_path / "state" / "ledger.db"
    site.mkdir()
    (site / "screener.yaml").write_text(f"state_dir: {found.parent}\nrecordings_dir: {tmp_path}\n")
    monkeypatch.setenv("SCREENER_CONFIG", str(site))
    with Ledger.open(found) as ledger:
        for n, (kind, body) in enumerate(STRANGE):
            ledger.append(Row(f"1.{n}", kind, NOON, body))
        ledger.append(Row("1.99", "setup", NOON, WELL))
    return found


@pytest.mark.parametrize("arguments", COMMANDS)
def test_readers__rows_that_lack_what_we_write__show_the_rest(
    command: Command, path: Path, arguments: tuple[object, ...]
) -> None:
    ended = command(*arguments)  # raises what is no error of ours
    assert ended.code in {0, 1, 3}, ended.err
    assert "1.99" in {one.call_id for one in calls(path)}
    if arguments[0] == "calls":
        assert "BURST" in ended.out
