"""What may stand in a list, in which form, and that it comes back as it went in."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from screener.errors import ListEntryRefused, StateUnavailable
from screener.state import Entry, Lists, Row
from screener.state.patterns import read
from tests.valkey import connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from screener.state import ListKind

NOW = 1_760_000_000
OWN = ("+49 30 1234567", "+861062345678")


@asynccontextmanager
async def opened(url: str, region: str = "CN", *, durable: bool = False) -> AsyncIterator[Lists]:
    lists = Lists(url, region, OWN, durable=durable, clock=lambda: NOW)
    try:
        yield lists
    finally:
        await lists.close()


@pytest.fixture
async def lists(store_url: str) -> AsyncIterator[Lists]:
    async with opened(store_url) as lists:
        yield lists


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("+8617712345678", "CN", "+8617712345678"),
        ("17712345678", "CN", "+8617712345678"),
        ("0086 177 1234-5678", "CN", "+8617712345678"),
        (" +86 (177) 1234 5678 ", "DE", "+8617712345678"),
        ("（177）１２３４５６７８", "CN", "+8617712345678"),
        ("01771234567", "DE", "+491771234567"),
        ("030 123456", "DE", "+4930123456"),
        ("(212) 555-0100", "US", "+12125550100"),
        ("<sip:+8617712345678@example.net>", "CN", "+8617712345678"),
        ("+86177*", "CN", "+86177*"),
        ("+86 177 *", "CN", "+86177*"),
        ("177*", "CN", "+86177*"),
        ("0177*", "DE", "+49177*"),
        ("0086177*", "CN", "+86177*"),
        ("+860177*", "CN", "+86177*"),
        ("1800*", "US", "+1800*"),
        ("800*", "US", "+1800*"),
        ("0162*", "FR", "+33162*"),
        ("33162######", "FR", "+33162*"),
        ("+33162######", "FR", "+33162*"),
        ("+39064*", "IT", "+39064*"),
        ("8495*", "RU", "+7495*"),
        ("495*", "RU", "+7495*"),
        ("800*", "RU", "+7800*"),
        ("86177*", "CN", "+86177*"),
        ("+8617712345*", "CN", "+8617712345*"),
    ],
)
def test_pattern__usual_form__is_stored_as_calls_arrive(text: str, region: str, expected: str) -> None:
    (pattern,) = read(text, region)
    assert (pattern.text, pattern.harm) == (expected, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+4930123450..+4930123459", ["+493012345*"]),
        ("+4930123450-+4930123459", ["+493012345*"]),
        ("+4930123458 … +4930123461", ["+4930123458", "+4930123459", "+4930123460", "+4930123461"]),
        ("+4930123400..+4930123519", ["+49301234*", "+493012350*", "+493012351*"]),
        ("030 123400 .. 030 123499", ["+49301234*"]),
        ("+4930123456..+4930123456", ["+4930123456"]),
    ],
)
def test_pattern__range__is_the_blocks_it_consists_of(text: str, expected: list[str]) -> None:
    assert [pattern.text for pattern in read(text, "DE")] == expected


@pytest.mark.parametrize(
    ("text", "region", "why"),
    [
        ("", "CN", "empty"),
        ("   ", "CN", "empty"),
        ("*", "CN", "every caller"),
        ("+*", "CN", "every caller"),
        ("#", "CN", "every caller"),
        ("+86*77", "CN", "only at the end"),
        ("*86177", "CN", "only at the end"),
        ("+86#77*", "CN", "only at the end"),
        ("1-800-FLOWERS", "CN", "not a telephone number"),
        ("anonymous", "CN", "not a telephone number"),
        ("abc*", "CN", "consists of digits"),
        ("17712345678\r\nDEL x", "CN", "not a telephone number"),
        ("1" * 65, "CN", "longer than 64"),
        ("49177*", "DE", r"could mean \+49177\* or \+4949177\*"),
        ("0177*", "ZZ", "begins no number of ZZ"),
        ("+4930123459..+4930123450", "DE", "lower one first"),
        ("+4930123450..+49301234599", "DE", "one length"),
        ("+4930123450..x", "DE", "both ends"),
    ],
)
async def test_pattern__not_understood__is_refused_even_when_forced(
    store_url: str, text: str, region: str, why: str
) -> None:
    async with opened(store_url, region) as lists:
        with pytest.raises(ListEntryRefused, match=why):
            await lists.add(Row(text), force=True)


@pytest.mark.parametrize("text", ["1008611", "95013123456", "950131234567", "9501312345678"])
async def test_block_entry__tail_behind_a_short_code__is_one_caller_and_taken(
    store_url: str, text: str
) -> None:
    async with opened(store_url, "CN") as lists:
        (entry,) = await lists.add(Row(text))
        assert await lists.find(text) == (entry,)


@pytest.mark.parametrize(
    ("text", "region", "why", "forced"),
    [
        ("+49*", "CN", "whole country", "+49*"),
        ("0*", "DE", "whole country", "+49*"),
        ("+8*", "CN", "whole country", "+8*"),
        ("030*", "DE", "too short", "+4930*"),
        ("+4930*", "CN", "too short", "+4930*"),
        ("+1876*", "US", r"whole country \(JM\)", "+1876*"),
        ("0", "DE", "too short or too long", "0"),
        ("030", "DE", "no area code", "030"),
        ("110", "CN", "emergency", "110"),
        ("119", "CN", "emergency", "119"),
        ("120", "CN", "emergency", "120"),
        ("112", "DE", "emergency", "112"),
        ("911", "US", "emergency", "911"),
        ("999", "GB", "emergency", "999"),
        ("112", "CN", "emergency", "112"),
        ("95588", "CN", "short service number", "95588"),
        ("10086", "CN", "short service number", "10086"),
        ("01095588", "CN", "short service number", "+861095588"),
        ("0755110", "CN", "short service number", "+860755110"),
        ("201", "CN", "extension", "201"),
        ("+49301234567", "CN", "our own number", "+49301234567"),
        ("+4930123*", "CN", "our own number", "+4930123*"),
        ("+49301234560..+49301234569", "CN", "our own number", "+4930123456*"),
        ("010 6234 5678", "CN", "our own number", "+861062345678"),
    ],
)
async def test_block_entry__would_do_harm__is_refused_unless_forced(
    store_url: str, text: str, region: str, why: str, forced: str
) -> None:
    async with opened(store_url, region) as lists:
        with pytest.raises(ListEntryRefused, match=why):
            await lists.add(Row(text))
        assert [entry async for entry in lists.all()] == []
        (entry,) = await lists.add(Row(text), force=True)
        assert entry.pattern == forced


@pytest.mark.parametrize(
    ("text", "refused"), [("110", False), ("95588", False), ("+49*", True), ("+4930123*", True)]
)
async def test_allow_entry__short_number__is_welcome_but_countries_and_own_are_not(
    lists: Lists,
    text: str,
    refused: bool,  # noqa: FBT001 - a column of the table
) -> None:
    if refused:
        with pytest.raises(ListEntryRefused):
            await lists.add(Row(text, "allow"))
    else:
        assert await lists.add(Row(text, "allow"))


async def test_entry__added_shown_and_removed__keeps_what_was_said(lists: Lists) -> None:
    row = Row(
        "17712345678", "block", reason="rings\tat\nnight", source="phone", by="anna", expires_at=NOW + 60
    )
    expected = Entry("+8617712345678", "block", "rings at night", "phone", "anna", NOW, NOW + 60)
    assert await lists.add(row) == (expected,)
    assert await lists.show("+86 177 1234 5678") == (expected,)
    assert await lists.show("+86 177 1234 5678", "allow") == ()
    assert await lists.remove("008617712345678", "allow") == ()
    assert await lists.remove("008617712345678") == (expected,)
    assert await lists.show("+8617712345678") == ()
    assert await lists.remove("008617712345678") == ()


async def test_entry__added_again__replaces_the_former(lists: Lists) -> None:
    await lists.add(Row("+86177*", reason="old"))
    await lists.add(Row("+86177*", reason="new"))
    assert [entry.reason async for entry in lists.all()] == ["new"]


async def test_find__several_entries_match__gives_all_with_the_winner_first(lists: Lists) -> None:
    for text, kind in (
        ("+86177*", "block"),
        ("+8617712*", "allow"),
        ("+8617712*", "block"),
        ("+86178*", "block"),
    ):
        await lists.add(Row(text, kind))  # type: ignore[arg-type]
    await lists.add(Row("+8617712345678", expires_at=NOW))
    found = [(entry.kind, entry.pattern) for entry in await lists.find("17712345678")]
    assert found == [("allow", "+8617712*"), ("block", "+8617712*"), ("block", "+86177*")]
    assert await lists.find("anonymous") == ()


@pytest.mark.parametrize(("kind", "other"), [("block", "allow"), ("allow", "block")])
async def test_add__alone__the_same_pattern_leaves_the_other_list(
    lists: Lists, kind: ListKind, other: ListKind
) -> None:
    await lists.add(Row("+8617712345678", other))
    await lists.add(Row("+8617712345679", other))
    await lists.add(Row("+8617712345678", kind), alone=True)
    found = {(entry.kind, entry.pattern) async for entry in lists.all()}
    assert found == {(kind, "+8617712345678"), (other, "+8617712345679")}


async def test_all__most_are_removed_meanwhile__none_of_the_others_is_missed(lists: Lists) -> None:
    numbers = [f"+86138{number:08d}" for number in range(30_000)]
    await lists.load(numbers)
    given: set[str] = set()
    async for entry in lists.all():
        given.add(entry.pattern)
        if len(given) == 5_000:
            stay = set(numbers[::50])
            await lists._write({}, ["b" + number for number in numbers if number not in stay])
    assert given >= set(numbers[::50])


async def test_purge__expired_entries__are_forgotten(lists: Lists) -> None:
    for index, expires_at in enumerate((None, NOW - 1, NOW, NOW + 1)):
        await lists.add(Row(f"+861771234567{index}", expires_at=expires_at))
    assert await lists.purge() == 2
    assert sorted([entry.pattern async for entry in lists.all()]) == ["+8617712345670", "+8617712345673"]


async def test_import__text_and_csv__takes_good_rows_and_names_bad_ones(lists: Lists) -> None:
    lines = [
        "\ufeff# a comment\r\n",
        "17712345678\r\n",
        "\n",
        "+86177*, collectors; mostly\n",
        "0\n",
        "030*,bad\n",
        '17712345679,"says ""hello"", hangs up"\n',
        '17712345670,"never closed\n',
        "17712345671;reason, with a comma\n",
        "17712345672\treason\n",
        "x" * 5000 + "\n",
        "17712345673",
    ]
    report = await lists.load(lines, like=Row("", source="feed", by="job"))
    assert report.added == 7
    assert [line for line, _ in report.refused] == [5, 6, 11]
    assert "longer than" in report.refused[2][1]
    entries = {entry.pattern: entry async for entry in lists.all()}
    assert entries["+86177*"].reason == "collectors; mostly"
    assert entries["+8617712345679"].reason == 'says "hello", hangs up'
    assert entries["+8617712345670"].reason == "never closed"
    assert entries["+8617712345671"].reason == "reason, with a comma"
    assert {entry.source for entry in entries.values()} == {"feed"}
    assert {entry.kind for entry in entries.values()} == {"block"}


async def test_import__csv_with_header__reads_its_columns(lists: Lists) -> None:
    lines = [
        "Number,List,Expires,By,Reason\n",
        "17712345678,allow,2030-01-31,anna,friend\n",
        "17712345679,,2030-01-31T12:00:00+08:00,,\n",
        "17712345670,black,,,\n",
        "17712345671,block,tomorrow,,\n",
        "17712345672,block,99999999999999999999,,\n",
    ]
    report = await lists.load(lines)
    assert [(line, text[:12]) for line, text in report.refused] == [
        (4, "'black' is n"),
        (5, "'tomorrow' i"),
        (6, "'99999999999"),
    ]
    entries = {entry.pattern: entry async for entry in lists.all()}
    friend = entries["+8617712345678"]
    assert (friend.kind, friend.by, friend.reason, friend.expires_at) == (
        "allow",
        "anna",
        "friend",
        1_896_048_000,
    )
    assert entries["+8617712345679"].expires_at == 1_896_062_400


async def test_import__rows_that_name_no_list__go_on_the_one_that_stands_for_all(lists: Lists) -> None:
    lines = ["list,number", "allow,17712345678", "block,17712345679", ",17712345670"]
    await lists.load(lines, like=Row("", "allow"))
    kinds = {entry.pattern[-1]: entry.kind async for entry in lists.all()}
    assert kinds == {"8": "allow", "9": "block", "0": "allow"}


async def test_import__many_bad_rows__are_counted_but_not_all_kept(lists: Lists) -> None:
    report = await lists.load("x" for _ in range(1500))
    assert (report.added, report.refusals, len(report.refused)) == (0, 1500, 1000)


async def test_export__imported_again__gives_the_same_entries(lists: Lists) -> None:
    await lists.add(Row("+86177*", "allow", reason='a "b", c', source="s", by="b", expires_at=NOW + 1))
    await lists.load(f"+86138{number:08d}" for number in range(1200))
    exported = [line async for line in lists.export()]
    before = {entry async for entry in lists.all()}
    assert len(before) == len(exported) - 1 == 1201
    for line in exported[1:]:
        await lists.remove(line.split(",")[1])
    assert [entry async for entry in lists.all()] == []
    report = await lists.load(exported)
    assert (report.added, report.refusals) == (1201, 0)
    assert {entry async for entry in lists.all()} == before


async def test_all__foreign_rubbish_in_the_store__is_passed_over(lists: Lists, store_url: str) -> None:
    await lists.add(Row("+86177*"))
    async with connected(store_url) as client:
        await client.hset("{screener}:lists", mapping={"b+86178*": "rubbish", "": "", "z1": "\t1\t\t\t"})
        for pattern in ("", "+", "*", "+86*>lengths*", "+86\n", "+8617712345678&", "1" * 33):
            await client.hset("{screener}:lists", f"b{pattern}", "\t1\t\t\t")
    assert [entry.pattern async for entry in lists.all()] == ["+86177*"]
    assert await lists.find("17812345678") == ()


@pytest.mark.parametrize("digits", [12, 30, 5000])
async def test_all__a_time_beyond_all_calendars__is_one_that_never_comes(
    lists: Lists, store_url: str, digits: int
) -> None:
    never = "9" * digits
    async with connected(store_url) as client:
        await client.hset("{screener}:lists", "b+86177*", f"{never}\t{never}\ts\tb\tr")
    (entry,) = [entry async for entry in lists.all()]
    assert (entry.reason, entry.valid_at(NOW)) == ("r", True)
    assert (await lists.find("17712345678")) == (entry,)
    header, line = [line async for line in lists.export()]
    assert "9999-12-31" in line
    assert (await lists.load([header, line])).added == 1


async def test_add__durable__waits_for_the_disk(store_url: str) -> None:
    async with opened(store_url, durable=True) as lists, connected(store_url) as client:
        await client.config_resetstat()
        await lists.add(Row("+86177*"))
        waited = (await client.info("commandstats"))["cmdstat_waitaof"]
        assert (waited["calls"], waited["failed_calls"]) == (1, 0)


async def test_add__store_without_append_only_file__still_works(store_url: str) -> None:
    async with opened(store_url, durable=True) as lists, connected(store_url) as client:
        await client.config_set("appendonly", "no")
        try:
            assert await lists.add(Row("+86177*"))
        finally:
            await client.config_set("appendonly", "yes")


async def test_lists__store_gone__says_what_to_do(state_directory: Path) -> None:
    async with opened(f"unix://{state_directory}/nobody.sock") as lists:
        attempts = (
            lists.add(Row("+86177*")),
            lists.find("17712345678"),
            lists.show("+86177*"),
            lists.purge(),
        )
        started = time.monotonic()
        for attempt in attempts:
            with pytest.raises(StateUnavailable, match=r"redis\.url"):
                await attempt
        assert time.monotonic() - started < 1


async def test_lists__memory_full__is_refused_with_the_servers_reason(store_url: str) -> None:
    async with opened(store_url, durable=True) as lists, connected(store_url) as client:
        await client.config_set("maxmemory", 1)
        try:
            with pytest.raises(StateUnavailable, match=r"the store refused: .*maxmemory"):
                await lists.add(Row("+86177*"))
        finally:
            await client.config_set("maxmemory", 0)
