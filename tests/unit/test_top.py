"""`screener top` on one screen: what fits, and what a stranger wrote does nothing to the terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from screener.cli.top import Rate, screen
from screener.counters import Counters
from screener.ledger import CallRecord
from tests.scrape import no_rules

HOSTILE = "\x1b[2J[red]Bob[/red]\r\n\u202eevil\u0085" + "长" * 200


def status(**changed: Any) -> dict[str, Any]:
    """As the service answers."""
    return {
        "version": "0.1.0", "started_at": "2026-11-28T18:00:00+00:00", "policy": "878fbda3994f",
        "variant": "",
        "parts": {"asterisk": True, "store": True, "ledger": True}, "problems": [],
        "ledger": {"waiting": 0}, "pbxs": {"": {"recordings": {"alarms": []}}}, "loop": {"worst_ms": 1.0},
        **Counters().as_dict(no_rules()),
    } | changed  # fmt: skip


def call(n: int) -> CallRecord:
    """Of somebody who writes what he likes."""
    return CallRecord(
        "", f"1.{n}", datetime(2026, 11, 28, tzinfo=UTC), {"shown": HOSTILE, "did": HOSTILE}, {}, {},
        {"action": "voicemail", "score": 9.0, "hits": [{"symbol": "BLOCKLISTED", "score": 9.0}] * 20},
        {}, [], {"disposition": HOSTILE}, [], {}, (),
    )  # fmt: skip


def shown(told: dict[str, Any], calls: int, size: tuple[int, int], rate: float | None = None) -> str:
    console = Console(file=io.StringIO(), width=size[0], height=size[1], color_system=None)
    console.print(screen(told, [call(n) for n in range(calls)], rate, size[1]))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (200, 60)])
@pytest.mark.parametrize("problems", [[], [HOSTILE] * 5])
def test_screen__hostile_texts_and_any_size__fits_and_prints_nothing_but_text(
    size: tuple[int, int], problems: list[str]
) -> None:
    told = shown(status(problems=problems), 100, size)
    lines = told.rstrip("\n").split("\n")
    assert len(lines) <= max(size[1], 17)
    assert all(line.isprintable() for line in lines)
    assert "[red]" in told or size[0] == 40


def test_screen__something_is_not_ready__says_what() -> None:
    parts = {"asterisk": False, "store": True, "ledger": False}
    told = shown(status(parts=parts, verdicts={"setup": {"allow": 3}}, missed={"late": 1}), 0, (100, 24), 2.5)
    assert "NOT ready: asterisk, ledger" in told
    assert "2.5 calls/s" in told
    assert "3 allow, 1 unscreened: late" in told


def test_rate__looks_one_after_the_other__is_calls_per_second_and_begins_anew_after_a_restart() -> None:
    rate = Rate()

    def look(at: float, calls: int, started: str = "a") -> float | None:
        return rate.of({"started_at": started, "verdicts": {"setup": {"allow": calls}}}, at)

    assert look(0, 100) is None
    assert look(1, 105) == 5
    assert look(5, 105) == 1
    assert look(20, 105) is None
    assert look(21, 105) == 0
    assert look(22, 3, "b") is None
    assert look(24, 7, "b") == 2
