"""`screener top`: the running service on one screen of a terminal, renewed each second."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections import deque
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from screener import app, control, ledger
from screener.cli.common import Site, chosen, width
from screener.config import state_dir
from screener.errors import LedgerError, NotRunning
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from screener.ledger import CallRecord

EVERY_S: Final = 1.0
RATE_S: Final = 10.0
"""Calls per second are counted over so long."""
SIZE: Final = (80, 24)
"""Where there is no terminal whose size is known."""
SYMBOLS: Final = 5
CELL: Final = 60
COLOURS: Final = {"allow": "green", "challenge": "yellow", "voicemail": "red", "reject": "bold red"}
PHASES: Final = ("queue", "state", "judge", "send", "total")


def top(
    once: Annotated[
        bool, typer.Option("--once", help="Print it once, for scripts; exit code 7: none runs.")
    ] = False,
    site: Site = None,
) -> None:
    """Show what the running screener does, renewed each second; q ends it."""
    directory = state_dir(chosen(site))
    console = Console()
    if once or not console.is_terminal:
        status = control.ask(directory, "status")
        Console(width=width(2 * SIZE[0])).print(screen(status, _latest(directory, SIZE[1]), None, SIZE[1]))
        return
    with (
        contextlib.suppress(KeyboardInterrupt),
        _keys() as pressed,
        Live(console=console, screen=True) as live,
    ):
        rate = Rate()
        while True:
            try:
                status = control.ask(directory, "status")
            except NotRunning as error:
                live.update(
                    Text(f"{error}\n\nLooking again each second; q ends this.", overflow="fold"), refresh=True
                )
            else:
                latest = _latest(directory, console.height)
                live.update(screen(status, latest, rate.of(status), console.height), refresh=True)
            if pressed(EVERY_S):
                return


class Rate:
    """Calls per second, from what was counted at each look."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, str, int]] = deque()

    def of(self, status: dict[str, Any], now: float | None = None) -> float | None:
        """Over the last ten seconds; None at the first look, and after a restart."""
        at = time.monotonic() if now is None else now
        asked = sum(status["verdicts"].get("setup", {}).values())
        if self._seen and self._seen[-1][1] != status["started_at"]:
            self._seen.clear()
        self._seen.append((at, status["started_at"], asked))
        while at - self._seen[0][0] > RATE_S:
            self._seen.popleft()
        before, _, then = self._seen[0]
        return (asked - then) / (at - before) if at > before else None


def screen(status: dict[str, Any], latest: Sequence[CallRecord], rate: float | None, height: int) -> Group:
    """All of it, in so many lines at most; every text of strangers on it is harmless to a terminal."""
    head = [_line(text, style) for text, style in _head(status, rate)]
    delays = _table("phase", "p50 ms", "p99 ms", right=(1, 2))
    for phase in PHASES:
        one = status["delays"].get(phase, {})
        delays.add_row(phase, *(_ms(one.get(key)) for key in ("p50_ms", "p99_ms")))
    rules = _table("symbol", "hits", "shadow", right=(1, 2))
    fired = [rule for rule in status["rules"].items() if rule[1]["hits"]]
    ranked = sorted(fired, key=lambda rule: (-rule[1]["hits"], rule[0]))
    for symbol, one in [*ranked[:SYMBOLS], *[("", {"hits": "", "shadow_hits": 0})] * SYMBOLS][:SYMBOLS]:
        rules.add_row(symbol, str(one["hits"]), str(one["shadow_hits"] or ""))
    beside = Table.grid(padding=(0, 4))
    beside.add_row(delays, rules)
    calls = _table("time", "caller", "called", "verdict", "score", "reasons", "ended", right=(4,))
    for record in latest[: max(1, height - len(head) - SYMBOLS - 4)]:
        calls.add_row(*_call(record))
    return Group(*head, Text(), beside, Text(), calls)


def _head(status: dict[str, Any], rate: float | None) -> Iterator[tuple[str, str]]:
    since = datetime.fromisoformat(status["started_at"])
    variant = f", variant {status['variant']}" if status["variant"] else ""
    policy = f"policy {status['policy']}{variant}"
    speed = "" if rate is None else f", {rate:.1f} calls/s"
    yield f"screener {status['version']}, {policy}, since {since:%m-%d %H:%M}Z{speed}", "bold"
    away = [part for part, is_there in status["parts"].items() if not is_there]
    loop, ledger_ = status.get("loop", {}), status["ledger"]
    parts = f"NOT ready: {', '.join(away)}" if away else f"ready: {', '.join(status['parts'])}"
    beside = f"{parts}; loop {_ms(loop.get('worst_ms'))} ms late at worst, {ledger_['waiting']} rows wait"
    yield beside, "bold red" if away else "green"
    verdicts = status["verdicts"].get("setup", {})
    counts = [f"{times} {action}" for action, times in verdicts.items()]
    counts += [f"{times} {reason}" for reason, times in status["failures"].items()]
    counts += [f"{times} unscreened: {why}" for why, times in status["missed"].items()]
    yield f"calls: {', '.join(counts) or 'none yet'}", ""
    alarms = [alarm for pbx in status["pbxs"].values() for alarm in pbx["recordings"]["alarms"]]
    for problem in [*status["problems"], *alarms][:2]:
        yield f"NOT in order: {printable(problem, 2 * SIZE[0])}", "bold red"


def _call(record: CallRecord) -> tuple[Text, ...]:
    verdict = record.verdict
    action = str(verdict.get("action", "")) or f"none ({record.end.get('missed') or '?'})"
    reasons = " ".join(f"{hit['symbol']}({hit['score']:+g})" for hit in verdict.get("hits", []))
    cells = (
        f"{record.at.astimezone():%H:%M:%S}",
        record.call.get("shown") or record.end.get("number", ""),
        record.call.get("did") or record.end.get("did", ""),
        action,
        f"{verdict['score']:g}" if verdict else "",
        reasons,
        record.disposition or "…",
    )
    return tuple(
        Text(printable(str(cell), CELL), COLOURS.get(action, "") if cell == action else "") for cell in cells
    )


def _table(*columns: str, right: tuple[int, ...] = ()) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, name in enumerate(columns):
        side = "right" if number in right else "left"
        ratio = {"reasons": 1}.get(name)
        table.add_column(name, justify=side, no_wrap=True, overflow="ellipsis", ratio=ratio)  # type: ignore[arg-type]
    return table


def _line(text: str, style: str) -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _latest(directory: Path, limit: int) -> list[CallRecord]:
    """The latest calls; none while there is no ledger to read."""
    try:
        return list(islice(ledger.calls(directory / app.LEDGER_FILE, limit=limit), limit))
    except LedgerError:
        return []


def _never(seconds: float) -> bool:
    """Wait, where there are no keys to press."""
    time.sleep(seconds)
    return False


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Within the block, `pressed(seconds)` waits so long at most, and says whether q was pressed."""
    if not sys.stdin.isatty():
        yield _never
        return
    line = sys.stdin.fileno()
    before = termios.tcgetattr(line)

    def pressed(seconds: float) -> bool:
        ready, _, _ = select.select((line,), (), (), seconds)
        return bool(ready) and os.read(line, 64).lower()[:1] in {b"q", b"\x04", b""}

    try:
        tty.setcbreak(line)
        yield pressed
    finally:
        termios.tcsetattr(line, termios.TCSADRAIN, before)
