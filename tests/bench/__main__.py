"""scripts/bench: what screening adds to a call, side by side in one run on one Asterisk.

The dialplan alone (nobody connected: the gate lets calls pass), a bare client that always
allows, the screener with the shipped rules, and what people use today, a script that
Asterisk starts for each call.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import load
from tests.pbx.asterisk import ROOT, Asterisk
from tests.pbx.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RATES = (1, 20, 50, 100)
WARM_UP = 100
VARIANTS = ("dialplan alone", "bare client", "screener", "AGI script per call")
PAGE = ROOT / "docs" / "performance.md"
MARKS = ("<!-- bench -->\n", "<!-- /bench -->\n")


@contextlib.asynccontextmanager
async def running(variant: str, pbx: Asterisk, directory: Path) -> AsyncIterator[dict[str, int]]:
    """Start what answers in this variant; the processes whose cost counts, by name."""
    if variant == "bare client":
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.bare", str(pbx.ami), "screener", pbx.secret, cwd=ROOT
        )
        try:
            while "screener" not in await pbx.cli("manager show connected"):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
            yield {"client": process.pid}
        finally:
            process.kill()
            await process.wait()
    elif variant == "screener":
        async with Service(directory, pbx, log={"format": "json", "level": "info"}) as service:
            assert service.process
            yield {"client": service.process.pid, "store": child_of(service.process.pid)}
    else:
        yield {}


def child_of(pid: int) -> int:
    """The embedded store's process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


async def measure(variant: str, rate: int, seconds: int, pbx: Asterisk, directory: Path) -> dict[str, Any]:
    """One row of the table."""
    kind = "a" if variant.startswith("AGI") else "s"
    assert pbx.process
    async with running(variant, pbx, directory) as pids:
        await load.place(pbx, kind, max(rate, 50), WARM_UP)
        every = {"asterisk": pbx.process.pid, **pids}
        before = {name: load.cpu_s(pid) for name, pid in every.items()}
        delays = await load.place(pbx, kind, rate, max(20, rate * seconds))
        spent = {name: 1000 * (load.cpu_s(pid) - before[name]) / delays.placed for name, pid in every.items()}
        memory = {name: load.rss_mb(pid) for name, pid in pids.items()}
    phases = load.phases(directory / "state" / "ledger.db", delays.placed) if variant == "screener" else {}
    return {
        "variant": variant, "rate": rate, "calls": delays.placed, "lost": delays.placed - delays.arrived,
        "p50_ms": delays.p50, "p99_ms": delays.p99, "max_ms": delays.worst,
        "asterisk_cpu_ms": spent["asterisk"], "client_cpu_ms": spent.get("client"),
        "store_cpu_ms": spent.get("store"),
        "client_rss_mb": memory.get("client"), "store_rss_mb": memory.get("store"), "phases": phases,
    }  # fmt: skip


async def run(rates: list[int], seconds: int) -> list[dict[str, Any]]:
    """Every variant at every rate, the variants one right after the other."""
    directory = Path(tempfile.mkdtemp(prefix="scr-"))
    rows = []
    try:
        (directory / "agi").write_text(load.AGI)
        (directory / "agi").chmod(0o755)
        extra = load.DIALPLAN.format(agi=directory / "agi", delays=directory / "pbx" / "delays")
        async with Asterisk(directory / "pbx", extra=extra) as pbx:
            for rate in rates:
                for variant in VARIANTS:
                    rows.append(await measure(variant, rate, seconds, pbx, directory))
                    sys.stdout.write(line(rows[-1]) + "\n")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return rows


def line(row: dict[str, Any]) -> str:
    """One row for the terminal and the page."""

    def figure(key: str, digits: int) -> str:
        return "–" if row[key] is None else f"{row[key]:.{digits}f}"

    delays = " | ".join(figure(key, 2) for key in ("p50_ms", "p99_ms", "max_ms"))
    costs = " | ".join(figure(key, 2) for key in ("asterisk_cpu_ms", "client_cpu_ms", "store_cpu_ms"))
    sizes = " | ".join(figure(key, 0) for key in ("client_rss_mb", "store_rss_mb"))
    head = " | ".join(str(row[key]) for key in ("rate", "variant", "calls", "lost"))
    return f"| {head} | {delays} | {costs} | {sizes} |"


def page(rows: list[dict[str, Any]], seconds: int) -> str:
    """The table and the ratios that the aims are about."""
    head = (
        "| calls/s | variant | calls | lost | p50 ms | p99 ms | max ms | Asterisk CPU ms/call "
        "| client CPU ms/call | store CPU ms/call | client MB | store MB |"
    )
    out = [
        f"`scripts/bench --seconds {seconds}` on {platform.machine()}, Python {platform.python_version()}:",
        "",
    ]
    out += [head, "|" + " --- |" * 12, *map(line, rows), "", "Against the bare client at the same rate:", ""]
    out += ["| calls/s | p50 | p99 | screener's CPU against Asterisk's |", "| --- | --- | --- | --- |"]
    for rate in dict.fromkeys(row["rate"] for row in rows):
        by = {row["variant"]: row for row in rows if row["rate"] == rate}
        ours, bare = by["screener"], by["bare client"]
        share = ours["client_cpu_ms"] / ours["asterisk_cpu_ms"]
        out.append(
            f"| {rate} | {ours['p50_ms'] / bare['p50_ms']:.2f} × | {ours['p99_ms'] / bare['p99_ms']:.2f} × "
            f"| {share:.2f} |"
        )
    out += [
        "",
        "Where the screener's own time goes, median ms of each phase, as the ledger has it of every call:",
        "",
    ]
    ours_by_rate = {row["rate"]: row["phases"] for row in rows if row["variant"] == "screener"}
    names = ("queue_ms", "state_ms", "judge_ms", "send_ms")
    out += ["| calls/s | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for rate, phases in ours_by_rate.items():
        out.append(f"| {rate} | " + " | ".join(f"{phases[name]:.2f}" for name in names) + " |")
    return "\n".join(out) + "\n"


def main() -> None:
    """Measure, print, and on request write the page and the data."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="calls a second, comma separated")
    parser.add_argument("--seconds", type=int, default=20, help="how long each rate lasts")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    rows = asyncio.run(run([int(rate) for rate in options.rates.split(",")], options.seconds))
    text = page(rows, options.seconds)
    sys.stdout.write("\n" + text)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    if options.write:
        before, _, rest = PAGE.read_text("utf-8").partition(MARKS[0])
        PAGE.write_text(before + MARKS[0] + text + MARKS[1] + rest.partition(MARKS[1])[2], "utf-8")


if __name__ == "__main__":
    main()
