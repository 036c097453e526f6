"""The bytes of a feed, from the web or a file, within limits of size and time; never in the path of a call.

The client is httpx: pure Python over h11, which notices cut and malformed answers, gives the body in
pieces, and comes with fewer and no compiled packages.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
import zlib
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import httpx

from screener.config import shipped_dir
from screener.config.feeds import SHIPPED
from screener.errors import FeedRefused
from screener.text import printable

if TYPE_CHECKING:
    from screener.config.feeds import Feed

CONNECT_S = 10.0
SILENCE_S = 30.0
"""How long a server may say nothing; the whole transfer is bounded by `timeout_s`."""
MAX_REDIRECTS = 3

_GZIP = b"\x1f\x8b"
_HEADERS = {"User-Agent": "asterisk-screener", "Accept": "*/*", "Accept-Encoding": "gzip"}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A snapshot with what its server says of it; `as_of` is Unix time, None if no date is given."""

    raw: bytes
    etag: str = ""
    modified: str = ""
    as_of: float | None = None


async def fetch(feed: Feed, etag: str = "", modified: str = "") -> Fetched | None:
    """Fetch the source of a feed; None if it has not changed since it had this etag and date.

    Raises FeedRefused, with the reason, for everything that can go wrong.
    """
    if not feed.source.startswith(("http://", "https://")):
        return await asyncio.to_thread(_from_file, _path(feed.source), feed.max_bytes, etag)
    headers = dict(_HEADERS)
    if etag:
        headers["If-None-Match"] = etag
    if modified:
        headers["If-Modified-Since"] = modified
    if feed.token_file:
        headers["Authorization"] = f"Bearer {await asyncio.to_thread(_token, Path(feed.token_file))}"
    try:
        async with asyncio.timeout(feed.timeout_s):
            return await _from_web(feed.source, headers, feed.max_bytes)
    except TimeoutError:
        raise FeedRefused(f"the transfer was not finished after {feed.timeout_s:g} s (timeout_s)") from None
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError, ValueError) as error:
        what = printable(str(error), 200) or type(error).__name__
        raise FeedRefused(f"could not be fetched: {what}") from None


def unpacked(raw: bytes, max_bytes: int) -> bytes:
    """The bytes, out of gzip if they are in it; raises FeedRefused for a bomb or a damaged file."""
    if not raw.startswith(_GZIP):
        return raw
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(raw, max_bytes + 1)
    except zlib.error as error:
        raise FeedRefused(f"is damaged gzip: {error}") from None
    if len(plain) > max_bytes:
        raise FeedRefused(f"unpacks to more than {max_bytes} bytes (max_bytes)")
    if not inflater.eof or inflater.unused_data or plain.startswith(_GZIP):
        raise FeedRefused("is cut gzip, packed twice, or followed by something else")
    return plain


async def _from_web(url: str, headers: dict[str, str], max_bytes: int) -> Fetched | None:
    # Certificates are loaded in a thread: 20 ms that calls need not wait for.
    trust = await asyncio.to_thread(ssl.create_default_context)
    timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
    async with httpx.AsyncClient(verify=trust, timeout=timeout, headers=headers) as client:
        request = client.build_request("GET", url)
        # httpx itself would read the body of a redirect, however long it is.
        for _ in range(MAX_REDIRECTS + 1):
            response = await client.send(request, stream=True)
            try:
                following = response.next_request
                if following is None:
                    return await _answered(response, max_bytes)
                if following.url.scheme not in {"https", request.url.scheme}:
                    raise FeedRefused(f"is redirected to {printable(str(following.url), 200)}")
                request = following
            finally:
                await response.aclose()
    raise FeedRefused(f"is redirected more than {MAX_REDIRECTS} times")


async def _answered(response: httpx.Response, max_bytes: int) -> Fetched | None:
    said = response.headers
    if response.status_code == httpx.codes.NOT_MODIFIED:
        return None
    if response.status_code != httpx.codes.OK:
        reason = printable(response.reason_phrase, 60)
        raise FeedRefused(f"the server answers {response.status_code} {reason}")
    if "html" in said.get("content-type", "").casefold():
        raise FeedRefused("a web page instead of the feed: has its address changed?")
    if said.get("content-encoding", "identity").casefold() not in {"identity", "gzip", "x-gzip"}:
        raise FeedRefused(f"is encoded as {printable(said['content-encoding'], 30)}, which nobody asked for")
    pieces, size = [], 0
    async for piece in response.aiter_raw():
        size += len(piece)
        if size > max_bytes:
            raise FeedRefused(f"is larger than {max_bytes} bytes (max_bytes)")
        pieces.append(piece)
    raw = await asyncio.to_thread(unpacked, b"".join(pieces), max_bytes)
    modified = said.get("last-modified", "")[:100]
    return Fetched(raw, said.get("etag", "")[:200], modified, _unix_time(modified))


def _unix_time(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, OverflowError):
        return None


def _path(source: str) -> Path:
    if source.startswith(SHIPPED):
        return shipped_dir() / "feeds" / source.removeprefix(SHIPPED)
    return Path(unquote(urlsplit(source).path) if source.startswith("file:") else source)


def _from_file(path: Path, max_bytes: int, etag: str) -> Fetched | None:
    """Read a regular file; a pipe or device, which could be endless or never answer, is refused."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise FeedRefused(f"{path} is not a file")
            mark = f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"
            if mark == etag:
                return None
            raw = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise FeedRefused(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if len(raw) > max_bytes:
        raise FeedRefused(f"{path} is larger than {max_bytes} bytes (max_bytes)")
    return Fetched(unpacked(raw, max_bytes), mark, as_of=found.st_mtime)


def _token(path: Path) -> str:
    try:
        token = path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a token"
        raise FeedRefused(f"token_file: {path}: {reason}") from None
    if not token.isprintable() or not token:
        raise FeedRefused(f"token_file: {path}: holds no token on one line")
    return token
