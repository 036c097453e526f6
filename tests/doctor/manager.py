"""Breaks of Asterisk's manager interface and our account on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from screener.doctor import Level, manager
from tests.doctor.house import breaks
from tests.pbx.faults import stopped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.doctor.house import Examined

ACCOUNT, RELOAD, WARN = "screener/manager.conf", "manager reload", Level.WARN


@breaks(manager.login, "refused the account 'screener'", "put the secret of [screener]")
async def secret(here: Examined) -> AsyncIterator[None]:
    with here.configured(ami={**here.service.settings["ami"], "secret": "another"}):
        yield


@breaks(manager.login, "refused the account 'screener'", "manager.conf: #include screener/manager.conf")
async def no_account(here: Examined) -> AsyncIterator[None]:
    async with here.edited("manager.conf", "#include screener/manager.conf", "", RELOAD):
        yield


@breaks(manager.login, "no manager interface at 127.0.0.1:", "enabled=yes")
async def disabled(here: Examined) -> AsyncIterator[None]:
    off = ("manager.conf", "enabled=yes", "enabled=no", RELOAD)
    # On Asterisk 16 the first listener, when it ends, mostly takes along the one that was opened after it.
    async with here.edited(*off):
        pass
    async with here.edited(*off):
        yield


@breaks(manager.login, "no manager interface at 127.0.0.1:9", "systemctl restart asterisk")
async def said_to_listen(here: Examined) -> AsyncIterator[None]:
    with (
        here.configured(ami={**here.service.settings["ami"], "port": 9}),
        here.console_says("s/TCP Bindaddress: .*/TCP Bindaddress: 127.0.0.1:9/"),
    ):
        yield


@breaks(manager.login, "no manager interface at 127.0.0.1:9", "ami.port: Asterisk listens on 127.0.0.1:")
async def port(here: Examined) -> AsyncIterator[None]:
    with here.configured(ami={**here.service.settings["ami"], "port": 9}):
        yield


@breaks(manager.login, "did not answer Login within 2 s", "systemctl restart asterisk")
async def hung(here: Examined) -> AsyncIterator[None]:
    assert here.pbx.process
    with stopped(here.pbx.process.pid):
        yield
    await here.connected()


@breaks(manager.login, "no TLS with 127.0.0.1", "tlsenable=yes")
async def no_tls(here: Examined) -> AsyncIterator[None]:
    with here.configured(ami={**here.service.settings["ami"], "tls": {"enabled": "true"}}):
        yield


@breaks(manager.write, "lacks write = call", "write = call,message")
async def write_too_little(here: Examined) -> AsyncIterator[None]:
    async with here.edited(ACCOUNT, "write = call,message", "write = message", RELOAD):
        yield


@breaks(manager.write, "lacks write = message", "write = call,message", level=WARN)
async def write_no_messages(here: Examined) -> AsyncIterator[None]:
    async with here.edited(ACCOUNT, "write = call,message", "write = call", RELOAD):
        yield


@breaks(manager.write, "more than it needs: a", "write = call,message", level=WARN)
async def write_too_much(here: Examined) -> AsyncIterator[None]:
    async with here.edited(ACCOUNT, "write = call,message", "write = all", RELOAD):
        yield


@breaks(manager.read, "lacks read = user", "read = user,call")
async def read_too_little(here: Examined) -> AsyncIterator[None]:
    async with here.edited(ACCOUNT, "read = user,call", "read = call", RELOAD):
        yield


@breaks(manager.read, "hears more than it needs: ", "read = user,call", level=WARN)
async def read_too_much(here: Examined) -> AsyncIterator[None]:
    async with here.edited(ACCOUNT, "read = user,call", "read = user,call,dtmf", RELOAD):
        yield


@breaks(manager.acl, "127.0.0.1 is denied", "deny = ::/0, then permit", also=("manager.login",))
async def deny_last(here: Examined) -> AsyncIterator[None]:
    async with here.edited(ACCOUNT, "permit = ::1/128", "permit = ::1/128\ndeny = 0.0.0.0/0", RELOAD):
        yield


@breaks(manager.acl, "every address may log in", "deny = 0.0.0.0/0.0.0.0, ")
async def no_deny(here: Examined) -> AsyncIterator[None]:
    async with here.edited(ACCOUNT, "deny = 0.0.0.0/0.0.0.0", "", RELOAD):
        yield


@breaks(manager.events, "the filter hides our events", "eventfilter = ^Event: ")
async def deaf(here: Examined) -> AsyncIterator[None]:
    async with here.edited(ACCOUNT, "ChannelTalkingSt|UserEvent", "ChannelTalkingSt|Hangup", RELOAD):
        yield


@breaks(manager.events, "no eventfilter keeps other events", "eventfilter = ^Event: ", level=WARN)
async def flood(here: Examined) -> AsyncIterator[None]:
    async with here.edited(ACCOUNT, "eventfilter = ", ";", RELOAD):
        yield


@breaks(manager.exposed, "the connection to 127.1 is not encrypted", "ami.tls.enabled: true")
async def plain(here: Examined) -> AsyncIterator[None]:
    with here.configured(ami={**here.service.settings["ami"], "host": "127.1"}):
        yield


@breaks(manager.exposed, "listens on 0.0.0.0:5038", "bindaddr=127.0.0.1", level=WARN)
async def open_port(here: Examined) -> AsyncIterator[None]:
    with here.console_says("s/TCP Bindaddress: .*/TCP Bindaddress: 0.0.0.0:5038/"):
        yield


@breaks(manager.exposed, "on the web server at 0.0.0.0:8088", "webenabled=no")
async def web(here: Examined) -> AsyncIterator[None]:
    bound = "s/^Server Disabled$/Server Enabled and Bound to 0.0.0.0:8088/"
    with here.console_says("s/(AMI.HTTP): *No/(AMI\\/HTTP): Yes/\n" + bound):
        yield


@breaks(manager.functions, "func_shell.so is loaded", "noload = func_shell.so", level=WARN)
async def shell(here: Examined) -> AsyncIterator[None]:
    await here.pbx.cli("module load func_shell.so")
    yield
    await here.pbx.cli("module unload func_shell.so")


@breaks(manager.functions, "func_config.so is loaded", "noload = func_config.so", level=WARN)
async def config(here: Examined) -> AsyncIterator[None]:
    await here.pbx.cli("module load func_config.so")
    yield
    await here.pbx.cli("module unload func_config.so")
