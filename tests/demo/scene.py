"""A scene groups the calls that tell one thing; acts follow each other, their scenes run at once."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from tests.demo.line import End, Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.demo.board import Board
    from tests.demo.stage import Stage

    Play = Callable[["Scene"], Awaitable[None]]


BETWEEN_S = 0.3
"""Callers do not all come in the same millisecond; how that goes is for tests/bench."""


class Skipped(Exception):  # noqa: N818 - named by what happened
    """The scene cannot be played here; the text says what it lacks."""


class Scene:
    """One function of `scenes.py` being played; the first line of its docstring is its title."""

    def __init__(self, stage: Stage, number: int, play: Play) -> None:
        self.stage, self.number, self.play = stage, number, play
        self.title = (inspect.getdoc(play) or "").partition("\n")[0].rstrip(".")
        self.lines: list[Line] = []
        self.told: list[str] = []
        self.problem = self.skipped = ""
        self.begun = self.done = False
        self.left = asyncio.Event()

    @property
    def well(self) -> bool:
        """Whether all of it went as it should, as far as it was played."""
        return self.done and not self.problem and all(line.well for line in self.lines)

    def call(self, caller: str, *, to: str, should: End, **how: Any) -> Line:
        """A call to be placed with `async with`; `how` goes to `UserAgent.call`."""
        line = Line(self.stage, caller, to, should, number=caller, **how)
        self.lines.append(line)
        return line

    def withheld(self, *, to: str, should: End) -> Line:
        """A call that hides its number."""
        sender = b'"Anonymous" <sip:anonymous@anonymous.invalid>'
        line = Line(self.stage, "withheld", to, should, sender=sender)
        self.lines.append(line)
        return line

    def tells(self, command: str, output: str) -> None:
        """Show what a command said."""
        self.told.append(f"{command}: {output}")

    def leaves_the_stage(self) -> None:
        """What remains of this scene needs none of the parts that the next act breaks; it may begin."""
        self.left.set()

    async def perform(self, board: Board) -> None:
        """Play it to its end; what goes wrong outside of a call is this scene's problem alone."""
        self.begun = True
        try:
            await self.play(self)
        except Skipped as lack:
            self.skipped = str(lack)
        except Exception as error:  # noqa: BLE001 - the other scenes go on, and this one is reported
            self.problem = f"{type(error).__name__}: {error}"
        self.done = True
        self.left.set()
        board.finished()


def rehearse(stage: Stage, acts: Sequence[Sequence[Play]]) -> list[list[Scene]]:
    """The scenes of all acts, numbered."""
    numbers = iter(range(1, 1 + sum(map(len, acts))))
    return [[Scene(stage, next(numbers), play) for play in act] for act in acts]


async def perform(acts: Sequence[Sequence[Scene]], board: Board) -> None:
    """Play act after act; in each the scenes begin shortly after each other, the longest, the last, first."""
    async with asyncio.TaskGroup() as group:
        for act in acts:
            for scene in reversed(act):
                group.create_task(scene.perform(board))
                await asyncio.sleep(BETWEEN_S)
            for scene in act:
                await scene.left.wait()
