"""The sum of a demonstration: one line for people, everything as data for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.demo import board

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.demo.line import Line
    from tests.demo.scene import Scene


def is_good(scenes: Sequence[Scene]) -> bool:
    """Whether every scene was played to its end and every call went where it should."""
    return all(scene.well and (scene.lines or scene.told or scene.skipped) for scene in scenes)


def summary(scenes: Sequence[Scene], seconds: float) -> str:
    """How many calls, how many where they should be, the worst delay, the time."""
    lines = [line for scene in scenes for line in scene.lines]
    right = sum(line.well for line in lines)
    judged = worst(line for line in lines if not line.missed)
    skipped = sum(bool(scene.skipped) for scene in scenes)
    return (
        f"{len(lines)} calls, {right} where they should be; worst added delay {worst(lines):.1f} ms, "
        f"with a screener to ask {judged:.1f} ms; {seconds:.0f} s"
        + (f"; scenes skipped: {skipped}" if skipped else "")
    )


def worst(lines: Any) -> float:
    """The longest wait of any of these calls, in milliseconds, by the dialplan's clock."""
    return max((line.delay_ms for line in lines if line.delay_ms is not None), default=0.0)


def write(path: Path, scenes: Sequence[Scene], seconds: float, kept: Path) -> None:
    """Write the same as data."""
    lines = [line for scene in scenes for line in scene.lines]
    data = {
        "ok": is_good(scenes),
        "seconds": round(seconds, 1),
        "worst_added_delay_ms": round(worst(lines), 3),
        "kept": str(kept),
        "scenes": [
            {
                "number": scene.number,
                "title": scene.title,
                "ok": scene.well,
                "problems": board.problems(scene),
                "skipped": scene.skipped or None,
                "told": scene.told,
                "calls": [_line(line) for line in scene.lines],
            }
            for scene in scenes
        ],
    }
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _line(line: Line) -> dict[str, Any]:
    judged, recording = line.question.get("verdict", {}), line.recording
    return {
        "caller": line.caller,
        "called": line.called,
        "verdict": judged.get("action"),
        "no_verdict_because": line.missed or None,
        "score": judged.get("score"),
        "reasons": board.reasons(line),
        "because": [hit["because"] for hit in judged.get("hits", [])],
        "store_missing": line.question.get("missing") or None,
        "rules_skipped": board.skipped(line),
        "added_delay_ms": line.delay_ms,
        "expected": str(line.should),
        "ended": line.happened,
        "ok": line.well,
        "problem": line.problem or None,
        "recording": recording
        and {
            "path": recording["path"],
            "seconds": recording["seconds"],
            "sha256": recording["sha256"],
            "share_of_his_words": line.heard_of_him,
        },
    }
