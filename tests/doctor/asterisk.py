"""Breaks of Asterisk itself and of its dialplan."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from screener import app, control, dialplan
from screener.doctor import Level, asterisk
from tests.doctor.house import breaks, ours
from tests.pbx.asterisk import Asterisk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.doctor.house import Examined

WARN, DIALPLAN, PJSIP = Level.WARN, "dialplan reload", "module reload res_pjsip.so"


@breaks(asterisk.version, "Asterisk 13.38.3 is older than 16", "install Asterisk 16")
async def ancient(here: Examined) -> AsyncIterator[None]:
    with here.console_says("s/^  Version: .*/  Version: 13.38.3/"):
        yield


@breaks(asterisk.wake, "there is no action PlayDTMF", "module load app_senddtmf.so", runs=True)
async def no_keys(here: Examined) -> AsyncIterator[None]:
    await here.pbx.cli("module unload app_senddtmf.so")
    yield


@breaks(asterisk.wake, "has no `Receive`", "install Asterisk 16.28")
async def no_receive(here: Examined) -> AsyncIterator[None]:
    with here.console_says("s/^Receive$/Duration/"):
        yield


@breaks(asterisk.modules, "the application Read is missing: module app_read", "app_read.so", runs=True)
async def no_application(here: Examined) -> AsyncIterator[None]:
    await here.pbx.cli("module unload app_read.so")
    yield


@breaks(asterisk.modules, "the function RAND is missing: module func_rand", "func_rand.so", runs=True)
async def no_function(here: Examined) -> AsyncIterator[None]:
    await here.pbx.cli("module unload func_rand.so")
    yield


@breaks(asterisk.modules, "the function TALK_DETECT is missing", "func_talkdetect.so", level=WARN, runs=True)
async def no_talk(here: Examined) -> AsyncIterator[None]:
    await here.pbx.cli("module unload func_talkdetect.so")
    yield


@breaks(asterisk.modules, "the application VoiceMail is missing: module app_voicemail", "app_voicemail.so")
async def no_mailboxes(here: Examined) -> AsyncIterator[None]:
    with here.configured(voicemail={"deliver_to": {"*": "100@default"}}):
        yield


@breaks(asterisk.contexts, "not loaded: [screener-mirror]", "cp -rT")
async def context(here: Examined) -> AsyncIterator[None]:
    await here.pbx.cli("dialplan remove context screener-mirror")
    yield
    await here.pbx.cli(DIALPLAN)


@breaks(asterisk.contexts, "the screener's dialplan is not loaded", "#include screener/screener.conf")
async def no_include(here: Examined) -> AsyncIterator[None]:
    async with here.edited("extensions.conf", "#include screener/screener.conf\n", "", DIALPLAN):
        yield


@breaks(asterisk.contract, "it is an old one", "cp -rT")
async def with_exec_if(here: Examined) -> AsyncIterator[None]:
    judged = ('GotoIf($["${SCREENER_MISSED}" = ""]?judged)', "ExecIf(0?NoOp())")
    async with here.edited("screener/screener.conf", *judged, DIALPLAN):
        yield


@breaks(asterisk.contract, "version 0 of the contract", "cp -rT")
async def older(here: Examined) -> AsyncIterator[None]:
    async with here.edited(
        "screener/screener.conf", "ScreenerAsk,Version: 1", "ScreenerAsk,Version: 0", DIALPLAN
    ):
        yield


@breaks(asterisk.path, "no context has the line that asks", "exten => _[+0-9].,1,ExecIf")
async def no_line(here: Examined) -> AsyncIterator[None]:
    async with here.edited("extensions.conf", dialplan.ASK, "NoOp()", DIALPLAN):
        yield


@breaks(asterisk.path, "but calls arrive in [from-trunk]", "there, before the Dial: ")
async def line_elsewhere(here: Examined) -> AsyncIterator[None]:
    hidden = "[from-trunk]\nexten => 1,1,Hangup()\n[elsewhere]\n"
    async with here.edited("extensions.conf", "[from-trunk]\n", hidden, DIALPLAN):
        yield


@breaks(asterisk.path, "handed on as the caller wrote it", "FILTER(+0-9,${EXTEN})")
async def unfiltered(here: Examined) -> AsyncIterator[None]:
    async with here.edited("extensions.conf", "${FILTER(+0-9,${EXTEN})}", "${EXTEN}", DIALPLAN):
        yield


@breaks(asterisk.account, "waits for somebody (SCREENER_USER)", "SCREENER_USER=screener")
async def other_account(here: Examined) -> AsyncIterator[None]:
    async with here.global_set("SCREENER_USER", "somebody"):
        yield


@breaks(asterisk.trunks, "endpoint trunk: trust_id_inbound=yes", "trust_id_inbound=no")
async def credulous(here: Examined) -> AsyncIterator[None]:
    async with here.edited("pjsip.conf", "match=127.0.0.1\n", "match=0.0.0.0/0\n", PJSIP):
        yield


@breaks(asterisk.messages, "no endpoint sends any there", "message_context=messages-from-trunk", level=WARN)
async def no_messages(here: Examined) -> AsyncIterator[None]:
    async with here.edited("pjsip.conf", "message_context=messages-from-trunk\n", "", PJSIP):
        yield


@breaks(asterisk.clock, "Asterisk's clock is -36", "set-ntp", level=WARN, also=("store.clock",))
async def clock(here: Examined) -> AsyncIterator[None]:
    here.clock = lambda: app.now() + timedelta(hours=1)
    yield
    here.clock = app.now


@breaks(asterisk.heartbeat, "no heartbeat of the screener: none has come", "another Asterisk")
async def other_asterisk(here: Examined) -> AsyncIterator[None]:
    async with Asterisk(here.house.directory / "second") as second:
        second.spool.mkdir(mode=0o700)
        ours(second.spool)
        etc, here.etc = here.etc, second.directory / "etc"
        program = here.house.directory / "bin/asterisk"
        text = program.read_text()
        program.write_text(text.replace(str(etc), str(here.etc)))
        ami = {**here.service.settings["ami"], "port": second.ami}
        with here.configured(ami=ami, recordings_dir=str(second.spool)):
            yield
        program.write_text(text)
        here.etc = etc


@breaks(asterisk.sessions, "of 2 others on the account", "manager show connected", level=WARN)
async def stranger_beside_a_standby(here: Examined) -> AsyncIterator[None]:
    async with here.standby(), here.patient().account().visit():
        yield


@breaks(asterisk.heartbeat, "another screener set its own", "stop the older", also=("asterisk.sessions",))
async def older_screener(here: Examined) -> AsyncIterator[None]:
    account, beat = here.patient().account(), f"{app.now().timestamp() - 1:.0f}"
    seen = None
    async with account.visit(), asyncio.timeout(30):
        while seen is None:
            await account.act("Setvar", Variable="GLOBAL(SCREENER_HEARTBEAT)", Value=beat)
            await asyncio.sleep(0.1)
            status = await asyncio.to_thread(control.ask, here.state, "status")
            seen = status["pbxs"][""]["ami"]["rival_age_s"]
        yield
    await here.service.stop()  # it remembers for minutes
    await here.service.start()
    here._rewrite({})
    ours(here.state / control.SOCKET)


@breaks(asterisk.sessions, "1 more than one screener is logged in", "manager show connected")
async def second_screener(here: Examined) -> AsyncIterator[None]:
    async with here.patient().account().visit():
        yield
