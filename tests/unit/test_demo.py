"""What decides whether a call of the demonstration counts as right, and how it is told."""

from __future__ import annotations

import argparse
import io
import json
import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.console import Console

from tests.demo import board, report, scenes
from tests.demo.__main__ import _empty, _writable
from tests.demo.line import End, Line
from tests.demo.scene import Scene
from tests.pbx import sound

if TYPE_CHECKING:
    from pathlib import Path

    from tests.demo.stage import Stage

NOISE = random.Random(1).randbytes(8000)
OTHER = random.Random(2).randbytes(8000)
NO_STAGE = cast("Stage", None)


async def story(scene: Scene) -> None:
    """A short story."""


def played(should: End, happened: str, problem: str = "", **question: Any) -> Scene:
    scene = Scene(NO_STAGE, 7, story)
    line = scene.call("+8613700137000", to="104", should=should)
    line.happened, line.problem = happened, problem
    if question:
        row = SimpleNamespace(kind="setup", body=question)
        record = SimpleNamespace(rows=[row], recordings=[], end={"delay_ms": 1.25})
        line.record = cast("Any", record)
    scene.done = True
    return scene


@pytest.mark.parametrize(
    ("heard", "share"),
    [
        (NOISE, 1.0),
        (OTHER[:555] + NOISE + OTHER, 1.0),
        (NOISE[:4000], 0.5),
        (NOISE[:4000] + OTHER[:70] + NOISE[4000:], 1.0),
        (NOISE[4000:] + NOISE[:4000], 0.5),
        (OTHER, 0.0),
        (b"", 0.0),
    ],
)
def test_share__of_spoken_sound__is_what_arrived_in_order(heard: bytes, share: float) -> None:
    assert sound.share(NOISE, heard) == pytest.approx(share, abs=0.02)


def test_share__of_silence__is_nothing() -> None:
    assert sound.share(b"\xff" * 8000, b"\xff" * 8000) == 0.0


def test_call__that_went_elsewhere__is_named_with_both_places() -> None:
    scene = played(End.VOICEMAIL, End.ANSWERED)
    assert not scene.well
    assert not report.is_good([scene])
    assert board.problems(scene) == ["+8613700137000 to 104: expected “voicemail”, happened “answered”"]


def test_call__whose_words_are_lost__is_wrong_even_where_it_belongs() -> None:
    scene = played(End.VOICEMAIL, End.VOICEMAIL, "only 3% of what he said is in the recording")
    assert not scene.well
    assert board.problems(scene)[0].endswith(": only 3% of what he said is in the recording")


def test_scene__that_breaks_off__is_wrong_however_well_its_calls_went() -> None:
    scene = played(End.ANSWERED, End.ANSWERED)
    assert report.is_good([scene])
    scene.problem = "KeyError: 'x'"
    assert not report.is_good([scene])
    assert board.problems(scene) == ["the scene broke off: KeyError: 'x'"]


async def test_scene__that_lacks_the_extra_audio__says_so_and_is_counted_as_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "INSTALLED", False)
    scene = Scene(NO_STAGE, 7, scenes.same_recording)
    console = Console(file=io.StringIO(), width=board.WIDTH)
    await scene.perform(board.Board(console, [scene]))
    shown = cast("io.StringIO", console.file).getvalue()
    assert " –  7 " in shown
    assert "skipped: recordings are not compared without the extra audio: pip install" in shown
    assert report.is_good([scene])
    assert report.summary([scene], 1.0).endswith("; scenes skipped: 1")
    report.write(tmp_path / "x.json", [scene], 1.0, tmp_path)
    assert "audio" in json.loads((tmp_path / "x.json").read_text())["scenes"][0]["skipped"]


def test_scene__without_calls__shows_nothing_and_is_not_good() -> None:
    scene = Scene(NO_STAGE, 7, story)
    scene.done = True
    assert not report.is_good([scene])


def test_scene__of_commands_alone__shows_what_they_said_and_is_good(tmp_path: Path) -> None:
    scene = Scene(NO_STAGE, 7, story)
    scene.tells("evidence verify", "[b]a.wav: changed")
    scene.done = True
    assert report.is_good([scene])
    console = Console(file=io.StringIO(), width=board.WIDTH)
    console.print(board.show(scene, board.WIDTH))
    assert "   evidence verify: [b]a.wav: changed" in cast("io.StringIO", console.file).getvalue()
    report.write(tmp_path / "x.json", [scene], 1.0, tmp_path)
    assert "changed" in json.loads((tmp_path / "x.json").read_text())["scenes"][0]["told"][0]


def test_report__as_data__says_what_the_board_says(tmp_path: Path) -> None:
    hit = {"symbol": "BLOCKLISTED", "score": 0.0, "force": "voicemail", "because": "robocalls"}
    verdict = {"action": "voicemail", "score": 0.0, "hits": [hit], "skipped": [{}, {}]}
    scene = played(End.VOICEMAIL, End.VOICEMAIL, verdict=verdict, missing=["dead"])
    report.write(tmp_path / "x.json", [scene], 1.0, tmp_path)
    data = json.loads((tmp_path / "x.json").read_text())
    assert data["ok"]
    assert data["worst_added_delay_ms"] == 1.25
    call = data["scenes"][0]["calls"][0]
    assert (call["verdict"], call["reasons"], call["rules_skipped"]) == ("voicemail", ["BLOCKLISTED"], 2)
    console = Console(file=io.StringIO(), width=board.WIDTH)
    console.print(board.show(scene, board.WIDTH))
    assert "BLOCKLISTED no store: 2" in cast("io.StringIO", console.file).getvalue()


@pytest.mark.parametrize(("width", "left_out"), [(200, 0), (120, 0), (119, 1), (80, 1)])
def test_board__in_a_terminal__fits_its_width(width: int, left_out: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    board.Board(console, []).__enter__()
    shown = cast("io.StringIO", console.file).getvalue()
    assert max(map(len, shown.splitlines())) <= width
    names = [name for name, _, _ in board.COLUMNS]
    assert shown.split() == " ".join(names[: len(names) - left_out]).split()


def test_scenes__of_all_acts__have_titles_and_fit_on_a_line() -> None:
    for play in [play for act in scenes.ACTS for play in act]:
        title = Scene(NO_STAGE, 1, play).title
        assert 10 < len(title) < board.WIDTH - 10


def test_line__is_right_only_when_done() -> None:
    line = Line(NO_STAGE, "x", "1", End.ANSWERED)
    assert not line.done
    assert not line.well


@pytest.mark.parametrize("name", ["a,b", "a;b", "${HOME}", "with space"])
def test_keep__path_that_asterisk_would_misread__is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="Asterisk takes only"):
        _empty(str(tmp_path / name))


def test_keep__folder_with_something_in_it__is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(argparse.ArgumentTypeError, match="not an empty folder"):
        _empty(str(tmp_path))
    assert _empty(str(tmp_path / "new")) == tmp_path / "new"


def test_json__where_no_file_can_be__is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "x.json"):
        with pytest.raises(argparse.ArgumentTypeError, match="cannot be written"):
            _writable(str(path))
