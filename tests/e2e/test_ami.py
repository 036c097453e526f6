"""The manager account on a real Asterisk: what an administrator sees when it is not right, and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.pbx.asterisk import Asterisk
from tests.pbx.faults import Ear, reaches_us
from tests.pbx.house import FRIEND, House
from tests.pbx.service import Service
from tests.pbx.ua import UserAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REFUSED = 4
"""Exit status of a service that Asterisk does not let in."""


@contextlib.asynccontextmanager
async def place() -> AsyncIterator[Path]:
    """A short directory for unix sockets."""
    directory = Path(tempfile.mkdtemp(prefix="scr-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def gives_up(service: Service) -> list[dict[str, Any]]:
    """Start a service that cannot begin; what it printed."""
    await service.spawn()
    assert service.process is not None
    assert service._reader is not None
    assert await asyncio.wait_for(service.process.wait(), 20) == REFUSED
    await service._reader
    return service.lines


@pytest.mark.parametrize(
    ("ami", "text"),
    [
        ({"secret": "not the secret"}, "Authentication failed"),
        ({"username": "nobody"}, "Authentication failed"),
    ],
)
async def test_run__wrong_account__ends_with_one_clear_error(ami: dict[str, str], text: str) -> None:
    async with House.open(screener=False) as house, Ear.open(house.pbx) as ear:
        house.service.settings["ami"] |= ami
        lines = await gives_up(house.service)
        printed = "\n".join(str(line["event"]) for line in lines)
        assert text in printed
        assert "Compare ami.username and ami.secret with manager.conf" in printed
        assert "Traceback" not in printed
        assert house.pbx.secret not in printed
        assert (await reaches_us(house, ear, 5))["Missed"] == "away"


async def test_run__account_without_write_permission__says_what_it_needs() -> None:
    async with place() as directory:
        pbx = Asterisk(directory / "pbx")
        pbx.write()
        conf = pbx.directory / "etc/screener/manager.conf"
        conf.write_text(conf.read_text().replace("write = call", "write = user"))
        pbx.spawn()
        try:
            await pbx.ready()
            lines = await gives_up(Service(directory, pbx))
        finally:
            await pbx.stop()
        assert "It needs `write = call` in manager.conf" in str(lines[-1]["event"])


def make_certificate(etc: Path) -> None:
    """Write `ami.pem`, which Asterisk reads, and `crt.pem`, which its clients trust."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", "/CN=pbx", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", etc / "key.pem", "-out", etc / "crt.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    (etc / "ami.pem").write_bytes((etc / "key.pem").read_bytes() + (etc / "crt.pem").read_bytes())


@contextlib.asynccontextmanager
async def house_with_tls(**tls: Any) -> AsyncIterator[tuple[Asterisk, Service]]:
    """An Asterisk that speaks TLS too, with a certificate for 127.0.0.1, and a screener not yet started."""
    async with place() as directory, contextlib.AsyncExitStack() as stack:
        etc = directory / "pbx/etc"
        etc.mkdir(parents=True)
        make_certificate(etc)
        pbx = await stack.enter_async_context(Asterisk(directory / "pbx", tls=True))
        service = Service(directory, pbx)
        service.settings["ami"] |= {
            "port": pbx.ami_tls,
            "tls": {"enabled": True, "ca_file": str(etc / "crt.pem"), **tls},
        }
        stack.push_async_callback(service.__aexit__)
        yield pbx, service


async def test_tls__certificate_in_ca_file__calls_are_screened() -> None:
    async with house_with_tls() as (pbx, service):
        await service.start()
        directory = pbx.directory.parent
        async with contextlib.AsyncExitStack() as stack:
            phone, caller = await UserAgent.open(pbx.sip, pbx.phone), await UserAgent.open(pbx.sip)
            for agent in (phone, caller):
                stack.callback(agent.close)
            house = House(directory, pbx, service, phone, caller)
            call = await house.call(FRIEND)
            await house.answered()
            call.hangup()
            assert (await house.ended()).end["missed"] == ""


async def test_tls__certificate_not_trusted__is_refused_and_tried_again_and_never_in_plain_text() -> None:
    async with house_with_tls(ca_file="") as (pbx, service):
        await service.spawn()
        line = await service.logged("no connection to Asterisk; calls ring unscreened")
        assert "CERTIFICATE_VERIFY_FAILED" in line["reason"]
        async with asyncio.timeout(10), service._news:
            await service._news.wait_for(
                lambda: [one["event"] for one in service.lines].count(line["event"]) > 1
            )
        assert service.process is not None
        assert service.process.returncode is None
        assert "screener" not in await pbx.cli("manager show connected")
