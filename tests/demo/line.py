"""One call of the demonstration: what the caller does, what should become of it, and what did."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.pbx import sound
from tests.pbx.house import KEYS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine
    from types import TracebackType

    from screener.ledger import CallRecord
    from tests.demo.stage import Stage
    from tests.pbx.ua import Dialog

ENOUGH = 0.9
"""The share of spoken sound that must arrive; a frame may be lost where a recording begins or ends."""
REACH_S = 5.0
PROMPT_S = 45.0
"""The way to the greeting is longest for who fails the challenge in silence: about 27 s."""
FILED_S = 15.0
DEADLINE_MS = 500
"""The dialplan's SCREENER_DEADLINE_MS: nobody may wait longer for a verdict."""
SLACK_MS = 100

HELLO = "Reception, good morning!"
GREETING = "Hello, it is me again."


class End(StrEnum):
    """Where a call can end, as the caller experiences it."""

    ANSWERED = "answered"
    PASSED = "passed, answered"
    VOICEMAIL = "voicemail"
    FAILED = "failed, voicemail"
    UNSCREENED = "rang unscreened"


RINGING = (End.ANSWERED, End.PASSED, End.UNSCREENED)


class Astray(Exception):  # noqa: N818 - named by what happened
    """The call did not go as the scene tells it; the text says in which step."""


class Line:
    """`async with line:` – the call is placed at the beginning, over and judged at the end.

    `should` and `happened` say where it belonged and where it ended, `problem` what went
    wrong on the way. A step that goes wrong ends the block quietly, so that the other calls
    of the scene go on.
    """

    def __init__(self, stage: Stage, caller: str, called: str, should: End, **how: Any) -> None:
        self.stage, self.caller, self.called, self.should, self.how = stage, caller, called, should, how
        self.dialog: Dialog
        self.doing = "dialling"
        self.problem = ""
        self.happened = ""
        self.said = b""
        self.heard_of_him: float | None = None
        self.record: CallRecord | None = None
        self.phone: Dialog | None = None
        self.rang = asyncio.Event()

    # ------------------------------------------------------------ what the caller does

    async def converses(self, spoken: bytes = b"") -> None:
        """Wait until somebody answers; both speak at once, he `spoken`, and each hears the other."""
        await self._step("ringing", self.rang.wait(), PROMPT_S if self.should is End.PASSED else REACH_S)
        phone = self._phone()
        await self._step("ringing", phone.answered.wait(), REACH_S)
        await self._step("ringing", self.dialog.answered.wait(), REACH_S)
        spoken, answer = spoken or sound.speech(GREETING), sound.speech(HELLO, "en-gb")
        await self._step("talking", _at_once(self.dialog.say(spoken), phone.say(answer)), REACH_S * 2)
        await self._reached("the telephone", spoken, phone)
        await self._reached("the caller", answer, self.dialog)

    async def is_told_a_key(self) -> str:
        """Wait until the voice names a digit; the digit."""
        heard = self.dialog.hear(sound.keys(), PROMPT_S, self.dialog.heard_to)
        return str(await self._step("listening", heard, PROMPT_S))

    async def obeys(self) -> None:
        """Press the keys that the voice names."""
        self.presses("".join([await self.is_told_a_key() for _ in range(KEYS)]))

    def presses(self, keys: str) -> None:
        """Press one key after the other."""
        self.doing = f"pressing {keys}"
        for key in keys:
            self.dialog.press(key)

    async def hears(self, prompt: str) -> None:
        """Wait until one of the prompts is being played (a piece one second into it)."""
        piece = {prompt: sound.ulaw(sound.prompt(prompt)[8000:8480])}
        await self._step(f"awaits {prompt}", self.dialog.hear(piece, PROMPT_S), PROMPT_S)

    async def says(self, message: bytes) -> None:
        """Speak, to whoever listens."""
        await self._step("answered", self.dialog.answered.wait(), REACH_S)
        await self._step("speaking", self.dialog.say(message), 60)

    async def leaves(self, message: bytes) -> None:
        """Speak to the voicemail, over its greeting as robots do, and hang up."""
        await self.hears("greeting")
        self.said += message
        await self.says(message)
        self.hangs_up()

    def hangs_up(self) -> None:
        """End the call."""
        self.doing = "hung up"
        self.dialog.hangup()

    # ------------------------------------------------------------ what became of it

    def is_answered(self, phone: Dialog) -> None:
        """Our telephone rings for this call; where it should not, the call is ended there."""
        self.phone = phone
        self.rang.set()
        if self.should not in RINGING:
            self.dialog.hangup()

    def check(self, holds: object, otherwise: str) -> None:
        """Note a problem unless this holds; the first one explains the rest."""
        if not holds and not self.problem:
            self.problem = otherwise

    @property
    def done(self) -> bool:
        """Whether the call is over and judged."""
        return bool(self.happened)

    @property
    def well(self) -> bool:
        """Whether the call went where it should, and all of it as the scene tells."""
        return self.happened == self.should and not self.problem

    @property
    def recording(self) -> dict[str, Any] | None:
        """The recording of the caller's leg, as the ledger has it."""
        legs = self.record.recordings if self.record else []
        return next((leg for leg in legs if leg["leg"] == "caller"), None)

    @property
    def question(self) -> dict[str, Any]:
        """The ledger's row of the first question: verdict, facts, what was missing."""
        rows = self.record.rows if self.record else ()
        return next((dict(row.body) for row in rows if row.kind == "setup"), {})

    @property
    def missed(self) -> str:
        """Why no verdict came, as the dialplan told the telephone: empty, away or late."""
        return self._told("X-Missed")

    @property
    def delay_ms(self) -> float | None:
        """The wait that screening added, by the dialplan's clock; None where the end was not reported."""
        reported = self.record.end.get("delay_ms") if self.record else None
        if reported is None and self.should is End.UNSCREENED and self._told("X-Added-Ms"):
            return float(self._told("X-Added-Ms"))
        return None if reported is None else float(reported)

    async def __aenter__(self) -> Self:
        await self.stage.place(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error and not isinstance(error, Astray):
            self.dialog.hangup()
            return False
        self.problem = str(error) if error else ""
        self.hangs_up()
        if self.should is not End.UNSCREENED:
            await self._filed()
        if self.said and self.recording:
            self.heard_of_him = await asyncio.to_thread(self._words)
        self.happened = self._end()
        self._judge()
        return True

    async def _filed(self) -> None:
        """Wait until the ledger has the end of the call, and both legs of what was recorded."""

        def complete() -> bool:
            record = self.record
            return record is not None and (
                len(record.recordings) == 2 or bool(record.end and not record.end["recording"])
            )

        try:
            async with asyncio.timeout(FILED_S), self.stage.news:
                await self.stage.news.wait_for(complete)
        except TimeoutError:
            self.check(holds=False, otherwise=f"the ledger did not have its end within {FILED_S:g} s")

    def _end(self) -> str:
        """Where the call ended: by the telephone, the sound file, and the ledger where only it can know."""
        challenge = (self.record.end if self.record else {}).get("challenge")
        if self.phone and self.phone.answered.is_set():
            if self.missed:
                return End.UNSCREENED
            return End.PASSED if challenge == "passed" else End.ANSWERED
        if self.recording and Path(self.recording["path"]).exists():
            return End.FAILED if challenge == "failed" else End.VOICEMAIL
        if self.dialog.status >= 300:
            return f"refused with SIP {self.dialog.status}"
        return "answered by nobody" if self.dialog.answered.is_set() else "never answered"

    def _judge(self) -> None:
        if self.said:
            share = self.heard_of_him or 0.0
            self.check(share >= ENOUGH, f"only {share:.0%} of what he said is in the recording")
        delay = self.delay_ms or 0.0
        self.check(delay <= DEADLINE_MS + SLACK_MS, f"it waited {delay:.0f} ms for the verdict")

    def _words(self) -> float:
        path = Path(self.recording["path"]) if self.recording else None
        return sound.share(self.said, sound.ulaw(sound.read_wav(path))) if path and path.exists() else 0.0

    async def _reached(self, whom: str, spoken: bytes, listener: Dialog) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + REACH_S
        while (share := sound.share(spoken, bytes(listener.rtp.heard))) < ENOUGH:
            if loop.time() > until:
                raise Astray(f"{whom} heard only {share:.0%} of what was said")
            await asyncio.sleep(0.1)

    async def _step(self, doing: str, work: Awaitable[Any], within: float) -> Any:
        self.doing = doing
        try:
            return await asyncio.wait_for(work, within)
        except TimeoutError:
            raise Astray(f"still {doing} after {within:g} s") from None
        except AssertionError as error:
            raise Astray(str(error)) from None

    def _phone(self) -> Dialog:
        if self.phone is None:
            raise Astray("the telephone did not ring")
        return self.phone

    def _told(self, header: str) -> str:
        if self.phone is None:
            return ""
        lines = self.phone.headers.decode("utf-8", "replace").splitlines()
        return next((line.partition(":")[2].strip() for line in lines if line.startswith(header + ":")), "")


async def _at_once(*work: Coroutine[Any, Any, None]) -> None:
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)
