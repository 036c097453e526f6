"""The way of one SIP MESSAGE: screened by the policy of calls, delivered, held, or filed and no more.

The dialplan asks and delivers; all later messages wait meanwhile. It keeps one back only when we say so, and
we say so only once the ledger has it on disk: so whoever dies when, it is delivered or in the ledger. What
came while we were away lies in files that the dialplan wrote, and is filed from there.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from screener import ledger, number, recordings
from screener.call import MESSAGE_END_EVENT, MESSAGE_EVENT, MESSAGE_VARIABLE, Call
from screener.errors import AmiError, ScreenerError
from screener.facts import UNLISTED, facts_of
from screener.headers import CONTRACT_VERSION, Headers
from screener.ledger import Row
from screener.sip import user_and_host
from screener.verdict import Action, Verdict
from screener.wording import facts_of_message

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from screener.screening import Screener
    from screener.wording import Finding, Wording

log = structlog.get_logger(__name__)

LOOK_S = 15.0
"""How often we look for messages that came while we could not answer."""
STATUS: Final = {Action.VOICEMAIL: "held", Action.REJECT: "filed"}
"""What a verdict means for a message; all others deliver it, for nobody can be challenged in writing."""
CLOCKS_DIFFER = timedelta(days=1)
"""So far may Asterisk's clock be ahead of ours."""
KEPT = timedelta(days=2)
"""So long a file of the dialplan's is left alone after it was last written to."""
AT_ONCE = 500
"""Rows filed in one go: the ledger's queue is for calls."""
SPARE_S = 0.1
"""Of the dialplan's deadline: what the answer needs on its way once the ledger is on disk."""


class Messages:
    """Answers the questions about messages, with the parts of `screener`; its policy may be replaced."""

    def __init__(self, screener: Screener, wording: Wording, path: Path) -> None:
        """`path` is the ledger's."""
        self._screener, self._wording, self._path = screener, wording, path
        self._read_to: dict[Path, int] = {}

    def receive(self, event: Mapping[str, object]) -> None:
        """Take one event from Asterisk; those that are not about messages are passed over."""
        at, name = self._screener.clock(), event.get("UserEvent")
        try:
            if name == MESSAGE_EVENT:
                message = Call.from_message(event, at)
                self._screener.spawn(message.id, self._screen(message))
            elif name == MESSAGE_END_EVENT:
                read = Headers(event)
                body = {"status": read.text("Status"), "missed": ""}
                self._screener.ledger.append(Row(read.token("Id"), "message-end", at, body))
        except ValueError as error:
            log.error("a message was not understood and is delivered", event_name=name, reason=str(error))

    async def _screen(self, message: Call) -> None:
        """Answer one question. Whatever fails, the message is delivered."""
        try:
            body, verdict = await self._judged(message)
        except Exception:
            log.exception("a message could not be judged: delivering it")
            self._screener.counters.failures["not judged"] += 1
            body, verdict = self._about(message, ()), Verdict(Action.ALLOW, 0.0)
        status = STATUS.get(verdict.action, "delivered")
        row = Row(message.id, "message", message.at, body)
        self._screener.ledger.append(row)
        if status != "delivered" and not await self._on_disk(message):
            log.error("a message is delivered that should be held: the ledger was not written in time")
            status = "delivered"
        reached = await self._answer(message, status)
        self._screener.counters.count(message.stage, verdict, self._screener.policy, reached)
        log.info(
            "verdict on a message",
            sender=body["call"]["shown"],
            did=message.did,
            status=status,
            score=verdict.score,
            reasons=verdict.reasons,
            reached=reached,
        )

    async def _judged(self, message: Call) -> tuple[dict[str, Any], Verdict]:
        place, policy = self._screener.place, self._screener.policy
        region = place.region_of(message.trunk)
        caller = number.parse(message.number, region)
        # Not counted: the counters are of calls, and a message moves none of them.
        observed = await self._screener.state.observe(caller.key, message.did, message.id, count=False)
        found = await self._found(message)
        sender, _ = user_and_host(message.number)
        said = facts_of_message(sender, caller.kind.value, message.text, found)
        known = {name: value for name, value in observed.facts.items() if name in UNLISTED}
        facts = facts_of(message, caller, {**known, **said}, place)
        verdict = policy.judge(facts)
        missing = [observed.missing] if observed.missing else []
        return self._about(message, found) | {
            "facts": facts, "verdict": verdict.as_dict(), "missing": missing,
        }, verdict  # fmt: skip

    async def _found(self, message: Call) -> tuple[Finding, ...]:
        place = self._screener.place
        day = message.at.astimezone(place.zone).date()
        find = partial(self._wording.find, region=place.region_of(message.trunk), said_on=day)
        return await asyncio.to_thread(find, message.text, language="")  # callers must not wait for it

    def _about(self, message: Call, found: tuple[Finding, ...]) -> dict[str, Any]:
        """What is filed of a message, whoever judged it."""
        caller = number.parse(message.number, self._screener.place.region_of(message.trunk))
        call = {"number": message.number, "e164": caller.e164, "shown": caller.shown, "did": message.did}
        call |= {"trunk": message.trunk, "to": message.to, "text": message.text}
        return {"call": call, "wording": [asdict(one) for one in found]}

    async def _on_disk(self, message: Call) -> bool:
        ami, rest_s = self._screener.ami, message.deadline_ms / 1000 - SPARE_S
        try:
            async with asyncio.timeout(rest_s - ami.age_ms(message) / 1000):
                await self._screener.ledger.flush()
        except (ScreenerError, TimeoutError):
            return False
        return True

    async def _answer(self, message: Call, status: str) -> str:
        """Tell the dialplan, unless it has gone on; returns as `Ami.decide`."""
        if self._screener.ami.age_ms(message) >= message.deadline_ms:
            return "late"
        try:
            value = f"{message.id}:{status}"
            done = await self._screener.ami.act("Setvar", Variable=f"GLOBAL({MESSAGE_VARIABLE})", Value=value)
        except AmiError as error:
            log.warning("the answer did not reach Asterisk", message_id=message.id, reason=str(error))
            return "gone"
        return "sent" if done.success else "gone"

    async def release(self, message_id: str) -> dict[str, Any]:
        """Have a message delivered that was not; `error` says why it was not done."""
        try:
            rows = await asyncio.to_thread(ledger.message, self._path, message_id)
            if not rows or rows[0].pbx != self._screener.pbx:
                return {"error": f"there is no message {message_id}"}
            if (state := ledger.state_of(rows)) in {"delivered", "released"}:
                return {"error": f"it has been {state}"}
            call = next(row.body["call"] for row in rows if row.kind == "message")
            await self._send(call)
        except ScreenerError as error:
            return {"error": str(error)}
        now = self._screener.clock()
        self._screener.ledger.append(Row(message_id, "message-release", now, {"to": call["to"]}))
        return {"to": call["to"]}

    async def _send(self, call: Mapping[str, str]) -> None:
        user, host = user_and_host(call["number"])
        text = base64.b64encode(call["text"].encode("utf-8", "replace")).decode()
        sender = f"<sip:{user}@{host or 'localhost'}>"
        sent = await self._screener.ami.act("MessageSend", To=call["to"], From=sender, Base64Body=text)
        if not sent.success:
            why = sent.message or "no reason given"
            advice = "; the account needs `write = call,message` in manager.conf" * ("ermission" in why)
            raise AmiError(f"Asterisk did not take it: {why}{advice}")

    async def run(self) -> None:
        """File what came while we could not answer, for ever."""
        spool = self._screener.filing.spool.root
        while True:
            for path in await asyncio.to_thread(lambda: sorted(spool.glob("messages-*"))):
                try:
                    await self._adopt(path)
                except (OSError, ScreenerError) as error:  # those of other days are read all the same
                    log.error("kept messages cannot be read", path=str(path), reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def _adopt(self, path: Path) -> None:
        """File what the dialplan has written there since we looked last."""
        found, read = await asyncio.to_thread(self._read, path)
        if found:
            await self._screener.ledger.flush()  # what is filed is to be found below
            since = min(message.at for message, _ in found) - CLOCKS_DIFFER
            known = await asyncio.to_thread(ledger.messages_filed, self._path, since)
            for n, (message, end) in enumerate(found, 1):
                await self._file(message, end, known)
                if n % AT_ONCE == 0:
                    await self._screener.ledger.flush()
            log.info(
                "messages that came while the screener was away or late", path=str(path), kept=len(found)
            )
        self._read_to[path] = read
        await self._forget(path)

    async def _forget(self, path: Path) -> None:
        """Delete a file of an earlier day, once all of it is in the ledger: there its content is erased."""
        written = (await asyncio.to_thread(path.stat)).st_mtime
        if written < (self._screener.clock() - KEPT).timestamp():
            await self._screener.ledger.flush()
            with contextlib.suppress(PermissionError):
                await asyncio.to_thread(path.unlink)

    def _read(self, path: Path) -> tuple[list[tuple[Call, dict[str, str]]], int]:
        """New messages in a file of the dialplan's, and how far it was read: to the end of its last line."""
        start = self._read_to.get(path, 0)
        file = recordings.opened(path)  # a pipe in its place would keep us waiting for ever
        if file is None:
            return [], start
        with file:
            file.seek(start)
            lines = file.read().split(b"\n")[:-1]
        found = [one for line in lines if (one := kept(line)) is not None]
        return found, start + sum(len(line) + 1 for line in lines)

    async def _file(self, message: Call, end: dict[str, str], known: set[tuple[str, str]]) -> None:
        if (message.id, "message") not in known:
            body = self._about(message, await self._found(message))
            self._screener.ledger.append(Row(message.id, "message", message.at, body))
        if (message.id, "message-end") not in known:
            self._screener.ledger.append(Row(message.id, "message-end", message.at, end))


def kept(line: bytes) -> tuple[Call, dict[str, str]] | None:
    """A message that the dialplan kept for us, and its end; None for a line that makes no sense."""
    event = dict(
        field.split(": ", 1) for field in line.decode("ascii", "replace").split(",") if ": " in field
    )
    try:
        at = datetime.fromtimestamp(int(event["Asked"]) / 1e6, UTC)
        message = Call.from_message({**event, "Version": CONTRACT_VERSION, "Deadline": "0"}, at)
        return message, {"status": event["Status"], "missed": event["Missed"]}
    except (KeyError, ValueError, OverflowError, OSError) as error:
        log.error("a kept message was not understood", line=repr(line[:200]), reason=str(error))
        return None
