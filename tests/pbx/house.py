"""A whole telephone house for one test: Asterisk, the screener, our telephone, and somebody who calls.

async with House.open() as house:
    call = await house.call("+8613912345678")
    await house.rings()
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.pbx import sound
from tests.pbx.asterisk import Asterisk
from tests.pbx.service import Service
from tests.pbx.ua import Dialog, UserAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from screener.ledger import CallRecord

FRIEND = "+8613912345678"
STRANGER = "+8613800138000"
COLLECTOR = "+8617712345678"
OUTSIDE = """
[from-phone]
exten => _[+0-9].,1,Set(N=${FILTER(+0-9,${EXTEN})})
 same => n,ExecIf(${DIALPLAN_EXISTS(screener-dialled,s,1)}?Gosub(screener-dialled,s,1(${N})))
 same => n,Gosub(screener-dialled,s,1(${EXTEN}))
 same => n,Dial(PJSIP/trunk/sip:${EXTEN}@${CARRIER},30)
"""
"""For the dialplan: our telephone calls the outside, where `caller` answers."""
KEYS = 2
"""How many keys the challenge asks for: the dialplan's SCREENER_DIGITS as shipped."""
RING_S = 3.0
"""The longest that a caller may take to reach a telephone in a test; an unscreened call takes 10 ms."""


class House:
    """The parts, and the questions that tests ask of them."""

    def __init__(
        self, directory: Path, pbx: Asterisk, service: Service, phone: UserAgent, caller: UserAgent
    ) -> None:
        self.directory, self.pbx, self.service = directory, pbx, service
        self.phone, self.caller = phone, caller

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        site: dict[str, str] | None = None,
        *,
        screener: bool = True,
        answer_after: float | None = 0.0,
        pbx: dict[str, Any] | None = None,
        **settings: Any,
    ) -> AsyncIterator[House]:
        """Everything up; `screener=False` leaves the screener to the test. `pbx` goes to Asterisk."""
        # Not pytest's tmp_path: unix sockets below it would have too long a name.
        directory = Path(tempfile.mkdtemp(prefix="scr-"))
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            server = await stack.enter_async_context(Asterisk(directory / "pbx", **(pbx or {})))
            service = Service(directory, server, site, **settings)
            stack.push_async_callback(service.__aexit__)
            if screener:
                await service.start()
            phone = await UserAgent.open(server.sip, server.phone, answer_after)
            stack.callback(phone.close)
            caller = await UserAgent.open(server.sip)
            stack.callback(caller.close)
            yield cls(directory, server, service, phone, caller)

    async def call(self, number: str | bytes = FRIEND, to: str = "100", **how: Any) -> Dialog:
        """Place a call from outside."""
        return await self.caller.call(to, number, **how)

    async def withheld(self, to: str = "100") -> Dialog:
        """Place a call that hides its number."""
        return await self.caller.call(to, sender=b'"Anonymous" <sip:anonymous@anonymous.invalid>')

    async def dial(self, code: str) -> Dialog:
        """Dial something on our own telephone, and wait until it is answered."""
        dialled = await self.phone.call(code, "phone", headers="X-Telephone: phone")
        await asyncio.wait_for(dialled.answered.wait(), RING_S)
        return dialled

    async def dials(self, number: str) -> Dialog:
        """Call somebody outside from our telephone; the call as he sees it, answered. Needs `OUTSIDE`."""
        await self.pbx.cli(f"dialplan set global CARRIER 127.0.0.1:{self.caller.port}")
        await self.pbx.cli(f"channel originate PJSIP/phone extension {number}@from-phone")
        await self.rings()
        theirs = await asyncio.wait_for(self.caller.incoming.get(), 5)
        await asyncio.wait_for(theirs.answered.wait(), 5)
        # A hangup at once would reach Asterisk before it has put the two together.
        await theirs.say(sound.tone(0.5))
        return theirs

    async def rings(self, within: float = RING_S) -> Dialog:
        """Wait until our telephone rings; the call as the telephone sees it."""
        return await asyncio.wait_for(self.phone.incoming.get(), within)

    async def answered(self, within: float = RING_S) -> Dialog:
        """Wait until our telephone rings and has been answered, and the latest caller knows it."""
        ringing = await self.rings(within)
        await asyncio.wait_for(ringing.acknowledged.wait(), within)
        # A hangup before the answer has reached Asterisk and the caller would be a cancelled call.
        latest = list(self.caller.dialogs.values())[-1]
        await asyncio.wait_for(latest.answered.wait(), within)
        return ringing

    @property
    def silent(self) -> bool:
        """Our telephone has not rung since it was last asked."""
        return self.phone.incoming.empty()

    async def hears(self, call: Dialog, prompt: str, within: float = 20, *, after: int = 0) -> None:
        """Wait until the caller hears one of the prompts (a telling piece of its first 1.2 s)."""
        await call.hear({prompt: sound.piece(sound.prompt(prompt))}, within, after=after)

    async def hears_key(self, call: Dialog, within: float = 20, *, after: int = 0) -> str:
        """Wait until the caller hears which key to press."""
        return await call.hear(sound.keys(), within, after=after)

    async def hears_keys(self, call: Dialog, keys: int = KEYS) -> str:
        """Wait until the caller hears which keys to press, one after the other."""
        return "".join([await self.hears_key(call, after=call.heard_to) for _ in range(keys)])

    async def obeys(self, call: Dialog, *, thinks_s: float = 0, instead: str = "") -> None:
        """Press the keys that the voice names, `thinks_s` after hearing them; or others `instead`."""
        named = await self.hears_keys(call)
        await asyncio.sleep(thinks_s)
        for key in instead or named:
            call.press(key)

    async def ended(self, within: float = 15, **call: Any) -> CallRecord:
        """Wait until the ledger knows how a call ended; `call` selects by fields such as number=…."""
        return await self.service.record(
            lambda one: (
                one.end and all(one.call.get(key, one.end.get(key)) == value for key, value in call.items())
            ),
            within,
        )
