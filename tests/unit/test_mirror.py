"""What of the lists goes into Asterisk's own database, against a real store and a dialplan that takes it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from screener import mirror
from screener.ami import Account, Ami
from screener.mirror import PAGES, Mirror, chosen
from screener.state import Entry, Lists, Row
from tests.ami_peer import Peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    import pytest

    from screener.state import ListKind

NOW = 1_760_000_000
BLOCKED = "+8613800138000"


def entry(kind: ListKind, pattern: str, at: int = NOW) -> Entry:
    return Entry(pattern, kind, "", "test", "", at, None)


def mirrored_of(*entries: Entry) -> set[str]:
    allow, block = ({one.pattern: one for one in entries if one.kind == kind} for kind in ("allow", "block"))
    return {one.kind[0] + one.pattern for one in chosen(allow, block)}


class Database:
    """Globals and the database of an Asterisk, and its dialplan: it takes what lies ready when told to."""

    def __init__(self) -> None:
        self.globals: dict[str, str] = {}
        self.pages: dict[str, str] = {}
        self.sets = 0

    def restart(self) -> None:
        self.globals.clear()

    def setvar(self, action: dict[str, str]) -> str:
        name = action["Variable"].removeprefix("GLOBAL(").removesuffix(")")
        self.globals[name] = action.get("Value", "")
        assert len(action.get("Value", "")) < 1000
        self.sets += name.startswith("SCREENER_MIRROR")
        return "Response: Success"

    def getvar(self, action: dict[str, str]) -> str:
        name = action["Variable"].removeprefix("GLOBAL(").removesuffix(")")
        # With the only session of the account nobody waits for the lease.
        value = "1" if name.startswith("AMI_CLIENT(") else self.globals.get(name, "")
        return f"Response: Success\r\nVariable: {name}\r\nValue: {value}"

    def take(self) -> None:
        """As `screener-learn`."""
        if not self.globals.get("SCREENER_MIRRORED"):
            self.globals["SCREENER_MIRRORED"] = self.pages.get("version", "")
        version, _, slots = self.globals.get("SCREENER_MIRROR", "").partition("-")
        if not version or version == self.globals["SCREENER_MIRRORED"]:
            return
        for slot in range(int(slots)):
            for item in self.globals[f"SCREENER_MIRROR_{slot}"].split("&"):
                page, _, content = item.partition(">")
                self.pages[page] = content
        self.globals["SCREENER_MIRROR"] = ""
        self.globals["SCREENER_MIRRORED"] = self.pages["version"] = version

    @property
    def entries(self) -> set[str]:
        return {one for page in PAGES for one in self.pages.get(page, "").split("/") if "=" in one}


@asynccontextmanager
async def mirrored(database: Database, url: str) -> AsyncIterator[tuple[Mirror, Lists]]:
    """A mirror that looks when told to, connected to an Asterisk with this database."""
    lists = Lists(url, "CN", durable=False, clock=lambda: NOW)
    async with Peer.open(Setvar=database.setvar, Getvar=database.getvar) as peer:
        ami = Ami(Account("127.0.0.1", peer.port, "screener", "secret"))
        running = asyncio.create_task(ami.run(lambda _event: None))
        await asyncio.wait_for(ami.ready.wait(), 10)
        try:
            yield Mirror(ami, lists, "CN", clock=lambda: NOW), lists
        finally:
            running.cancel()
            await lists.close()


async def taken(one: Mirror, database: Database, times: int = 1) -> None:
    for _ in range(times):
        await one.look()
        database.take()
    await one.look()


def test_chosen__allow_entries__only_exceptions_are_mirrored() -> None:
    assert mirrored_of(entry("allow", "+8613900000001"), entry("block", "+86177*")) == {"b+86177*"}
    with_exception = (entry("allow", "+8617700000001"), entry("block", "+86177*"))
    assert mirrored_of(*with_exception) == {"a+8617700000001", "b+86177*"}


def test_chosen__allow_and_block_of_one_pattern__allow_wins() -> None:
    for pattern in (BLOCKED, "+86177*"):
        assert mirrored_of(entry("block", pattern), entry("allow", pattern)) == {"a" + pattern}


def test_chosen__too_many_block_entries__prefixes_and_the_newest_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mirror, "MAX_ENTRIES", 3)
    entries = [entry("block", f"+8613800138{number:03}", NOW + number) for number in range(20)]
    kept = {"b+86177*", "b+8613800138018", "b+8613800138019"}
    assert mirrored_of(entry("block", "+86177*", 0), *entries) == kept


def test_chosen__not_all_exceptions_fit__no_prefix_is_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "MAX_ENTRIES", 3)
    allowed = [entry("allow", f"+8617700000{number:03}") for number in range(4)]
    assert mirrored_of(entry("block", "+86177*"), entry("block", BLOCKED), *allowed) == {"b" + BLOCKED}


async def test_mirror__more_entries_than_it_takes__is_told_and_no_friend_is_blocked(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "MAX_ENTRIES", 3)
    monkeypatch.setattr(mirror, "PAUSE_S", 0)
    database = Database()
    async with mirrored(database, store_url) as (one, lists):
        await lists.add(Row("+86177*"))
        await lists.load(_numbers(9))
        await lists.load([f"+8617700000{number:03}" for number in range(9)], like=Row("", "allow"))
        with capture_logs() as logs:
            await taken(one, database)
        assert {said.partition("=")[2] for said in database.entries} == {"b"}
        assert database.pages["lengths"] == ""
        assert [line["some"] for line in logs if "some" in line] == [7]


async def test_mirror__entries_added_and_removed__only_the_difference_is_sent(store_url: str) -> None:
    database = Database()
    async with mirrored(database, store_url) as (one, lists):
        await lists.add(Row(BLOCKED))
        await lists.add(Row("+86177*", expires_at=NOW + 60))
        await taken(one, database)
        assert f"{BLOCKED}=b" in database.entries
        assert f"0177=b:{NOW + 60}" in database.entries
        assert database.pages["lengths"] == "7-6-5-4-3"
        before = database.sets
        await lists.remove("+86177*")
        await taken(one, database)
        assert {one.partition("=")[2] for one in database.entries} == {"b"}
        assert database.pages["lengths"] == ""
        assert database.sets - before == 3
        await taken(one, database)
        assert database.sets - before == 3


async def test_mirror__unknown_content__is_replaced_whole(store_url: str) -> None:
    database = Database()
    database.pages = {"n001": "/+861=b", "p3-1": "/+86=b", "version": "of somebody else", "lengths": "3"}
    async with mirrored(database, store_url) as (one, lists):
        await lists.add(Row(BLOCKED))
        await taken(one, database)
        assert {one for one in database.entries if not one.endswith("13800138000=b")} == set()
        assert database.pages["lengths"] == ""


async def test_mirror__asterisk_restarted__what_it_still_has_is_not_lost_and_what_it_lacks_comes(
    store_url: str,
) -> None:
    database = Database()
    async with mirrored(database, store_url) as (one, lists):
        await lists.add(Row(BLOCKED))
        await taken(one, database)
        held, version = database.entries, database.pages["version"].partition(".")[0]
        database.restart()
        await taken(one, database)
        assert (database.entries, database.pages["version"].partition(".")[0]) == (held, version)
        database.restart()
        database.pages.clear()
        await taken(one, database)
        assert database.entries == held


async def test_mirror__changed_before_it_was_taken__the_last_state_is_taken(store_url: str) -> None:
    database = Database()
    async with mirrored(database, store_url) as (one, lists):
        await taken(one, database)
        await lists.add(Row(BLOCKED))
        await one.look()
        await lists.remove(BLOCKED)
        await lists.add(Row("+8613800138001"))
        await taken(one, database)
        assert {one.partition("=")[0][-11:] for one in database.entries} == {"13800138001"}


async def test_mirror__change_undone_before_it_was_taken__is_not_taken_any_more(store_url: str) -> None:
    database = Database()
    async with mirrored(database, store_url) as (one, lists):
        await taken(one, database)
        await lists.add(Row(BLOCKED))
        await one.look()
        await lists.remove(BLOCKED)
        await one.look()
        database.take()
        assert database.entries == set()


async def test_mirror__caller_gone_while_his_call_took_it__what_was_written_is_not_believed(
    store_url: str,
) -> None:
    database = Database()
    async with mirrored(database, store_url) as (one, lists):
        await lists.add(Row(BLOCKED))
        await taken(one, database)
        held, told = database.entries, database.globals["SCREENER_MIRRORED"]
        await lists.remove(BLOCKED)
        await one.look()
        database.take()
        database.globals["SCREENER_MIRRORED"] = told
        assert database.entries == set()
        await lists.add(Row(BLOCKED))
        await taken(one, database)
        assert database.entries == held


async def test_mirror__more_than_fits_at_once__is_taken_over_several_calls(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "SLOTS", 3)
    monkeypatch.setattr(mirror, "PAUSE_S", 0)
    database = Database()
    async with mirrored(database, store_url) as (one, lists):
        await lists.load(_numbers(100))
        await taken(one, database)
        assert database.pages["version"].startswith("unfinished")
        await taken(one, database, times=20)
        assert not database.pages["version"].startswith("unfinished")
        assert {one.partition("=")[0] for one in database.entries} >= set(_numbers(100))


def _numbers(count: int) -> Iterable[str]:
    return [f"+86138001{number:05}" for number in range(0, 977 * count, 977)]
