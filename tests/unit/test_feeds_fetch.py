"""A feed's server that misbehaves in every way: each time one refusal, with a reason, in bounded time."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from screener.config import load
from screener.errors import FeedRefused
from screener.feeds.fetch import Fetched, fetch, unpacked
from tests import feed_server as web
from tests.feed_server import FeedServer, feed_server, redirect, response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from screener.config.feeds import Feed

BODY = b"+8617712345678\n"
PLAIN = load(None, environ={}).feeds["our-own-numbers"]
DATE = "Thu, 09 Oct 2025 12:00:00 GMT"
NOON = 1_760_011_200


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
async def server() -> AsyncIterator[FeedServer]:
    async with feed_server() as server:
        yield server


def feed(source: str, **changes: Any) -> Feed:
    return PLAIN.model_copy(update={"source": source, "timeout_s": 5.0, "max_bytes": 100_000, **changes})


async def test_fetch__good_answer__bytes_and_what_the_server_says(server: FeedServer) -> None:
    server.answers["/"] = response(BODY, 'ETag: "a1"', f"Last-Modified: {DATE}")
    assert await fetch(feed(server.url + "/")) == Fetched(BODY, '"a1"', DATE, NOON)
    (request,) = server.requests
    assert "if-none-match" not in request.casefold()
    assert "authorization" not in request.casefold()


async def test_fetch__held_already__asks_with_conditions_and_304_is_nothing_new(server: FeedServer) -> None:
    server.answers["/"] = response(b"", status="304 Not Modified")
    assert await fetch(feed(server.url + "/"), '"a1"', DATE) is None
    (request,) = server.requests
    assert 'If-None-Match: "a1"\r\n' in request
    assert f"If-Modified-Since: {DATE}\r\n" in request


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (response(b"", status="404 Not Found"), "the server answers 404 Not Found"),
        (response(BODY, status="500 Internal Server Error"), "the server answers 500"),
        (response(BODY, status="206 Partial Content"), "the server answers 206"),
        (response(BODY, "Content-Type: text/html; charset=utf-8"), "a web page instead of the feed"),
        (response(BODY, length=1000), "could not be fetched"),
        (response(BODY, length=-1), "could not be fetched"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "could not be fetched"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "could not be fetched"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", "could not be fetched"),
        (b"", "could not be fetched"),
        (web.reset, "could not be fetched"),
        (web.endless(), r"larger than 100000 bytes \(max_bytes\)"),
        (response(b"1" * 100_001), r"larger than 100000 bytes \(max_bytes\)"),
        (response(b"1", "Content-Encoding: br"), "encoded as br"),
        (
            response(gzip.compress(bytes(10**8)), "Content-Encoding: gzip"),
            "unpacks to more than 100000 bytes",
        ),
        (response(gzip.compress(BODY, mtime=0)[:-4]), "cut gzip"),
        (response(gzip.compress(gzip.compress(BODY, mtime=0))), "packed twice"),
        (response(b"\x1f\x8bnonsense" * 9), "damaged gzip"),
        (redirect("/"), "redirected more than 3 times"),
        (web.endless("302 Found", "Location: /"), "redirected more than 3 times"),
        (redirect("file:///etc/passwd"), "redirected to file:|could not be fetched"),
        (redirect("ftp://127.0.0.1/"), "redirected to ftp:|could not be fetched"),
        (redirect("http://[bad/"), "could not be fetched"),
        (redirect("http://127.0.0.1:1/"), "could not be fetched"),
    ],
)
async def test_fetch__server_misbehaves__refused_with_the_reason(
    server: FeedServer, answer: bytes | web.Answer, reason: str
) -> None:
    server.answers["/"] = answer
    with pytest.raises(FeedRefused, match=reason) as caught:
        await fetch(feed(server.url + "/"))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("answer", [web.trickle(0.01), web.silence])
async def test_fetch__slow_or_silent_server__given_up_in_time(server: FeedServer, answer: web.Answer) -> None:
    server.answers["/"] = answer
    started = time.monotonic()
    with pytest.raises(FeedRefused, match=r"not finished after 0\.2 s"):
        await fetch(feed(server.url + "/", timeout_s=0.2))
    assert time.monotonic() - started < 2


async def test_fetch__nobody_listens__refused() -> None:
    with pytest.raises(FeedRefused, match="could not be fetched"):
        await fetch(feed("http://127.0.0.1:1/list"))


@pytest.mark.parametrize("headers", [(), ("Content-Encoding: gzip",), ("Content-Type: application/gzip",)])
async def test_fetch__packed__unpacked(server: FeedServer, headers: tuple[str, ...]) -> None:
    server.answers["/"] = response(gzip.compress(BODY, mtime=0), *headers)
    fetched = await fetch(feed(server.url + "/"))
    assert fetched
    assert fetched.raw == BODY


async def test_fetch__moved_thrice__followed(server: FeedServer) -> None:
    for here, there in (("/", "/a"), ("/a", "/b"), ("/b", f"{server.url}/c")):
        server.answers[here] = redirect(there)
    server.answers["/c"] = response(BODY, "Last-Modified: last Tuesday")
    assert await fetch(feed(server.url + "/")) == Fetched(BODY, modified="last Tuesday")


async def test_fetch__token__sent_to_its_server_and_to_no_other(server: FeedServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("tok-1\n")
    async with feed_server() as other:
        server.answers["/"] = redirect(other.url + "/")
        other.answers["/"] = response(BODY)
        await fetch(feed(server.url + "/", token_file=str(tmp_path / "token")))
        assert "Authorization: Bearer tok-1" in server.requests[0]
        assert "tok-1" not in other.requests[0]


@pytest.mark.parametrize("content", [b"", b"a\nb", "tök".encode(), b"\x00"])
async def test_fetch__token_file_unusable__refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    for path in (tmp_path / "token", tmp_path / "none"):
        with pytest.raises(FeedRefused, match=r"^token_file: "):
            await fetch(feed("http://127.0.0.1:1/", token_file=str(path)))


async def test_fetch__event_loop__goes_on_while_a_bomb_is_unpacked(server: FeedServer) -> None:
    server.answers["/"] = response(gzip.compress(bytes(5 * 10**7)))
    fetching = asyncio.create_task(fetch(feed(server.url + "/", max_bytes=60_000_000)))
    beats = 0
    while not fetching.done():
        await asyncio.sleep(0.001)
        beats += 1
    assert beats > 5
    assert await fetching


async def test_fetch__file__read_once_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "a list.txt"
    path.write_bytes(BODY)
    os.utime(path, (NOON, NOON))
    first = await fetch(feed(str(path)))
    assert first
    assert (first.raw, first.as_of) == (BODY, NOON)
    assert await fetch(feed(path.as_uri()), first.etag) is None
    path.write_bytes(gzip.compress(BODY * 2, mtime=0))
    second = await fetch(feed(path.as_uri()), first.etag)
    assert second
    assert second.raw == BODY * 2


async def test_fetch__shipped_file__found() -> None:
    fetched = await fetch(feed("shipped:fr-telemarketing.txt"))
    assert fetched
    assert b"0162" in fetched.raw


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe", "large", "endless"])
async def test_fetch__no_usable_file__refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "list"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        path.write_bytes(bytes(100_001))
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    with pytest.raises(FeedRefused, match=str(path)):
        await fetch(feed(str(path)))


def test_unpacked__followed_by_more__refused() -> None:
    with pytest.raises(FeedRefused, match="followed by something else"):
        unpacked(gzip.compress(BODY, mtime=0) + b"more", 1000)
