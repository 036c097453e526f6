"""The log of a real service over real calls: a line says which call it is about, and names nobody if told."""

from __future__ import annotations

import json

import pytest

from tests.pbx.faults import brief
from tests.pbx.house import FRIEND, House

pytestmark = pytest.mark.pbx


async def test_log__personal_hashed__names_nobody_and_ties_the_calls_of_one_together() -> None:
    number, name, did, said = "+8613955512345", "Wang Geheimnis", "4711815", b"a secret of ours"
    log = {"format": "json", "level": "debug", "personal": "hashed"}
    async with House.open(log=log) as house:
        house.pbx.spool.mkdir(mode=0o700)
        brief(house.pbx, "notice", "greeting")
        assert (await house.service.command("list", "add", "block", number))[0] == 0
        for _ in range(2):
            call = await house.call(number, did, name=name)
            await house.hears(call, "greeting")
            call.hangup()
            await house.ended(number=number, disposition="recorded")
        await house.caller.message(did, said, number)
        await house.service.logged("verdict on a message")
        assert await house.service.stop() == 0
        verdicts = [line for line in house.service.lines if line["event"] == "verdict"]
        assert len({line["caller"] for line in verdicts}) == 1
        assert all(line["call"] and line["pbx"] == f"127.0.0.1:{house.pbx.ami}" for line in verdicts)
        text = json.dumps(house.service.lines, ensure_ascii=False)
        assert "BLOCKLISTED" in text
        assert not [
            one
            for one in (number[1:], number[3:], "55512345", name, "Geheimnis", did, said.decode())
            if one in text
        ]
        assert [one.call["number"] for one in house.service.calls()] == [number] * 2


async def test_log__every_line_about_a_call__has_its_id() -> None:
    async with House.open(log={"format": "json", "level": "debug"}) as house:
        call = await house.call(FRIEND)
        await house.answered()
        call.hangup()
        record = await house.ended(number=FRIEND)
        await house.service.logged("call ended", call=record.call_id)
        assert await house.service.stop() == 0
        about = [line for line in house.service.lines if FRIEND in json.dumps(line) or "stage" in line]
        assert about
        assert {line.get("call") for line in about} == {record.call_id}
