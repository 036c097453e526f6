"""The probes: who asks slowly or nonsense is sent away, a loop that hangs is told, systemd hears us."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from screener import metrics, probing, watching
from screener.watching import Pulse, Watch
from tests.scrape import page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

READY = {"parts": {"asterisk": True, "store": True}, "delays": {}}


@asynccontextmanager
async def served(status: dict[str, Any], pulse: Pulse | None = None) -> AsyncIterator[str]:
    """A watch on a free port, whose status is this."""

    async def told() -> dict[str, Any]:
        return dict(status)

    with capture_logs() as logs:
        task = asyncio.create_task(Watch("127.0.0.1:0", told, pulse or Pulse()).run())
        try:
            async with asyncio.timeout(5):
                while not (found := [one for one in logs if "address" in one]):  # noqa: ASYNC110 - a thread
                    await asyncio.sleep(0.01)
            yield found[0]["address"]
        finally:
            task.cancel()
            await asyncio.wait({task})
    assert not [one for one in logs if one["log_level"] == "error"]


async def said(where: str, request: bytes) -> bytes:
    """Everything that is answered to these bytes."""
    host, _, port = where.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_pages__asked__answer_with_their_status() -> None:
    status: dict[str, Any] = dict(READY)
    async with served(status) as where:
        assert await page(where, "/healthy") == (200, "healthy\n")
        assert await page(where, "/ready?x=1") == (200, "ready\n")
        assert (await page(where, "/metrics"))[0] == 200
        assert await page(where, "/") == (404, "/metrics\n/healthy\n/ready\n")
        assert (await said(where, b"HEAD /ready HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")
        assert (await said(where, b"POST /ready HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
        status["parts"] = {"asterisk": False, "store": True, "ledger": False}
        await asyncio.sleep(watching.FRESH_S)
        assert await page(where, "/ready") == (503, "not ready: asterisk, ledger\n")


@pytest.mark.parametrize(
    "request_", [b"\r\n\r\n", b"GET\r\n\r\n", b"\xff\x00 \xfe\r\n\r\n", b"GET /" + b"x" * 5000 + b"\r\n\r\n"]
)
async def test_pages__nonsense__is_refused(request_: bytes) -> None:
    async with served(READY) as where:
        answer = await said(where, request_)
        assert answer.split()[1] in {b"404", b"405"}
        assert await page(where, "/healthy") == (200, "healthy\n")


async def test_pages__request_without_end__is_cut_off() -> None:
    async with served(READY) as where:
        assert await said(where, b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000) == b""


async def test_pages__more_visitors_than_are_let_in__the_oldest_give_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probing, "VISIT_S", 60)
    async with served(READY) as where:
        silent = [asyncio.create_task(said(where, b"GET ")) for _ in range(3 * probing.VISITORS)]
        async with asyncio.timeout(10):
            while sum(one.done() for one in silent) < 2 * probing.VISITORS:  # noqa: ASYNC110 - another thread
                await asyncio.sleep(0.01)
        assert await page(where, "/healthy") == (200, "healthy\n")
        assert sum(one.done() for one in silent) <= 2 * probing.VISITORS + 1
        for one in silent:
            one.cancel()
        await asyncio.wait(silent)


async def test_pages__visitor_that_says_nothing__is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "VISIT_S", 0.2)
    async with served(READY) as where:
        assert await asyncio.wait_for(said(where, b"GET "), 5) == b""


async def test_healthy__event_loop_hangs__says_so_meanwhile_and_is_healthy_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "HANGS_S", 0.3)
    monkeypatch.setattr(watching, "ASK_S", 0.3)
    pulse, told = Pulse(), list[tuple[int, str]]()
    async with served(READY, pulse) as where:
        asking = threading.Thread(
            target=lambda: told.extend(asyncio.run(page(where, path)) for path in ("/healthy", "/ready"))
        )
        threading.Timer(0.8, asking.start).start()
        time.sleep(2)  # noqa: ASYNC251 - this is the fault
        await asyncio.to_thread(asking.join)
        assert [code for code, _ in told] == [503, 503]
        assert told[0][1].startswith("the event loop has not run for 0.")
        await asyncio.sleep(2 * watching.BEAT_S)
        assert await page(where, "/healthy") == (200, "healthy\n")
        assert pulse.status()["worst_ms"] > 1000


async def test_metrics__asked_by_many_at_once__status_is_asked_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = 0

    def counted(status: dict[str, Any]) -> bytes:
        nonlocal made
        made += 1
        return b"x 1\n"

    monkeypatch.setattr(metrics, "exposition", counted)
    async with served(READY) as where:
        told = await asyncio.gather(*(page(where, "/metrics") for _ in range(10)))
        assert set(told) == {(200, "x 1\n")}
        assert made == 1


async def test_address__in_use__is_an_error_once_and_served_when_it_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probing, "AGAIN_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as taken, capture_logs() as logs:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with probing.Server(where, {}):
            await asyncio.sleep(0.5)
            taken.close()
            async with asyncio.timeout(5):
                while not any("served" in one["event"] for one in logs):  # noqa: ASYNC110 - a thread
                    await asyncio.sleep(0.01)
    assert [one["log_level"] for one in logs] == ["error", "info"]
    assert "metrics.listen" in logs[0]["event"]
    assert logs[0]["address"] == where


async def test_systemd__wants_to_know__hears_that_we_are_ready_and_then_the_watchdog(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        path = str(Path(directory, "notify"))
        line.bind(path)
        line.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        task = asyncio.create_task(Pulse().run())
        heard = [await asyncio.to_thread(line.recv, 100) for _ in range(3)]
        assert heard == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        task.cancel()
        await asyncio.wait({task})


def test_systemd__not_there_or_its_socket_is_gone__nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    watching.tell_systemd("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    watching.tell_systemd("READY=1")
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watching._watchdog_s() == 0
