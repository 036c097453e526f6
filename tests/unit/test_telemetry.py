"""The log: one clean line per event, no secrets, and a reader that hangs costs no caller any time."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import pty
import threading
import time
import warnings
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from screener.telemetry import about_call, configure
from screener.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTILE = "Bob\r\n2025-03-01 info call decided\x1b[2J\x00\u202eevil\u2028\u0085\udcff\x7f"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    logging.root.handlers[:], logging.root.level = handlers, level


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that holds 4 kB; the writing end is closed by the test."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    yield read, write
    for fd in (read, write):
        try:
            os.close(fd)
        except OSError:
            assert fd == write


def read_all(fd: int) -> list[str]:
    """Everything up to the end, as lines in the narrow sense."""
    with os.fdopen(os.dup(fd), "rb") as file:
        return file.read().decode().split("\n")[:-1]


def logged(pipe: tuple[int, int], *said: tuple[str, dict[str, Any]], **settings: Any) -> list[str]:
    """The lines that these events give."""
    with configure(fd=pipe[1], **settings):
        for event, values in said:
            structlog.get_logger().info(event, **values)
    os.close(pipe[1])
    return read_all(pipe[0])


@pytest.mark.parametrize("as_json", [True, False])
def test_line__hostile_text_anywhere__stays_one_printable_line(
    pipe: tuple[int, int], *, as_json: bool
) -> None:
    values = {
        "name": HOSTILE,
        "facts": {HOSTILE: [HOSTILE, {"deep": HOSTILE}]},
        "path": PurePath("/rec", HOSTILE),
        "raw": HOSTILE.encode("utf-8", "surrogatepass"),
        "error": ValueError(HOSTILE),
    }
    (line,) = logged(pipe, (HOSTILE, values), as_json=as_json)
    assert line.isprintable()
    assert "Bob" in line
    if as_json:
        said = json.loads(line)
        assert said["name"] == said["event"] == escaped(HOSTILE)
        assert said["name"].isprintable()
        assert said["facts"] == {escaped(HOSTILE): [escaped(HOSTILE), {"deep": escaped(HOSTILE)}]}


def test_line__for_people__no_value_can_pose_as_another(pipe: tuple[int, int]) -> None:
    (line,) = logged(
        pipe,
        ("call decided", {"name": 'x" action=allow', "who": "王小明", "n": 1.5, "of": [1]}),
        as_json=False,
    )
    assert line[12:] == r' info     call decided name="x\" action=allow" who=王小明 n=1.5 of=[1]'


def test_line__as_json__holds_the_values_as_they_are(pipe: tuple[int, int]) -> None:
    values = {"name": "王小明", "score": 9.5, "known": True, "why": None, "odd": float("nan")}
    (line,) = logged(pipe, ("call decided", values))
    said = json.loads(line)
    assert said.pop("at").endswith("Z")
    assert said == {"level": "info", "event": "call decided"} | values | {"odd": "nan"}
    assert "王小明" in line


def test_line__ten_kilobytes_of_name_or_a_value_without_end__are_cut(pipe: tuple[int, int]) -> None:
    circle: list[Any] = []
    circle.append(circle)
    (line,) = logged(pipe, ("call", {"name": "x" * 10_000, "circle": circle}))
    assert json.loads(line)["name"] == "x" * 500 + "… (10000 characters)"
    assert len(line) < 1000


def test_line__secrets__never_appear(pipe: tuple[int, int]) -> None:
    values = {
        "secret": "one",
        "config": {"ami_password": "two", "host": "pbx"},
        "url": "redis://user:thr@ee@host/0 and amqp://:four@h",
        "said": "it is swordfish and nothing else",
        "long": "." * 495 + "swordfish",
        "error": ConnectionError("login swordfish refused"),
    }
    (line,) = logged(pipe, ("connect swordfish", values), secrets=["swordfish", ""])
    said = json.loads(line)
    assert [said["secret"], said["config"]["ami_password"]] == ["[hidden]"] * 2
    assert said["config"]["host"] == "pbx"
    assert said["said"] == "it is [hidden] and nothing else"
    assert "host/0" in said["url"]
    for secret in ("one", "two", "thr", "ee@", "four", "swordf"):
        assert secret not in line


def test_line__address_of_colons_only__is_written_in_no_time(pipe: tuple[int, int]) -> None:
    began = time.monotonic()
    assert logged(pipe, ("call", {"name": "://" + ":" * 40_000}))
    assert time.monotonic() - began < 2


async def test_about_call__calls_at_the_same_time__each_line_names_its_own(pipe: tuple[int, int]) -> None:
    async def call(number: str) -> None:
        with about_call(number):
            structlog.get_logger().info("asked")
            await asyncio.sleep(0)
            await asyncio.create_task(decide())

    async def decide() -> None:
        structlog.get_logger().info("decided")

    with configure(fd=pipe[1]):
        await asyncio.gather(call("1.1"), call("1.2"))
        structlog.get_logger().info("idle")
    os.close(pipe[1])
    said = [json.loads(line) for line in read_all(pipe[0])]
    assert sorted((line["event"], line.get("call")) for line in said[:4]) == [
        ("asked", "1.1"), ("asked", "1.2"), ("decided", "1.1"), ("decided", "1.2"),
    ]  # fmt: skip
    assert "call" not in said[4]


def test_line__an_exception__tells_what_where_and_why_on_one_line(pipe: tuple[int, int]) -> None:
    def fail() -> None:
        try:
            int(HOSTILE)
        except ValueError as error:
            raise RuntimeError("no\nverdict") from error

    with configure(fd=pipe[1]):
        try:
            fail()
        except RuntimeError:
            structlog.get_logger().exception("call failed")
        structlog.get_logger().exception("no exception at all")
    os.close(pipe[1])
    first, second = (json.loads(line) for line in read_all(pipe[0]))
    assert first["exception"].startswith(r"RuntimeError: no\nverdict (after ValueError: invalid literal")
    assert first["where"].startswith("test_telemetry.py:")
    assert " fail < test_telemetry.py:" in first["where"]
    assert "exception" not in second


def test_logging__of_other_libraries__takes_the_same_way(pipe: tuple[int, int]) -> None:
    with configure(fd=pipe[1]):
        logging.getLogger("panoramisk").warning("login of %s", HOSTILE)
        logging.getLogger("panoramisk").warning("broken %d", "text")
        logging.getLogger("redis").log(35, "odd level")
        logging.getLogger("redis").debug("too quiet")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old\nway", stacklevel=1)
    os.close(pipe[1])
    said = [json.loads(line) for line in read_all(pipe[0])]
    assert [(line["logger"], line["level"]) for line in said] == [
        ("panoramisk", "warning"), ("panoramisk", "warning"),
        ("redis", "warning"), ("py.warnings", "warning"),
    ]  # fmt: skip
    assert said[0]["event"] == "login of " + escaped(HOSTILE)
    assert said[1]["event"] == "broken %d"


async def test_outlet__reader_of_a_full_pipe_hangs__calls_go_on_and_lost_lines_are_counted(
    pipe: tuple[int, int],
) -> None:
    lines = 12_000
    outlet = configure(fd=pipe[1])
    log, slowest = structlog.get_logger(), 0.0
    for n in range(lines):
        began = time.perf_counter()
        log.info("call decided", n=n, filler="x" * 60)
        slowest = max(slowest, time.perf_counter() - began)
        if n % 100 == 0:
            await asyncio.sleep(0)
    assert slowest < 0.25
    assert outlet.dropped > 1000
    began = time.perf_counter()
    outlet.close(0.05)
    assert time.perf_counter() - began < 0.5
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.extend(read_all(pipe[0])))
    reader.start()
    outlet.close(10)
    os.close(pipe[1])
    reader.join()
    said = [json.loads(line) for line in read]
    notes = [line for line in said if "dropped" in line["event"]]
    assert sum(line["count"] for line in notes) == outlet.dropped
    assert len(said) - len(notes) + outlet.dropped == lines


def test_outlet__descriptor_made_non_blocking_by_another__no_line_is_torn(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    read: list[str] = []
    outlet = configure(fd=pipe[1])
    for n in range(500):
        structlog.get_logger().info("call decided", n=n, filler="x" * 200)
    reader = threading.Thread(target=lambda: read.extend(read_all(pipe[0])))
    reader.start()
    outlet.close(10)
    os.close(pipe[1])
    reader.join()
    assert [json.loads(line)["n"] for line in read] == list(range(500))


def test_outlet__reader_went_away__lines_are_counted_and_nothing_is_raised(pipe: tuple[int, int]) -> None:
    read, write = os.pipe()
    os.close(read)
    with configure(fd=write) as outlet:
        structlog.get_logger().info("into the void")
    structlog.get_logger().info("after the end")
    os.close(write)
    assert outlet.dropped == 2


def test_configure__on_a_terminal__speaks_to_people_in_colour() -> None:
    ours, theirs = pty.openpty()
    with configure(fd=theirs, level="debug"):
        structlog.get_logger().debug("looked")
        structlog.get_logger().error("failed", code=3)
    lines = os.read(ours, 4096).decode().splitlines()
    os.close(ours)
    os.close(theirs)
    assert [line[12:] for line in lines] == [
        " \x1b[2mdebug   \x1b[0m looked", " \x1b[31merror   \x1b[0m failed code=3",
    ]  # fmt: skip
