"""Any file of commands is whole again without the zeros between them, and nothing else is touched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from screener.state.aof import without_zeros

WORDS = st.lists(st.binary(max_size=40), min_size=1, max_size=4)
HOLES = st.integers(0, 30).map(bytes)


def command(words: list[bytes]) -> bytes:
    """As the server writes it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one) for one in words)


COMMANDS = st.lists(st.one_of(WORDS.map(command), st.just(b"#TS:1795916830\r\n")), max_size=6)


@given(commands=COMMANDS, holes=st.lists(HOLES, min_size=7, max_size=7))
def test_without_zeros__between_commands__are_the_commands(commands: list[bytes], holes: list[bytes]) -> None:
    torn = b"".join(hole + one for hole, one in zip(holes, [*commands, b""], strict=False))
    assert without_zeros(torn) == b"".join(commands)


@given(commands=COMMANDS, last=WORDS.map(command), data=st.data())
def test_without_zeros__behind_a_torn_command__is_what_was_written(
    commands: list[bytes], last: bytes, data: st.DataObject
) -> None:
    written = b"".join(commands) + last[: data.draw(st.integers(0, len(last) - 1))]
    mended = without_zeros(written + bytes(data.draw(st.integers(0, 5000))))
    # Zeros of a value that was torn cannot be told from those behind it; the server drops that command.
    assert mended is not None
    assert mended.rstrip(b"\0") == written.rstrip(b"\0")


@given(commands=COMMANDS, garbage=st.binary(min_size=1, max_size=60), more=COMMANDS)
def test_without_zeros__of_anything_else__takes_out_only_zeros(
    commands: list[bytes], garbage: bytes, more: list[bytes]
) -> None:
    data = b"".join(commands) + garbage + b"".join(more)
    mended = without_zeros(data)
    assert mended is None or mended.replace(b"\0", b"") == data.replace(b"\0", b"")


@given(garbage=st.binary(min_size=1, max_size=20).filter(lambda one: one.lstrip(b"\0")[:1] not in b"*#"))
def test_without_zeros__of_what_is_no_command__is_nothing(garbage: bytes) -> None:
    assert without_zeros(garbage + command([b"SET", b"a", b"b"])) is None
