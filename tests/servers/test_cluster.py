"""A real cluster of three nodes: what is asked and learned of a call lands on the one with our keys."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from screener.errors import StateUnavailable
from screener.state import Learning, Lists, Row, State, trust
from screener.state.embedded import server_binary
from tests.pbx.asterisk import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

NUMBER = "+8613912345678"
SLOTS = 16384


@asynccontextmanager
async def cluster() -> AsyncIterator[tuple[str, list[asyncio.subprocess.Process]]]:
    """Three nodes with a third of the slots each: their URL and their processes."""
    processes: list[asyncio.subprocess.Process] = []
    with tempfile.TemporaryDirectory(prefix="scr-") as directory:
        try:
            # The nodes speak to each other on these ports plus 10,000.
            ports = [port for port in free_ports(40) if port < 55_000][:3]
            for port in ports:
                arguments = [
                    "--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--save", "",
                    "--cluster-enabled", "yes", "--cluster-config-file", f"{port}.conf",
                ]  # fmt: skip
                processes.append(
                    await asyncio.create_subprocess_exec(
                        server_binary(), *arguments, stdout=subprocess.DEVNULL
                    )
                )
            await asyncio.to_thread(_joined, ports)
            yield "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports), processes
        finally:
            await killed(processes)


async def killed(processes: list[asyncio.subprocess.Process]) -> None:
    """Kill those that still run."""
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _joined(ports: list[int]) -> None:
    nodes: list[Any] = [Redis(port=port, socket_timeout=20) for port in ports]
    edges = [SLOTS * place // len(nodes) for place in range(len(nodes) + 1)]
    for place, node in enumerate(nodes):
        _until(node.ping)
        node.execute_command("CLUSTER ADDSLOTSRANGE", edges[place], edges[place + 1] - 1)
        node.execute_command("CLUSTER MEET", "127.0.0.1", ports[0])
    for node in nodes:
        _until(partial(_is_whole, node))
        node.close()


def _is_whole(node: Any) -> bool:
    return "'cluster_state': 'ok'" in str(node.execute_command("CLUSTER INFO"))


def _until(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while True:
        with suppress(RedisError):
            if condition():
                return
        assert time.monotonic() < until
        time.sleep(0.05)


async def test_cluster__a_call__is_counted_its_caller_listed_and_what_it_taught_is_known() -> None:
    async with cluster() as (url, _):
        state, lists, learning = State(url, deadline_s=5), Lists(url, "CN", durable=False), Learning(url, 90)
        try:
            await lists.add(Row(NUMBER, "block", reason="test"))
            await learning.learn(
                NUMBER, "end-1", trust.of_dialling(answered=True, talk_s=100, long_call_s=60)
            )
            await state.observe(NUMBER, "100", "1")
            seen = await state.observe(NUMBER, "100", "2")
            assert not seen.missing
            assert seen.facts["caller.calls_1h"] == 2
            assert seen.facts["list.block"] is True
            assert seen.facts["caller.good_calls"] == 1
            assert [entry.pattern async for entry in lists.all()] == [NUMBER]
            assert await state.memory_risk() == ""
        finally:
            for client in (state, lists, learning):
                await client.close()


async def test_cluster__all_nodes_are_killed__calls_are_judged_without_it_and_commands_say_so() -> None:
    async with cluster() as (url, nodes):
        # `late` begins when no node is there any more.
        known, late = State(url, deadline_s=5), State(url, deadline_s=5)
        lists = Lists(url, "CN", durable=False)
        try:
            assert not (await known.observe(NUMBER, "100", "1")).missing
            await killed(nodes)
            for state in (known, late):
                assert (await state.observe(NUMBER, "100", "2")).missing
                with pytest.raises(StateUnavailable):
                    await state.memory_risk()
            with pytest.raises(StateUnavailable, match=r"redis\.url"):
                await lists.add(Row(NUMBER, "block", reason="test"))
        finally:
            for client in (known, late, lists):
                await client.close()
