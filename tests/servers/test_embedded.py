"""The server of our own is real here: killed, stopped, orphaned, and started on what is left."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import stat
import sys
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from screener.errors import StateUnavailable
from screener.state import EmbeddedServer, Lists, Row, serving
from tests.users import OURS, needs_root
from tests.valkey import connected

PARENT = """
import asyncio, sys
from pathlib import Path
from screener.state import EmbeddedServer

async def main():
    server = EmbeddedServer(Path(sys.argv[1]))
    await server.start()
    print(server.pid, flush=True)
    await server.run()

asyncio.run(main())
"""


def lives(pid: int) -> bool:
    """Whether the process runs; a dead one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def mode(path: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def append_only_file(directory: Path) -> Path:
    """Where the server's writes since its last rewrite are."""
    (log,) = (directory / "appendonlydir").glob("*.incr.aof")
    return log


async def put(url: str, value: str) -> None:
    async with connected(url) as client:
        await client.set("kept", value)


async def kept(url: str) -> object:
    async with connected(url) as client:
        return await client.get("kept")


async def test_server__started__is_reached_by_its_private_socket_only(state_directory: Path) -> None:
    async with EmbeddedServer(state_directory) as server, connected(server.url) as client:
        assert server.pid is not None
        assert mode(state_directory) == 0o700
        assert mode(state_directory / "valkey.sock") == 0o600
        assert mode(state_directory / "appendonlydir") == 0o700
        config = await client.config_get("port", "appendonly", "appendfsync", "save", "maxmemory-policy")
        assert config == {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "volatile-ttl",
        }
        # Ctrl-C goes to the terminal's session, which the server is not in.
        assert os.getsid(server.pid) == server.pid


async def test_server__stopped__is_gone_and_its_data_come_back(state_directory: Path) -> None:
    async with EmbeddedServer(state_directory) as server:
        await put(server.url, "x")
        pid = server.pid
    assert pid is not None
    assert not lives(pid)
    assert server.pid is None
    async with EmbeddedServer(state_directory) as server:
        assert await kept(server.url) == "x"


async def test_server__killed_while_lists_are_written__loses_no_acknowledged_entry(
    state_directory: Path,
) -> None:
    acknowledged: list[str] = []
    async with EmbeddedServer(state_directory) as server, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run())
        lists = Lists(server.url, "CN")

        async def write(writer: int) -> None:
            for number in range(10_000):
                text = f"+86177{writer:03d}{number:05d}"
                try:
                    await lists.add(Row(text))
                except StateUnavailable:
                    return
                acknowledged.append(text)

        writers = [tasks.create_task(write(writer)) for writer in range(8)]
        async with asyncio.timeout(10):
            while len(acknowledged) < 20:  # noqa: ASYNC110 - the writers are the condition
                await asyncio.sleep(0.01)
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await asyncio.wait(writers)
        await back(server, first)
        there = [await lists.show(text) for text in acknowledged]
        assert all(there)
        await lists.close()
        await server.stop()
        await running


async def test_server__killed_again_and_again__is_restarted_each_time(state_directory: Path) -> None:
    async with EmbeddedServer(state_directory) as server, asyncio.TaskGroup() as tasks:
        tasks.create_task(server.run())
        await put(server.url, "x")
        for _ in range(2):
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await back(server, pid)
        assert await kept(server.url) == "x"
        await server.stop()


async def back(server: EmbeddedServer, old: int) -> None:
    """Return when a successor of the old process answers."""
    async with asyncio.timeout(10):
        while True:
            if server.pid not in {None, old}:
                try:
                    async with connected(server.url) as client:
                        await client.ping()
                except (OSError, RedisError):
                    await asyncio.sleep(0.01)
                else:
                    return
            await asyncio.sleep(0.01)


async def test_server__stopped_while_it_waits_to_restart__stays_down(state_directory: Path) -> None:
    server = EmbeddedServer(state_directory)
    async with server, asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run())
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        while server.pid is not None:  # noqa: ASYNC110 - from here on it waits before it starts another
            await asyncio.sleep(0)
        await server.stop()
        await running
    assert server.pid is None
    async with EmbeddedServer(state_directory, lock_wait_s=0):
        pass


async def test_server__screener_killed__ends_in_order_and_leaves_the_directory(state_directory: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(state_directory), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    async with serving(state_directory) as url:
        await put(url, "x")
    parent.kill()
    await parent.wait()
    # The predecessor may still be writing: the next start waits for it.
    async with EmbeddedServer(state_directory) as server:
        assert not lives(pid)
        assert await kept(server.url) == "x"


async def test_server__parent_gone_before_the_server_began__never_runs() -> None:
    from screener.state.embedded import _LAUNCHER, server_binary  # noqa: PLC0415

    launcher = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _LAUNCHER, "1", str(server_binary()), stderr=asyncio.subprocess.PIPE
    )
    _, said = await launcher.communicate()
    assert launcher.returncode == 1
    assert b"the screener is gone" in said


async def test_server__second_on_the_same_directory__is_refused_by_name(state_directory: Path) -> None:
    async with EmbeddedServer(state_directory) as server:
        with pytest.raises(StateUnavailable, match=rf"pid {server.pid}\) serves {state_directory}"):
            await EmbeddedServer(state_directory, lock_wait_s=0.05).start()
        assert server.pid is not None


async def test_server__predecessor_finishing__is_waited_for(state_directory: Path) -> None:
    first, second = EmbeddedServer(state_directory), EmbeddedServer(state_directory, lock_wait_s=5)
    await first.start()
    await put(first.url, "x")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(second.start())
        await asyncio.sleep(0.02)
        tasks.create_task(first.stop())
    assert await kept(second.url) == "x"
    await second.stop()


async def test_server__last_write_torn_by_a_crash__loads_what_is_whole(state_directory: Path) -> None:
    async with EmbeddedServer(state_directory) as server:
        await put(server.url, "whole")
        async with connected(server.url) as client:
            await client.set("torn", "y" * 100)
    log = append_only_file(state_directory)
    os.truncate(log, log.stat().st_size - 50)
    async with EmbeddedServer(state_directory) as server, connected(server.url) as client:
        assert await client.get("kept") == "whole"
        assert await client.get("torn") is None


@pytest.mark.parametrize("torn", [0, 50])
async def test_server__zeros_in_its_file__loads_all_that_is_whole(state_directory: Path, torn: int) -> None:
    """Between commands after a full disk, behind a torn one after a power failure."""
    async with EmbeddedServer(state_directory) as server:
        await put(server.url, "before")
    log = append_only_file(state_directory)
    with log.open("ab") as file:
        file.write(bytes(299))
    async with EmbeddedServer(state_directory) as server, connected(server.url) as client:
        assert await client.get("kept") == "before"
        await client.set("after", "y" * 100)
    size = log.stat().st_size
    with log.open("r+b") as file:
        file.truncate(size - torn)
        file.truncate(size + 4096)
    async with EmbeddedServer(state_directory) as server, connected(server.url) as client:
        assert await client.get("kept") == "before"
        assert await client.get("after") == (None if torn else "y" * 100)
    assert [one.name for one in log.parent.glob("mended-*")] == []


async def test_server__data_that_are_no_data__says_so_and_frees_the_directory(state_directory: Path) -> None:
    async with EmbeddedServer(state_directory) as server:
        await put(server.url, "x")
    nonsense = b"this is no append-only file\r\n" * 10 + bytes(10)
    append_only_file(state_directory).write_bytes(nonsense)
    for _ in range(2):
        with pytest.raises(StateUnavailable, match=r"ended: .*Bad file format reading the append only file"):
            await EmbeddedServer(state_directory, lock_wait_s=0).start()
    assert append_only_file(state_directory).read_bytes() == nonsense


async def test_server__long_directory__has_its_socket_elsewhere(state_directory: Path) -> None:
    long = state_directory / ("d" * 60) / ("e" * 60)
    async with EmbeddedServer(long) as server:
        await put(server.url, "x")
        assert str(long) not in server.url
        socket = Path(server.url.removeprefix("unix://"))
        assert mode(socket.parent) == 0o700
        async with serving(long) as url:
            assert url == server.url
    socket.parent.rmdir()


async def test_server__long_directory_and_its_stand_in_taken_by_another__is_refused(
    state_directory: Path,
) -> None:
    long = state_directory / ("d" * 60) / ("e" * 60)
    async with EmbeddedServer(long) as server:
        stand_in = Path(server.url.removeprefix("unix://")).parent
    stand_in.chmod(0o777)
    with pytest.raises(StateUnavailable, match="not a private directory of ours"):
        await EmbeddedServer(long).start()
    stand_in.rmdir()


async def test_server__strange_directory__is_served(state_directory: Path) -> None:
    strange = state_directory / 'a "b"\\c 50% 目录\nd'
    async with EmbeddedServer(strange) as server:
        await put(server.url, "x")
        assert await kept(server.url) == "x"
    assert append_only_file(strange).stat().st_size > 0


async def test_server__directory_is_a_file__is_refused(state_directory: Path) -> None:
    state_directory.touch()  # noqa: ASYNC240 - a test may wait for a file
    with pytest.raises(StateUnavailable, match=rf"the state directory {state_directory} cannot be used"):
        await EmbeddedServer(state_directory).start()


@needs_root
@pytest.mark.parametrize("owner", [OURS, 0])
async def test_server__by_root_where_the_services_user_put_a_link__touches_nothing(
    tmp_path: Path, owner: int
) -> None:
    state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    state.mkdir()
    elsewhere.mkdir(mode=0o755)
    (state / "store").symlink_to(elsewhere)
    os.chown(state, OURS, OURS)
    # A link of root's that lies in a directory of his he may have moved there.
    os.chown(state / "store", owner, owner, follow_symlinks=False)
    with pytest.raises(StateUnavailable, match=f"belongs to #{OURS}"):
        await EmbeddedServer(state / "store").start()
    assert (list(elsewhere.iterdir()), mode(elsewhere)) == ([], 0o755)


async def test_server__platform_without_one__names_the_setting(
    state_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(StateUnavailable, match=r"riscv64: .*set redis\.url"):
        await EmbeddedServer(state_directory).start()


async def test_command__no_server_runs__has_one_for_its_time(state_directory: Path) -> None:
    async with serving(state_directory) as url:
        await put(url, "x")
    assert not (state_directory / "valkey.sock").exists()
    async with serving(state_directory) as url:
        assert await kept(url) == "x"


async def test_command__server_holds_the_directory_but_hangs__is_refused(state_directory: Path) -> None:
    async with EmbeddedServer(state_directory) as server:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StateUnavailable, match=f"pid {server.pid}"):
                async with serving(state_directory, wait_s=0.1):
                    pass
        finally:
            os.kill(server.pid, signal.SIGCONT)
