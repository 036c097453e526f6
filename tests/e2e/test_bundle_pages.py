"""A bundle in a real browser, from its folder: sounds load, nothing runs, no network is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from screener.ledger import append
from tests import collector
from tests.commandline import command as command  # noqa: PLC0414 - a fixture

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.commandline import Command

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
)  # fmt: skip
HOSTILE = (
    "<script>document.title='run'</script><img src=http://127.0.0.1:9/x onerror=\"document.title='run'\">"
)
LOADED = """
Promise.all([...document.querySelectorAll("audio")].map(one => new Promise(done => {
  one.onloadedmetadata = () => done(one.duration);
  one.onerror = () => done(one.error.message);
  one.preload = "metadata";
  one.load();
})))
"""


class Browser:
    """Speaks the DevTools protocol over pipes: no port is open, and no page must let us."""

    def __init__(self, reader: asyncio.StreamReader, writer: int) -> None:
        self._reader, self._writer, self._last = reader, writer, 0
        self.session, self.requests, self.loaded = "", list[str](), asyncio.Event()

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        about = {"sessionId": self.session} if self.session else {}
        os.write(
            self._writer,
            json.dumps({"id": self._last, "method": method, "params": params, **about}).encode() + b"\0",
        )
        while True:
            told = json.loads((await asyncio.wait_for(self._reader.readuntil(b"\0"), 60))[:-1])
            if told.get("method") == "Network.requestWillBeSent":
                self.requests.append(told["params"]["request"]["url"])
            if told.get("method") == "Page.loadEventFired":
                self.loaded.set()
            if told.get("id") == self._last:
                assert "error" not in told, told
                return dict(told["result"])

    async def evaluate(self, expression: str) -> Any:
        told = await self.ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        return told["result"].get("value")

    async def open(self, page: Path) -> None:
        self.loaded.clear()
        await self.ask("Page.navigate", url=page.as_uri())
        while not self.loaded.is_set():
            await self.evaluate("new Promise(done => setTimeout(done, 20))")


@asynccontextmanager
async def browsing(profile: Path) -> AsyncIterator[Browser]:
    assert CHROMIUM is not None
    (to_read, to_us), (from_us, to_write) = os.pipe(), os.pipe()

    def as_it_wants() -> None:  # commands on 3, answers on 4
        os.dup2(os.dup(from_us), 13)
        os.dup2(to_us, 4)
        os.dup2(13, 3)

    process = await asyncio.create_subprocess_exec(
        CHROMIUM, *FLAGS, f"--user-data-dir={profile}",
        stderr=asyncio.subprocess.DEVNULL, preexec_fn=as_it_wants, close_fds=False,
    )  # fmt: skip
    os.close(to_us)
    os.close(from_us)
    reader = asyncio.StreamReader(limit=1 << 24)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(to_read, "rb")
    )
    try:
        browser = Browser(reader, to_write)
        target = await browser.ask("Target.createTarget", url="about:blank")
        attached = await browser.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        browser.session = attached["sessionId"]
        for domain in ("Page", "Network"):
            await browser.ask(f"{domain}.enable")
        yield browser
    finally:
        transport.close()
        os.close(to_write)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
@pytest.mark.timeout(180)
async def test_bundle__opened_in_a_browser__plays_its_sounds_and_nothing_else(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    values = {
        "ami": {"secret": "x"},
        "state_dir": str(tmp_path / "state"),
        "recordings_dir": str(tmp_path / "spool"),
    }
    (tmp_path / "site/screener.yaml").write_text(json.dumps(values))
    monkeypatch.setenv("SCREENER_CONFIG", str(tmp_path / "site"))
    path = tmp_path / "state" / "ledger.db"
    collector.write_ledger(path, collector.eight_calls(tmp_path / "spool"))
    append(path, collector.call_rows("4.1", collector.NOON, collector.NUMBERS[0], name=HOSTILE))
    company = f"company:{collector.COMPANY}"
    assert command("case", "open", HOSTILE, "--suggested", company).code == 0
    bundle = tmp_path / "bundle"
    assert command("evidence", "export", 1, bundle, "--lang", "zh").code == 0
    async with browsing(tmp_path / "profile") as browser:
        for page in ("index.html", "summary.en.html", "summary.zh.html"):
            await browser.open(bundle / page)
            assert HOSTILE in await browser.evaluate("document.title")
            assert await browser.evaluate("document.querySelectorAll('script, img').length") == 0
        await browser.open(bundle / "index.html")
        assert HOSTILE in await browser.evaluate("document.body.innerText")
        assert await browser.evaluate(LOADED) == pytest.approx([0.05] * 8, abs=0.01)
        assert len(await browser.evaluate("document.title")) > len(HOSTILE)
        # The icons of the player are the browser's own.
        inside = (bundle.as_uri(), "data:", "about:")
        outside = [one for one in browser.requests if not one.startswith(inside)]
        assert outside == []
        assert sum(one.endswith(".wav") for one in browser.requests) >= 8
