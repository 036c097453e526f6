"""Whatever calls teach, in any order: it wears off, it is never negative, and it has its bounds."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from screener.facts import NO_DEALINGS
from screener.state import Lesson
from screener.state.learning import LEARN, teaching
from screener.state.trust import BAD_MAX, DAY_S, GOOD_MAX, TALK_MAX_S, known, wilson
from tests.valkey import valkey_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from screener.state import EmbeddedServer

__all__ = ["valkey_server"]

NOW = 1_760_000_000.0
amounts = st.floats(0, 100, allow_subnormal=False)
lesson = st.builds(
    Lesson,
    good=st.floats(0, 3),
    up_to=st.sampled_from([0.4, GOOD_MAX]),
    bad=st.floats(0, 3),
    talk_s=st.integers(0, TALK_MAX_S),
    dialled=st.booleans(),
)
record = st.tuples(st.just(NOW), st.integers(0, 2**32 - 1), st.integers(1, 3650), amounts, amounts, amounts)
hostile = st.lists(st.floats() | st.integers(-10, 2**40), min_size=6, max_size=6)
BOUND = wilson(GOOD_MAX, 0) + 1e-4  # facts are rounded


@pytest.fixture
def store(valkey_server: EmbeddedServer) -> Iterator[Redis]:
    client = Redis.from_url(valkey_server.url, protocol=3)
    yield client
    client.close()


@given(record=record, days=st.lists(st.floats(0, 4000), min_size=2, max_size=5).map(sorted))
def test_known__as_time_goes_by__only_wears_off(record: tuple[float, ...], days: list[float]) -> None:
    seen = [known(record, NOW + day * DAY_S) for day in days]
    for name in ("caller.good_calls", "caller.bad_calls", "caller.talk_s_total"):
        values = [float(one[name]) for one in seen]
        assert values == sorted(values, reverse=True)
        assert min(values) >= 0
    for one in seen:
        assert 0 <= float(one["caller.trust"]) <= BOUND


@given(record=hostile, now=st.floats(0, 2**33))
def test_known__any_record__stays_in_its_bounds(record: list[float], now: float) -> None:
    facts = known(record, now)
    assert 0 <= float(facts["caller.good_calls"]) <= GOOD_MAX
    assert 0 <= float(facts["caller.bad_calls"]) <= BAD_MAX
    assert 0 <= int(facts["caller.talk_s_total"]) <= TALK_MAX_S
    assert 0 <= float(facts["caller.trust"]) <= 1


@given(good=amounts, bad=amounts, more=st.floats(0.01, 10))
def test_wilson__a_further_label__moves_trust_its_way(good: float, bad: float, more: float) -> None:
    assert 0 <= wilson(good, bad) <= 1
    assert wilson(good + more, bad) >= wilson(good, bad) - 1e-9
    assert wilson(good, bad + more) <= wilson(good, bad) + 1e-9


@given(lessons=st.lists(st.tuples(lesson, st.floats(-400, 400)), max_size=8), half_life=st.integers(1, 3650))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_learn__any_lessons_in_any_order__give_no_more_than_the_bounds(
    store: Redis, lessons: list[tuple[Lesson, float]], half_life: int
) -> None:
    store.flushall()
    learn = store.register_script(LEARN)
    for one, days in lessons:
        learn(*teaching("+1", "", one, half_life, NOW + days * DAY_S))
    stored = store.get("{screener}:trust:+1")
    if not any(one.good or one.bad or one.talk_s or one.dialled for one, _ in lessons):
        assert stored is None
        return
    assert isinstance(stored, bytes)
    facts = known(struct.unpack("<IIHfff", stored), NOW + 400 * DAY_S)
    assert 0 <= float(facts["caller.trust"]) <= BOUND
    assert float(facts["caller.good_calls"]) <= min(GOOD_MAX, sum(one.good for one, _ in lessons) + 1e-3)
    assert float(facts["caller.bad_calls"]) <= min(BAD_MAX, sum(one.bad for one, _ in lessons) + 1e-3)
    assert NO_DEALINGS.keys() == facts.keys()
