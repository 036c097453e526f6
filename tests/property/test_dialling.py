"""Whatever callers dial and however calls end: facts are typed and bounded, and ends may come first."""

from __future__ import annotations

import asyncio
import string
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from screener.facts import BY_NAME, PYTHON_TYPES
from screener.state import Manner, State
from screener.state.learning import OVER, ending
from tests.valkey import connected, store_url, valkey_server

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["store_url", "valkey_server"]

CALLER = "+8617712345678"
NOON = 1_760_011_200.0
MANNERS = st.builds(Manner, *[st.booleans()] * 5)
DIDS = st.one_of(
    st.text(max_size=20), st.text(alphabet=string.digits + "+", max_size=40), st.integers(98, 103).map(str)
)
CALLS = st.lists(st.tuples(DIDS, st.integers(0, 5), st.one_of(st.none(), MANNERS)), max_size=12)
BOUNDED = {
    "caller.live",
    "caller.sweep_run",
    "caller.dids_1h",
    "caller.short_ring_dids",
    "caller.block_new_1h",
}
ENOUGH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def lived(url: str, calls: Sequence[tuple[str, int, Manner | None]], *, late: bool) -> dict[str, Any]:
    """The facts after these calls; their ends come after each call, or all of them before."""
    async with connected(url) as client:
        await client.flushall()
        over, state = client.register_script(OVER), State(url, deadline_s=5)

        async def end(did: str, n: int, how: Manner | None) -> None:
            if how:
                await over(*ending(CALLER, did, f"{n}", how, NOON))

        if not late:
            for did, n, how in calls:
                await end(did, n, how)
        for did, n, how in calls:
            observed = await state.observe(CALLER, did, f"{n}", at=NOON)
            assert observed.missing is None
            if late:
                await end(did, n, how)
        facts = (await state.observe(CALLER, "100", "last", at=NOON)).facts
        await state.close()
        return dict(facts)


@ENOUGH
@given(calls=CALLS)
def test_facts__of_any_calls_and_ends__are_typed_and_bounded_and_the_order_is_none(
    calls: list[tuple[str, int, Manner | None]], store_url: str
) -> None:
    async def both() -> list[dict[str, Any]]:
        return [await lived(store_url, calls, late=late) for late in (True, False)]

    after, before = asyncio.run(both())
    assert after == before
    for name, value in after.items():
        assert type(value) is PYTHON_TYPES[BY_NAME[name].type], name
        if name.startswith("caller."):
            assert isinstance(value, int | float), name
            assert value >= 0, name
    assert all(after[name] <= len(calls) + 1 for name in BOUNDED)
    assert after["caller.live"] >= 1
    assert after["caller.short_rings"] <= after["caller.calls_1d"]
    assert 0 <= after["caller.abandon_ratio"] <= 1
