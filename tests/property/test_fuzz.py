"""Every fuzz target on its seeds, crashes of the past among them, and by chance; scripts/fuzz goes deeper."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from types import ModuleType

NAMES = sorted(one.stem for one in (Path(__file__).parents[1] / "fuzz").glob("[a-z]*.py"))


def module(name: str) -> ModuleType:
    return import_module(f"tests.fuzz.{name}")


@st.composite
def spoilt(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with a piece cut out of it, doubled, or replaced."""
    raw = draw(st.sampled_from(seeds))
    start, end = sorted(draw(st.tuples(st.integers(0, len(raw)), st.integers(0, len(raw)))))
    return raw[:start] + draw(st.binary(max_size=12) | st.just(raw[start:end] * 2)) + raw[end:]


@pytest.mark.parametrize(
    ("name", "raw"),
    [(name, raw) for name in NAMES for raw in [*module(name).SEEDS, b"", b"\0", b"\xff" * 50]],
)
def test_target__seed__is_survived(name: str, raw: bytes) -> None:
    module(name).target(raw)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_target__any_bytes__are_survived(name: str, data: Any) -> None:
    target = module(name)
    target.target(data.draw(st.binary(max_size=200) | spoilt(target.SEEDS)))
