"""The board: each call as it progresses, on a terminal live, elsewhere scene by scene."""

from __future__ import annotations

import os
import signal
import sys
from itertools import takewhile
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, JustifyMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from rich.console import RenderableType

    from tests.demo.line import Line
    from tests.demo.scene import Scene

WIDTH = 120
COLUMNS: tuple[tuple[str, int, JustifyMethod], ...] = (
    ("", 2, "left"),
    ("caller", 14, "left"),
    ("called", 6, "left"),
    ("verdict", 11, "left"),
    ("score", 5, "right"),
    ("reasons", 24, "left"),
    ("delay ms", 8, "right"),
    ("ended", 17, "left"),
    ("recording", 24, "left"),
)
NARROWEST = 9
COLOURS = {"allow": "green", "challenge": "yellow", "voicemail": "magenta", "reject": "red"}
REFRESHES_PER_S = 4


class _Output(Console):
    """Standard output; when its reader has left (`| head`), the demonstration is stopped in order."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        signal.raise_signal(signal.SIGTERM)


class Board:
    """`with Board(console, scenes):` – finished scenes are printed in order, those being played stay live."""

    def __init__(self, console: Console, scenes: Sequence[Scene]) -> None:
        self.console, self.scenes, self.printed = console, scenes, 0
        self.live = Live(
            get_renderable=self._playing,
            console=console,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
            vertical_overflow="crop",
        )

    @staticmethod
    def output() -> Console:
        """Where the board is shown: as wide as the terminal, elsewhere 120 columns."""
        return _Output(width=None if sys.stdout.isatty() else WIDTH, highlight=False)

    def finished(self) -> None:
        """Print the scenes that are over, as far as all before them are too."""
        over = list(takewhile(lambda scene: scene.done, self.scenes[self.printed :]))
        self.printed += len(over)
        for scene in over:
            self.console.print(show(scene, self.console.width))

    def __enter__(self) -> Self:
        self.console.print(_table(self.console.width, header=True))
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def _playing(self) -> RenderableType:
        scenes = self.scenes[self.printed :]
        waiting = [scene for scene in scenes if not scene.begun]
        parts: list[RenderableType] = [show(scene, self.console.width) for scene in scenes if scene.begun]
        parts += [Text(f" …  {scene.number:>2}  {scene.title}", style="dim") for scene in waiting]
        return Group(*parts)


def show(scene: Scene, width: int) -> RenderableType:
    """A scene: its title, and a row for each of its calls, what commands said."""
    if not scene.done:
        mark = Text(" ▸ ", style="bold cyan")
    elif scene.skipped:
        mark = Text(" – ", style="bold yellow")
    else:
        mark = Text(" ✓ ", style="bold green") if scene.well else Text(" ✗ ", style="bold red")
    title = Text.assemble(mark, (f"{scene.number:>2}  {scene.title}", "bold"))
    table = _table(width, header=False)
    for line in scene.lines:
        table.add_row(*_cells(line)[: len(table.columns)])
    told = [Text(f"   {one}") for one in scene.told]
    trouble = [Text(f"   ✗ {problem}", style="red") for problem in problems(scene)]
    trouble += [Text(f"   skipped: {scene.skipped}", style="yellow")] if scene.skipped else []
    return Group(title, table, *told, *trouble)


def problems(scene: Scene) -> list[str]:
    """What went wrong, call by call: what was expected and what happened."""
    found = [
        f"{line.caller} to {line.called}: expected “{line.should}”, happened “{line.happened}”"
        + (f": {line.problem}" if line.problem else "")
        for line in scene.lines
        if line.done and not line.well
    ]
    return found + ([f"the scene broke off: {scene.problem}"] if scene.problem else [])


def verdict(line: Line) -> str:
    """The first verdict; where none came, why."""
    if line.missed:
        return f"none ({line.missed})"
    return str(line.question.get("verdict", {}).get("action", ""))


def reasons(line: Line) -> list[str]:
    """The symbols that made the verdict, strongest first; without those that added nothing."""
    hits = [hit for hit in line.question.get("verdict", {}).get("hits", []) if hit["score"] or hit["force"]]
    return [hit["symbol"] for hit in sorted(hits, key=lambda hit: (-abs(hit["score"]), hit["symbol"]))]


def skipped(line: Line) -> int:
    """How many rules could not be asked since the store was away."""
    question = line.question
    return len(question["verdict"]["skipped"]) if question.get("missing") else 0


def _cells(line: Line) -> list[Text]:
    action, delay = verdict(line), line.delay_ms
    why = " ".join(reasons(line))
    if skipped(line):
        why = f"{why} no store: {skipped(line)} rules skipped".strip()
    score = line.question.get("verdict", {}).get("score")
    if not line.done:
        ended = Text(line.doing, style="cyan")
    else:
        ended = Text(line.happened, style="green" if line.well else "red")
    return [
        Text(""),
        Text(line.caller),
        Text(line.called),
        Text(action, style=COLOURS.get(action, "dim")),
        Text("" if score is None or line.missed else f"{score:g}"),
        Text(why),
        Text("" if delay is None else f"{delay:.1f}"),
        ended,
        _recording(line),
    ]


def _recording(line: Line) -> Text:
    found = line.recording
    if not found:
        return Text("")
    text = f"{found['path'].rpartition('/')[2]}\n{found['seconds']:.1f} s"
    if line.heard_of_him is not None:
        text += f", his words {line.heard_of_him:.0%}"
    return Text(text)


def _table(width: int, *, header: bool) -> Table:
    """Below 120 columns the recording, the last, is left out, and the reasons take what remains."""
    table = Table(box=None, show_header=header, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    columns = COLUMNS if width >= WIDTH else COLUMNS[:-1]
    others = sum(1 + size for name, size, _ in columns if name != "reasons")
    for name, size, justify in columns:
        fitted = (
            size if len(columns) == len(COLUMNS) or name != "reasons" else max(NARROWEST, width - others - 1)
        )
        table.add_column(name, width=fitted, justify=justify, overflow="fold")
    return table
