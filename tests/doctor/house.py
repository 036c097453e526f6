"""A house that the doctor examines, and what is done to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from screener import app, control
from screener.doctor import CHECKS, Check, Level, Patient, Result, made
from tests.pbx.house import House
from tests.pbx.service import Service
from tests.users import OURS, reachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from pathlib import Path

SETTINGS: dict[str, Any] = {
    "region": "CN",
    "timezone": "Asia/Shanghai",
    "own_numbers": ["+862012345678"],
    "watch": "off",
}
"""What a healthy house has said of itself. Not watched: a break is not to reach the service by itself."""
WRAPPER = """#!/bin/bash
[[ -s "{sed}" ]] || exec "{program}" -C "{etc}/asterisk.conf" "$@"
set -o pipefail
"{program}" -C "{etc}/asterisk.conf" "$@" | sed -f "{sed}"
"""


class Examined:
    """A house with all that its doctor needs: `patient` looks at it with a site and a clock of the test's."""

    def __init__(self, house: House) -> None:
        self.house, self.pbx, self.service = house, house.pbx, house.service
        self.site, self.state, self.etc = house.service.site, house.service.state, house.pbx.directory / "etc"
        self.clock: Callable[[], datetime] = app.now
        self.sed = house.directory / "sed"
        self._rewrite({})

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator[Examined]:
        """Everything up and healthy, and `asterisk` on PATH."""
        async with House.open(**SETTINGS) as house:
            here, path = cls(house), os.environ["PATH"]
            house.pbx.spool.mkdir(mode=0o700)
            reachable(house.pbx.spool.parent)
            ours(house.pbx.spool)
            ours(here.state / control.SOCKET)
            here.sed.write_text("")
            program = house.directory / "bin" / "asterisk"
            program.parent.mkdir()
            program.write_text(
                WRAPPER.format(program=house.pbx.binary.command[0], etc=here.etc, sed=here.sed)
            )
            program.chmod(0o755)
            os.environ["PATH"] = f"{program.parent}:{path}"
            try:
                yield here
            finally:
                os.environ["PATH"] = path

    def patient(self) -> Patient:
        """What the doctor examines, afresh."""
        return Patient(self.site, self.etc, self.clock)

    async def look(self, *names: str) -> dict[str, Result]:
        """Make all checks, or those of these names or groups."""
        wanted = [one for one in CHECKS if not names or {one.name, one.group} & set(names)]
        async with self.patient() as patient:
            return {one.name: await made(one, patient) for one in wanted}

    async def connected(self, within: float = 20) -> None:
        """Wait until the service is connected to Asterisk: a fault may have cut it off."""
        async with asyncio.timeout(within):
            # The service tells nobody when it is.
            while (await self.look("service.parts"))["service.parts"].level is not Level.OK:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def ran(self, check: str, commands: list[str]) -> dict[str, Result]:
        """The check made again, after the commands that should mend it, up to what is to be written."""
        for command in commands:
            done = await asyncio.create_subprocess_exec("bash", "-ec", command.split(", and ")[0])
            assert await done.wait() == 0, command
        return await self.look(check)

    @contextlib.asynccontextmanager
    async def standby(self) -> AsyncIterator[None]:
        """Another screener stands by at the same Asterisk inside."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(
                (second := Service(self.house.directory / "standby", self.pbx)).__aexit__
            )
            await second.spawn()
            await second.logged("connected to Asterisk, standing by")
            yield

    @contextlib.contextmanager
    def configured(self, **changes: Any) -> Iterator[None]:
        """The site's screener.yaml has other settings inside; None takes one out."""
        self._rewrite(changes)
        try:
            yield
        finally:
            self._rewrite({})

    def _rewrite(self, changes: dict[str, Any]) -> None:
        merged = self.service.settings | changes
        path = self.site / "screener.yaml"
        path.write_text(json.dumps({key: value for key, value in merged.items() if value is not None}))
        path.chmod(0o600)

    @contextlib.contextmanager
    def written(self, name: str, text: str) -> Iterator[None]:
        """A file of the site holds this inside, and is gone afterwards."""
        path = self.site / name
        path.write_text(text)
        try:
            yield
        finally:
            path.unlink()

    @contextlib.asynccontextmanager
    async def edited(self, name: str, old: str, new: str, reload: str) -> AsyncIterator[None]:
        """A file of Asterisk's has one line of another wording inside, and is reloaded at both ends."""
        path = self.etc / name
        before = path.read_text()
        assert old in before, f"{name} has no {old!r}"
        path.write_text(before.replace(old, new))
        try:
            await self.pbx.cli(reload)
            yield
        finally:
            path.write_text(before)
            await self.pbx.cli(reload)

    @contextlib.contextmanager
    def console_says(self, sed: str) -> Iterator[None]:
        """What Asterisk's console prints is rewritten by sed inside: a version that is not here, say."""
        self.sed.write_text(sed + "\n")
        try:
            yield
        finally:
            self.sed.write_text("")

    @contextlib.asynccontextmanager
    async def global_set(self, name: str, value: str) -> AsyncIterator[None]:
        """A global of the dialplan has another value inside."""
        before = (await self.pbx.cli("dialplan show globals")).split(f"   {name}=")[1].splitlines()[0]
        await self.pbx.cli(f"dialplan set global {name} {value}")
        try:
            yield
        finally:
            await self.pbx.cli(f"dialplan set global {name} {before or chr(34) * 2}")


@dataclass(frozen=True)
class Break:
    """One thing that is broken: which check must say what of it, and what must mend it.

    `also` are further checks that rightly complain. `runs` takes the command out of what mends, and the test
    runs it before it looks again; else the break mends by itself what it did, as the line says.
    """

    check: str
    level: Level
    says: str
    mends: str
    does: Callable[[Examined], AbstractAsyncContextManager[None]]
    also: frozenset[str]
    runs: bool

    @property
    def near(self) -> tuple[str, ...]:
        """The groups of which all checks are made: Asterisk knows nothing of what is ours alone."""
        ours = ("configuration", "service", "store", "ledger")
        return ours if self.check.split(".")[0] in ours else ()

    @property
    def name(self) -> str:
        return f"{self.check}, {self.does.__name__}"


BREAKS: list[Break] = []


def breaks(
    check: Callable[..., Any],
    says: str,
    mends: str,
    *,
    level: Level = Level.FAIL,
    also: tuple[str, ...] = (),
    runs: bool = False,
) -> Callable[[Callable[[Examined], AsyncIterator[None]]], Callable[[Examined], AsyncIterator[None]]]:
    """Note a break: up to its `yield` it breaks, behind it mends."""

    def note(does: Callable[[Examined], AsyncIterator[None]]) -> Callable[[Examined], AsyncIterator[None]]:
        managed = contextlib.asynccontextmanager(does)
        BREAKS.append(Break(Check(check).name, level, says, mends, managed, frozenset(also), runs))
        return does

    return note


def ours(path: Path) -> None:
    """Let it belong to the screener's user: root runs the tests, and should not run the service."""
    if os.geteuid() == 0:
        os.chown(path, OURS, OURS)


def mode(path: Path, rights: int) -> contextlib.AbstractContextManager[None]:
    """The path has these rights inside."""

    @contextlib.contextmanager
    def changed() -> Iterator[None]:
        before = path.stat().st_mode & 0o7777
        path.chmod(rights)
        try:
            yield
        finally:
            if path.stat().st_mode & 0o7777 == rights:
                path.chmod(before)

    return changed()
