"""What calls teach, on a real Asterisk: friends are challenged once, whom we dial rings, messages count."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from screener.state import Learning, State
from screener.voicemail import Mailboxes
from tests.pbx import sound
from tests.pbx.faults import Ear
from tests.pbx.house import COLLECTOR, FRIEND, OUTSIDE, House
from tests.valkey import store_url, valkey_server

__all__ = ["store_url", "valkey_server"]

PREFIX_RULE = {
    # At any hour of the day that this test is run.
    "rules/collection.yaml": "enabled: true\nrules: {COLLECTOR_AT_NIGHT: {enabled: false}}\n"
}
TRUST = {"long_call_s": 1}
TALKATIVE = {"format": "json", "level": "debug"}
FORWARDED = """exten => 2002,1,Gosub(screener,s,1(${EXTEN}))
 same => n,Gosub(screener-dialled,s,1(+8617700000001))
 same => n,Dial(PJSIP/phone,30)
"""
MAILBOX = """exten => 301,1,Set(CHANNEL(hangup_handler_push)=screener-end,s,1)
 same => n,VoiceMail(100@default,s)
exten => 302,1,VoiceMailMain(100@default,s)
 same => n,Hangup()
"""
VOICEMAIL_CONF = "[general]\nformat=wav\nminsecs=0\nmaxsilence=0\n[default]\n100 => 1,Anna\n"


async def test_friend__with_a_prefix_that_is_challenged__is_challenged_once_and_rings_the_next_time() -> None:
    async with House.open(PREFIX_RULE, trust=TRUST, log=TALKATIVE) as house:
        first = await house.call(COLLECTOR)
        await house.obeys(first)
        await house.answered(within=10)
        await first.say(sound.tone(2.5))
        first.hangup()
        record = await house.ended(number=COLLECTOR)
        assert (record.setup["action"], record.end["challenge"]) == ("challenge", "passed")
        assert record.end["talk_s"] >= 1
        await house.service.logged("learned", caller=COLLECTOR)
        second = await house.call(COLLECTOR)
        await house.answered()
        second.hangup()
        record = await house.service.record(lambda one: one.end and one.call_id != record.call_id)
        assert (record.setup["action"], record.end["challenge"]) == ("allow", "")
        scores = {hit["symbol"]: hit["score"] for hit in record.setup["hits"]}
        assert (scores["COLLECTOR_PREFIX"], scores["KNOWN_CALLER"], record.setup["score"]) == (4, -4, 0)


async def test_number_that_we_dialled__with_a_prefix_that_is_challenged__rings_when_it_calls() -> None:
    async with House.open(PREFIX_RULE, log=TALKATIVE, pbx={"extra": OUTSIDE}) as house:
        theirs = await house.dials(COLLECTOR)
        theirs.hangup()
        await house.service.logged("learned", caller=COLLECTOR)
        back = await house.call(COLLECTOR)
        await house.answered()
        back.hangup()
        record = await house.ended(number=COLLECTOR)
        assert "DIALLED_BY_US" in {hit["symbol"] for hit in record.setup["hits"]}
        assert len(house.service.calls()) == 1, "a call of ours is no call from outside"
        code, shown = await house.service.command("explain", COLLECTOR)
        assert (code, "DIALLED_BY_US" in shown) == (0, True), shown
        code, shown = await house.service.command("trust", "show", COLLECTOR)
        assert "caller.dialled_by_us_days = 9999 " not in shown
        assert (await house.service.command("trust", "forget", COLLECTOR))[0] == 0
        assert (await house.service.command("trust", "forget", COLLECTOR))[0] == 1
        code, shown = await house.service.command("explain", COLLECTOR)
        assert "DIALLED_BY_US" not in shown


async def test_outgoing_call__screener_away__waits_for_nothing_and_is_told_once() -> None:
    async with House.open(screener=False, pbx={"extra": OUTSIDE}) as house, Ear.open(house.pbx) as ear:
        began = time.monotonic()
        theirs = await house.dials(COLLECTOR)
        assert time.monotonic() - began < 3
        theirs.hangup()
        told = await ear.heard("ScreenerDialled")
        assert (told["Number"], told["Dialstatus"], told["Version"]) == ("%2B8617712345678", "ANSWER", "1")
        assert told["Channel"].startswith("PJSIP/phone-")
        assert sum(event["UserEvent"] == "ScreenerDialled" for event in ear.events) == 1


async def test_outgoing_call__our_dialplan_is_missing__goes_out_all_the_same() -> None:
    once = OUTSIDE.replace(" same => n,Gosub(screener-dialled,s,1(${EXTEN}))\n", "")
    async with House.open(screener=False, pbx={"extra": once}) as house:
        await house.pbx.cli("dialplan remove context screener-dialled")
        (await house.dials(COLLECTOR)).hangup()


async def test_call_from_outside__that_is_forwarded__teaches_nothing_about_where_it_went() -> None:
    async with House.open(pbx={"extra": FORWARDED}) as house, Ear.open(house.pbx) as ear:
        call = await house.call(FRIEND, to="2002")
        await house.answered()
        call.hangup()
        await ear.ended(FRIEND)
        assert {event["UserEvent"] for event in ear.events} == {"ScreenerAsk", "ScreenerEnd"}


@pytest.mark.parametrize(
    ("keys", "good", "bad"),
    [("1~", 0.5, 0.0), ("191#", 0.5, 0.0), ("17#", 0.0, 0.5)],
    ids=["heard and left", "saved", "deleted"],
)
async def test_message__heard_on_the_real_voicemail__speaks_for_or_against_its_caller(
    keys: str, good: float, bad: float, store_url: str
) -> None:
    async with (
        House.open(screener=False, pbx={"extra": MAILBOX}) as house,
        Ear.open(house.pbx) as ear,
    ):
        if not (house.pbx.binary.modules / "app_voicemail.so").exists():
            pytest.skip("app_voicemail is missing: Debian 11 has it in the package asterisk-voicemail")
        (house.pbx.directory / "etc/voicemail.conf").write_text(VOICEMAIL_CONF)
        loaded = await house.pbx.cli("module load app_voicemail.so")
        assert "Loaded" in loaded, loaded
        ends = []
        for _ in range(2):  # the other one will be given its name
            call = await house.call(FRIEND, to="301")
            await asyncio.wait_for(call.answered.wait(), 10)
            await call.say(sound.tone(1.5))
            call.hangup()
            ends.append(await ear.ended(FRIEND))
            ear.events.clear()
        spool = house.pbx.directory / "spool/voicemail"
        learning, state = Learning(store_url, 90), State(store_url)
        mailboxes = Mailboxes(str(spool), learning, clock=time.time)

        async def known() -> dict[str, Any]:
            await mailboxes.look()
            await mailboxes.look()
            facts = (await state.observe(FRIEND, "", "1", count=False)).facts
            return {name: round(float(facts[name]), 2) for name in ("caller.good_calls", "caller.bad_calls")}

        path = ends[0]["Voicemail"].replace("%2F", "/")
        assert path == str(spool / "default/100/INBOX/msg0000")
        await mailboxes.remember(ends[0]["Uniqueid"], FRIEND, path, datetime.now(UTC))
        assert len(await learning.messages()) == 1
        assert await known() == {"caller.good_calls": 0.0, "caller.bad_calls": 0.0}
        reader = await house.call("+8613900000001", to="302")
        await asyncio.wait_for(reader.answered.wait(), 10)
        for key in keys:
            if key == "~":
                await reader.hear({"the message": sound.tone(1.0)[800:1280]})
                reader.hangup()
            else:
                reader.press(key)
        await asyncio.wait_for(reader.ended.wait(), 20)
        async with asyncio.timeout(10):  # Asterisk orders the mailbox after a hangup, and tells nobody
            while (await known()) != {"caller.good_calls": good, "caller.bad_calls": bad}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await known() == {"caller.good_calls": good, "caller.bad_calls": bad}
        assert not await learning.messages()
        await learning.close()
        await state.close()
