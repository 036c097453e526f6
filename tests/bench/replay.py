"""Measure a replay: `python -m tests.bench.replay [CALLS…]`; time, processor time and memory of the command.

Figures depend on the machine; nothing here passes or fails.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import cdr

CALLS = (10_000, 100_000, 300_000)


def measure(calls: int, directory: Path, *options: str) -> None:
    """One replay of so many records, as a process of its own."""
    master = directory / f"{calls}.csv"
    if not master.exists():
        cdr.write(master, cdr.office(calls))
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    arguments = [sys.executable, "-m", "screener", "replay", str(master), "--limit", "0", *options]
    done = subprocess.run(
        arguments, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "160"}
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(  # noqa: T201 - a report
        f"{calls:>8} records {' '.join(options[:1]):10} {wall:6.1f} s, processor {used:6.1f} s, "
        f"largest process {after.ru_maxrss / 1024:4.0f} MB: {done.stdout.splitlines()[-1]}{done.stderr}"
    )


def main(sizes: list[int]) -> None:
    """Every size alone and against a second policy."""
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        directory = Path(name)
        os.environ["SCREENER_CONFIG"] = str(directory / "site")
        for site, voicemail in (("site", 8), ("candidate", 7)):
            (directory / site).mkdir()
            (directory / site / "screener.yaml").write_text(
                json.dumps({"state_dir": str(directory / "state")})
            )
            (directory / site / "policy.yaml").write_text(json.dumps({"actions": {"voicemail": voicemail}}))
        for calls in sizes:
            measure(calls, directory)
            measure(calls, directory, "--against", str(directory / "candidate"))


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or list(CALLS))
