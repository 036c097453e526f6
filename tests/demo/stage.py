"""The real parts of the demonstration: Asterisk, the screener with its Valkey, our telephone, callers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screener import app
from screener.errors import LedgerError
from screener.state import place
from tests.demo.line import GREETING, HELLO
from tests.pbx import sound
from tests.pbx.asterisk import Asterisk
from tests.pbx.service import COLLECTION_ON, Service
from tests.pbx.ua import UserAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.demo.line import Line

# Tells our telephone which call rings, and what the dialplan itself measured around its one line.
DIALPLAN = """
exten => _XXX,1,Set(CAME=${STRFTIME(,,%s%6q)})
 same => n,Gosub(screener,s,1(${EXTEN}))
 same => n,Set(ADDED=$[(${STRFTIME(,,%s%6q)} - ${CAME}) / 1000])
 same => n,Dial(PJSIP/phone,30,b(demo-phone^s^1(${EXTEN}^${ADDED}^${SCREENER_MISSED})))
 same => n,Hangup()

[demo-phone]
exten => s,1,Set(PJSIP_HEADER(add,X-Called)=${ARG1})
 same => n,Set(PJSIP_HEADER(add,X-Added-Ms)=${ARG2})
 same => n,Set(PJSIP_HEADER(add,X-Missed)=${ARG3})
 same => n,Return()
"""
POLL_S = 0.2
_CALLED = re.compile(rb"^X-Called: *(\d+)", re.MULTILINE)


class Stage:
    """The parts, what may be done to them, and the lines that run through them."""

    def __init__(self, kept: Path, pbx: Asterisk, service: Service) -> None:
        self.kept, self.pbx, self.service = kept, pbx, service
        self.lines: dict[str, Line] = {}
        self.news = asyncio.Condition()
        self.log: list[dict[str, Any]] = []
        self.phone: UserAgent
        self.callers: UserAgent

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, kept: Path) -> AsyncIterator[Stage]:
        """Everything up; what is worth keeping is left in `kept`, all else is gone afterwards."""
        # Unix sockets and Asterisk's own files need a short path that has no comma in it.
        scratch = Path(tempfile.mkdtemp(prefix="scr-"))
        spool = kept / "recordings"
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            pbx = Asterisk(scratch / "pbx", extra=DIALPLAN, globals_=f"SCREENER_SPOOL={spool}")
            service = Service(kept, pbx, {"rules/collection.yaml": COLLECTION_ON}, recordings_dir=str(spool))
            stage = cls(kept, pbx, service)
            stack.callback(stage._keep_logs)
            await stack.enter_async_context(pbx)
            stack.push_async_callback(service.__aexit__)
            await service.start()
            stage.phone = await UserAgent.open(pbx.sip, pbx.phone)
            stack.callback(stage.phone.close)
            stage.callers = await UserAgent.open(pbx.sip)
            stack.callback(stage.callers.close)
            await stack.enter_async_context(stage._attending())
            # Made here, since making them holds up whoever is speaking at that moment.
            sound.keys(), sound.speech(GREETING), sound.speech(HELLO, "en-gb")
            yield stage

    @contextlib.asynccontextmanager
    async def _attending(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._switchboard()), asyncio.create_task(self._follow_ledger())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def enlist(self, kind: str, pattern: str, reason: str) -> None:
        """Put an entry on a list, by the command that an administrator would use."""
        await self.command("list", "add", kind, pattern, "--reason", reason)

    async def command(self, *words: str, code: int = 0) -> str:
        """Run a `screener` command; its last line, RuntimeError with it unless it ends with this code."""
        ended, output = await self.service.command(*words)
        if ended != code:
            raise RuntimeError(f"screener {' '.join(words)} ended with {ended}: {output.strip()}")
        return output.strip().rpartition("\n")[2].replace(f"{self.kept}/", "")

    async def place(self, line: Line) -> None:
        """Send the INVITE of one call; each called number is used once, so that it names the call."""
        if line.called in self.lines:
            raise ValueError(f"{line.called} is called twice")
        self.lines[line.called] = line
        line.dialog = await self.callers.call(line.called, **line.how)

    # ------------------------------------------------------------ faults

    async def hang_screener(self) -> None:
        """Stop the screener in the middle of what it does, as a debugger or a full disk would."""
        self.service.signal(signal.SIGSTOP)

    async def kill_screener(self) -> None:
        """SIGKILL; no goodbye to Asterisk."""
        self.service.signal(signal.SIGKILL)
        assert self.service.process is not None
        await self.service.process.wait()

    async def start_screener(self) -> None:
        """Start it again, and wait until calls are screened."""
        self.log += self.service.lines
        await self.service.start()

    def kill_valkey(self) -> None:
        """SIGKILL the embedded server; the screener will start it again within about 0.1 s."""
        pid, _ = place.holder(self.kept / "state" / app.STORE_DIRECTORY)
        os.kill(int(pid), signal.SIGKILL)

    async def valkey_is_back(self) -> None:
        """Wait until the screener has brought the server back."""
        await self.service.logged("embedded server is back")

    # ------------------------------------------------------------ attendants

    async def _switchboard(self) -> None:
        """Tell each line when our telephone rings for it."""
        while True:
            phone = await self.phone.incoming.get()
            called = _CALLED.search(phone.headers)
            if called and (line := self.lines.get(called[1].decode())):
                line.is_answered(phone)

    async def _follow_ledger(self) -> None:
        """Keep each line's record of the ledger fresh."""
        while True:
            with contextlib.suppress(LedgerError):
                for record in await asyncio.to_thread(self.service.calls):
                    if line := self.lines.get(record.call.get("did") or record.end.get("did", "")):
                        line.record = record
            async with self.news:
                self.news.notify_all()
            await asyncio.sleep(POLL_S)

    def _keep_logs(self) -> None:
        lines = [*self.log, *self.service.lines]
        (self.kept / "screener.log").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (self.kept / "asterisk.log").write_text(self.pbx.log())
