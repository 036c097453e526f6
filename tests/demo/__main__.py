"""Entry of `scripts/demo`: arguments, the run, what is said at the end."""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.demo import report, scenes
from tests.demo.board import Board, problems
from tests.demo.scene import Scene, perform, rehearse
from tests.demo.stage import Stage

if TYPE_CHECKING:
    from rich.console import Console

STOPPED = 130
PLAIN_PATH = re.compile(r"[\w./+@-]+", re.ASCII)


def main() -> int:
    """Run the demonstration; its exit status."""
    arguments = _arguments()
    keep: Path | None = arguments.keep
    kept = keep.absolute() if keep else Path(tempfile.mkdtemp(prefix="screener-demo-"))
    kept.mkdir(parents=True, exist_ok=True)
    console = Board.output()
    began = time.monotonic()
    try:
        played = asyncio.run(_play(kept, console))
    except asyncio.CancelledError:
        if not keep:
            shutil.rmtree(kept, ignore_errors=True)
        console.print("stopped; nothing is left running")
        return STOPPED
    except (AssertionError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
        console.print(f"demo: the parts did not start: {error}\nlogs are in {kept}", markup=False)
        return 1
    seconds = time.monotonic() - began
    if arguments.json:
        report.write(arguments.json, played, seconds, kept)
    return _farewell(console, played, seconds, kept)


async def _play(kept: Path, console: Console) -> list[Scene]:
    _stop_once()
    console.print("starting Asterisk, Valkey and the screener …", style="dim")
    async with Stage.open(kept) as stage:
        await scenes.prepare(stage)
        acts = rehearse(stage, scenes.ACTS)
        played = [scene for act in acts for scene in act]
        with Board(console, played) as board:
            await perform(acts, board)
        return played


def _stop_once() -> None:
    """Let the first Ctrl-C (or SIGTERM, SIGHUP) end everything in order, and no second one disturb that."""
    task, asked = asyncio.current_task(), False

    def stop() -> None:
        nonlocal asked
        if task and not asked:
            asked = True
            task.cancel()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, stop)


def _farewell(console: Console, played: list[Scene], seconds: float, kept: Path) -> int:
    good = report.is_good(played)
    console.print()
    console.print(report.summary(played, seconds), style="bold green" if good else "bold red", markup=False)
    for scene in played:
        for problem in problems(scene):
            console.print(f"  scene {scene.number}, {problem}", style="red", markup=False)
    program = Path(sys.executable).with_name("screener")
    console.print(f"recordings, ledger, logs  {kept}", markup=False, soft_wrap=True)
    console.print(
        f"look at the calls         {program} calls --config {kept}/site", markup=False, soft_wrap=True
    )
    return 0 if good else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Real calls through a real screener.")
    parser.add_argument(
        "--json", type=_writable, metavar="FILE", help="write what became of each call as data"
    )
    parser.add_argument("--keep", type=_empty, metavar="DIR", help="put recordings, ledger and logs here")
    return parser.parse_args()


def _writable(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text} cannot be written: name a file in a folder that exists")
    return path


def _empty(text: str) -> Path:
    path = Path(text)
    if not PLAIN_PATH.fullmatch(str(path.absolute())):
        raise argparse.ArgumentTypeError(f"{text}: Asterisk takes only letters, digits and ./_+@- in a path")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise argparse.ArgumentTypeError(f"{text} is not an empty folder; recordings are never overwritten")
    return path


if __name__ == "__main__":
    sys.exit(main())
