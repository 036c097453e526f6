"""Breaks of the screener's own configuration, service and ledger."""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from screener import control
from screener.doctor import Level, configuration, ledger, service
from screener.doctor.checkup import aside
from screener.ledger import Ledger, Row
from screener.signing import Signer
from tests.doctor.house import breaks, mode, ours
from tests.users import OURS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.doctor.house import Examined

WARN = Level.WARN


@breaks(configuration.loads, "policy.yaml:1:11: actions.chalenge: unknown key", "screener check")
async def mistake(here: Examined) -> AsyncIterator[None]:
    with here.written("policy.yaml", "actions: {chalenge: 3}"):
        yield


@breaks(configuration.loads, "examples.aunt: expected reject", "screener check")
async def example(here: Examined) -> AsyncIterator[None]:
    text = "examples: {aunt: {call: {number: '+8613912345678'}, expect: {action: reject}}}"
    with here.written("examples.yaml", text):
        yield


@breaks(configuration.modes, "every user of this machine has the rights r", "chmod o= ", runs=True)
async def readable_secret(here: Examined) -> AsyncIterator[None]:
    with mode(here.site / "screener.yaml", 0o644):
        yield


@breaks(configuration.modes, "secret: every user of this machine has the rights rw", "chmod o= ", runs=True)
async def readable_secret_file(here: Examined) -> AsyncIterator[None]:
    path = here.house.directory / "secret"
    path.write_text(here.pbx.secret)
    ami = {**here.service.settings["ami"], "secret_file": str(path)}
    del ami["secret"]
    with here.configured(ami=ami), mode(path, 0o666):
        yield


@breaks(configuration.extras, "transcription: ", "pip install")
async def model(here: Examined) -> AsyncIterator[None]:
    with here.configured(transcription={"enabled": "true", "model": "/nowhere"}):
        yield


@breaks(configuration.reach, "no call can reach 1000", "policy.yaml: actions: {challenge: 4")
async def thresholds(here: Examined) -> AsyncIterator[None]:
    with here.written("policy.yaml", "actions: {challenge: 1000, voicemail: off}"):
        yield


@breaks(configuration.reach, "all actions of policy.yaml are off", "policy.yaml: actions: {challenge: 4")
async def actions_off(here: Examined) -> AsyncIterator[None]:
    with here.written("policy.yaml", "actions: {challenge: off, voicemail: off}"):
        yield


@breaks(configuration.own_numbers, "own_numbers is empty", 'own_numbers: ["+49', level=WARN)
async def no_numbers(here: Examined) -> AsyncIterator[None]:
    with here.configured(own_numbers=None):
        yield


@breaks(configuration.home, "region is CN, as shipped", "screener.yaml: region: ", level=WARN)
async def no_region(here: Examined) -> AsyncIterator[None]:
    with here.configured(region=None):
        yield


@breaks(service.running, "no screener is running on", "systemctl start screener")
async def stopped(here: Examined) -> AsyncIterator[None]:
    with here.configured(state_dir=str(here.house.directory / "elsewhere")):
        yield


@breaks(service.version, "the service is 0.0.1, this command", "systemctl restart screener", level=WARN)
async def older(here: Examined) -> AsyncIterator[None]:
    async with _answering(here, "version", "0.0.1"):
        yield


@breaks(
    service.in_force, "the service could not take over: ", "screener reload", also=("configuration.loads",)
)
async def not_reloaded(here: Examined) -> AsyncIterator[None]:
    with here.written("policy.yaml", "actions: {chalenge: 3}"):
        await aside(lambda: control.ask(here.state, "reload"))
        yield
    await aside(lambda: control.ask(here.state, "reload"))


@breaks(service.in_force, "changed, but not in force: ", "systemctl restart", level=WARN)
async def not_restarted(here: Examined) -> AsyncIterator[None]:
    with here.configured(own_numbers=["+862012345679"]):
        await aside(lambda: control.ask(here.state, "reload"))
        yield
    await aside(lambda: control.ask(here.state, "reload"))


@breaks(service.parts, "not connected to Asterisk at", "see manager.login")
async def disconnected(here: Examined) -> AsyncIterator[None]:
    async with _answering(here, "pbxs", "", "ami", "connected_since", None):
        yield


@breaks(service.parts, "3 are lost", "see recordings.disk")
async def dropping(here: Examined) -> AsyncIterator[None]:
    async with _answering(here, "ledger", "dropped", 3):
        yield


@breaks(service.user, "runs as root", "User=screener", level=WARN)
async def root(here: Examined) -> AsyncIterator[None]:
    if os.geteuid():
        pytest.skip("only root can run the service as root")
    os.chown(here.state / control.SOCKET, 0, 0)
    yield
    os.chown(here.state / control.SOCKET, OURS, OURS)


@breaks(ledger.chain, "row 2: the content is not what was filed", "screener ledger verify",
        also=("service.running",))  # fmt: skip
async def altered(here: Examined) -> AsyncIterator[None]:
    directory = here.house.directory / "altered"
    path, whole = directory / "ledger.db", directory / "whole.db"
    with Ledger.open(path, signer=Signer.of(directory)) as written:
        for number in range(3):
            written.append(Row(f"1.{number}", "setup", datetime(2026, 3, 4, tzinfo=UTC), {"n": number}))
    shutil.copy(path, whole)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for (trigger,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {trigger}")
        db.execute("UPDATE row SET body = '{}' WHERE seq = 2")
    with here.configured(state_dir=str(directory)):
        yield
        shutil.copy(whole, path)
        assert (await here.look("ledger.chain"))["ledger.chain"].level is Level.OK


@breaks(ledger.key, "the installation's key cannot be used", "restart the service")
async def broken_key(here: Examined) -> AsyncIterator[None]:
    path = here.state / "signing.key"
    before = path.read_bytes()
    path.write_bytes(b"nothing")
    yield
    path.write_bytes(before)


@breaks(ledger.key, "others may read or change it", "chmod 600 ", runs=True)
async def readable_key(here: Examined) -> AsyncIterator[None]:
    with mode(here.state / "signing.key", 0o640):
        yield


@breaks(ledger.private, "every user of this machine may read it", "chmod o= ", runs=True)
async def readable_ledger(here: Examined) -> AsyncIterator[None]:
    with mode(here.state, 0o755), mode(here.state / "ledger.db", 0o644):
        yield


@contextlib.asynccontextmanager
async def _answering(here: Examined, *changed: object) -> AsyncIterator[None]:
    """Another service answers inside, as the real one but for one value of its status."""
    status = copy.deepcopy(control.ask(here.state, "status"))
    *path, last, value = changed
    part = status
    for key in path:
        part = part[str(key)]
    part[str(last)] = value

    async def answer() -> dict[str, object]:
        return status

    directory = here.house.directory / "other"
    if not directory.exists():
        directory.mkdir(mode=0o700)
        (directory / "store").symlink_to(here.state / "store")
    async with control.serving(directory, {"status": answer}):
        ours(directory / control.SOCKET)
        with here.configured(state_dir=str(directory)):
            yield
