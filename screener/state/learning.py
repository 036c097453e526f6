"""What calls teach about their callers, written when they are over: no caller waits for it.

Voicemail messages whose fate is not known yet are kept here, too; `screener.voicemail` looks after them.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import structlog
from redis.exceptions import RedisError

from screener.state.asking import (
    CALL_KEY,
    CALLER_KEY,
    CHALLENGES_KEY,
    EXPECTING_KEY,
    GUESSES_KEY,
    HERE,
    KEYS,
    LIVE_KEY,
    SHORT_KEY,
    SPOKE_KEY,
    TRUST_KEY,
    is_key,
    key_part,
)
from screener.state.client import LOG_PAUSE_S
from screener.state.connecting import UNREACHABLE, describe, open_client, unavailable
from screener.state.trust import FAILED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from screener.state.asking import Asked
    from screener.state.manner import Manner
    from screener.state.trust import Lesson

TIMEOUT_S = 2.0
CONNECTIONS = 2
MESSAGES_MAX = 1000
MESSAGE_DAYS = 30
"""A message that nobody has listened to for so long teaches nothing any more."""

LEARN = Path(__file__).with_name("learn.lua").read_text(encoding="utf-8")
OVER = Path(__file__).with_name("over.lua").read_text(encoding="utf-8")
_MAILBOX = re.compile(r"(?!\.\.?/)[^/\0]+/(?!\.\.?$)[^/\0]+")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """A voicemail message: whose it is, the mailbox's folder, what Asterisk calls it, when it came."""

    call_id: str
    caller: str
    mailbox: str
    identity: str
    at: float


class Learning:
    """The writing side of trust, with connections of its own; `lost` counts what the store did not take."""

    def __init__(self, url: str, half_life_days: int) -> None:
        self.lost = 0
        self._half_life_days = half_life_days
        self._client = open_client(url, timeout_s=TIMEOUT_S, max_connections=CONNECTIONS)
        self._script = self._client.register_script(LEARN)
        self._over = self._client.register_script(OVER)
        self._messages_key = f"{KEYS}voicemail:{HERE}"
        self._log_at = 0.0

    async def learn(self, caller: str, event: str, lesson: Lesson | None, trunk: str = "") -> None:
        """Learn a lesson about a caller (`CallerNumber.key`), once for each event. Never raises.

        No lesson, or nobody to learn it about: nothing happens, but that challenges failed by callers without
        a number, or with one of no numbering plan, are counted for their trunk. Where the store does not
        answer the lesson is lost.
        """
        if lesson is None or not (is_key(caller) or (not caller and lesson.challenge == FAILED)):
            return
        keys, arguments = teaching(caller, event, lesson, self._half_life_days, trunk=trunk)
        with self._lossy():
            await self._script(keys, arguments)
            _log.debug("learned", caller=caller, from_event=event)
        if lesson.challenge == FAILED and caller and not caller.startswith("+"):
            await self.learn(
                "", f"{event}-of-trunk", lesson, trunk
            )  # or each guess would be another caller's

    async def over(self, caller: str, did: str, call_id: str, how: Manner) -> None:
        """Count how a call ended, once; it is up no more. Never raises; nobody's call counts nowhere."""
        if is_key(caller):
            with self._lossy():
                await self._over(*ending(caller, did, call_id, how))

    async def expect_code(self, for_s: int) -> None:
        """Remember that somebody here awaits a call with a code, from now on. Raises StateUnavailable.

        What was to last longer, after a call to an emergency number, is not cut short.
        """
        with _needed():
            if await self._client.ttl(EXPECTING_KEY) < for_s:
                await self._client.set(EXPECTING_KEY, "1", ex=for_s)

    async def forget(self, caller: str) -> bool:
        """Forget all of a caller, and which campaign he spoke; whether there was anything.

        Raises StateUnavailable.
        """
        with _needed():
            keys = (TRUST_KEY + caller, CHALLENGES_KEY + caller, SPOKE_KEY + caller)
            return bool(await self._client.unlink(*keys))

    async def remember(self, message: Message) -> None:
        """Keep a message in mind until its fate is known; beyond a bound it is lost. Never raises."""
        body = asdict(message)
        with self._lossy():
            held = await self._client.hlen(self._messages_key)
            if held >= MESSAGES_MAX:
                raise RedisError(f"{held} messages wait to be heard already")
            await self._client.hset(self._messages_key, body.pop("call_id"), json.dumps(body))

    async def messages(self) -> list[Message]:
        """Those whose fate is not known yet. Raises StateUnavailable."""
        with _needed():
            held = await cast("Awaitable[dict[str, str]]", self._client.hgetall(self._messages_key))
        found = []
        for call_id, text in held.items():
            if (message := _message(call_id, text)) is None:
                await self.done(call_id)  # another program's
            else:
                found.append(message)
        return found

    async def done(self, call_id: str) -> None:
        """Keep a message in mind no longer. Raises StateUnavailable."""
        with _needed():
            await self._client.hdel(self._messages_key, call_id)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    @contextmanager
    def _lossy(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, *UNREACHABLE) as error:
            self.lost += 1
            now = time.monotonic()
            if now >= self._log_at:
                self._log_at = now + LOG_PAUSE_S
                _log.warning("what a call taught is lost", reason=describe(error), lost=self.lost)


def teaching(  # noqa: PLR0913 - all that the script takes
    caller: str, event: str, lesson: Lesson, half_life_days: int, at: float | None = None, *, trunk: str = ""
) -> tuple[list[str], list[str]]:
    """The keys and arguments of `learn.lua`; no `event`: it cannot come twice."""
    keys = [TRUST_KEY + caller, CHALLENGES_KEY + caller if caller else GUESSES_KEY + key_part(trunk)]
    if event:
        keys.append(f"{KEYS}taught:{key_part(event)}")
    now = "" if at is None else repr(at)
    return keys, [
        now, str(half_life_days), repr(lesson.good), repr(lesson.up_to), repr(lesson.bad),
        str(lesson.talk_s), "1" if lesson.dialled else "", lesson.challenge, "86400" if caller else "3600",
    ]  # fmt: skip


def ending(caller: str, did: str, call_id: str, manner: Manner, at: float | None = None) -> Asked:
    """The keys and arguments of `over.lua`."""
    this = key_part(call_id)
    keys = [CALLER_KEY + caller, CALL_KEY + this, LIVE_KEY + caller, SHORT_KEY + caller]
    flags = ["1" if one else "" for one in manner]
    return keys, ["" if at is None else repr(at), key_part(did), this, *flags]


def _message(call_id: str, text: str) -> Message | None:
    """A message as it was stored; None for what another program left, which may name any folder."""
    try:
        body = json.loads(text)
        message = Message(call_id=call_id, **body)
    except (TypeError, ValueError, RecursionError):
        return None
    if [type(body[name]) for name in ("caller", "mailbox", "identity", "at")] != [str, str, str, float]:
        return None
    return message if is_key(message.caller) and _MAILBOX.fullmatch(message.mailbox) else None


@contextmanager
def _needed() -> Iterator[None]:
    try:
        yield
    except (RedisError, *UNREACHABLE) as error:
        raise unavailable(error) from error
