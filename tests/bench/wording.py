"""What the shipped phrases find: `python -m tests.bench.wording robocall-transcripts.csv`.

The CSV has the columns campaign, language and transcript. A campaign counts as hit by the share of its calls
that are, so that a large one does not outvote the others. "Without its own" leaves campaigns out: a phrase
counts for a campaign only if it is also found in another one, so that none made for it helps it. Benign
and collectors' sentences are those of tests/data/said.tsv, written by hand.
"""

from __future__ import annotations

import csv
import platform
import sys
import time
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from screener.config import load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from screener.wording import Finding

SAID = Path(__file__).resolve().parents[1] / "data" / "said.tsv"
DAY = date(2026, 3, 2)
ASKS, PRESSES = {"key", "call_back"}, {"threat", "collection", "pretext"}
REGIONS = {"en": "US", "zh": "CN"}
MEASURES = {
    "a key to press": lambda kinds: "key" in kinds,
    "a number to call": lambda kinds: "call_back" in kinds,
    "a way out": lambda kinds: "opt_out" in kinds,
    "a company or authority": lambda kinds: "company" in kinds,
    "an amount": lambda kinds: "amount" in kinds,
    "a due date": lambda kinds: "due" in kinds,
    "threat": lambda kinds: "threat" in kinds,
    "collection": lambda kinds: "collection" in kinds,
    "pretext": lambda kinds: "pretext" in kinds,
    "threat, collection or pretext": lambda kinds: bool(kinds & PRESSES),
    "… with a key or a number": lambda kinds: bool(kinds & PRESSES) and bool(kinds & ASKS),
}

Call = tuple[str, str, tuple["Finding", ...]]
"""Of one call: campaign or class, language, what was found."""


def found(rows: Iterable[tuple[str, str, str]]) -> list[Call]:
    """What the shipped phrases find in each (group, language, text)."""
    wording = load(environ={}).wording
    return [
        (group, language, wording.find(text, language=language, region=REGIONS[language], said_on=DAY))
        for group, language, text in rows
    ]


def said() -> list[tuple[str, str, str]]:
    """The sentences written by hand: class, language, text."""
    lines = (line.split("\t") for line in SAID.read_text("utf-8").splitlines() if not line.startswith("#"))
    return [(group, language, text) for group, language, text in lines]


def shares(calls: list[Call], measure: str) -> tuple[float, float]:
    """Share of calls, and of campaigns by the share of their calls, in percent."""
    hits = defaultdict(list)
    for group, _, findings in calls:
        hits[group].append(MEASURES[measure]({one.kind for one in findings}))
    every = [hit for some in hits.values() for hit in some]
    by_group = [sum(some) / len(some) for some in hits.values()]
    return 100 * sum(every) / len(every), 100 * sum(by_group) / len(by_group)


def without_its_own(calls: list[Call]) -> list[Call]:
    """Only what patterns found that find something in at least one other campaign too."""
    campaigns = defaultdict(set)
    for group, _, findings in calls:
        for one in findings:
            campaigns[one.name].add(group)
    return [
        (group, language, tuple(one for one in findings if len(campaigns[one.name]) > 1))
        for group, language, findings in calls
    ]


def table(calls: list[Call], hand: list[Call]) -> str:
    """The table for docs/detection.md."""
    parts = {"en": [one for one in calls if one[1] == "en"], "zh": [one for one in calls if one[1] == "zh"]}
    left_out = {language: without_its_own(some) for language, some in parts.items()}
    counts = {
        language: f"{len(some)} calls, {len({group for group, _, _ in some})} campaigns"
        for language, some in parts.items()
    }
    benign = [one for one in hand if not one[0].startswith("collector")]
    debt = [one for one in hand if one[0].startswith("collector")]
    heads = [f"{language}: calls / campaigns / without its own" for language in parts]
    out = [
        f"en: {counts['en']}; zh: {counts['zh']}; by hand: {len(benign)} benign, {len(debt)} of collectors.",
        "",
    ]
    out += [f"| found | {' | '.join(heads)} | benign, by hand | collectors, by hand |", "| --- " * 5 + "|"]
    for measure in MEASURES:
        cells = []
        for language, some in parts.items():
            of_calls, of_campaigns = shares(some, measure)
            cells.append(
                f"{of_calls:.0f} / {of_campaigns:.0f} / {shares(left_out[language], measure)[1]:.0f} %"
            )
        cells += [f"{_hits(some, measure)} of {len(some)}" for some in (benign, debt)]
        out.append(f"| {measure} | {' | '.join(cells)} |")
    return "\n".join(out) + "\n"


def _hits(calls: list[Call], measure: str) -> int:
    return sum(MEASURES[measure]({one.kind for one in findings}) for _, _, findings in calls)


def transcripts(path: Path) -> list[tuple[str, str, str]]:
    """The calls of a CSV: campaign, language, text."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["campaign"], row["language"], row["transcript"]) for row in csv.DictReader(file)]


def main(path: str) -> None:
    """Print the table, what was found falsely, and how long it took."""
    rows = transcripts(Path(path))
    started = time.perf_counter()
    calls = found(rows)
    spent_ms = 1000 * (time.perf_counter() - started) / len(rows)
    hand = found(said())
    sys.stdout.write(table(calls, hand))
    sys.stdout.write("\nFalse hits on benign sentences, and collectors that nothing was found of:\n")
    for (group, language, text), (_, _, findings) in zip(said(), hand, strict=True):
        names = sorted(one.name for one in findings if one.kind in PRESSES)
        if bool(names) != group.startswith("collector"):
            sys.stdout.write(f"  {group} {language} {' '.join(names) or '-'}: {text}\n")
    sys.stdout.write(f"\n{spent_ms:.1f} ms a transcript, on {platform.machine()}, with loading once\n")


if __name__ == "__main__":
    main(sys.argv[1])
