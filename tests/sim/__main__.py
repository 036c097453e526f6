"""scripts/evaluate: imagined callers against the shipped policy, class by class.

Each class dials a number of imagined houses, where ordinary calls go on; what the policy
decides changes what happens next. Prints the tables, and with --write puts them into docs/detection.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from tests.sim import tables
from tests.sim.running import Trial, fired, run, worlds

PAGE = Path(__file__).parents[2] / "docs" / "detection.md"
VARIANTS = tuple(sorted(path.name for path in (PAGE.parents[1] / "config" / "variants").iterdir()))


def main(arguments: list[str] | None = None) -> None:
    """Run, print, and on request write the page and the data."""
    parser = argparse.ArgumentParser(prog="scripts/evaluate", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same figures")
    parser.add_argument("--campaigns", type=int, default=100, help="how many of each class")
    parser.add_argument(
        "--compared", type=int, default=40, help="on how many variants are tried, and rules left out"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/detection.md")
    parser.add_argument("--json", type=Path, help="write every outcome here, a line each")
    options = parser.parse_args(arguments)
    results = list(run(worlds(options.seed, options.campaigns, [Trial()]), options.jobs))
    others = [Trial(variant=name) for name in VARIANTS] + [
        Trial(without=rule) for rule in sorted(fired(results))
    ]
    compared = list(run(worlds(options.seed, options.compared, [Trial(), *others]), options.jobs))
    sizes = f"--campaigns {options.campaigns} --compared {options.compared}"
    text = tables.page(f"scripts/evaluate --seed {options.seed} {sizes}", results, compared)
    sys.stdout.write(text)
    if options.json:
        with options.json.open("w", encoding="utf-8") as file:
            for result in results:
                file.writelines(json.dumps(one._asdict()) + "\n" for one in result[Trial()])
    if options.write:
        PAGE.write_text(tables.inserted(PAGE.read_text("utf-8"), text), "utf-8")


if __name__ == "__main__":
    main()
