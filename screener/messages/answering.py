"""The way of one message through the screener, and its release."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from screener import ledger, number
from screener.call import MESSAGE_END_EVENT, MESSAGE_EVENT, Call
from screener.errors import AmiError, ScreenerError
from screener.facts import UNLISTED, facts_of
from screener.headers import Headers
from screener.ledger import Row
from screener.messages.adopting import Adopter
from screener.messages.releasing import unknown, why_not
from screener.sip import user_and_host
from screener.verdict import Action, Verdict
from screener.wording import facts_of_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from screener.messages.bounds import Bounds
    from screener.screening import Screener
    from screener.wording import Finding, Wording

log = structlog.get_logger(__name__)

STATUS: Final = {Action.VOICEMAIL: "held", Action.REJECT: "filed"}
"""What a verdict means for a message; all others deliver it, for nobody can be challenged in writing."""
AWAITED: Final = 1000
"""Messages that are not filed whose end is awaited; Asterisk has one at a time."""
SPARE_S = 0.1
"""Of the dialplan's deadline: what the answer needs on its way once the ledger is on disk."""


class Messages:
    """Answers the questions about messages, with the parts of `screener`; its policy may be replaced."""

    def __init__(self, screener: Screener, wording: Wording, path: ledger.Place, bounds: Bounds) -> None:
        """`path` is the ledger's."""
        self._bounds, self._unfiled = bounds, dict[str, None]()
        self._screener, self._wording, self._path = screener, wording, path
        self._adopter = Adopter(screener, path, self._described)

    async def run(self) -> None:
        """File what came while we could not answer, for ever."""
        await self._adopter.run()

    def receive(self, event: Mapping[str, object]) -> None:
        """Take one event from Asterisk; those that are not about messages are passed over."""
        at, name = self._screener.clock(), event.get("UserEvent")
        try:
            if name == MESSAGE_EVENT:
                message = Call.from_message(event, at)
                self._screener.spawn(message.id, self._screen(message))
            elif name == MESSAGE_END_EVENT:
                read = Headers(event)
                body, name = {"status": read.text("Status"), "missed": ""}, read.token("Id")
                if self._unfiled.pop(name, self) is self:
                    self._screener.ledger.append(Row(name, "message-end", at, body))
        except ValueError as error:
            log.error(
                "a message was not understood and is delivered", call=event.get("Id"), reason=str(error)
            )

    async def _screen(self, message: Call) -> None:
        """Answer one question. Whatever fails, the message is delivered."""
        try:
            body, verdict = await self._judged(message)
        except Exception:
            log.exception("a message could not be judged: delivering it")
            self._screener.counters.failures["not judged"] += 1
            body, verdict = self._about(message, ()), Verdict(Action.ALLOW, 0.0)
        status = STATUS.get(verdict.action, "delivered")
        sender, now_s = body["call"]["e164"] or message.number, message.at.timestamp()
        if exceeded := self._bounds.exceeded(sender, now_s):
            if self._bounds.is_news(exceeded, sender, now_s):
                log.error(
                    "too many messages in an hour: no more are filed; see `messages` in screener.yaml",
                    bound=exceeded,
                    sender=body["call"]["shown"],
                )
            await self._unrecorded(message, verdict, status, exceeded)
            return
        row = Row(message.id, "message", message.at, body)
        self._screener.ledger.append(row)
        if status != "delivered" and not await self._on_disk(message):
            log.error("a message is delivered that should be held: the ledger was not written in time")
            status = "delivered"
        reached = await self._answer(message, status)
        self._screener.counters.count(message.stage, verdict, self._screener.policy, reached)
        self._screener.counters.messages[status] += 1
        log.info(
            "verdict on a message",
            sender=body["call"]["shown"],
            did=message.did,
            status=status,
            score=verdict.score,
            reasons=verdict.reasons,
            reached=reached,
        )

    async def _unrecorded(self, message: Call, verdict: Verdict, status: str, exceeded: str) -> None:
        """Answer about a message that is not filed: delivered, unless its sender has caused this himself.

        That is, he is blocked or alone too many, and the policy would keep it back: then nobody ever has it.
        """
        dropped = status != "delivered" and (exceeded == "sender" or verdict.forced_by is not None)
        self._screener.counters.unfiled["dropped" if dropped else "delivered"] += 1
        self._unfiled[message.id] = None
        if len(self._unfiled) > AWAITED:
            del self._unfiled[next(iter(self._unfiled))]
        await self._answer(message, "filed" if dropped else "delivered")

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

    async def _described(self, message: Call) -> dict[str, Any]:
        return self._about(message, await self._found(message))

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
        return await self._screener.ami.answer_message(message, f"{message.id}:{status}")

    async def release(self, message_id: str) -> dict[str, Any]:
        """Have a message delivered that was not; `error` says why it was not done.

        Of several at the same moment one does it: that which first writes so into the ledger.
        """
        calls: list[Mapping[str, str]] = []

        def refused(rows: tuple[Row, ...]) -> str:
            if any(row.pbx != self._screener.pbx for row in rows):
                return unknown(message_id)
            calls.extend(row.body["call"] for row in rows if row.kind == "message")
            return why_not(rows, message_id, self._screener.clock())

        begun = Row(message_id, "message-releasing", self._screener.clock(), {}, self._screener.pbx)
        try:
            if reason := await asyncio.to_thread(ledger.claim, self._path, begun, refused):
                return {"error": reason}
            await self._send(calls[0])
            done, answer = ("message-release", {"to": calls[0]["to"]}), {"to": calls[0]["to"]}
        except AmiError as error:
            done, answer = ("message-release-failed", {"reason": str(error)}), {"error": str(error)}
        except ScreenerError as error:
            return {"error": str(error)}
        self._screener.ledger.append(Row(message_id, done[0], self._screener.clock(), done[1]))
        self._screener.counters.messages["released"] += "error" not in answer
        return answer

    async def _send(self, call: Mapping[str, str]) -> None:
        user, host = user_and_host(call["number"])
        text = base64.b64encode(call["text"].encode("utf-8", "replace")).decode()
        sender = f"<sip:{user}@{host or 'localhost'}>"
        sent = await self._screener.ami.act("MessageSend", To=call["to"], From=sender, Base64Body=text)
        if not sent.success:
            why = sent.message or "no reason given"
            advice = "; the account needs `write = call,message` in manager.conf" * ("ermission" in why)
            raise AmiError(f"Asterisk did not take it: {why}{advice}")
