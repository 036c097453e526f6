"""What is broken during a soak, how it is mended, and when calls were screened again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.pbx.faults import store_pid
from tests.valkey import connected

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Iterator

    from tests.pbx.faults import Line
    from tests.pbx.house import House
    from tests.soak.traffic import Traffic

LOG = "screener.log"
"""Everything that the screener logged, in the house's folder."""
DISK_MIB = 8192
AGAIN_WITHIN_S = 45.0
"""Calls must be screened so soon after a fault; else the soak says so and goes on."""
SKEWS_S = (-86_400, -3600, -60, 60, 3600, 86_400)
DEAD_BEFORE_S = 12.0
"""Asterisk takes calls with it that were placed so long before it died: the shorter ones are over by then."""


@dataclass(eq=False, slots=True)
class Window:
    """One fault: begun, mended, and the first call placed afterwards that was screened as usual."""

    kind: str
    began: float
    mended: float = 0.0
    screened: float = 0.0
    what: str = ""

    @property
    def until(self) -> float:
        """Until when it explains what became of calls."""
        return self.screened or self.mended + AGAIN_WITHIN_S

    def touches(self, since: float, until: float) -> bool:
        """Whether anything between these moments fell into it."""
        return self.began <= until and since <= self.until


class Faults:
    """All that can be broken in one house, each with what mends it."""

    def __init__(self, house: House, traffic: Traffic, line: Line, rng: random.Random) -> None:
        self.house, self.traffic, self.line, self.rng = house, traffic, line, rng
        self.windows: list[Window] = []
        self.complaints: list[dict[str, object]] = []
        """What the screener has logged as an error, or with a traceback."""
        self.offset = house.directory / "offset"
        """By how many seconds the screener's clock is off; see skew.c."""
        self.kinds: dict[str, Callable[[Window], Awaitable[None]]] = {
            "screener killed": self.kill, "screener hangs": self.hang, "store killed": self.store_kill,
            "store hangs": self.store_hang, "store slow": self.store_slow, "line cut": self.cut,
            "line slow": self.slow, "ledger's disk full": self.ledger_full,
            "recordings' disk full": self.recordings_full, "Asterisk restarted": self.restart,
            "dialplan reloaded": self.dialplan, "Asterisk reloaded": self.reload,
            "policy reloaded": self.policy, "clock skewed": self.skew,
        }  # fmt: skip

    def draw(self) -> Iterator[str]:
        """Every kind once in each round, in an order by chance."""
        while True:
            yield from self.rng.sample(sorted(self.kinds), len(self.kinds))

    async def run(self, seconds: float, steady_from: float) -> None:
        """Break and mend for so many seconds; after `steady_from` nothing that would restart the screener."""
        began = time.time()
        for kind in self.draw():
            await asyncio.sleep(self.rng.uniform(1, 4))
            past = time.time() - began
            if past > seconds:
                return
            if past > steady_from and kind in {"screener killed", "Asterisk restarted"}:
                continue
            window = Window(kind, time.time())
            self.windows.append(window)
            await self.kinds[kind](window)
            window.mended = time.time()
            await self._screened(window)
            self._alive()

    def _alive(self) -> None:
        process = self.house.service.process
        if process and process.returncode is not None:
            raise RuntimeError(f"the screener ended by itself, with status {process.returncode}")

    async def _screened(self, window: Window) -> None:
        """Wait until both a caller rings and a blocked one is recorded by a verdict, as ever."""

        def since() -> float:
            ends = {"ring": 0.0, "record": 0.0}
            for one in reversed(self.traffic.placed.values()):
                if one.at <= window.mended:
                    break
                if one.end and not one.missed:
                    if one.kind == "friend":
                        ends["ring"] = one.at
                    elif one.kind == "blocked" and one.recording:
                        ends["record"] = one.at
            return max(ends.values()) if all(ends.values()) else 0.0

        await self.traffic.until(since, AGAIN_WITHIN_S)
        window.screened = since()

    def sweep(self) -> None:
        """Note what the screener complained of, and put its log into a file, and let go of the line's."""
        lines = self.house.service.lines
        self.complaints += [
            one | {"heard": time.time()}
            for one in lines
            if one.get("level") in {"error", "critical"} or "exception" in one or "level" not in one
        ]
        # `connected` looks for a line of the same moment.
        kept = [one for one in lines if str(one.get("event", "")).startswith("connected")]
        with (self.house.directory / LOG).open("a") as log:
            log.writelines(f"{json.dumps(one)}\n" for one in lines if one not in kept)
        self.house.service.lines = kept
        self.line.sent = b""

    def _some(self, low: float, high: float) -> Awaitable[None]:
        return asyncio.sleep(self.rng.uniform(low, high))

    async def kill(self, _: Window) -> None:
        self.house.service.signal(signal.SIGKILL)
        await self.house.service.kill()
        self.sweep()
        await self._some(0, 2)
        await self.house.service.start()

    async def hang(self, _: Window) -> None:
        self.house.service.signal(signal.SIGSTOP)
        await self._some(0.1, 6)
        self.house.service.signal(signal.SIGCONT)

    async def store_kill(self, _: Window) -> None:
        os.kill(store_pid(self.house.service), signal.SIGKILL)

    async def store_hang(self, _: Window) -> None:
        pid = store_pid(self.house.service)
        os.kill(pid, signal.SIGSTOP)
        await self._some(0.1, 5)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    async def store_slow(self, window: Window) -> None:
        pause_ms = self.rng.randrange(20, 300)
        window.what = f"{pause_ms} ms at a time"
        until = time.time() + self.rng.uniform(2, 5)
        async with connected(f"unix://{self.house.service.state}/store/valkey.sock") as store:
            while time.time() < until:
                await store.client_pause(pause_ms)
                await asyncio.sleep(2 * pause_ms / 1000)

    async def cut(self, window: Window) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            window.what = self.rng.choice(("cut", "reset"))
            getattr(self.line, window.what)()
            await self._some(0.05, 1)

    async def slow(self, window: Window) -> None:
        self.line.delay_s = self.rng.uniform(0.02, 0.4)
        window.what = f"{self.line.delay_s * 1000:.0f} ms each way"
        await self._some(2, 6)
        self.line.delay_s = 0.0

    async def ledger_full(self, _: Window) -> None:
        await self._full(self.house.service.state)

    async def recordings_full(self, _: Window) -> None:
        await self._full(self.house.pbx.spool)

    async def _full(self, directory: Path) -> None:
        resize(directory, 0)
        await self._some(1, 4)
        resize(directory, DISK_MIB)

    async def restart(self, window: Window) -> None:
        window.what = self.rng.choice(("killed", "stopped"))
        pbx = self.house.pbx
        await (pbx.stop() if window.what == "stopped" else asyncio.to_thread(pbx.kill))
        (pbx.directory / "run/asterisk.ctl").unlink(missing_ok=True)
        pbx.spawn()
        await pbx.ready(40)

    async def dialplan(self, _: Window) -> None:
        await self.house.pbx.cli("dialplan reload")

    async def reload(self, _: Window) -> None:
        await self.house.pbx.cli("core reload")

    async def policy(self, window: Window) -> None:
        extra = self.house.service.site / "rules/soak.yaml"
        extra.parent.mkdir(exist_ok=True)
        extra.write_text(POLICY.format(score=self.rng.randrange(1, 4)))
        code, _ = await self.house.service.command("reload", within=60)
        window.what = f"exit code {code}"

    async def skew(self, window: Window) -> None:
        skew_s = self.rng.choice(SKEWS_S)
        window.what = f"{skew_s:+} s"
        self._set(skew_s)
        await self._some(3, 8)
        self._set(0)

    def _set(self, skew_s: int) -> None:
        # In place: the file is mapped into the screener, which would die of a moment without its page.
        with os.fdopen(os.open(self.offset, os.O_WRONLY | os.O_CREAT, 0o644), "wb") as offset:
            offset.write(skew_s.to_bytes(8, sys.byteorder, signed=True))

    def skewable(self) -> dict[str, str]:
        """The environment in which the screener's clock, and its store's, follows `skew`; raises OSError."""
        library = self.house.directory / "skew.so"
        source = Path(__file__).with_name("skew.c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        self._set(0)
        return {"LD_PRELOAD": str(library), "SKEW_FILE": str(self.offset)}


POLICY = """group: soak
description: of the soak, to have something to take over
enabled: true
max_score: 1
rules:
  SOAK_NEVER:
    score: {score}
    when: call.local_hour < 0
    because: "an hour that there is not"
    source: the soak
"""


def resize(directory: Path, mib: int) -> None:
    """Give the file system so much room; with 0 it is full as it is."""
    for last in (False, False, False, False, True):  # what is written meanwhile is more than there is room
        size = f"{mib}m"
        if not mib:
            stat = os.statvfs(directory)
            size = str((stat.f_blocks - stat.f_bfree) * stat.f_frsize or stat.f_frsize)
        done = subprocess.run(["mount", "-o", f"remount,size={size}", directory], check=last)
        if not done.returncode:
            return


@contextlib.contextmanager
def disks(*directories: Path) -> Iterator[bool]:
    """Each directory on a file system of its own inside; whether that was allowed."""
    mounted: list[Path] = []
    try:
        for directory in directories:
            directory.mkdir(parents=True, exist_ok=True)
            made = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tmpfs", directory],
                check=False, capture_output=True,
            )  # fmt: skip
            mounted += [directory] * (made.returncode == 0)
        yield len(mounted) == len(directories)
    finally:
        for directory in mounted:
            subprocess.run(["umount", "--lazy", directory], check=True)
