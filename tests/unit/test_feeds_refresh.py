"""From a server to the facts of a call: what is put in force, what is refused, and when it is tried again."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from screener.config import load
from screener.errors import FeedRefused, StateUnavailable
from screener.feeds import FeedStore, Refresher, Status, terms_of
from screener.feeds.refresh import DAY_S, FIRST_PAUSE_S, HOUR_S, JITTER
from screener.state import State
from screener.state.weighing import Listing
from tests.feed_server import FeedServer, feed_server, response
from tests.valkey import connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from screener.config.feeds import Feed

NOW = 1_760_011_200.0
CALLER = "+8613812340000"
PLAIN = load(None, environ={}).feeds["our-own-numbers"]


class Site:
    """A store, a server of feeds, and a clock that stands still."""

    def __init__(self, store_url: str, server: FeedServer) -> None:
        self.url, self.server, self.now = store_url, server, NOW
        self.store = FeedStore(store_url)
        self.feeds: dict[str, Feed] = {}
        self.refresher = Refresher(self.store, self.feeds, "CN", ["02161234567"], clock=lambda: self.now)

    def serve(self, content: str | bytes, *headers: str, name: str = "a", **changes: Any) -> None:
        raw = content.encode() if isinstance(content, str) else content
        self.server.answers[f"/{name}"] = response(raw, *headers)
        source = f"{self.server.url}/{name}"
        known = {"enabled": True, "source": source, "max_age_days": 30.0}
        self.feeds[name] = PLAIN.model_copy(update=known | changes)

    async def facts(self, caller: str = CALLER) -> dict[str, Any]:
        state = State(self.url, feeds=terms_of(self.feeds))
        try:
            observed = await state.observe(caller, "1", "1.1", count=False, at=self.now)
        finally:
            await state.close()
        assert observed.missing is None
        return {
            name.removeprefix("feed."): v for name, v in observed.facts.items() if name.startswith("feed.")
        }

    async def status(self, name: str = "a") -> Status:
        return (await self.store.statuses())[name]

    async def keys(self) -> set[str]:
        async with connected(self.url) as client:
            return {str(key).removeprefix("{screener}:") for key in await client.keys("{screener}:feed*")}


@pytest.fixture
async def site(store_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with feed_server() as server:
        site = Site(store_url, server)
        yield site
        await site.store.close()


def numbers(first: int, count: int) -> str:
    return "".join(f"+861381234{number:04d}\n" for number in range(first, first + count))


async def test_refresh__first_snapshot__lists_callers_by_number_and_prefix(site: Site) -> None:
    site.serve(numbers(0, 700) + "+86177*,debt\n")
    about = await site.refresher.refresh("a")
    assert (about.entries, about.bad, about.as_of) == (701, 0, NOW)
    listed = {"asked": 1, "count": 1, "names": "a", "weight": 1.0, "max_votes": 1}
    assert await site.facts() == listed
    assert await site.facts("+8617712345678") == listed
    assert await site.facts("+8613900000000") == {
        **listed,
        "count": 0,
        "names": "",
        "weight": 0.0,
        "max_votes": 0,
    }
    assert await site.store.find("+8617712345678", ["a"]) == {"a": ("+86177*", Listing(1, label="debt"))}
    assert await site.keys() == {"feed:a", "feeds"}


async def test_refresh__put_in_force__expires_no_more(site: Site) -> None:
    site.serve(numbers(0, 5))
    await site.refresher.refresh("a")
    async with connected(site.url) as client:
        assert await client.ttl("{screener}:feed:a") == -1


async def test_refresh__several_entries_match__the_longest_decides(site: Site) -> None:
    site.serve("+8613812340000,3\n+86138123*,5\n+86138*,7\n", format="csv")
    columns = PLAIN.columns.model_copy(update={"number": "1", "votes": "2"})
    site.feeds["a"] = site.feeds["a"].model_copy(update={"columns": columns})
    await site.refresher.refresh("a")
    callers = (CALLER, "+8613812349999", "+8613800000000")
    assert [(await site.facts(caller))["max_votes"] for caller in callers] == [3, 5, 7]


async def test_refresh__snapshot_grows_old__its_word_wears_off(site: Site) -> None:
    site.serve(numbers(0, 5), half_life_days=30.0)
    await site.refresher.refresh("a")
    site.now += 60 * DAY_S
    assert (await site.facts())["weight"] == 0.25


async def test_refresh__two_feeds__add_up(site: Site) -> None:
    site.serve(numbers(0, 5), weight=0.5)
    site.serve('{"numbers":[{"phone":"13812340000","votes":5}],"version":1}', name="b")
    site.feeds["b"] = site.feeds["b"].model_copy(update={"format": "phoneblock", "full_votes": 5})
    await site.refresher.refresh_due()
    facts = await site.facts()
    assert facts == {"asked": 2, "count": 2, "names": "b, a", "weight": 1.5, "max_votes": 5}


async def test_refresh__one_bad_row__told_and_skipped(site: Site) -> None:
    site.serve(numbers(0, 5) + "=SUM(A1)\n")
    with capture_logs() as logs:
        about = await site.refresher.refresh("a")
    assert (about.entries, about.bad) == (5, 1)
    assert about.first_bad.startswith("row 6: '=SUM(A1)' is not a telephone number")
    assert logs[-1]["event"] == "feed taken"
    assert logs[-1]["first_bad"] == about.first_bad


@pytest.mark.parametrize(
    ("bad", "headers", "reason"),
    [
        ("", (), "holds no entry"),
        ("# nothing today\n", (), "holds no entry"),
        (numbers(0, 10) + "110\n", (), "poison in row 11: 110 is an emergency number"),
        (numbers(0, 10) + "02161234567\n", (), "poison in row 11: .* our own number"),
        (numbers(0, 10) + "+44*\n", (), "poison in row 11: .* whole country"),
        (numbers(9, 10), (), "would change 95% of the entries, more than 30%"),
        (numbers(0, 10) + numbers(100, 5), (), "would change 33% of the entries"),
        (numbers(0, 6), (), "would change 40% of the entries"),
        (numbers(0, 10) + numbers(0, 1) * 90 + numbers(100, 90), (), "would change 90% of the entries"),
        (numbers(0, 10) + "x\n" * 10, (), "10 of 20 rows are unreadable"),
        ("<html><body>Please log in</body></html>", (), "a web page"),
        (numbers(0, 11), ("Last-Modified: Wed, 08 Oct 2025 12:00:00 GMT",), "older than the snapshot"),
        (numbers(0, 11), ("Last-Modified: Wed, 08 Oct 2003 12:00:00 GMT",), r"days old \(max_age_days\)"),
    ],
)
async def test_refresh__harmful_snapshot__refused_whole_with_an_alarm(
    site: Site, bad: str, headers: tuple[str, ...], reason: str
) -> None:
    site.serve(numbers(0, 10))
    good = await site.refresher.refresh("a")
    site.serve(bad, *headers)
    with capture_logs() as logs, pytest.raises(FeedRefused, match=reason):
        await site.refresher.refresh("a")
    (alarm,) = [line for line in logs if line["log_level"] == "error"]
    assert alarm["feed"] == "a"
    assert (await site.status()).problem == alarm["reason"]
    assert await site.store.about("a") == good
    assert (await site.facts())["count"] == 1
    assert (await site.facts("+8613812340100"))["count"] == 0
    assert await site.keys() == {"feed:a", "feeds"}


async def test_refresh__first_snapshot_poisoned__nothing_in_force(site: Site) -> None:
    site.serve("+86*\n" + numbers(0, 500))
    with pytest.raises(FeedRefused, match="poison"):
        await site.refresher.refresh("a")
    assert await site.keys() == {"feeds"}
    assert (await site.facts())["asked"] == 0


async def test_refresh__older_version__refused_and_newer_taken(site: Site) -> None:
    body = '{"numbers":[{"phone":"13812340000","votes":%d}],"version":%d}'
    for votes, version in ((1, 5), (2, 6)):
        site.serve(body % (votes, version), format="phoneblock")
        assert (await site.refresher.refresh("a")).version == version
    site.serve(body % (9, 5), format="phoneblock")
    with pytest.raises(FeedRefused, match="version 5, older than 6"):
        await site.refresher.refresh("a")


async def test_refresh__unchanged__asked_with_conditions_and_kept_with_its_age(site: Site) -> None:
    site.serve(numbers(0, 5), 'ETag: "1"')
    first = await site.refresher.refresh("a")
    site.now += DAY_S
    site.server.answers["/a"] = response(b"", status="304 Not Modified")
    assert await site.refresher.refresh("a") == first
    assert 'If-None-Match: "1"' in site.server.requests[-1]
    site.serve(numbers(0, 5), 'ETag: "2"')
    assert await site.refresher.refresh("a") == first
    assert (await site.status()).checked_at == NOW + DAY_S


async def test_refresh__unchanged_for_too_long__an_alarm_and_the_snapshot_stays(site: Site) -> None:
    site.serve(numbers(0, 5))
    await site.refresher.refresh("a")
    site.now += 31 * DAY_S
    with pytest.raises(FeedRefused, match="has not changed for 31 days"):
        await site.refresher.refresh("a")
    assert (await site.facts())["count"] == 1


async def test_refresh__304_without_a_snapshot__refused(site: Site) -> None:
    site.serve("")
    site.server.answers["/a"] = response(b"", status="304 Not Modified")
    with pytest.raises(FeedRefused, match="we hold no snapshot"):
        await site.refresher.refresh("a")


async def test_refresh__another_source__is_another_list_however_different(site: Site, tmp_path: Path) -> None:
    site.serve(numbers(0, 10), 'ETag: "1"')
    await site.refresher.refresh("a")
    file = tmp_path / "list"
    file.write_text(numbers(5000, 9))
    os.utime(file, (NOW - DAY_S, NOW - DAY_S))
    site.feeds["a"] = site.feeds["a"].model_copy(update={"source": str(file)})
    assert (await site.refresher.refresh("a")).entries == 9


async def test_roll_back__there_and_not_taken_again_until_it_changes(site: Site) -> None:
    site.serve(numbers(0, 10))
    await site.refresher.refresh("a")
    site.serve(numbers(1, 10))
    await site.refresher.refresh("a")
    assert (await site.facts())["count"] == 0
    assert await site.keys() == {"feed:a", "feed:a:before", "feeds"}
    await site.refresher.roll_back("a")
    assert (await site.facts())["count"] == 1
    with pytest.raises(FeedRefused, match="rolled back"):
        await site.refresher.refresh("a")
    site.serve(numbers(1, 9))
    await site.refresher.refresh("a")
    assert (await site.facts())["count"] == 0


async def test_roll_back__only_one_snapshot__refused(site: Site) -> None:
    site.serve(numbers(0, 10))
    await site.refresher.refresh("a")
    with pytest.raises(FeedRefused, match="no snapshot of a before"):
        await site.refresher.roll_back("a")
    assert (await site.facts())["count"] == 1


async def test_refresh_due__errors__tried_again_with_growing_pauses(site: Site) -> None:
    site.serve("")
    pauses = []
    for _ in range(12):
        await site.refresher.refresh_due()
        status = await site.status()
        pauses.append(status.next_at - site.now)
        asked = len(site.server.requests)
        site.now = status.next_at - 1
        await site.refresher.refresh_due()
        assert len(site.server.requests) == asked
        site.now = status.next_at
    for index, pause in enumerate(pauses):
        expected = min(FIRST_PAUSE_S * 2**index, 24 * HOUR_S)
        assert expected * (1 - JITTER) - 1 <= pause <= expected * (1 + JITTER)
    site.serve(numbers(0, 5))
    await site.refresher.refresh_due()
    assert await site.status() == Status(int(site.now), (await site.status()).next_at)


async def test_refresh_due__interval_shortened__not_waited_for_the_long_one(site: Site) -> None:
    site.serve(numbers(0, 5), refresh_hours=900.0)
    await site.refresher.refresh_due()
    site.serve(numbers(0, 5), refresh_hours=1.0)
    site.now += 2 * HOUR_S
    await site.refresher.refresh_due()
    assert len(site.server.requests) == 2


async def test_refresh_due__switched_off__forgotten(site: Site) -> None:
    site.serve(numbers(0, 5))
    site.serve(numbers(0, 5), name="b")
    await site.refresher.refresh_due()
    site.feeds["a"] = site.feeds["a"].model_copy(update={"enabled": False})
    del site.feeds["b"]
    await site.refresher.refresh_due()
    assert await site.keys() == set()
    assert (await site.facts())["asked"] == 0


async def test_refresh__store_away__says_so(site: Site, tmp_path: Path) -> None:
    store = FeedStore(f"unix://{tmp_path}/none.sock")
    site.serve(numbers(0, 5))
    refresher = Refresher(store, site.feeds, "CN", [], clock=lambda: NOW)
    with pytest.raises(StateUnavailable):
        await refresher.refresh("a")
    await store.close()


async def test_import__event_loop__is_not_held_up(site: Site) -> None:
    site.serve(numbers(0, 10_000), max_change=1.0)
    refreshing = asyncio.create_task(site.refresher.refresh("a"))
    loop, longest = asyncio.get_running_loop(), 0.0
    while not refreshing.done():
        before = loop.time()
        await asyncio.sleep(0.001)
        longest = max(longest, loop.time() - before)
    assert (await refreshing).entries == 10_000
    assert longest < 0.25  # all at once would be about 1 s; on a quiet machine it is some milliseconds


async def test_refresh__cancelled_midway__leaves_nothing_behind(site: Site) -> None:
    site.serve(numbers(0, 10_000))
    refreshing = asyncio.create_task(site.refresher.refresh("a"))
    while not [key for key in await site.keys() if key.startswith("feed:a:")]:  # noqa: ASYNC110 - nor has the store
        await asyncio.sleep(0.001)
    refreshing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await refreshing
    assert await site.keys() == set()


async def test_store__cancelled_at_any_moment__ends(site: Site) -> None:
    for turns in range(60):
        for _ in range(5):
            asking = asyncio.create_task(site.store.statuses())
            for _ in range(turns):
                await asyncio.sleep(0)
            if not asking.done():
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
