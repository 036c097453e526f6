"""Calls told to their end, with sound both ways: what the scenarios of a kind of callers are made of.

What takes hours takes seconds here. Weeks that came before are told to the store as `screener replay` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from screener.state import Over, Question, Rehearsal, Taught, manner_of, serving, trust
from tests.pbx import sound
from tests.pbx.faults import brief
from tests.pbx.house import House
from tests.pbx.ua import FRAME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from screener.ledger import CallRecord
    from tests.pbx.ua import Dialog

Past: TypeAlias = Question | Over | Taught
DAY_S = 86_400
LONG_CALL_S = 60
"""As shipped: trust.long_call_s."""
PITCH = "Press one now to hear more."
HELLO = "Good morning!"
ENOUGH = 0.9
"""The share of what was said that must arrive; a frame may be lost at either end."""
OVER_AND_OVER = 30
NOBODY_IN = """exten => _2XX,1,Gosub(screener,s,1(${EXTEN}))
 same => n,Dial(PJSIP/phone,1)
"""
"""At 200 to 299 it rings for a second until we give up: a caller who did would look like wangiri."""
ANONYMOUS = b'"Anonymous" <sip:anonymous@anonymous.invalid>'
WITHHELD = "anonymous"
ABROAD = {"PJSIP/trunk": {"region": "US"}}
"""For the settings: callers come in by a trunk of another country."""

_calls = itertools.count(1)


def before(days: float, number: str, did: str = "100", *, talk_s: int = 0) -> list[Past]:
    """A call so long ago: half a minute of ringing, then a talk, which we ended, or none."""
    at, call_id = time.time() - days * DAY_S, f"past.{next(_calls)}"
    manner = manner_of("answered" if talk_s else "", 30 + talk_s, talk_s, by_caller=False)
    lesson = trust.of_call(answered=bool(talk_s), talk_s=talk_s, passed=False, long_call_s=LONG_CALL_S)
    told: list[Past] = [Question(number, did, call_id, at, counts=True, trunk="PJSIP/past")]
    told.append(Over(number, did, call_id, manner, at + 30 + talk_s))
    return told + ([Taught(number, lesson, at + 30 + talk_s)] if lesson else [])


async def _reached(words: bytes, listener: Dialog) -> None:
    for _ in range(50):
        if sound.share(words, bytes(listener.rtp.heard)) >= ENOUGH:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{listener.number} did not hear what was said")


def _rehearse(url: str, past: list[Past]) -> None:
    with Rehearsal(url, half_life_days=90) as state:
        state.ask(sorted(past, key=lambda one: one.at))
        state.answers()


def symbols(record: CallRecord) -> set[str]:
    """What the first verdict was made of."""
    return {hit["symbol"] for hit in record.setup["hits"]}


def ends(*records: CallRecord) -> list[str]:
    """Where calls ended, in their order: answered, recorded, abandoned, or otherwise."""
    return [record.disposition for record in records]


class Story:
    """The callers of one house. Calls at the same time need different called numbers."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._told: set[str] = set()
        self._phones: set[Dialog] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, site: dict[str, str] | None = None, *, extra: str = NOBODY_IN, **settings: Any
    ) -> AsyncIterator[Story]:
        """A house of its own; its prompts are short, and so is the time for a key."""
        pbx = {"extra": extra, "globals_": "SCREENER_KEY_WAIT_S=1"}
        async with House.open(site, pbx=pbx, **settings) as house:
            brief(house.pbx, "notice", "greeting", "again", "thanks")
            yield cls(house)

    async def past(self, *calls: list[Past]) -> None:
        """Let the store count these calls, which are later than those of the same callers that it knows."""
        async with serving(self.house.service.state / "store") as url:
            await asyncio.to_thread(_rehearse, url, list(itertools.chain(*calls)))

    async def person(self, number: str, did: str = "100", *, within: float = 10, **how: Any) -> CallRecord:
        """Somebody presses the keys if he is asked for any, and talks with us until we hang up."""
        call = await self._placed(number, did, **how)
        phone = await self._rings_or_hears(call, number, "press", within)
        if phone is None:
            await self.house.obeys(call)
            phone = await self._rings_or_hears(call, number, "", within)
        assert phone is not None
        await self._talk(call, phone, sound.speech(PITCH))
        phone.hangup()
        return await self._filed(did)

    async def robot(
        self,
        number: str,
        did: str,
        text: str = PITCH,
        voice: str = "en-us",
        *,
        keys: str = "",
        guesses: bool = False,
        leaves: bool = False,
        **how: Any,
    ) -> CallRecord:
        """A machine says its text over whatever it hears; we listen to it and hang up, unless it `leaves`.

        It presses `keys` all along, or `guesses` when it has heard the voice. Where it is recorded it goes
        on, and its words must be in the file; without a text it is mute.
        """
        words = sound.speech(text, voice) if text else b""
        call = await self._placed(number, did, **how)
        await asyncio.wait_for(call.answered.wait(), 10)
        if guesses:
            for _ in range(2):
                await self.house.obeys(call, instead="**")
        frames = [words[at : at + FRAME].ljust(FRAME, b"\xff") for at in range(0, len(words), FRAME)]
        call.rtp.queue += frames * OVER_AND_OVER
        call.rtp.keys += keys
        phone = await self._rings_or_hears(call, number, "greeting", 40)
        if phone is not None:
            await self._talk(call, phone, words)
            (call if leaves else phone).hangup()
            return await self._filed(did)
        call.rtp.queue.clear()
        call.rtp.keys.clear()
        await call.say(words)
        call.hangup()
        record = await self._filed(did)
        assert len(record.recordings) == 2
        file = next(Path(leg["path"]) for leg in record.recordings if leg["leg"] == "caller")
        kept = await asyncio.to_thread(sound.read_wav, file)
        assert not words or sound.share(words, sound.ulaw(kept)) >= ENOUGH
        return record

    async def in_vain(self, number: str, did: str, **how: Any) -> CallRecord:
        """It rings at one of `NOBODY_IN`, and nobody is in."""
        self.house.phone.answer_after = None
        call = await self._placed(number, did, **how)
        assert await self._rings_or_hears(call, number, "", 5)
        await asyncio.wait_for(call.ended.wait(), 10)
        self.house.phone.answer_after = 0.0
        return await self._filed(did)

    async def one_ring(self, number: str, did: str) -> CallRecord:
        """The caller hangs up as soon as it rings, or when something else of ours answers."""
        self.house.phone.answer_after = None
        call = await self._placed(number, did)
        await self._rings_or_hears(call, number, "press", 10)
        call.hangup()
        self.house.phone.answer_after = 0.0
        return await self._filed(did)

    async def _placed(self, number: str, did: str, **how: Any) -> Dialog:
        if number == WITHHELD:
            how["sender"] = ANONYMOUS
        return await self.house.call(number, did, **how)

    async def _rings_or_hears(self, call: Dialog, number: str, prompt: str, within: float) -> Dialog | None:
        """Our telephone's side once it rings, None once the caller hears a prompt."""
        piece = sound.piece(sound.prompt(prompt)) if prompt else None
        async with asyncio.timeout(within):
            while True:
                for phone in self.house.phone.dialogs.values():
                    here = phone.incoming and not phone.ended.is_set() and phone not in self._phones
                    if here and phone.number == number:
                        self._phones.add(phone)
                        return phone
                if piece and piece in call.rtp.heard:
                    return None
                await asyncio.sleep(0.02)

    async def _talk(self, call: Dialog, phone: Dialog, words: bytes) -> None:
        await asyncio.wait_for(asyncio.gather(phone.answered.wait(), call.answered.wait()), 5)
        hello = sound.speech(HELLO, "en-gb")
        call.rtp.queue.clear()
        await asyncio.gather(call.say(words), phone.say(hello))
        await _reached(hello, call)
        if words:
            await _reached(words, phone)

    async def _filed(self, did: str) -> CallRecord:
        """The ledger's record of the call to this number that was not told yet, once all of it is there."""
        record = await self.house.service.record(
            lambda one: (
                one.end
                and one.call_id not in self._told
                and one.call["did"] == did
                and (len(one.recordings) == 2 or not one.end["recording"])
            )
        )
        self._told.add(record.call_id)
        return record
