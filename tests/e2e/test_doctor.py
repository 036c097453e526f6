"""`screener doctor` on a real house: healthy first, then each thing broken for real, told, and mended."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from screener.doctor import CHECKS, Level
from tests.doctor import BREAKS, Break, Examined

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from screener.doctor import Result

pytestmark = pytest.mark.pbx
on_its_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Examined]:
    async with Examined.open() as opened:
        yield opened


def complaining(results: dict[str, Result]) -> set[str]:
    return {name for name, one in results.items() if one.level in (Level.WARN, Level.FAIL)}


def told(results: dict[str, Result]) -> str:
    return "\n".join(f"{name}: {one.findings}" for name, one in results.items() if one.level != Level.OK)


@on_its_loop
async def test_doctor__everything_is_in_order__nothing_fails_nothing_warns(here: Examined) -> None:
    results = await here.look()
    assert complaining(results) == set(), told(results)
    assert not [name for name, one in results.items() if one.level is Level.UNCHECKED], told(results)


@pytest.mark.parametrize("one", BREAKS, ids=lambda one: one.name)
@on_its_loop
async def test_doctor__one_thing_is_broken__that_check_says_so_and_what_mends_it(
    here: Examined, one: Break
) -> None:
    mended = ""
    # Nothing is asserted in here: whatever was broken must be mended for the next one.
    async with one.does(here):
        results = await here.look(*one.near)
        found = [each for each in results[one.check].findings if each.level is one.level]
        if one.runs:
            mended = told(await here.ran(one.check, [each.mend for each in found]))
    after = told(await here.look(one.check))
    assert complaining(results) == {one.check} | one.also, told(results)
    assert any(one.says in each.what and one.mends in each.mend for each in found), told(results)
    assert all(each.notice for each in found)
    assert not mended + after


@on_its_loop
async def test_doctor__another_screener_stands_by__is_told_and_is_no_stranger(here: Examined) -> None:
    async with here.standby():
        (found,) = (await here.look("asterisk.sessions"))["asterisk.sessions"].findings
    assert (found.level, found.what) == (Level.OK, "1 besides the screener that answers: standing by")


def test_doctor__its_table__each_check_has_a_break() -> None:
    assert {one.check for one in BREAKS} == {one.name for one in CHECKS}


@on_its_loop
async def test_doctor__as_a_command__prints_lines_or_json_and_exits_by_what_it_found(here: Examined) -> None:
    etc = ("--asterisk-etc", str(here.etc))
    code, out = await here.service.command("doctor", *etc)
    assert code == 0, out
    assert "0 FAIL" in out
    assert re.search(r"Asterisk (16|22)\.", out)
    with here.configured(ami={**here.service.settings["ami"], "secret": "another"}):
        code, out = await here.service.command("doctor", "--only", "manager", "--json", *etc)
    assert code == 1
    rows = {row["check"]: row for row in json.loads(out)}
    assert rows["manager.login"]["level"] == "FAIL"
    assert rows["manager.write"]["level"] == "not checked"
    assert "put the secret" in rows["manager.login"]["findings"][0]["mend"]
    code, out = await here.service.command("doctor", "--only", "nothing")
    assert code == 2
    assert "no such check: nothing" in out
