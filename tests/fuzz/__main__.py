"""scripts/fuzz: one target under atheris for some minutes, from its seeds on."""

from __future__ import annotations

import argparse
import logging
import sys
from importlib import import_module
from pathlib import Path

import atheris  # type: ignore[import-untyped] # installed by scripts/fuzz, needed by nothing else
import structlog

HERE = Path(__file__).parent
NAMES = sorted(one.stem for one in HERE.glob("[a-z]*.py"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--minutes", type=float, default=5, help="how long (5)")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of what reaches new code")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with atheris.instrument_imports(include=["screener", "panoramisk"]):
        module = import_module(f"tests.fuzz.{options.target}")
    options.corpus.mkdir(parents=True, exist_ok=True)
    for n, seed in enumerate(module.SEEDS):
        (options.corpus / f"seed-{n}").write_bytes(seed)
    seconds = int(options.minutes * 60)
    arguments = [
        "-max_len=4096",
        f"-max_total_time={seconds}",
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        f"-artifact_prefix={options.corpus}/",
        str(options.corpus),
    ]
    atheris.Setup([sys.argv[0], *arguments], module.target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
