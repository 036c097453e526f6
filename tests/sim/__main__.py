"""scripts/evaluate: imagined callers against the shipped policy, class by class; and sound and words.

houses  each class dials a number of imagined houses, where ordinary calls go on; what the policy decides
        changes what happens next
words   what the shipped phrases find in transcripts of real robocalls; seconds
sound   whether the same recording is known again through telephone lines; minutes

Prints the tables, and with --write puts them into docs/detection.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from screener.call import Stage
from tests.sim import tables
from tests.sim.running import Trial, policy, run, worlds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "detection.md"
VARIANTS = tuple(sorted(path.name for path in (ROOT / "config" / "variants").iterdir()))
TRANSCRIPTS = ROOT.parent / "shared" / "data" / "robocall-transcripts.csv"


def main(arguments: list[str] | None = None) -> None:
    """Run, print, and on request write the page and the data."""
    parser = argparse.ArgumentParser(
        prog="scripts/evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="part", help="houses, words, sound; else the first two")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same figures")
    parser.add_argument("--campaigns", type=int, default=100, help="how many of each class")
    parser.add_argument(
        "--compared", type=int, default=20, help="on how many variants are tried, and rules left out"
    )
    parser.add_argument("--pairs", type=int, default=100_000, help="of strangers, for false matches of sound")
    parser.add_argument(
        "--transcripts",
        type=Path,
        default=TRANSCRIPTS,
        help="CSV with columns campaign, language, transcript",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/detection.md")
    parser.add_argument("--json", type=Path, help="write every outcome in the houses here, a line each")
    options = parser.parse_args(arguments)
    if unknown := sorted({*options.parts} - {*PARTS}):
        parser.error(f"there is no part {unknown[0]!r}, only {', '.join(PARTS)}")
    for part in options.parts or ("houses", "words"):
        if part != "houses" and not options.transcripts.is_file():
            sys.stderr.write(
                f"{part}: not measured, there is no {options.transcripts}; --transcripts names another file\n"
            )
            continue
        text = PARTS[part](options)
        sys.stdout.write(text + "\n\n")
        if options.write:
            PAGE.write_text(tables.inserted(PAGE.read_text("utf-8"), part, text), "utf-8")


def houses(options: argparse.Namespace) -> str:
    """Imagined callers, class by class; each variant, and each rule left out."""
    results = list(run(worlds(options.seed, options.campaigns, [Trial()]), options.jobs))
    others = [Trial(variant=name) for name in VARIANTS]
    rules = policy("CN", Trial()).rules
    others += [Trial(without=name) for name in sorted(rules) if rules[name].stage is not Stage.MESSAGE]
    compared = list(run(worlds(options.seed, options.compared, [Trial(), *others]), options.jobs))
    if options.json:
        with options.json.open("w", encoding="utf-8") as file:
            for result in results:
                file.writelines(json.dumps(one._asdict()) + "\n" for one in result[Trial()])
    sizes = f"--seed {options.seed} --campaigns {options.campaigns} --compared {options.compared}"
    return tables.page(f"scripts/evaluate {sizes}", results, compared)


def words(options: argparse.Namespace) -> str:
    """What the phrases find."""
    from tests.bench import wording  # noqa: PLC0415 - of this part alone

    found = wording.table(
        wording.found(wording.transcripts(options.transcripts)), wording.found(wording.said())
    )
    return f"`scripts/evaluate words --transcripts {options.transcripts.name}`: {found.rstrip()}"


def sound(options: argparse.Namespace) -> str:
    """How surely recordings are known again."""
    from tests.bench import fingerprint  # noqa: PLC0415 - needs the extra `audio`

    command = f"scripts/evaluate sound --transcripts {options.transcripts.name} --seed {options.seed}"
    rows = fingerprint.measured(options.transcripts, options.pairs, options.seed)
    lines = [f"| {what} | {figure} |" for what, figure in rows]
    return "\n".join(
        [f"`{command}`:", "", "| what | of how many, % (95 % interval) |", "| --- | --- |", *lines]
    )


PARTS: Mapping[str, Callable[[argparse.Namespace], str]] = {"houses": houses, "words": words, "sound": sound}


if __name__ == "__main__":
    main()
