"""The way of one call. Whoever understands this file understands the program.

The dialplan asks once per stage and waits; `screen` answers. When the call is over the
dialplan says how it ended; `conclude` files that and what was recorded. Whatever fails
here, the caller rings: at once where we notice, after the dialplan's deadline where not.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import structlog

from screener import number, telemetry
from screener.call import ASK_EVENT, DIALLED_EVENT, END_EVENT, Call, Dialled, Ending, Stage, endpoint
from screener.errors import ScreenerError
from screener.facts import facts_of
from screener.headers import WrongContract
from screener.ledger import Row
from screener.state import is_emergency, manner_of, trust
from screener.talking import STARTS, STOPS, TALK_EVENT, Talks
from screener.verdict import Action, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from datetime import datetime

    from screener.ami import Ami
    from screener.counters import Counters
    from screener.facts import Place
    from screener.filing import Filing
    from screener.ledger import Ledger
    from screener.policy import Policy
    from screener.state import Learning, State
    from screener.voicemail import Mailboxes

log = structlog.get_logger(__name__)

EMERGENCY_S = 3600
"""After a call of ours to an emergency number, nobody is challenged for being unknown for so long."""
REMEMBERED = 10_000
"""Questions whose repetition is recognised; a PBX at 100 calls/s asks as many in 100 s."""


class Screener:
    """Answers the dialplan's questions; `policy` may be replaced while calls are being screened."""

    def __init__(  # noqa: PLR0913 - the parts of the flow, each once
        self,
        *,
        ami: Ami,
        state: State,
        policy: Policy,
        ledger: Ledger,
        place: Place,
        filing: Filing,
        clock: Callable[[], datetime],
        learning: Learning,
        mailboxes: Mailboxes,
        long_call_s: int,
        counters: Counters,
        pbx: str = "",
    ) -> None:
        """`pbx` is the name of this Asterisk where there are several: their trunks may have equal names."""
        self.ami, self.state, self.policy = ami, state, policy
        self.ledger, self.place, self.filing, self.clock = ledger, place, filing, clock
        self.learning, self.mailboxes, self.long_call_s = learning, mailboxes, long_call_s
        self.counters, self.talks, self.pbx = counters, Talks(), pbx
        self._asked: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._judging: dict[str, asyncio.Task[None]] = {}
        """The question at hand of each call."""

    def receive(self, event: Mapping[str, object]) -> None:
        """Take one event from Asterisk. An event that makes no sense is logged and costs nothing."""
        at, name = self.clock(), event.get("UserEvent")
        try:
            if name == ASK_EVENT:
                call = Call.from_event(event, at)
                if self._is_new(call.id, call.stage):
                    self._judging[call.id] = self.spawn(call.id, self.screen(call))
                    self._judging[call.id].add_done_callback(lambda done: self._judged(call.id, done))
            elif name == END_EVENT:
                ending = Ending.from_event(event, at)
                if self._is_new(ending.id, END_EVENT):
                    self.spawn(ending.id, self.conclude(ending))
            elif name == TALK_EVENT or event.get("Event") in {STARTS, STOPS}:
                self.talks.receive(event, at.timestamp())
            elif name == DIALLED_EVENT:
                dialled = Dialled.from_event(event, at)
                if self._is_new(dialled.id, DIALLED_EVENT):
                    self.spawn(dialled.id, self.note_dialled(dialled))
        except WrongContract as error:
            log.error("calls ring unscreened", call=event.get("Uniqueid"), reason=str(error))
            self.spawn("", self.ami.say_goodbye())
        except ValueError as error:
            log.error(
                "an event of the dialplan was not understood; its call rings",
                call=event.get("Uniqueid"),
                event_name=name,
                reason=str(error),
            )

    async def screen(self, call: Call) -> None:
        """Answer one question."""
        clock = _Phases(queue_ms=self.ami.age_ms(call))
        if clock.phases["queue_ms"] >= call.deadline_ms:
            log.warning("too late to judge: the call went on without us", queue_ms=clock.phases["queue_ms"])
            self.counters.failures["late"] += 1
            return
        try:
            caller = number.parse(call.number, self.place.region_of(call.trunk), call.presentation)
            observed = await self.state.observe(
                caller.key,
                call.did,
                call.id,
                trunk=self._known_as(call.trunk),
                agent=call.agent,
                count=call.stage is Stage.SETUP,
            )
            clock.lap("state_ms")
            talk = self.talks.known(call.id, call.at.timestamp()) if call.stage is Stage.CHALLENGE else {}
            facts = facts_of(call, caller, {**observed.facts, **talk}, self.place)
            policy = self.policy
            verdict = policy.judge(facts)
            clock.lap("judge_ms")
        except Exception:
            log.exception("the call could not be judged: letting it through")
            self.counters.failures["not judged"] += 1
            if call.stage is Stage.SETUP:  # after a challenge the dialplan's own default is fairer
                await self.ami.decide(call, Verdict(Action.ALLOW, 0.0))
            return
        reached = await self.ami.decide(call, verdict)
        clock.lap("send_ms")
        self.counters.count(call.stage, verdict, policy, reached)
        self.counters.took(clock.phases)
        if self.filing.listener and verdict.action is Action.VOICEMAIL:
            self.filing.listener.follow(call.id, caller)
        self._file(
            call,
            verdict,
            call={**_plain(call), "trunk": call.trunk, "e164": caller.e164, "shown": caller.shown},
            facts=facts,
            verdict=verdict.as_dict(),
            timings=clock.phases,
            missing=[observed.missing] if observed.missing else [],
            reached=reached,
        )
        await self._learn_challenge(call, caller.key, call.trunk)
        counted = {hit.symbol for hit in verdict.hits if not hit.shadow}
        if caller.key and (lesson := trust.of_talk(call.challenge, counted)):
            await self.learning.learn(caller.key, f"talk-{call.id}", lesson)

    async def conclude(self, ending: Ending) -> None:
        """File how a call ended, and its recordings once Asterisk has closed them.

        Who hung up while he was judged has his verdict filed first: the rows stand in the order of the call.
        """
        if judging := self._judging.get(ending.id):
            await asyncio.wait({judging})
        self.counters.over(ending)
        self.ledger.append(Row(ending.id, "end", ending.at, _plain(ending)))
        if talk := self.talks.over(ending.id, ending.at.timestamp()):
            self.ledger.append(Row(ending.id, "talk", ending.at, talk))
        log.debug("call ended", disposition=ending.disposition, talk_s=ending.talk_s)
        if ending.challenge == "broken":
            log.error("a challenged caller rang: Asterisk does not find the prompt sounds of the screener")
        await self.filing.conclude(ending)
        await self._learn(ending)

    async def _learn(self, ending: Ending) -> None:
        """Learn what the call says of its caller; a call that brings no number teaches nothing."""
        trunk = endpoint(ending.channel)
        caller = number.parse(ending.number, self.place.region_of(trunk)).key
        how = manner_of(
            ending.disposition, ending.lasted_s, ending.held_s, by_caller=ending.by_caller, peer=ending.peer
        )
        await self.learning.over(caller, ending.did, ending.id, how)
        await self._learn_challenge(ending, caller, trunk)
        lesson = trust.of_call(
            answered=ending.disposition == "answered",
            talk_s=ending.talk_s,
            passed=ending.challenge == "passed",
            long_call_s=self.long_call_s,
        )
        await self.learning.learn(caller, f"end-{ending.id}", lesson)
        if ending.voicemail and caller:
            await self.mailboxes.remember(ending.id, caller, ending.voicemail, ending.at)

    async def _learn_challenge(self, told: Call | Ending, caller: str, trunk: str) -> None:
        """Learn at once what he made of a challenge, while he may try again; at the end of one he gave up."""
        of_challenge = trust.of_challenge(told.challenge)
        await self.learning.learn(caller, f"challenge-{told.id}", of_challenge, self._known_as(trunk))

    def _known_as(self, trunk: str) -> str:
        """The trunk as the store knows it."""
        return f"{self.pbx}:{trunk}" if self.pbx else trunk

    async def note_dialled(self, dialled: Dialled) -> None:
        """File a call of ours, and trust whom we called."""
        called = number.parse(dialled.number, self.place.region)
        body = {**_plain(dialled), "e164": called.e164}
        self.ledger.append(Row(dialled.id, "dialled", dialled.at, body))
        if is_emergency(called.digits, self.place.region):
            # They call back by a number that nobody knows, or by none.
            try:
                await self.learning.expect_code(EMERGENCY_S)
            except ScreenerError as error:
                log.error(
                    "an emergency number was dialled; who calls back may be challenged", reason=str(error)
                )
        log.info("dialled by us", number=called.shown, answered=dialled.answered, talk_s=dialled.talk_s)
        lesson = trust.of_dialling(
            answered=dialled.answered, talk_s=dialled.talk_s, long_call_s=self.long_call_s
        )
        await self.learning.learn(called.key, f"dialled-{dialled.id}", lesson)

    def _judged(self, call_id: str, done: asyncio.Task[None]) -> None:
        if self._judging.get(call_id) is done:  # else the next stage asks already
            del self._judging[call_id]

    @property
    def at_hand(self) -> int:
        """Questions and ends of calls that are being worked on."""
        return len(self._tasks)

    async def drain(self, within_s: float) -> None:
        """Let the questions and recordings at hand be finished, for so long at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)

    def _file(self, question: Call, decision: Verdict, **body: Any) -> None:  # noqa: ANN401 - JSON values
        self.ledger.append(Row(question.id, str(question.stage), question.at, body))
        log.info(
            "verdict",
            stage=str(question.stage),
            caller=body["call"]["shown"],
            did=question.did,
            action=str(decision.action),
            score=decision.score,
            reasons=decision.reasons,
            reached=body["reached"],
        )

    def _is_new(self, call_id: str, stage: str) -> bool:
        """Whether this was not heard before: Asterisk may say a thing twice, it is answered once."""
        key = (call_id, stage)
        if key in self._asked:
            log.warning("a question came twice", call=call_id, stage=stage)
            return False
        self._asked[key] = None
        if len(self._asked) > REMEMBERED:
            self._asked.popitem(last=False)
        return True

    def spawn(self, call_id: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do the work of one call or message; `drain` waits for it, and what it raises is logged."""

        async def about_call() -> None:
            with telemetry.about_call(call_id):
                try:
                    await work
                except Exception:
                    log.exception("a call's work failed")

        task = asyncio.get_running_loop().create_task(about_call())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Phases:
    """How long each step of one decision took, in milliseconds."""

    def __init__(self, queue_ms: float) -> None:
        self.phases = {"queue_ms": round(queue_ms, 3)}
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()

    def lap(self, name: str) -> None:
        """Name the time since the lap before."""
        now = self._loop.time()
        self.phases[name] = round((now - self._last) * 1000, 3)
        self._last = now


def _plain(value: Call | Ending | Dialled) -> dict[str, Any]:
    """The fields as JSON values; what identifies the row, `id` and `at`, has columns of its own."""
    return {name: getattr(value, name) for name in value.__slots__ if name not in {"id", "at"}}
