"""Of several screeners one leads: on a clock of our own, over lines that are slow and lost at random."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from panoramisk.message import Message

from screener.ami import lease
from screener.ami.leading import Leading
from screener.ami.lease import Lease
from screener.errors import AmiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from panoramisk.actions import Action

SECONDS = 60
LOOK_S = 0.01


class Clock(asyncio.SelectorEventLoop):
    """A loop on which waiting takes no time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._selector: Any
        self._selector.select = self._wait

    def time(self) -> float:
        return self.now

    def _wait(self, timeout: float | None = None) -> list[Any]:
        self.now += timeout or 0
        return []


class Pbx:
    """Asterisk's globals, and how many sessions there are."""

    def __init__(self) -> None:
        self.globals: dict[str, str] = {}
        self.sessions = 0

    def answer(self, asked: Action) -> Message:
        name = str(asked["Variable"])
        if asked["Action"] == "Setvar":
            self.globals[name] = str(asked["Value"])
        value = str(self.sessions) if name.startswith("AMI_CLIENT(") else self.globals.get(name, "")
        return Message({"Response": "Success", "Value": value})


class Screener:
    """One that connects, turns, hangs for a while now and then, and loses its connection now and then."""

    def __init__(self, pbx: Pbx, chance: random.Random, *, trouble: bool = True) -> None:
        self.pbx, self.chance, self.trouble = pbx, chance, trouble
        self.leading: Leading | None = None
        self.fit = True
        self.taken: list[str] = []

    @property
    def leads(self) -> bool:
        return self.leading is not None and self.leading.held

    async def run(self) -> None:
        while True:
            self.pbx.sessions += 1
            self.leading = Leading(
                Lease(self.send, "screener", lambda: self.fit, lambda _: None), self.send, self.take
            )
            try:
                while not self.trouble or self.chance.random() > 0.01:
                    await self.leading.lease.turn()
                    await self.leading.follow(leaving=False)
                    hangs = self.trouble and self.chance.random() < 0.03
                    await asyncio.sleep(self.chance.uniform(0, 4) if hangs else self.leading.lease.pause_s)
            except AmiError:
                pass
            self.leading = None
            self.pbx.sessions -= 1
            await asyncio.sleep(self.chance.uniform(0, 2))

    def take(self, event: Mapping[str, object]) -> None:
        self.taken.append(str(event["Uniqueid"]))

    async def send(self, *actions: Action) -> list[Message]:
        await asyncio.sleep(self._trip())
        answers = [self.pbx.answer(one) for one in actions]
        await asyncio.sleep(self._trip())
        return answers

    def _trip(self) -> float:
        slow = self.trouble and self.chance.random() < 0.02
        return self.chance.uniform(0, 1.9) if slow else self.chance.uniform(0, 0.005)


def simulated(work: Callable[[], Any]) -> None:
    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(work())


async def led(screeners: list[Screener], seconds: float) -> float:
    """Look all the time; the share of it in which somebody led. Never do two."""
    looks = int(seconds / LOOK_S)
    found = 0
    for _ in range(looks):
        await asyncio.sleep(LOOK_S)
        leaders = [one for one in screeners if one.leads]
        assert len(leaders) <= 1, f"two answer at {asyncio.get_running_loop().time():.2f} s"
        found += len(leaders)
    return found / looks


@pytest.mark.parametrize("seed", range(12))
def test_lease__lines_slow_stalled_and_lost_at_random__never_two_lead(seed: int) -> None:
    async def work() -> None:
        chance, pbx = random.Random(seed), Pbx()
        screeners = [Screener(pbx, chance) for _ in range(2 + seed % 2)]
        tasks = [asyncio.create_task(one.run()) for one in screeners]
        assert await led(screeners, SECONDS) > 0.3
        for task in tasks:
            task.cancel()

    simulated(work)


def test_lease__the_claim_waits_shorter_than_the_lease_lasts__the_simulation_finds_two_leaders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "CLAIM_S", 0.1)
    monkeypatch.setattr(lease, "FROZEN_S", 0.2)

    def all_seeds() -> None:
        for seed in range(12):
            test_lease__lines_slow_stalled_and_lost_at_random__never_two_lead(seed)

    with pytest.raises(AssertionError, match="two answer"):
        all_seeds()


def test_lease__the_leader_hangs__another_leads_within_three_seconds() -> None:
    async def work() -> None:
        pbx, chance = Pbx(), random.Random(1)
        first, second = (Screener(pbx, chance, trouble=False) for _ in range(2))
        task = asyncio.create_task(first.run())
        await led([first], 0.5)
        others = asyncio.create_task(second.run())
        assert await led([first, second], 2) == 1
        task.cancel()  # its session stays, as that of a process that hangs
        await led([first, second], 3 - LOOK_S)
        assert second.leads
        others.cancel()

    simulated(work)


@pytest.mark.parametrize("stood_s", [3, 30])
def test_lease__the_leaders_own_clock_stood_still__it_gives_way_to_who_leads_now(stood_s: float) -> None:
    async def work() -> None:
        pbx, chance = Pbx(), random.Random(4)
        first, second = (Screener(pbx, chance, trouble=False) for _ in range(2))
        task = asyncio.create_task(first.run())
        await led([first], 0.5)
        others = asyncio.create_task(second.run())
        await led([first, second], 2)
        kept, loop = first.leading, asyncio.get_running_loop()
        assert kept
        task.cancel()  # the machine is paused, as while it is moved to another: its session stays
        await led([second], stood_s)
        kept.lease._time = lambda: loop.time() - stood_s - 0.1
        for one in (kept, second.leading):
            assert one
            assert one.held
        await kept.lease.turn()
        assert not kept.held
        # Where both write within the same few ms both give way, and one claims it: a second without.
        assert await led([second], 10) > 0.85
        assert second.leads
        others.cancel()

    simulated(work)


@pytest.mark.parametrize("why", ["leaves", "has lost its store"])
def test_lease__handed_over__each_event_is_taken_once_and_in_order(why: str) -> None:
    async def work() -> None:
        pbx, chance = Pbx(), random.Random(2)
        first, second = (Screener(pbx, chance, trouble=False) for _ in range(2))
        tasks = [asyncio.create_task(first.run())]
        await led([first], 0.5)
        tasks.append(asyncio.create_task(second.run()))
        await led([first, second], 1)
        for number in range(200):
            for one in (first, second):
                assert one.leading
                one.leading.hear({"UserEvent": "ScreenerEnd", "Uniqueid": f"{number}"})
            if number == 100:
                assert first.leading
                if why == "leaves":
                    assert await first.leading.hand_over(for_good=True)
                else:
                    first.fit = False
            await led([first, second], LOOK_S)
        assert second.leads
        assert [*first.taken, *second.taken] == [f"{number}" for number in range(200)]
        assert len(first.taken) >= 100
        for task in tasks:
            task.cancel()

    simulated(work)


@pytest.mark.parametrize("ms", range(0, 200, 20))  # as long as the leader renews
def test_lease__the_leader_hangs_at_any_moment__each_event_is_taken(ms: int) -> None:
    async def work() -> None:
        pbx, chance = Pbx(), random.Random(1)
        first, second = (Screener(pbx, chance, trouble=False) for _ in range(2))
        task = asyncio.create_task(first.run())
        await led([first], 0.5)
        others = asyncio.create_task(second.run())
        await asyncio.sleep(1 + ms / 1000)
        for number in range(1500):
            await asyncio.sleep(EACH_S)
            if number == 250:
                task.cancel()  # its session stays, and it hears nothing more
            for one in (first, second) if number < 250 else (second,):
                assert one.leading
                one.leading.hear({"UserEvent": "ScreenerEnd", "Uniqueid": f"{number}"})
        assert second.leads
        assert {*first.taken, *second.taken} == {f"{number}" for number in range(1500)}
        others.cancel()

    simulated(work)


@pytest.mark.parametrize("alive", [True, False])
def test_lease__taken_from_one_that_was_never_seen_alive__follows_nobody(*, alive: bool) -> None:
    async def work() -> None:
        pbx, chance = Pbx(), random.Random(5)
        first, second = (Screener(pbx, chance, trouble=False) for _ in range(2))
        task = asyncio.create_task(first.run())
        await led([first], 1)
        if not alive:  # its session stays: Asterisk does not know that the line is dead
            task.cancel()
            await asyncio.sleep(600)
        others = asyncio.create_task(second.run())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(3)
        assert second.leads
        assert second.leading
        assert second.leading.lease.term.follows == alive
        others.cancel()

    simulated(work)


def test_lease__lost_for_a_moment_and_taken_again__follows_ourselves() -> None:
    async def work() -> None:
        pbx, chance = Pbx(), random.Random(6)
        first, second = (Screener(pbx, chance, trouble=False) for _ in range(2))
        tasks = [asyncio.create_task(one.run()) for one in (first, second)]
        await led([first, second], 2)
        (leader,) = (one.leading for one in (first, second) if one.leads)
        assert leader
        term, leader.lease._until = leader.lease.term, 0.0  # as by an answer that came too late
        await led([first, second], 2)
        assert leader.held
        assert leader.lease.term.number == term.number + 1
        assert leader.lease.term.follows
        for task in tasks:
            task.cancel()

    simulated(work)


EACH_S = 0.002
SLOW_S = 0.15
"""How long an answer takes while the store is slow: longer than it is until another question comes."""


class Answering(Screener):
    """Answers each question in its time, if it may."""

    answered: tuple[str, ...] = ()

    def take(self, event: Mapping[str, object]) -> None:
        super().take(event)
        question = event["Id"] if "Id" in event else event["Uniqueid"]
        asyncio.get_running_loop().call_later(SLOW_S, self._answer, str(question))

    def _answer(self, question: str) -> None:
        if self.leading and self.leading.answers(question):
            self.answered += (question,)


@pytest.mark.parametrize("asks", ["ScreenerAsk", "ScreenerMessage"])
@pytest.mark.parametrize("at", range(100, 120, 5))  # a turn of the lease takes as long as 20 questions
def test_lease__handed_over_while_answers_are_slow__each_question_is_answered_once(
    at: int, asks: str
) -> None:
    about = {
        "ScreenerAsk": {"Channel": "a", "Uniqueid": "{}"},
        "ScreenerMessage": {"Channel": "Message/ast_msg_queue", "Uniqueid": "1.1", "Id": "{}"},
    }[asks]

    async def work() -> None:
        pbx, chance = Pbx(), random.Random(2)
        first, second = (Answering(pbx, chance, trouble=False) for _ in range(2))
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(first.run())]
        await led([first], 0.5)
        tasks.append(asyncio.create_task(second.run()))
        await led([first, second], 1)
        for number in range(200):
            for one in (first, second):
                assert one.leading
                headers = {name: text.format(number) for name, text in about.items()}
                one.leading.hear({"UserEvent": asks} | headers)
            if number == at:
                assert first.leading
                tasks.append(asyncio.create_task(first.leading.hand_over(for_good=True)))
            await led([first, second], LOOK_S)
        await led([second], 2 * SLOW_S)
        assert sorted(map(int, first.answered + second.answered)) == list(range(200))
        assert len(first.answered) >= 100
        for task in tasks:
            task.cancel()

    simulated(work)


def test_lease__nobody_stands_by__it_is_not_handed_over() -> None:
    async def work() -> None:
        alone = Screener(Pbx(), random.Random(3), trouble=False)
        task = asyncio.create_task(alone.run())
        await led([alone], 1)
        assert alone.leading
        assert not await alone.leading.hand_over(for_good=True)
        assert alone.leads
        task.cancel()

    simulated(work)


def test_lease__lost_while_kept_questions_are_looked_at__what_was_kept_is_left_to_who_leads() -> None:
    async def work() -> None:
        pbx, chance = Pbx(), random.Random(7)
        one = Screener(pbx, chance, trouble=False)
        task = asyncio.create_task(one.run())
        await led([one], 0.5)
        task.cancel()
        leading = one.leading
        assert leading

        async def slow(*actions: Action) -> list[Message]:
            await asyncio.sleep(1)  # longer than the lease is held
            return [pbx.answer(action) for action in actions]

        leading._taking, leading._send = False, slow
        events = [
            {"UserEvent": "ScreenerAsk", "Channel": "a", "Uniqueid": "1"},
            {"UserEvent": "ScreenerEnd", "Uniqueid": "2"},
        ]
        for event in events:
            leading.hear(event)
        await leading._catch_up(leading.lease.term)
        assert not leading.held
        assert one.taken == []
        assert [event for _, event in leading._kept] == events

    simulated(work)
