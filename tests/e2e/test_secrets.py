"""Marked secrets go through a whole day of the service: none is in its log, its answers, exports or children.

What holds them by its purpose is left out: the files of the administrator, and the service's own memory and
environment, which the system shows to the service's user and root alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from screener.state import EmbeddedServer
from tests.pbx import sound
from tests.pbx.house import COLLECTOR, House
from tests.valkey import connected
from tests.webhook import Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

STORE, USER, PATH, WRONG = "mark-store-1", "mark-notify-2", "mark-path-3", "mark-wrong-4"
AT_ONCE = 4
SHOWN = (
    ("check",), ("doctor",), ("doctor", "--json"), ("status",), ("status", "--json"),
    ("config", "show"), ("config", "show", "--origin"), ("explain", COLLECTOR), ("list", "show"),
    ("list", "find", COLLECTOR), ("list", "export"), ("trust", "show", COLLECTOR),
    ("calls",), ("calls", "--json"),
    ("recordings", "list"), ("recordings", "verify"), ("ledger", "verify"), ("ledger", "key"),
    ("feed", "list"),
    ("case", "list"), ("messages", "list"), ("reload",), ("run", "--help"), ("--help",),
)  # fmt: skip


@contextlib.asynccontextmanager
async def store() -> AsyncIterator[EmbeddedServer]:
    """A store that asks for a password."""
    with tempfile.TemporaryDirectory(prefix="valkey") as directory:
        async with EmbeddedServer(Path(directory) / "state") as server:
            async with connected(server.url) as client:
                await client.config_set("requirepass", STORE)
            yield server


def below(pid: int) -> Iterator[int]:
    """The processes that a process has started, and those that they have."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            yield from below(child)


def leaks(marks: tuple[str, ...], where: str, text: str) -> list[str]:
    """Which marks stand in a text, and around what."""
    found = ((mark, text.find(mark)) for mark in marks)
    return [f"{where}: …{text[max(0, at - 60) : at + len(mark)]}" for mark, at in found if at >= 0]


def in_files(marks: tuple[str, ...], root: Path) -> list[str]:
    """The same of all files below a directory."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return [one for path in files for one in leaks(marks, str(path), path.read_bytes().decode("latin-1"))]


@pytest.fixture
def target() -> Iterator[Target]:
    """Who is notified."""
    with Target() as one:
        yield one


async def read(process: int, file: str) -> str:
    """A file of the system about a process."""
    return await asyncio.to_thread(Path(f"/proc/{process}/{file}").read_text)


@pytest.mark.timeout(300)
async def test_secrets__through_start_calls_commands_and_exports__are_nowhere(
    tmp_path: Path, target: Target
) -> None:
    async with store() as server:
        socket = server.url.removeprefix("unix://")
        url = target.url.replace("secret", USER) + f"/{PATH}"
        settings: dict[str, Any] = {
            "redis": {"url": f"unix://:{STORE}@{socket}"},
            "notify": {"urls": [url], "events": ["recorded", "alarm"]},
            "log": {"format": "json", "level": "debug"},
        }
        async with House.open(**settings) as house:
            marks = (STORE, USER, PATH, house.pbx.secret)
            found: list[str] = []

            async def runs(*arguments: str) -> None:
                _, output = await house.service.command(*arguments)
                assert "Usage" not in output or arguments[-1] == "--help", output
                found.extend(leaks(marks, " ".join(arguments), output))

            await runs("list", "add", "block", COLLECTOR)
            call = await house.call(COLLECTOR)
            await house.hears(call, "greeting", 40)
            await call.say(sound.tone(2))
            call.hangup()
            record = await house.service.record(lambda one: one.recordings and one.end, 40)
            await asyncio.to_thread(target.taken.get, timeout=20)
            await runs("case", "open", "a case", "--number", COLLECTOR)
            await runs("case", "add", "1", "--call", record.call_id)
            await runs("evidence", "export", "1", str(tmp_path / "bundle"))
            await runs("evidence", "verify", str(tmp_path / "bundle"))
            for at in range(0, len(SHOWN), AT_ONCE):
                await asyncio.gather(*(runs(*one) for one in SHOWN[at : at + AT_ONCE]))
            assert house.service.process is not None
            pid = house.service.process.pid
            children = list(below(pid))
            for process in (pid, *children):
                found += leaks(marks, "command line", await read(process, "cmdline"))
            for process in children:
                found += leaks(marks, "environment", await read(process, "environ"))
            house.service.settings["redis"] = {"url": f"unix://:{WRONG}@{socket}"}
            house.service.write()
            await runs("reload")
            await runs("doctor")
            await house.service.stop()
            found += leaks(marks, "log", "\n".join(map(str, house.service.lines)))
            found += in_files(marks, tmp_path) + in_files(marks, house.service.state)
    assert not found, "\n".join(found)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "setting",
    [
        {"ami": {"secret": WRONG}},
        {"redis": {"url": f"redis://:{WRONG}@127.0.0.1:1"}},
        {"redis": {"url": f"redis://127.0.0.1:1/0?password={WRONG}"}},
        {"redis": {"url": f"redis://:a/{WRONG}@127.0.0.1:1/0"}},
        {"redis": {"url": f"redis://:a@{WRONG}@127.0.0.1:1/0"}},
        {"redis": {"url": f"{WRONG}@127.0.0.1"}},
        {"ledger": {"url": f"postgresql://me:{WRONG}@127.0.0.1:1/screener"}},
        {"ledger": {"url": f"postgresql://me@127.0.0.1:1/screener?password={WRONG}"}},
        {"ledger": {"url": f"postgresql://me:a/{WRONG}@127.0.0.1:1/screener"}},
        {"notify": {"urls": [f"nonsense://{WRONG}"], "events": ["alarm"]}},
        {"notify": {"urls": [f"{WRONG} and a blank"], "events": ["alarm"]}},
    ],
    ids=str,
)
async def test_secret__that_is_wrong__is_not_in_what_is_said_of_it(
    setting: dict[str, dict[str, str]],
) -> None:
    async with House.open(screener=False) as house:
        for key, value in setting.items():
            house.service.settings[key] = house.service.settings.get(key, {}) | value
        house.service.settings["log"] = {"format": "json", "level": "debug"}
        await house.service.spawn()
        assert house.service.process is not None
        said = []
        for arguments in (
            ("check",),
            ("doctor",),
            ("config", "show"),
            ("list", "show"),
            ("explain", COLLECTOR),
        ):
            _, output = await house.service.command(*arguments)
            said.append(output)
        await house.service.stop()
        said.append("\n".join(map(str, house.service.lines)))
        assert not [one for text in said for one in leaks((WRONG,), "said", text)]
