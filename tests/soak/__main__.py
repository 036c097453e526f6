"""scripts/soak: calls at a steady rate through a whole house while its parts are broken, by seed.

Exit code 0 when every call reached its place and no row and no recording was lost, else 1; each that was not
is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import sys
import time
from pathlib import Path

from tests.pbx.asterisk import ROOT
from tests.pbx.faults import Line, brief
from tests.pbx.house import House
from tests.soak import account, growth
from tests.soak.faults import LOG, Faults, disks
from tests.soak.report import Report, shown, written_into
from tests.soak.traffic import BLOCKED, FRIENDS, ROBOT_S, Traffic

PAGE = ROOT / "docs" / "reliability.md"
QUIET_S = 5.0
"""Before the first fault and after the last one."""
FILED_WITHIN_S = 150.0
"""Housekeeping looks again for recordings that were still being made 90 s after a gap."""
SITE = {"rules/challenge.yaml": "rules: {WITHHELD_GUESSES: {enabled: false}}\n"}
"""As shipped, people who withhold their number are not asked any more when ten robots an hour do the same."""
GLOBALS = "SCREENER_KEY_WAIT_S=2\nSCREENER_RECORDINGS_MAX=200"


async def soak(minutes: float, rate: float, seed: int, keep: Path | None = None) -> Report:
    """One soak, from an empty house to the account of it."""
    rng = random.Random(seed)
    async with contextlib.AsyncExitStack() as stack:
        house = await stack.enter_async_context(
            House.open(
                SITE, screener=False, pbx={"globals_": GLOBALS}, log={"format": "json", "level": "info"}
            )
        )
        house.phone.close()  # it has our telephone's port, and sound that nobody needs
        small = stack.enter_context(disks(house.service.state, house.pbx.spool))
        line = await stack.enter_async_context(Line.open(house.pbx))
        house.service.settings["ami"]["port"] = line.port
        brief(house.pbx, "press", "again", "thanks", "notice")
        await keep_records(house)
        traffic = Traffic(house, random.Random(rng.random()))
        faults = Faults(house, traffic, line, random.Random(rng.random()))
        left_out = restrict(faults, small=small)
        await house.service.start()
        await lists(house)
        await stack.enter_async_context(traffic.open())
        if keep:
            stack.callback(copy, house, keep)  # also, and above all, of a soak that fails
        report = await _under_way(house, traffic, faults, minutes * 60, rate)
        report.minutes, report.rate, report.seed, report.left_out = minutes, rate, seed, left_out
        return report


def copy(house: House, keep: Path) -> None:
    """Keep what is on the house's disks, and what the screener logged."""
    for name in ("pbx/log", "pbx/spool", "site", "state"):
        shutil.copytree(house.directory / name, keep / name, ignore=shutil.ignore_patterns("*.sock"))
    shutil.copyfile(house.directory / LOG, keep / LOG)


def restrict(faults: Faults, *, small: bool) -> str:
    """Leave out what cannot be broken here; says what, and what for."""
    left_out = []
    try:
        faults.house.service.env = faults.skewable()
    except OSError as error:
        del faults.kinds["clock skewed"]
        left_out.append(f"clock skewed (no C compiler here: {error})")
    if not small:
        del faults.kinds["ledger's disk full"], faults.kinds["recordings' disk full"]
        left_out.append("full disks (a file system of their own cannot be mounted here)")
    return ", ".join(left_out)


async def keep_records(house: House) -> None:
    """Have Asterisk keep its own call records, now and after each restart."""
    (house.pbx.directory / "log/cdr-csv").mkdir()
    with (house.pbx.directory / "etc/modules.conf").open("a") as modules:
        modules.write("load=cdr_csv.so\n")
    await house.pbx.cli("module load cdr_csv.so")


async def lists(house: House) -> None:
    """Allow friends, block robots, and wait until Asterisk has its copy for the time that we are away."""
    for name, prefix in (("allow", FRIENDS), ("block", BLOCKED)):
        code, output = await house.service.command("list", "add", name, f"{prefix}*", "--reason", "the soak")
        if code:
            raise RuntimeError(output)
    async with asyncio.timeout(30):
        while "SCREENER_MIRROR=" not in await house.pbx.cli("dialplan show globals"):  # noqa: ASYNC110 - not ours
            await asyncio.sleep(0.2)


async def _under_way(house: House, traffic: Traffic, faults: Faults, seconds: float, rate: float) -> Report:
    samples: list[growth.Sample] = []
    start, began = asyncio.create_task, time.time()
    beside = [start(growth.watch(house, samples)), start(_sweep(faults))]
    beside.append(start(_progress(traffic, faults, began, seconds)))
    try:
        async with asyncio.TaskGroup() as both:  # a fault that cannot be made ends the run at once
            both.create_task(traffic.place(rate, seconds))
            await asyncio.sleep(QUIET_S)
            both.create_task(faults.run(max(0.0, seconds - 4 * QUIET_S), seconds / 2))
    except ExceptionGroup as error:
        faults.sweep()
        for one in [*faults.windows[-8:], *faults.complaints[-8:]]:
            error.add_note(str(one))
        raise
    await traffic.finished(ROBOT_S + 15)
    await traffic.until(lambda: all(one.end or one.kind == "message" or not one.answered
                                    for one in traffic.placed.values()), 10)  # fmt: skip
    path, spool = house.service.state / "ledger.db", house.pbx.spool
    cdr = house.pbx.directory / "log/cdr-csv/Master.csv"
    until = time.time() + FILED_WITHIN_S
    while True:
        found = await asyncio.to_thread(account.of, traffic.placed.values(), faults.windows, path, spool, cdr)
        if not found.unfiled or time.time() > until:
            break
        await asyncio.sleep(3)
    code, told = await house.service.command("ledger", "verify", within=300)
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    faults.sweep()
    slopes = growth.slopes(samples, faults.windows, began + seconds / 2)
    verified = "whole (`screener ledger verify`)" if code == 0 else f"exit code {code}: {told.strip()}"
    return Report(0, 0, 0, found, faults.windows, samples, slopes, traffic.late_s, traffic.stray,
                  faults.complaints, verified)  # fmt: skip


async def _sweep(faults: Faults) -> None:
    while True:
        await asyncio.sleep(1)
        faults.sweep()


async def _progress(traffic: Traffic, faults: Faults, began: float, seconds: float) -> None:
    while sys.stderr.isatty():
        last = faults.windows[-1:] and f"{faults.windows[-1].kind} {faults.windows[-1].what}"
        sys.stderr.write(
            f"\r{time.time() - began:6.0f} of {seconds:.0f} s, {len(traffic.placed)} calls, "
            f"{len(faults.windows)} faults: {last or 'none'}\033[K"
        )
        await asyncio.sleep(1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30, help="how long calls are placed (30)")
    parser.add_argument("--rate", type=float, default=50, help="calls a second (50)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of all chance"
    )
    parser.add_argument("--json", type=Path, help="write the figures into this file, too")
    parser.add_argument("--keep", type=Path, help="copy the house into this folder afterwards")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    report = asyncio.run(soak(options.minutes, options.rate, options.seed, options.keep))
    print(report.markdown())  # noqa: T201 - a report
    if options.json:
        options.json.write_text(json.dumps(report.as_dict(), indent=1, ensure_ascii=False))
    if options.write:
        PAGE.write_text(written_into(PAGE.read_text(), report.markdown()))
    if report.missed:
        print(shown(report.missed), "\n\nThe aim was missed.")  # noqa: T201 - as above
    return bool(report.missed)


if __name__ == "__main__":
    sys.exit(main())
