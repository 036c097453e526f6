"""How a caller dials, as the store sees it: each signal by calls and their ends in a time of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import screener.state
from screener.state import EmbeddedServer, Learning, Manner, Over, Question, Rehearsal, State, manner_of
from screener.state.learning import OVER, ending
from screener.state.memory import risk_of
from tests.bench.flood import KNOWN, flood
from tests.valkey import connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CALLER = "+8617712345678"
NOON = 1_760_011_200.0
SHORT = Manner(unanswered=True, short_ring=True)
TALKED = Manner(taken=True)
CUT = Manner(taken=True, cut_short=True)
PHONE = "PJSIP/reception-00000001"
LEFT = Manner(unanswered=True, taken=True, abandoned=True)


class Line:
    """Calls of one house; `call` gives the facts of a call, `over` tells how one ended."""

    def __init__(self, url: str) -> None:
        self.url, self.state = url, State(url)
        self.n = 0

    async def call(
        self, did: str = "100", at: float | None = NOON, caller: str = CALLER, **more: Any
    ) -> dict[str, Any]:
        self.n += 1
        observed = await self.state.observe(caller, did, more.pop("id", f"call-{self.n}"), at=at, **more)
        assert observed.missing is None
        names = ("caller.", "trunk.")
        return {name[7:]: value for name, value in observed.facts.items() if name.startswith(names[0])} | {
            name: value for name, value in observed.facts.items() if name.startswith(names[1])
        }

    async def over(self, id_: str, how: Manner = SHORT, at: float = NOON, did: str = "100") -> int:
        async with connected(self.url) as client:
            return int(await client.register_script(OVER)(*ending(CALLER, did, id_, how, at)))


@pytest.fixture
async def line(store_url: str) -> AsyncIterator[Line]:
    line = Line(store_url)
    yield line
    await line.state.close()


# ---------------------------------------------------------------- while it rings


@pytest.mark.parametrize(
    ("before", "did", "run"),
    [
        (["100", "101", "102"], "103", 4),
        (["102", "100", "103"], "101", 4),
        (["100", "102", "104"], "106", 1),
        (["100", "101", "105"], "106", 2),
        (["+862062345699"], "+862062345700", 2),
        (["99"], "100", 1),  # of another length: another plan
        (["009"], "010", 2),
        (["0"], "1", 2),
        (["x1", "x2"], "x3", 1),
        (["+86206234567890123456"], "+86206234567890123457", 2),
        (["999999999"], "1000000000", 1),
    ],
)
async def test_sweep__numbers_next_to_each_other__are_one_run(
    line: Line, before: list[str], did: str, run: int
) -> None:
    for one in before:
        await line.call(one)
    assert (await line.call(did))["sweep_run"] == run


async def test_sweep__an_hour_later__is_forgotten_and_a_long_one_is_bounded(line: Line) -> None:
    for n in range(140):
        facts = await line.call(f"{n:03d}", at=NOON + n)
        assert facts["sweep_run"] == min(n + 1, 128)
    assert (await line.call("140", at=NOON + 3600 + 139))["sweep_run"] == 2


async def test_live__calls_that_are_up__until_their_end_is_told(line: Line) -> None:
    assert [(await line.call(id=f"{n}"))["live"] for n in range(3)] == [1, 2, 3]
    assert await line.over("1") == 1
    assert (await line.call(id="3"))["live"] == 3
    assert await line.over("1") == 0, "told twice, counted once"
    assert (await line.call(id="2", count=False))["live"] == 3, "asked again, as for a challenge"
    assert (await line.call(id="4", count=False))["live"] == 4, "as it would be"


async def test_live__end_was_lost__holds_for_an_hour_at_most(line: Line, store_url: str) -> None:
    await line.call()
    assert (await line.call(at=NOON + 3599))["live"] == 2
    assert (await line.call(at=NOON + 3601))["live"] == 2
    assert (await line.call(at=NOON + 7202))["live"] == 1
    async with connected(store_url) as client:
        assert 0 < await client.ttl("{screener}:live:" + CALLER) <= 3600


@pytest.mark.parametrize("end_first", [False, True])
async def test_live__end_overtakes_the_call__is_not_up_and_both_count(line: Line, end_first: bool) -> None:  # noqa: FBT001 - both
    if end_first:
        await line.over("1")
    facts = await line.call(id="1")
    assert (facts["live"], facts["calls_1d"]) == (1, 1)
    assert await line.over("1") == (0 if end_first else 1), "an end that comes twice"
    facts = await line.call(id="2")
    assert (facts["live"], facts["calls_1d"], facts["unanswered_1d"]) == (1, 2, 1)
    assert (facts["short_rings"], facts["short_ring_dids"], facts["is_new"]) == (1, 1, False)


async def test_block__new_callers_who_call_once_or_twice__are_counted_within_the_hour(line: Line) -> None:
    def caller(n: int) -> str:
        return f"+861771234{n:04d}"

    for n in range(4):
        assert (await line.call(caller=caller(n), at=NOON + n))["block_new_1h"] == n + 1
    assert (await line.call(caller="+8617712350001", at=NOON + 5))["block_new_1h"] == 1, "another block"
    assert (await line.call(caller=caller(0), at=NOON + 5))["block_new_1h"] == 4, "called twice"
    assert (await line.call(caller=caller(0), at=NOON + 6, count=False))["block_new_1h"] == 3
    assert (await line.call(caller=caller(0), at=NOON + 6))["block_new_1h"] == 3, (
        "the third time he is no more"
    )
    assert (await line.call(caller=caller(8), at=NOON + 7, count=False))["block_new_1h"] == 4, "1, 2, 3, 8"
    assert (await line.call(caller=caller(9), at=NOON + 3601.5))["block_new_1h"] == 3, "1 was an hour ago"
    assert (await line.call(caller=caller(2), at=NOON + 3602.5))["block_new_1h"] == 2, "so was 2"


async def test_block__short_codes__are_no_block(line: Line) -> None:
    assert (await line.call(caller="95588"))["block_new_1h"] == 1
    assert (await line.call(caller="95599"))["block_new_1h"] == 1


@pytest.mark.parametrize(
    ("times", "cv"),
    [
        ([0, 600, 1200, 1800, 2400], 9.0),
        ([0, 600, 1200, 1800, 2400, 3000], 0.0),
        ([0, 9000, 9600, 10200, 10800, 11400, 12000], 0.0),  # the last five gaps
        ([0, 100, 300, 600, 1000, 1500], 0.4714),
        ([0, 0, 0, 0, 0, 0], 9.0),
        ([0, 1, 1, 1, 1, 1], 2.0),
    ],
)
async def test_cadence__gaps_between_calls__vary_by_so_much_of_their_mean(
    line: Line, times: list[float], cv: float
) -> None:
    *before, last = times
    for at in before:
        await line.call(at=NOON + at)
    assert (await line.call(at=NOON + last, count=False))["gap_cv"] == pytest.approx(cv, abs=1e-4)
    assert (await line.call(at=NOON + last))["gap_cv"] == pytest.approx(cv, abs=1e-4)


# ---------------------------------------------------------------- how calls end


@pytest.mark.parametrize(
    ("disposition", "lasted_s", "held_s", "by_caller", "peer", "manner"),
    [
        ("abandoned", 14.9, 0.0, True, PHONE, SHORT),
        ("abandoned", 15.0, 0.0, True, PHONE, Manner(unanswered=True)),
        ("unanswered", 5.0, 0.0, False, PHONE, Manner(unanswered=True)),
        ("abandoned", None, None, True, PHONE, Manner(unanswered=True)),
        ("answered", 70.0, 60.0, True, PHONE, TALKED),
        ("answered", 12.0, 9.9, True, PHONE, Manner(taken=True, abandoned=True)),
        ("answered", 12.0, 9.9, False, PHONE, CUT),
        ("answered", 80.0, 0.0, True, PHONE, Manner(taken=True, abandoned=True)),
        ("answered", 40.0, 24.9, False, PHONE, CUT),
        ("answered", 40.0, 25.0, False, PHONE, TALKED),
        ("answered", 40.0, 24.9, False, "", TALKED),  # an announcement that is over
        ("answered", 40.0, None, False, PHONE, TALKED),
        ("recorded", 9.0, 8.0, True, PHONE, LEFT),
        ("recorded", 60.0, 60.0, True, PHONE, Manner(unanswered=True, taken=True)),
        ("abandoned", 4.0, 3.5, True, PHONE, LEFT),
    ],
)
def test_manner__of_an_end__is_this(
    disposition: str,
    lasted_s: float | None,
    held_s: float | None,
    by_caller: bool,  # noqa: FBT001 - one row of the table
    peer: str,
    manner: Manner,
) -> None:
    assert manner_of(disposition, lasted_s, held_s, by_caller=by_caller, peer=peer) == manner


async def test_ends__short_rings_and_unanswered__are_counted_for_a_day(line: Line) -> None:
    for n in range(4):
        await line.call(f"{n % 2}", id=f"{n}", at=NOON + n)
        await line.over(f"{n}", SHORT if n else Manner(unanswered=True), NOON + n, f"{n % 2}")
    facts = await line.call(at=NOON + 10)
    assert [facts[name] for name in ("unanswered_1d", "short_rings", "short_ring_dids")] == [4, 3, 2]
    facts = await line.call(at=NOON + 2 * 86400)
    assert [facts[name] for name in ("unanswered_1d", "short_rings", "short_ring_dids")] == [0, 0, 0]


async def test_ends__answers_that_he_left_at_once__are_a_share_for_a_week(line: Line) -> None:
    for n, how in enumerate((LEFT, LEFT, TALKED, Manner(unanswered=True))):
        await line.call(id=f"{n}", at=NOON + n)
        await line.over(f"{n}", how, NOON + n)
    facts = await line.call(at=NOON + 10)
    assert (facts["answered_n"], round(facts["abandon_ratio"], 3)) == (3, 0.667)
    facts = await line.call(at=NOON + 14 * 86400)
    assert (facts["answered_n"], facts["abandon_ratio"]) == (0, 0.0)


async def test_ends__calls_that_one_of_us_cut_short__are_counted_for_a_week(line: Line) -> None:
    for n, how in enumerate((CUT, TALKED, CUT, LEFT)):
        await line.call(id=f"{n}", at=NOON + n)
        await line.over(f"{n}", how, NOON + n)
    facts = await line.call(at=NOON + 10)
    assert (facts["cut_short_n"], facts["answered_n"], facts["abandon_ratio"]) == (2, 4, 0.25)
    assert (facts["calls_1d"], facts["gap_cv"]) == (5, 9.0), "nothing beside it in the record has moved"
    assert (await line.call(at=NOON + 14 * 86400))["cut_short_n"] == 0


async def test_ends__of_a_caller_whose_record_is_gone__are_kept_all_the_same(
    line: Line, store_url: str
) -> None:
    await line.over("1")
    async with connected(store_url) as client:
        lifetimes = {str(key): await client.ttl(key) for key in await client.keys("*")}
    assert sorted(lifetimes.values()) == [3600, 86400, 8 * 86400]
    facts = await line.call()
    assert (facts["is_new"], facts["first_seen_days"], facts["unanswered_1d"]) == (True, 0.0, 1)


async def test_learning__end_of_a_call__once_and_nobodys_nowhere(line: Line, store_url: str) -> None:
    learning = Learning(store_url, 90)
    await line.call(id="1", at=None)
    for _ in range(2):
        await learning.over(CALLER, "100", "1", SHORT)
    for nobody in ("", "+86 177", "*"):
        await learning.over(nobody, "100", "2", SHORT)
    facts = await line.call(at=None)
    assert (facts["unanswered_1d"], facts["live"]) == (1, 1)
    async with connected(store_url) as client:
        assert not [key for key in await client.keys("*") if "call:2" in str(key)]
    await learning.close()


# ---------------------------------------------------------------- memory


async def test_record__the_third_call__is_remembered_for_longer(line: Line, store_url: str) -> None:
    async with connected(store_url) as client:
        for days in (8, 8, 16, 16):
            await line.call()
            assert await client.ttl("{screener}:caller:" + CALLER) == days * 86400
            assert await client.strlen("{screener}:caller:" + CALLER) == 96
    assert (await line.call(at=NOON + 15.9 * 86400))["first_seen_days"] == pytest.approx(15.9)
    assert (await line.call(at=NOON + 32 * 86400))["is_new"] is True
    assert (await line.call(at=NOON + 40.1 * 86400))["is_new"] is True, "known by one call, for eight days"


async def test_clock__two_screeners_whose_own_clocks_differ__count_by_the_servers(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = State(store_url), State(store_url)
    await one.observe(CALLER, "100", "1")
    monkeypatch.setattr("time.time", lambda: 0.0)
    facts = (await other.observe(CALLER, "101", "2")).facts
    again = (await other.observe(CALLER, "101", "2")).facts
    names = ("caller.calls_1m", "caller.dids_1h", "caller.sweep_run", "caller.live", "caller.calls_7d")
    assert [facts[name] for name in names] == [again[name] for name in names] == [2, 2, 2, 2, 2]
    await one.close()
    await other.close()


def test_scripts__what_both_know__is_the_same() -> None:
    folder = Path(screener.state.__file__).parent
    observe, over = ((folder / name).read_text() for name in ("observe.lua", "over.lua"))
    for shared in ("RECORD_TTL_S", "CALL_TTL_S", "RECORD_BYTES", "COUNT_MAX", "SET_MAX", "DAY_S", "WEEK_S"):
        assert value(observe, shared) == value(over, shared), shared


def value(script: str, name: str) -> str:
    """The value of a local of a script."""
    line = next(line for line in script.splitlines() if line.startswith("local ") and name in line)
    names, values = line.removeprefix("local ").split(" = ")
    return dict(zip(names.split(", "), values.split(", "), strict=True))[name]


# ---------------------------------------------------------------- the trunk


async def test_trunk__rate__against_its_own_hour_of_the_week(line: Line) -> None:
    week, hour = 7 * 86400, 3600
    start = NOON - NOON % hour + 3500  # the end of an hour, so that it counts nearly alone

    async def busy(calls: int, at: float) -> float:
        ratio = 0.0
        for n in range(calls):
            caller = f"+8613{line.n:09d}"
            ratio = (await line.call(caller=caller, at=at + n, trunk="PJSIP/carrier"))["trunk.rate_ratio"]
        return ratio

    for n in range(3):
        assert await busy(10, start + n * week) == (1.0 if n < 2 else pytest.approx(1.0, abs=0.1))
    assert await busy(60, start + 3 * week) == pytest.approx(6, abs=0.3), "half an hour is like half of it"
    assert await busy(5, start + 3 * week + 86400) == pytest.approx(2.5), "nothing is usual there: two are"
    assert await busy(1, start + 3 * week + 86400) == pytest.approx(3.0)
    async with connected(line.url) as client:
        sizes = [await client.strlen(key) for key in await client.keys("*trunk*")]
    assert sizes == [16 + 4 * 168]


# ---------------------------------------------------------------- software


class Trunk:
    """Calls of many on one trunk, by the software that they say they use."""

    def __init__(self, line: Line) -> None:
        self.line, self.n = line, 0

    async def call(self, agent: str, caller: str = "", at: float = NOON, *, count: bool = True) -> Any:
        """The blocks of strangers with this software and their share, None where nothing is said of it."""
        self.n += 1
        caller = caller or f"+861{30 + self.n % 10}{self.n:04d}0000"
        more: dict[str, Any] = {"trunk": "PJSIP/a", "agent": agent, "count": count, "at": at}
        observed = await self.line.state.observe(caller, "100", f"agent-{self.n}", **more)
        assert observed.missing is None
        facts = observed.facts
        return (
            (facts["agent.strangers_7d"], facts["agent.stranger_share"])
            if "agent.strangers_7d" in facts
            else None
        )


async def test_agent__of_unrelated_strangers__is_counted_by_their_blocks(line: Line) -> None:
    trunk = Trunk(line)
    for n in range(12):
        await trunk.call("SBC", at=NOON + n)
    for n in range(12):
        facts = await trunk.call("dialler", at=NOON + n)
        looked = await trunk.call("dialler", "+861390000" + "1111", NOON + n, count=False)
    assert facts[0] == pytest.approx(12, abs=3), "by 64 places, so about"
    assert facts[1] == 1.0
    assert looked[0] - facts[0] in {0, 1, 2}
    for n in range(12):
        facts = await trunk.call("branch", f"+8613955{n:06d}", NOON + n)
    assert facts == (1, 1.0), "one block is one caller"
    assert await trunk.call("dialler", at=NOON + 15 * 86400) is None, "forgotten: the only call of its trunk"


async def test_agent__of_callers_whom_we_know__has_no_strangers(line: Line) -> None:
    trunk, friends = Trunk(line), [f"+86138{n:04d}0000" for n in range(12)]
    for caller in friends:
        await trunk.call("telephone", caller, NOON - 2 * 86400)
        await trunk.call("SBC", at=NOON - 2 * 86400)
    before = await trunk.call("telephone", count=False)
    for caller in friends:
        await trunk.call("telephone", caller)
    after = await trunk.call("telephone", count=False)
    assert after[0] <= before[0]
    assert (before[1], after[1]) == (1.0, pytest.approx(0.5, abs=0.1))


async def test_agent__that_the_carrier_writes__says_nothing_until_others_come(line: Line) -> None:
    trunk = Trunk(line)
    assert [await trunk.call("SBC") for _ in range(20)] == [None] * 20
    for _ in range(4):
        assert await trunk.call("other") is None, "the SBC stands for more than four calls in five"
    assert await trunk.call("other") is None
    assert await trunk.call("other") is not None
    assert await trunk.call("") is None


async def test_agent__flood_of_names__stays_small_and_leaves_those_that_were_met_before(
    line: Line, store_url: str
) -> None:
    trunk = Trunk(line)
    for _ in range(3):
        for name in ("known", "met"):
            await trunk.call(name)
    hostile = ("\0\n*{}\r", "x" * 80, "\udcff", "@", "'; FLUSHALL", "🤖" * 20)
    for n in range(300):
        assert await trunk.call(f"{hostile[n % len(hostile)]}{n}", at=NOON + n)
    assert (await trunk.call("known", at=NOON + 301))[0] in {3, 4, 5}
    async with connected(store_url) as client:
        [key] = await client.keys("*agents*")
        assert str(key) == "{screener}:agents:h-" + str(key)[-32:]
        assert await client.hlen(key) == 65
        assert {len(str(name)) for name in await client.hkeys(key)} == {0, 32}
        assert 0 < await client.ttl(key) <= 14 * 86400
        assert int(await client.memory_usage(key) or 0) < 10_000


async def test_agent__foreign_thing_under_its_key__counts_nothing_and_names_it(
    line: Line, store_url: str
) -> None:
    async with connected(store_url) as client:
        await client.set("{screener}:agents:a", "x")
        observed = await line.state.observe(CALLER, "100", "1", trunk="a", agent="b")
        assert "WRONGTYPE" in str(observed.missing)
        assert observed.facts["list.block"] is False


# ---------------------------------------------------------------- past calls


async def test_rehearsal__past_calls_and_their_ends__give_what_live_ones_gave(
    line: Line, state_directory: Path
) -> None:
    live = []
    script: list[Question | Over] = []
    for n, did in enumerate(("100", "101", "103", "102")):
        at = NOON + 600 * n
        script.append(Question(CALLER, did, f"{n}", at, counts=True, trunk="PJSIP/a"))
        script.append(Over(CALLER, did, f"{n}", SHORT if n % 2 else LEFT, at + 9))
        live.append(await line.call(did, at, id=f"{n}", trunk="PJSIP/a"))
        await line.over(f"{n}", SHORT if n % 2 else LEFT, at + 9, did)
    last = NOON + 9000
    script.append(Question(CALLER, "105", "last", last, counts=True, trunk="PJSIP/a"))
    live.append(await line.call("105", last, id="last", trunk="PJSIP/a"))
    async with EmbeddedServer(state_directory) as server:
        with Rehearsal(server.url, half_life_days=90) as rehearsal:
            rehearsal.ask(script)
            past = rehearsal.answers()
            for day in (20, 200):
                rehearsal.ask(
                    [Question("+8613912345678", "1", f"day {day}", NOON + day * 86400, counts=True)]
                )
                rehearsal.answers()
        async with connected(server.url) as client:
            kept = {str(key).split(":")[1] for key in await client.keys("*")}
    for then, now in zip(past, live, strict=True):
        assert {name.removeprefix("caller."): value for name, value in then.items()}.items() >= now.items()
    assert (live[-1]["short_ring_dids"], live[-1]["unanswered_1d"], live[-1]["answered_n"]) == (2, 4, 2)
    assert live[3]["sweep_run"] == 4
    assert kept == {"caller", "dids", "call", "live", "block", "trunk"}, "of the stranger alone"


# ---------------------------------------------------------------- a flood


async def test_flood__of_strangers_in_little_memory__leaves_lists_regulars_and_trust(
    state_directory: Path,
) -> None:
    async with EmbeddedServer(state_directory, memory_bytes=4 << 20) as server:
        left = await flood(server.url, 8000)
        state = State(server.url)
        assert (await state.observe(CALLER, "100", "last")).missing is None
        assert await state.memory_risk() == ""
        await state.close()
    assert left["evicted keys"] > 10_000
    assert left["most memory used, MB"] < 4.5
    assert [left[f"{what} left"] for what in ("list entries", "regulars' histories", "regulars' trust")] == [
        KNOWN
    ] * 3


@pytest.mark.parametrize(
    ("policy", "limit", "said"),
    [
        ("noeviction", 0, ""),
        ("allkeys-lru", 0, ""),
        ("volatile-ttl", 1 << 20, ""),
        (
            "allkeys-lfu",
            1 << 30,
            "it drops the lists as well (allkeys-lfu): set maxmemory-policy volatile-ttl",
        ),
        ("noeviction", 1 << 30, "it forgets nothing when that is full"),
        ("noeviction", 1 << 20, "it has little memory and forgets nothing"),
        ("volatile-lru", 1 << 30, "regular callers before strangers (volatile-lru)"),
    ],
)
def test_memory__policy_of_a_foreign_store__is_named_where_it_is_dangerous(
    policy: str, limit: int, said: str
) -> None:
    risk = risk_of({"maxmemory": limit, "maxmemory_policy": policy})
    assert said in risk
    assert bool(said) == bool(risk)


async def test_memory__dangerous_policy_of_the_store__is_told(state_directory: Path) -> None:
    async with EmbeddedServer(state_directory) as server, connected(server.url) as client:
        state = State(server.url)
        assert await state.memory_risk() == ""
        await client.config_set("maxmemory-policy", "allkeys-random")
        assert "drops the lists as well (allkeys-random)" in await state.memory_risk()
        await state.close()
