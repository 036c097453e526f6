"""What calls teach about their callers: the arithmetic, the record in the store, what is lost without one."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from screener.facts import NEVER_DAYS, NO_CHALLENGES, NO_DEALINGS
from screener.state import EmbeddedServer, Learning, Lesson, Rehearsal, State, Taught, trust
from screener.state.learning import LEARN, MESSAGES_MAX, Message, teaching
from screener.state.rehearsal import Question
from screener.state.trust import BAD_MAX, DAY_S, GOOD_MAX, TALK_MAX_S, TRUST_TTL_S
from tests.valkey import connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.commandline import Command

CALLER = "+8613912345678"
KEY = "{screener}:trust:" + CALLER
NOON = 1_760_011_200.0
HALF_LIFE = 90
TRUNK = "PJSIP/trunk"
LONG = Lesson(good=1.0, talk_s=120)


@pytest.fixture
async def learning(store_url: str) -> AsyncIterator[Learning]:
    learning = Learning(store_url, HALF_LIFE)
    yield learning
    await learning.close()


async def taught(url: str, *lessons: tuple[Lesson, float]) -> None:
    """Lessons about one caller, each at its moment."""
    async with connected(url) as client:
        script = client.register_script(LEARN)
        for lesson, at in lessons:
            await script(*teaching(CALLER, "", lesson, HALF_LIFE, at))


async def known(url: str, at: float = NOON) -> dict[str, Any]:
    """The facts of trust as a call would see them."""
    state = State(url)
    observed = await state.observe(CALLER, "100", "look", count=False, at=at)
    await state.close()
    assert observed.missing is None
    return {name.removeprefix("caller."): observed.facts[name] for name in NO_DEALINGS}


@pytest.mark.parametrize(
    ("answered", "talk_s", "passed", "lesson"),
    [
        (True, 60, False, Lesson(good=1.0, talk_s=60)),
        (True, 60, True, Lesson(good=1.0, talk_s=60)),
        (True, 59, False, Lesson(talk_s=59)),
        (True, 59, True, Lesson(good=0.1, up_to=0.4, talk_s=59)),
        (False, 600, False, None),
        (False, 600, True, Lesson(good=0.1, up_to=0.4)),
        (True, 0, False, None),
        (True, -5, False, None),
        (True, 10**9, False, Lesson(good=1.0, talk_s=TALK_MAX_S)),
    ],
)
def test_of_call__how_it_went__teaches(
    answered: bool,  # noqa: FBT001 - one row of the table
    talk_s: int,
    passed: bool,  # noqa: FBT001
    lesson: Lesson | None,
) -> None:
    assert trust.of_call(answered=answered, talk_s=talk_s, passed=passed, long_call_s=60) == lesson


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [(0, 0, 0), (1, 0, 0.2065), (4, 0, 0.5101), (20, 0, 0.8389), (4, 1, 0.3755), (0, 5, 0), (1, 3, 0.0456)],
)
def test_wilson__good_and_bad_calls__are_those_of_the_formula(
    good: float, bad: float, expected: float
) -> None:
    assert trust.wilson(good, bad) == pytest.approx(expected, abs=5e-5)


async def test_observe__nobody_was_taught_anything__says_so_and_leaves_no_fact_out(store_url: str) -> None:
    assert await known(store_url) == {
        name.removeprefix("caller."): value for name, value in NO_DEALINGS.items()
    }


async def test_learn__a_long_talk__is_half_as_much_after_a_half_life(store_url: str) -> None:
    await taught(store_url, (LONG, NOON))
    at_once, later = await known(store_url), await known(store_url, NOON + HALF_LIFE * DAY_S)
    assert at_once == {
        "dialled_by_us_days": NEVER_DAYS, "talk_s_total": 120, "good_calls": 1.0, "bad_calls": 0.0,
        "trust": 0.2065,
    }  # fmt: skip
    assert (later["good_calls"], later["talk_s_total"]) == (0.5, 60)
    await taught(store_url, (LONG, NOON + HALF_LIFE * DAY_S))
    assert (await known(store_url, NOON + HALF_LIFE * DAY_S))["good_calls"] == 1.5


async def test_learn__we_dialled__is_told_in_days_and_by_the_latest_time(store_url: str) -> None:
    dialled = Lesson(dialled=True)
    await taught(store_url, (dialled, NOON), (dialled, NOON - 5 * DAY_S), (LONG, NOON))
    assert (await known(store_url, NOON + 2 * DAY_S))["dialled_by_us_days"] == 2.0


async def test_learn__challenge_passed_again_and_again__stays_below_what_makes_known(store_url: str) -> None:
    passed = Lesson(good=0.1, up_to=0.4)
    await taught(store_url, *((passed, NOON),) * 20)
    assert (await known(store_url))["good_calls"] == pytest.approx(0.4, abs=1e-4)
    await taught(store_url, (LONG, NOON), (passed, NOON))
    assert (await known(store_url))["good_calls"] == pytest.approx(1.4, abs=1e-4), "nor does it take away"


async def test_learn__more_than_can_be__is_capped(store_url: str) -> None:
    most = Lesson(good=15, bad=15, talk_s=TALK_MAX_S)
    await taught(store_url, (most, NOON), (most, NOON))
    found = await known(store_url)
    assert (found["good_calls"], found["bad_calls"], found["talk_s_total"]) == (GOOD_MAX, BAD_MAX, TALK_MAX_S)


async def test_learn__half_a_year_without_a_lesson__is_forgotten(store_url: str) -> None:
    await taught(store_url, (Lesson(good=20, dialled=True), NOON))
    assert (await known(store_url, NOON + TRUST_TTL_S - 1))["good_calls"] > 4
    assert (await known(store_url, NOON + TRUST_TTL_S))["good_calls"] == 0
    await taught(store_url, (LONG, NOON + TRUST_TTL_S))
    found = await known(store_url, NOON + TRUST_TTL_S)
    assert (found["good_calls"], found["dialled_by_us_days"]) == (1.0, NEVER_DAYS)


async def test_learn__the_same_event_twice__counts_once_and_expires(
    learning: Learning, store_url: str
) -> None:
    for event in ("end-1.1", "end-1.1", "dialled-1.1", "end-\r\nFLUSHALL 1"):
        await learning.learn(CALLER, event, LONG)
    async with connected(store_url) as client:
        keys = sorted(str(key) for key in await client.keys("*"))
        assert len(keys) == 4
        assert min([await client.ttl(key) for key in keys]) > 0
        assert all(key.isprintable() and " " not in key for key in keys)
        assert 0 < await client.ttl(KEY) <= TRUST_TTL_S
        assert await client.strlen(KEY) == 22
    state = State(store_url)
    assert (await state.observe(CALLER, "", "1", count=False)).facts["caller.good_calls"] == 3.0
    await state.close()
    assert learning.lost == 0


@pytest.mark.parametrize("caller", ["", "anonymous", "+", "1\r\n2", "*", "+86{x}"])
async def test_learn__about_nobody__writes_nothing(learning: Learning, store_url: str, caller: str) -> None:
    await learning.learn(caller, "1", LONG)
    await learning.learn(CALLER, "2", None)
    async with connected(store_url) as client:
        assert await client.dbsize() == 0


async def test_learn__store_away_or_full__is_lost_counted_and_told_once(state_directory: Path) -> None:
    server = EmbeddedServer(state_directory)
    await server.start()
    learning = Learning(server.url, HALF_LIFE)
    with capture_logs() as logs:
        async with connected(server.url) as client:
            await client.config_set("maxmemory-policy", "noeviction")
            await client.config_set("maxmemory", 1)
        await learning.learn(CALLER, "1", LONG)
        await server.stop()
        await learning.learn(CALLER, "2", LONG)
        await learning.remember(Message("3", CALLER, "default/100", "x", NOON))
    assert learning.lost == 3
    assert [(line["log_level"], line["lost"]) for line in logs if "lost" in line] == [("warning", 1)]
    await learning.close()


async def challenged(url: str, at: float, caller: str = CALLER, trunk: str = TRUNK) -> dict[str, Any]:
    """The facts about challenges as a call at this moment would see them."""
    state = State(url)
    facts = (await state.observe(caller, "100", "look", trunk=trunk, count=False, at=at)).facts
    await state.close()
    return {name: facts[name] for name in (*NO_CHALLENGES, "trunk.challenges_failed_1h")}


async def reacts(url: str, result: str, at: float, caller: str = CALLER, trunk: str = TRUNK) -> None:
    """Somebody passes or fails a challenge."""
    lesson = trust.of_challenge(result)
    assert lesson
    async with connected(url) as client:
        keys, arguments = teaching(caller, "", lesson, HALF_LIFE, at, trunk=trunk)
        await client.register_script(LEARN)(keys, arguments)


async def test_challenge__passed__is_told_in_days_and_wipes_out_what_failed_before(store_url: str) -> None:
    await reacts(store_url, "failed", NOON - 60)
    await reacts(store_url, "passed", NOON)
    found = await challenged(store_url, NOON + 7 * DAY_S)
    assert found == {**NO_CHALLENGES, "caller.challenge_passed_days": 7.0, "trunk.challenges_failed_1h": 0}
    assert (await challenged(store_url, NOON))["caller.challenges_failed_1d"] == 0
    async with connected(store_url) as client:
        (key,) = await client.keys("*")
        assert str(key) == "{screener}:challenges:" + CALLER, "no trust is kept of it"
        assert await client.strlen(key) == 12
        assert 89 * DAY_S < await client.ttl(key) <= 90 * DAY_S


@pytest.mark.parametrize(("after_s", "failed"), [(0, 2), (3600, 2), (DAY_S + 3600, 1), (3 * DAY_S, 0)])
async def test_challenge__failed_twice__counts_for_a_day(store_url: str, after_s: float, failed: int) -> None:
    day = NOON // DAY_S * DAY_S
    for at in (day + 10 * 3600, day + 12 * 3600):
        await reacts(store_url, "failed", at)
    found = await challenged(store_url, day + 12 * 3600 + after_s)
    assert found["caller.challenges_failed_1d"] == failed
    assert found["caller.challenge_passed_days"] == NEVER_DAYS


@pytest.mark.parametrize(
    ("result", "symbols", "failed"),
    [
        ("failed", {"PLAYS_ON", "NEW_CALLER"}, True),
        ("failed", {"DEAD_AIR"}, False),
        ("passed", {"PLAYS_ON"}, False),
    ],
)
def test_talk__played_on_over_a_failed_challenge__fails_once_more(
    result: str, symbols: set[str], *, failed: bool
) -> None:
    lesson = trust.of_talk(result, symbols)
    assert lesson == (trust.of_challenge("failed") if failed else None)


async def test_challenge__callers_without_a_number__are_counted_by_trunk_and_earn_no_pass(
    learning: Learning, store_url: str
) -> None:
    for call_id in ("1", "1", "2", "3"):
        await learning.learn("", f"challenge-{call_id}", trust.of_challenge("failed"), TRUNK)
    await learning.learn("", "challenge-4", trust.of_challenge("passed"), TRUNK)
    await learning.learn("", "challenge-5", trust.of_challenge(""), TRUNK)
    now = time.time()
    assert (await challenged(store_url, now, ""))["trunk.challenges_failed_1h"] == 3
    assert (await challenged(store_url, now))["trunk.challenges_failed_1h"] == 3, "on the trunk of all"
    assert (await challenged(store_url, now, "", "PJSIP/other"))["trunk.challenges_failed_1h"] == 0
    assert (await challenged(store_url, now + 7200, ""))["trunk.challenges_failed_1h"] == 0
    assert (await challenged(store_url, now, ""))["caller.challenge_passed_days"] == NEVER_DAYS


async def test_challenge__failed_by_ever_new_invented_numbers__is_counted_by_trunk(
    learning: Learning, store_url: str
) -> None:
    for call in range(3):
        for _ in ("when it is told", "when the call is over"):
            await learning.learn(
                f"1000000000000000000{call}", f"challenge-{call}", trust.of_challenge("failed"), TRUNK
            )
    await learning.learn(CALLER, "challenge-9", trust.of_challenge("failed"), TRUNK)
    now = time.time()
    assert (await challenged(store_url, now, ""))["trunk.challenges_failed_1h"] == 3
    assert (await challenged(store_url, now, "10000000000000000000"))["caller.challenges_failed_1d"] == 1
    assert (await challenged(store_url, now))["caller.challenges_failed_1d"] == 1


@pytest.mark.parametrize("foreign", [b"", b"x" * 11, b"\xff" * 12])
async def test_challenge__nonsense_in_the_record__opens_nothing(store_url: str, foreign: bytes) -> None:
    async with connected(store_url) as client:
        await client.set("{screener}:challenges:" + CALLER, foreign)
    found = await challenged(store_url, NOON)
    assert (found["caller.challenge_passed_days"], found["caller.challenges_failed_1d"]) == (NEVER_DAYS, 0)
    await reacts(store_url, "failed", NOON)
    assert (await challenged(store_url, NOON))["caller.challenges_failed_1d"] == 1


def test_commands__store_out_of_reach__print_nothing_but_json(command: Command, tmp_path: Path) -> None:
    (tmp_path / "screener.yaml").write_text("redis: {url: 'redis://127.0.0.1:1/0'}\n")
    ended = command("trust", "show", CALLER, "--json", "--config", tmp_path)
    assert (ended.code, ended.out) == (5, "")
    assert "127.0.0.1:1" in ended.err
    ended = command("explain", CALLER, "--json", "--config", tmp_path)
    assert "127.0.0.1:1" in json.loads(ended.out)["missing"]


async def test_forget__a_number__leaves_nothing_of_it(learning: Learning, store_url: str) -> None:
    await taught(store_url, (LONG, NOON))
    assert [await learning.forget(CALLER), await learning.forget(CALLER)] == [True, False]
    assert (await known(store_url))["good_calls"] == 0


@pytest.mark.parametrize(
    "foreign", [b"", b"x" * 21, b"\xff" * 22, b"\0" * 22, b"\xff\xff\xff\x7f" * 5 + b"zz"]
)
async def test_observe__nonsense_in_the_record__makes_nobody_a_friend(store_url: str, foreign: bytes) -> None:
    async with connected(store_url) as client:
        await client.set(KEY, foreign)
    found = await known(store_url)
    assert 0 <= found["trust"] <= trust.wilson(GOOD_MAX, 0)
    assert 0 <= found["good_calls"] <= GOOD_MAX
    await taught(store_url, (LONG, NOON))
    assert 0 <= (await known(store_url))["good_calls"] <= GOOD_MAX


async def test_messages__too_many_or_foreign__are_left_out(learning: Learning, store_url: str) -> None:
    message = Message("1.1", CALLER, "default/100", "1-0", NOON)
    await learning.remember(message)
    async with connected(store_url) as client:
        (key,) = await client.keys("*voicemail*")
        await client.hset(key, mapping={"2": "no json", "3": '{"x": 1}', "4": "[" * 100_000})
        body = {"caller": CALLER, "mailbox": "default/100", "identity": "1-0", "at": NOON}
        odd: list[tuple[str, object]] = [("caller", 5), ("caller", "\n"), ("mailbox", []), ("identity", {})]
        odd += [("at", "soon"), ("at", None)]
        odd += [("mailbox", path) for path in ("/etc", "../..", "a/..", "./b", "a/b/c", "a/\0", "a", "")]
        for number, (name, value) in enumerate(odd, start=10):
            await client.hset(key, str(number), json.dumps(body | {name: value}))
        assert await learning.messages() == [message]
        assert await client.hlen(key) == 1
        await client.hset(key, mapping={str(n): "no json" for n in range(MESSAGES_MAX)})
    await learning.remember(Message("9.9", CALLER, "default/100", "2-0", NOON))
    assert learning.lost == 1
    assert await learning.messages() == [message]


async def test_rehearsal__lessons_between_questions__are_known_from_their_moment_on(
    state_directory: Path,
) -> None:
    async with EmbeddedServer(state_directory) as server:
        with Rehearsal(server.url, half_life_days=HALF_LIFE) as rehearsal:
            rehearsal.ask([
                Question(CALLER, "100", "1", NOON, counts=True),
                Taught(CALLER, LONG, NOON + 60),
                Taught("anonymous", LONG, NOON + 60),
                Question(CALLER, "100", "2", NOON + 60, counts=True),
                Question(CALLER, "100", "3", NOON + 60 + TRUST_TTL_S, counts=True),
            ])  # fmt: skip
            assert [facts["caller.good_calls"] for facts in rehearsal.answers()] == [0, 1, 0]
            late = Taught("+8613900000000", LONG, NOON + 61 + TRUST_TTL_S)
            rehearsal.ask([late])
            assert rehearsal.answers() == []
        async with connected(server.url) as client:
            assert await client.keys("*trust*") == ["{screener}:trust:+8613900000000"]
