"""Who the last caller of a telephone is, and what a star code may do: a real ledger, store and socket."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from screener.ami import Account, Ami
from screener.codes import AT_ONCE, Codes
from screener.facts import Place
from screener.ledger import Ledger, Row
from screener.state import Learning, Lists, State
from tests.ami_peer import WITHIN_S, Peer, becomes_true
from tests.valkey import connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
PHONE, OTHER, TRUNK = "PJSIP/phone", "PJSIP/other", "PJSIP/trunk"
PLACE = Place("CN", UTC, (("PJSIP/berlin*", "DE"),), city=False)
ANNA, BERT, CARL = "+8613912345678", "+8613912345679", "+8613912345670"
STRANGE = ["+86139", "x", "95588", "+8613912345678\r\nVariable: X", "anonymous", "*", "+86139*"]


class Telephone:
    """One of ours: it dials, and hears what is answered."""

    def __init__(self, peer: Peer, codes: Codes, lists: Lists) -> None:
        self.peer, self.codes, self.lists = peer, codes, lists
        self.dialled = 0

    @property
    def answers(self) -> list[dict[str, str]]:
        return [one for one in self.peer.sent("Setvar") if "CODE" in one["Variable"]]

    async def asks(self, step: str, number: str = "", *, phone: str = PHONE, which: str = "block") -> str:
        before = len(self.answers)
        self.sends(step, number, phone=phone, which=which)
        await becomes_true(lambda: len(self.answers) > before)
        answer = self.answers[before]
        assert answer["Variable"] == f"SCREENER_CODE_{step}"
        assert answer["Channel"].startswith(phone + "-")
        return answer["Value"]

    def sends(
        self, step: str, number: str = "", *, phone: str = PHONE, which: str = "block", ago_s: float = 0
    ) -> None:
        self.dialled += 1
        self.codes.receive(
            {
                "UserEvent": "ScreenerCode",
                "Version": "1",
                "Uniqueid": f"9.{self.dialled}",
                "Channel": f"{phone}-{self.dialled:08x}",
                "Step": step,
                "List": which,
                "Number": number.replace("%", "%25").replace("+", "%2B"),
                "Asked": str(int((self.peer.now - ago_s) * 1e6)),
                "Deadline": "20000",
            }
        )

    async def listed(self) -> set[str]:
        return {entry.field async for entry in self.lists.all()}


@asynccontextmanager
async def house(path: Path, store_url: str, *rows: Row) -> AsyncIterator[Telephone]:
    """A telephone, after these rows of the ledger."""
    with Ledger.open(path) as ledger:
        for row in rows:
            ledger.append(row)
        await ledger.flush()
    async with Peer.open() as peer:
        ami = Ami(Account("127.0.0.1", peer.port, "screener", "secret"))
        learning = Learning(store_url, 90)
        lists = Lists(store_url, "CN", ["+861062345678"], durable=False)
        running = asyncio.create_task(ami.run(lambda _: None))
        try:
            await asyncio.wait_for(ami.ready.wait(), WITHIN_S)
            yield Telephone(peer, Codes(ami, lists, learning, path, PLACE, clock=lambda: NOW), lists)
        finally:
            running.cancel()
            await asyncio.wait({running})
            await lists.close()
            await learning.close()


def call(number: str, ago_min: float, disposition: str, *, peer: str = "", **other: Any) -> list[Row]:
    """A call that ended some minutes ago, and had begun two minutes before that."""
    call_id, ended = f"{number}-{ago_min}", NOW - timedelta(minutes=ago_min)
    asked = {
        "number": number,
        "trunk": other.get("trunk", TRUNK),
        "presentation": other.get("presentation", "allowed"),
    }
    end = {"disposition": disposition, "number": number, "peer": peer and f"{peer}-00000001"}
    return [
        Row(call_id, "setup", ended - timedelta(minutes=2), {"call": asked}),
        Row(call_id, "end", ended, end),
    ]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([(ANNA, 9, "answered", PHONE), (BERT, 5, "answered", OTHER)], f"caller:{ANNA}"),
        ([(ANNA, 9, "answered", PHONE), (BERT, 5, "recorded", "")], f"caller:{BERT}"),
        ([(ANNA, 9, "answered", PHONE), (BERT, 5, "abandoned", "")], f"caller:{BERT}"),
        ([(ANNA, 5, "answered", PHONE), (BERT, 9, "unanswered", "")], f"caller:{ANNA}"),
        ([(ANNA, 9, "rejected", ""), (BERT, 5, "answered", "")], f"caller:{ANNA}"),  # an older dialplan
        ([(ANNA, 9, "answered", "PJSIP/phone2"), (BERT, 5, "answered", "SIP/phone")], "nobody"),
        ([(ANNA, 9, "recorded", ""), (BERT, 5, "unanswered", OTHER)], f"caller:{ANNA}"),
        ([(ANNA, 23 * 60, "busy", "")], f"caller:{ANNA}"),
        ([(ANNA, 25 * 60, "busy", "")], "nobody"),
        ([("13912345678", 5, "recorded", "")], f"caller:{ANNA}"),
        ([("anonymous", 5, "recorded", ""), (ANNA, 9, "recorded", "")], "withheld"),
        ([("alice", 5, "recorded", ""), (ANNA, 9, "recorded", "")], "withheld"),
        ([], "nobody"),
    ],
)
async def test_last__calls_of_a_day__is_who_this_telephone_or_nobody_answered(
    tmp_path: Path, store_url: str, calls: list[tuple[str, float, str, str]], expected: str
) -> None:
    rows = [row for number, ago, became, peer in calls for row in call(number, ago, became, peer=peer)]
    async with house(tmp_path / "l.db", store_url, *rows) as telephone:
        assert await telephone.asks("last") == expected


async def test_last__call_by_a_trunk_from_abroad__is_read_as_that_country_writes_it(
    tmp_path: Path, store_url: str
) -> None:
    rows = call("030123456", 5, "recorded", trunk="PJSIP/berlin1")
    async with house(tmp_path / "l.db", store_url, *rows) as telephone:
        assert await telephone.asks("last") == "caller:+4930123456"


async def test_last__number_withheld_from_us__is_not_told_nor_listed(tmp_path: Path, store_url: str) -> None:
    rows = call(ANNA, 5, "recorded", presentation="prohib_not_screened")
    async with house(tmp_path / "l.db", store_url, *rows) as telephone:
        assert await telephone.asks("last") == "withheld"
        assert await telephone.asks("do", ANNA) == "refused"
        assert await telephone.listed() == set()


async def test_last__call_was_not_judged__is_known_by_its_end(tmp_path: Path, store_url: str) -> None:
    found_later = Row("1.9", "end", NOW, {"disposition": "recorded"})
    async with house(tmp_path / "l.db", store_url, call(ANNA, 5, "recorded")[1], found_later) as telephone:
        assert await telephone.asks("last") == f"caller:{ANNA}"


async def test_do__confirmed__is_listed_with_its_origin_and_leaves_the_other_list(
    tmp_path: Path, store_url: str
) -> None:
    async with house(tmp_path / "l.db", store_url, *call(ANNA, 5, "recorded")) as telephone:
        assert await telephone.asks("do", ANNA, which="allow") == "allowed"
        assert await telephone.listed() == {"a" + ANNA}
        assert await telephone.asks("do", ANNA) == "blocked"
        [entry] = await telephone.lists.find(ANNA)
        assert (entry.kind, entry.reason, entry.source, entry.by) == (
            "block",
            "by star code",
            "handset",
            PHONE,
        )


@pytest.mark.parametrize("number", [BERT, CARL, *STRANGE])
async def test_do__somebody_who_did_not_call_this_telephone__is_refused(
    tmp_path: Path, store_url: str, number: str
) -> None:
    rows = [*call(ANNA, 5, "recorded"), *call(BERT, 4, "answered", peer=OTHER)]
    async with house(tmp_path / "l.db", store_url, *rows) as telephone:
        assert await telephone.asks("do", number) == "refused"
        assert await telephone.listed() == set()


@pytest.mark.parametrize("number", ["+861062345678", "110", "95588", "201"])
async def test_do__protected_number__is_refused(tmp_path: Path, store_url: str, number: str) -> None:
    async with house(tmp_path / "l.db", store_url, *call(number, 5, "recorded")) as telephone:
        assert await telephone.asks("last") == f"caller:{number}"
        assert await telephone.asks("do", number) == "refused"
        assert await telephone.listed() == set()


async def test_codes__from_an_endpoint_of_callers__learn_and_do_nothing(
    tmp_path: Path, store_url: str
) -> None:
    async with house(tmp_path / "l.db", store_url, *call(ANNA, 5, "recorded")) as telephone:
        assert await telephone.asks("last", phone=TRUNK) == "nobody"
        assert await telephone.asks("do", ANNA, phone=TRUNK) == "refused"
        assert await telephone.listed() == set()


async def test_codes__too_late_malformed_or_no_ledger__nothing_is_done(
    tmp_path: Path, store_url: str
) -> None:
    async with house(tmp_path / "l.db", store_url, *call(ANNA, 5, "recorded")) as telephone:
        telephone.sends("do", ANNA, ago_s=60)
        telephone.sends("undo", ANNA)
        telephone.sends("do", ANNA, which="both")
        await becomes_true(lambda: not telephone.codes._tasks)
        assert await telephone.listed() == set()
        (tmp_path / "l.db").rename(tmp_path / "away")
        assert await telephone.asks("do", ANNA) == "failed"
        assert await telephone.listed() == set()
        assert len(telephone.answers) == 1


async def test_codes__a_flood__no_more_than_a_few_are_followed_and_the_next_one_is(
    tmp_path: Path, store_url: str
) -> None:
    async with house(tmp_path / "l.db", store_url, *call(ANNA, 5, "recorded")) as telephone:
        for _ in range(200):
            telephone.sends("last")
        await becomes_true(lambda: len(telephone.answers) == AT_ONCE)
        await becomes_true(lambda: not telephone.codes._tasks)
        assert await telephone.asks("last") == f"caller:{ANNA}"
        assert len(telephone.answers) == AT_ONCE + 1


async def test_expect__from_our_telephone__opens_ten_minutes_for_all_that_ends_by_itself(
    tmp_path: Path, store_url: str
) -> None:
    async with house(tmp_path / "l.db", store_url, *call(ANNA, 5, "recorded")) as telephone:
        state = State(store_url)
        assert await telephone.asks("expect", phone=TRUNK, which="") == "unchanged"
        assert (await state.observe("", "", "1", count=False)).facts["house.expecting_code"] is False
        assert await telephone.asks("expect", which="") == "expecting"
        for caller in ("", ANNA):
            facts = (await state.observe(caller, "", "1", count=False)).facts
            assert facts["house.expecting_code"] is True
        async with connected(store_url) as client:
            (key,) = await client.keys("*expecting*")
            assert 590 < await client.ttl(key) <= 600
            await telephone.codes._learning.expect_code(3600)  # somebody dials 112
            assert await telephone.asks("expect", which="") == "expecting"
            assert await client.ttl(key) > 3500
        await state.close()


async def test_expect__store_away__is_told(tmp_path: Path) -> None:
    async with house(tmp_path / "l.db", f"unix://{tmp_path}/nowhere", *call(ANNA, 5, "x")) as telephone:
        assert await telephone.asks("expect", which="") == "failed"


async def test_do__store_away__is_told(tmp_path: Path) -> None:
    async with house(
        tmp_path / "l.db", f"unix://{tmp_path}/nowhere", *call(ANNA, 5, "recorded")
    ) as telephone:
        assert await telephone.asks("do", ANNA) == "failed"
