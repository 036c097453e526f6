"""What the store says of a caller, and that a broken store costs a caller next to nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from screener.errors import ConfigError, StateUnavailable
from screener.facts import QUIET, UNLISTED
from screener.state import EmbeddedServer, Fact, Learning, Lesson, Lists, Observed, Row, State
from screener.state.weighing import Terms
from tests.valkey import connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CALLER = "+8617712345678"
NOON = 1_760_011_200.0  # the start of a minute, an hour and a half-day
FIRST: dict[str, Fact] = {
    "caller.calls_1m": 1,
    "caller.calls_1h": 1,
    "caller.calls_1d": 1,
    "caller.calls_7d": 1,
    "caller.dids_1h": 1,
    "caller.first_seen_days": 0.0,
    "caller.is_new": True,
    "caller.sweep_run": 1,
    "caller.block_new_1h": 1,
    "caller.live": 1,
    "caller.gap_cv": 9.0,
    "caller.unanswered_1d": 0,
    "caller.short_rings": 0,
    "caller.short_ring_dids": 0,
    "caller.answered_n": 0,
    "caller.cut_short_n": 0,
    "caller.abandon_ratio": 0.0,
    "trunk.rate_ratio": 1.0,
}


@pytest.fixture
async def state(store_url: str) -> AsyncIterator[State]:
    state = State(store_url)
    yield state
    await state.close()


@pytest.fixture
async def lists(store_url: str) -> AsyncIterator[Lists]:
    lists = Lists(store_url, "CN", durable=False)
    yield lists
    await lists.close()


async def test_observe__first_call__is_new(state: State) -> None:
    observed = await state.observe(CALLER, "+861012345678", "1.1", at=NOON)
    assert observed == Observed({**UNLISTED, **QUIET, **FIRST})


async def test_observe__server_clock__gives_facts_of_these_types(state: State) -> None:
    observed = await state.observe(CALLER, "100", "1.1")
    types = {name: type(value) for name, value in observed.facts.items()}
    assert types == {name: type(value) for name, value in {**UNLISTED, **QUIET, **FIRST}.items()}
    assert 0 <= float(observed.facts["caller.first_seen_days"]) < 2 / 86400


async def test_observe__second_call__is_counted_with_its_did(state: State) -> None:
    await state.observe(CALLER, "100", "1.1", at=NOON - 43200)
    second = (await state.observe(CALLER, "101", "1.2", at=NOON)).facts
    assert second["caller.is_new"] is False
    assert second["caller.first_seen_days"] == 0.5
    assert second["caller.calls_7d"] == 2
    assert second["caller.calls_1m"] == second["caller.calls_1h"] == 1
    assert second["caller.dids_1h"] == 1


async def test_observe__same_call_again__is_not_counted_twice(state: State) -> None:
    first = await state.observe(CALLER, "100", "1.1", at=NOON)
    duplicate = await state.observe(CALLER, "100", "1.1", at=NOON)
    challenge = await state.observe(CALLER, "100", "1.1", count=False, at=NOON)
    assert first == duplicate == challenge


async def test_observe__looking_only__says_what_counting_would_and_writes_nothing(
    state: State, store_url: str
) -> None:
    await state.observe(CALLER, "100", "1.1", at=NOON)
    async with connected(store_url) as client:
        before = await client.keys("*")
        looked = await state.observe(CALLER, "101", "1.2", count=False, at=NOON + 1)
        assert await client.keys("*") == before
    assert looked == await state.observe(CALLER, "101", "1.2", at=NOON + 1)


@pytest.mark.parametrize(
    ("earlier_s", "fact", "expected"),
    [
        pytest.param([5, 10, 20], "caller.calls_1m", 4, id="one bucket is exact"),
        pytest.param([70, 80], "caller.calls_1m", 2, id="the bucket before counts by its share"),
        pytest.param([200, 300], "caller.calls_1m", 1, id="older ones are forgotten"),
        pytest.param([600, 1200, 1500], "caller.calls_1h", 4, id="an hour"),
        pytest.param([7200], "caller.calls_1h", 1, id="two hours ago"),
        pytest.param([30_000], "caller.calls_1d", 2, id="a day"),
        pytest.param([79_000, 80_000], "caller.calls_1d", 2, id="the day before counts by its share"),
        pytest.param([200_000], "caller.calls_1d", 1, id="two days ago"),
        pytest.param([86400, 172_800, 259_200], "caller.calls_7d", 4, id="three days in a row"),
    ],
)
async def test_observe__calls_in_the_past__count_by_window(
    state: State, earlier_s: list[int], fact: str, expected: int
) -> None:
    now = NOON + 30
    for index, ago in enumerate(sorted(earlier_s, reverse=True)):
        await state.observe(CALLER, "100", f"1.{index}", at=now - ago)
    assert (await state.observe(CALLER, "100", "2", at=now)).facts[fact] == expected


async def test_observe__many_dids__are_counted_within_the_hour_up_to_the_cap(
    state: State, store_url: str
) -> None:
    for index in range(150):
        observed = await state.observe(CALLER, f"did{index}", f"1.{index}", at=NOON + index)
        assert observed.facts["caller.dids_1h"] == min(index + 1, 128)
    async with connected(store_url) as client:
        assert await client.zcard("{screener}:dids:" + CALLER) == 128
    later = await state.observe(CALLER, "did149", "2", at=NOON + 150 + 3600)
    assert later.facts["caller.dids_1h"] == 1


async def test_observe__no_number__has_lists_but_no_counters(state: State, store_url: str) -> None:
    assert await state.observe(None, "100", "1.1") == Observed({**UNLISTED, **QUIET})
    async with connected(store_url) as client:
        assert await client.dbsize() == 0


async def test_observe__no_number_and_no_store__still_knows_that_nobody_is_listed(
    state_directory: Path,
) -> None:
    state = State(f"unix://{state_directory}/nobody.sock")
    observed = await state.observe("", "100", "1.1", trunk="PJSIP/trunk")
    assert observed.facts == UNLISTED
    assert observed.missing
    await state.close()


@pytest.mark.parametrize("caller", ["+86 177", "17712*", "*", "+", "a+86", "1\n2", "١٢٣", "1" * 33])
async def test_observe__caller_that_is_no_key__is_missing_and_written_nowhere(
    state: State, store_url: str, caller: str
) -> None:
    observed = await state.observe(caller, "100", "1.1")
    assert not observed.facts
    assert observed.missing
    async with connected(store_url) as client:
        assert await client.dbsize() == 0


@pytest.mark.parametrize("hostile", ["", " ", "x" * 10_000, "a:b{c}", "\r\nFLUSHALL\r\n", "\udcff", "目"])
async def test_observe__hostile_did_and_call_id__reach_no_key_as_they_are(
    state: State, store_url: str, hostile: str
) -> None:
    assert (await state.observe(CALLER, hostile, hostile)).facts["caller.dids_1h"] == 1
    assert (await state.observe(CALLER, hostile, hostile)).facts["caller.calls_1d"] == 1
    assert (await state.observe(CALLER, hostile + "2", "2")).facts["caller.dids_1h"] == 2
    async with connected(store_url) as client:
        keys = [str(key) for key in await client.keys("*")]
        assert all(len(key) < 80 and key.isascii() and key.isprintable() for key in keys)


async def test_observe__every_key__expires(state: State, store_url: str) -> None:
    await state.observe(CALLER, "100", "1.1")
    async with connected(store_url) as client:
        lifetimes = {str(key): await client.ttl(key) for key in await client.keys("*")}
    assert sorted(lifetimes.values()) == [3600] * 4 + [8 * 86400, 56 * 86400]
    assert all(key.startswith("{screener}:") for key in lifetimes)


async def test_observe__a_call__is_one_round_trip(state: State, store_url: str) -> None:
    await state.observe(CALLER, "100", "1.1")
    async with connected(store_url) as client:
        await client.config_resetstat()
        await state.observe(CALLER, "100", "1.2")
        sent = {name: row["calls"] for name, row in (await client.info("commandstats")).items()}
        total = (await client.info("stats"))["total_commands_processed"]
    assert sent["cmdstat_evalsha"] == 1
    inside = sum(sent.values()) - sent["cmdstat_evalsha"]
    assert total - inside <= 3, sent  # the rest: RESETSTAT and INFO of this test


@pytest.mark.parametrize(
    ("entries", "entry", "kind"),
    [
        pytest.param([("block", CALLER)], CALLER, "block", id="number"),
        pytest.param([("block", "+86177*")], "+86177*", "block", id="prefix"),
        pytest.param(
            [("block", "+86177*"), ("allow", CALLER)], CALLER, "allow", id="a friend in a bad block"
        ),
        pytest.param([("allow", "+86177*"), ("block", "+861771*")], "+861771*", "block", id="longest wins"),
        pytest.param([("allow", "+86177*"), ("block", "+86177*")], "+86177*", "allow", id="equal: allow"),
        pytest.param([("allow", CALLER + "*"), ("block", CALLER)], CALLER, "block", id="whole beats prefix"),
        pytest.param([("block", "+86178*"), ("block", "+8617712345679")], "", "", id="neighbours"),
    ],
)
async def test_observe__lists__most_specific_entry_decides(
    state: State, lists: Lists, entries: list[tuple[str, str]], entry: str, kind: str
) -> None:
    for name, text in entries:
        await lists.add(Row(text, name, reason=f"why {text}", source="test"))  # type: ignore[arg-type]
    facts = (await state.observe(CALLER, "100", "1.1")).facts
    assert facts["list.entry"] == entry
    assert facts["list.block"] is (kind == "block")
    assert facts["list.allow"] is (kind == "allow")
    assert facts["list.reason"] == (f"why {entry}" if entry else "")
    assert facts["list.source"] == ("test" if entry else "")
    found = await lists.find(CALLER)
    assert (found[0].pattern if found else "") == entry


async def test_observe__expired_entry__gives_way_to_the_next(state: State, lists: Lists) -> None:
    await lists.add(Row(CALLER, "allow", expires_at=int(NOON)))
    await lists.add(Row("+86177*", "block"))
    before = (await state.observe(CALLER, "100", "1.1", at=NOON - 1)).facts
    after = (await state.observe(CALLER, "100", "1.2", at=NOON)).facts
    assert (before["list.entry"], after["list.entry"]) == (CALLER, "+86177*")


async def test_observe__national_entry__matches_the_international_call(state: State, lists: Lists) -> None:
    await lists.add(Row("17712345678"))
    assert (await state.observe(CALLER, "100", "1.1")).facts["list.block"] is True


async def test_observe__short_code__is_matched_as_dialled(state: State, lists: Lists) -> None:
    await lists.add(Row("95588", "allow"))
    assert (await state.observe("95588", "100", "1.1")).facts["list.allow"] is True


async def test_observe__fifty_calls_at_once__all_get_a_full_answer(state: State) -> None:
    observed = await asyncio.gather(*(state.observe(CALLER, "100", f"1.{index}") for index in range(50)))
    assert [one.missing for one in observed] == [None] * 50
    assert max(int(one.facts["caller.calls_1d"]) for one in observed) == 50


async def test_observe__scripts_flushed__heals_within_the_call(state: State, store_url: str) -> None:
    await state.observe(CALLER, "100", "1.1")
    async with connected(store_url) as client:
        await client.script_flush()
    observed = await state.observe(CALLER, "100", "1.2")
    assert observed.missing is None
    assert observed.facts["caller.calls_1d"] == 2


async def test_observe__memory_full__still_knows_the_lists(state_directory: Path) -> None:
    async with EmbeddedServer(state_directory) as server, connected(server.url) as client:
        await listed(server.url)
        await client.config_set("maxmemory-policy", "noeviction")
        await client.config_set("maxmemory", 1)
        await only_lists(server.url, "OOM")


@pytest.mark.parametrize("key", ["caller:", "dids:", "trust:", "feed:ours", "spoke:"])
async def test_observe__another_program_spoilt_a_key__the_lists_hold(
    state: State, lists: Lists, store_url: str, key: str
) -> None:
    await lists.add(Row(CALLER, "block", reason="nuisance"))
    state.feeds = [Terms("ours", 1.0, 90.0, 1)]
    async with connected(store_url) as client:
        await client.rpush(f"{{screener}}:{key}{CALLER if key.endswith(':') else ''}", "x")
    observed = await state.observe(CALLER, "100", "1")
    assert observed.facts["list.block"] is True
    assert (observed.missing is None) is (key != "dids:")
    learning = Learning(store_url, 90)
    await learning.learn(CALLER, "1", Lesson(good=1.0))
    await learning.close()
    assert learning.lost == 0


async def test_observe__read_only_replica__still_knows_the_lists(state_directory: Path) -> None:
    async with EmbeddedServer(state_directory) as server, connected(server.url) as client:
        await listed(server.url)
        await client.replicaof("127.0.0.1", "1")
        await only_lists(server.url, "READONLY")


async def listed(url: str) -> None:
    lists = Lists(url, "CN", durable=False)
    await lists.add(Row(CALLER, reason="collector"))
    await lists.close()


async def only_lists(url: str, word: str) -> None:
    state = State(url)
    known: dict[str, Fact] = {"list.block": True, "list.entry": CALLER, "list.reason": "collector"}
    with capture_logs() as logs:
        for call_id in ("1.1", "1.2"):
            observed = await state.observe(CALLER, "100", call_id)
            assert observed.missing
            assert word in observed.missing
            assert observed.facts == {**UNLISTED, **QUIET, **known}
    assert [line["log_level"] for line in logs] == ["warning"]
    await state.close()


async def test_observe__store_hung__delays_one_call_only_and_recovers(state_directory: Path) -> None:
    other = "+8617787654321"
    async with EmbeddedServer(state_directory) as server:
        assert server.pid is not None
        state = State(server.url, pause_s=0.3)
        await state.observe(CALLER, "100", "1.1")
        os.kill(server.pid, signal.SIGSTOP)
        try:
            assert 0.19 < await timed(state, CALLER) < 0.3
            for _ in range(5):
                assert await timed(state, CALLER) < 0.02
            await asyncio.sleep(0.3)  # the pause is over: one call of many asks again, the others do not wait
            waits = await asyncio.gather(*(timed(state, CALLER) for _ in range(20)))
            assert sum(wait > 0.1 for wait in waits) == 1
        finally:
            os.kill(server.pid, signal.SIGCONT)
        async with asyncio.timeout(3):
            while (observed := await state.observe(other, "100", "9")).missing:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
        # The late answer to the earlier caller must not be taken for this one's.
        assert observed.facts["caller.is_new"] is True
        await state.close()


async def timed(state: State, caller: str) -> float:
    """Seconds until an answer without facts."""
    started = time.monotonic()
    observed = await state.observe(caller, "100", "2")
    assert not observed.facts
    assert observed.missing
    return time.monotonic() - started


async def test_observe__every_step_slow__still_keeps_the_one_deadline() -> None:
    hung_up = asyncio.Event()

    async def dawdle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in (b"%1\r\n$5\r\nproto\r\n:3\r\n", b"-NOSCRIPT\r\n", b"$1\r\nx\r\n", b"%0\r\n"):
            if not await reader.read(65536):
                break
            await asyncio.sleep(0.15)  # in time for one reply, but there are four
            writer.write(reply)
        writer.close()
        hung_up.set()

    async with await asyncio.start_server(dawdle, "127.0.0.1", 0) as server:
        state = State(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert await timed(state, CALLER) < 0.3
        await state.close()
        await hung_up.wait()
        await asyncio.sleep(0)  # asyncio closes the socket in its next round


async def test_observe__store_never_there__says_why_at_once(state_directory: Path) -> None:
    state = State(f"unix://{state_directory}/nobody.sock")
    assert await timed(state, CALLER) < 0.1
    with pytest.raises(StateUnavailable, match=r"redis\.url"):
        await state.memory_risk()
    await state.close()


async def test_observe__store_restarted_between_calls__is_asked_again_without_a_gap(
    state_directory: Path,
) -> None:
    server = EmbeddedServer(state_directory)
    await server.start()
    state = State(server.url)
    await state.observe(CALLER, "100", "1.1")
    await server.stop()
    await server.start()
    observed = await state.observe(CALLER, "100", "1.2")
    assert observed.missing is None
    assert observed.facts["caller.calls_1d"] == 2
    await state.close()
    await server.stop()


async def test_observe__failing_call_after_call__is_logged_once_a_second(state_directory: Path) -> None:
    state = State(f"unix://{state_directory}/nobody.sock")
    with capture_logs() as logs:
        for index in range(20):
            await state.observe(CALLER, "100", str(index))
    assert [line["log_level"] for line in logs] == ["warning"]
    await state.close()


@pytest.mark.parametrize("url", ["http://u:secret@host", "redis://u:secret@host:port", "nonsense"])
def test_state__url_that_is_none__is_a_configuration_error_without_the_password(url: str) -> None:
    with pytest.raises(ConfigError, match=r"redis\.url") as caught:
        State(url)
    assert "secret" not in str(caught.value)


async def test_observe__clock_was_ahead_and_is_put_right__counters_begin_anew(state: State) -> None:
    await state.observe(CALLER, "100", "1.1", at=NOON + 10 * 365 * 86400)
    for day in range(1, 4):
        facts = (await state.observe(CALLER, "100", f"1.{day + 1}", at=NOON + day * 86400)).facts
        assert facts["caller.calls_1m"] == 1


async def test_observe__hundreds_at_once__the_flood_does_not_look_like_a_dead_store(
    state: State, store_url: str
) -> None:
    lists = Lists(store_url, "CN")
    await lists.add(Row(CALLER, "block"))
    await lists.close()
    seen = await asyncio.gather(*(state.observe(CALLER, "100", f"2.{n}") for n in range(600)))
    assert all(one.facts.get("list.block") for one in seen)


async def test_observe__no_sentinel_answers__the_reason_names_address_and_fault() -> None:
    state = State("redis+sentinel://127.0.0.1:1/m", deadline_s=5)
    try:
        missing = (await state.observe("+8613912345678", "100", "1")).missing or ""
    finally:
        await state.close()
    assert missing == "No master found for 'm' : 127.0.0.1:1 network:ConnectionError"
