"""The access list of SECURITY.md on a real Valkey: all that we do goes, nothing of others is reached."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from redis.exceptions import ResponseError

from screener.doctor import store
from screener.state import EmbeddedServer, Lists, Row, State
from tests.valkey import connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = Path(__file__).resolve().parents[2] / "SECURITY.md"
FORBIDDEN = (
    "GET other:key", "SET other:key x", "DEL other:key", "KEYS *", "SCAN 0", "RANDOMKEY", "FLUSHALL",
    "FLUSHDB", "CONFIG GET *", "CONFIG SET dir /tmp", "ACL LIST", "MODULE LIST", "SHUTDOWN",
    "REPLICAOF NO ONE", "SAVE", "MONITOR", "CLIENT LIST", "SUBSCRIBE x", "PUBLISH x y",
    "SORT {screener}:lists BY other:*", "EVAL return(redis.call('GET','other:key')) 0",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def account() -> AsyncIterator[str]:
    """Where our account is let in, on a server that holds something of others too; of these tests alone."""
    (line,) = re.findall(r"^ACL SETUSER screener (.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    with tempfile.TemporaryDirectory(prefix="valkey") as directory:
        async with EmbeddedServer(Path(directory) / "state") as server, connected(server.url) as client:
            await client.set("other:key", "x")
            await client.execute_command("ACL", "SETUSER", "screener", *line.replace("SECRET", "pw").split())  # type: ignore[no-untyped-call]
            yield server.url.replace("unix://", "unix://screener:pw@")


async def test_account__of_the_documentation__does_all_that_the_screener_does(account: str) -> None:
    lists, state = Lists(account, "CN"), State(account)
    await lists.add(Row("+8617712345678"))
    seen = await state.observe("+8617712345678", "100", "c1", trunk="PJSIP/trunk", agent="x")
    assert seen.missing is None
    assert seen.facts["list.block"] is True
    await state.memory_risk()
    await lists.close()
    await state.close()
    async with connected(account) as client:
        refused = await client.eval(store._PROBE, 1, store.PROBE_KEY, json.dumps(json.loads(store._COMMANDS)))
        assert refused == []


@pytest.mark.parametrize("command", FORBIDDEN)
async def test_account__of_the_documentation__reaches_nothing_of_others(account: str, command: str) -> None:
    async with connected(account) as client:
        with pytest.raises(ResponseError, match=r"(?i)no permission|can't access"):
            await client.execute_command(*command.split(" "))  # type: ignore[no-untyped-call]


async def test_store__shared_by_two_machines__the_lists_of_one_hold_for_the_other(account: str) -> None:
    """No tenants: SECURITY.md says to give those who do not trust each other a server each."""
    ours, theirs = State(account), Lists(account, "DE")
    await theirs.add(Row("+8617712345679", kind="allow"))
    assert (await ours.observe("+8617712345679", "100", "c1")).facts["list.allow"] is True
    await ours.close()
    await theirs.close()
