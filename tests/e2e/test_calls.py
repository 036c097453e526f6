"""What callers of each kind experience, on a real Asterisk with real sound."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.pbx import sound
from tests.pbx.house import FRIEND, STRANGER, House

if TYPE_CHECKING:
    from screener.ledger import CallRecord

IMPOSSIBLE = "+99912345"
"""A caller ID that cannot exist: challenged at every call."""
SLOW_S = 1.5
"""What a person takes to find a key, from the beginning of its name on."""
THROUGH_S = 10.0
"""From the answer to our telephone's ringing, for a person who finds his keys."""


async def asked(house: House) -> CallRecord:
    """The call, once its challenge has been judged."""
    return await house.service.record(lambda one: any(row.kind == "challenge" for row in one.rows))


def sha256(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


async def test_call__from_nobody_in_particular__rings_and_is_filed() -> None:
    async with House.open() as house:
        call = await house.call(FRIEND)
        phone = await house.answered()
        assert phone.number == FRIEND
        call.hangup()
        record = await house.ended(number=FRIEND)
        assert record.verdict["action"] == "allow"
        assert record.disposition == "answered"


async def test_call__blocklisted__is_recorded_after_the_notice() -> None:
    async with House.open() as house:
        code, output = await house.service.command("list", "add", "block", STRANGER, "--reason", "robocalls")
        assert code == 0, output
        call = await house.call(STRANGER)
        await house.hears(call, "notice")
        await house.hears(call, "greeting")
        await call.say(sound.tone(1.5))
        call.hangup()
        record = await house.service.record(lambda one: len(one.recordings) == 2)
        assert house.silent
        assert [hit["symbol"] for hit in record.verdict["hits"] if hit["force"]] == ["BLOCKLISTED"]
        assert record.disposition == "recorded"
        legs = {one["leg"]: one for one in record.recordings}
        for leg in legs.values():
            assert leg["complete"]
            assert leg["notice_played_at"]
            assert sha256(leg["path"]) == leg["sha256"]
        heard = sound.read_wav(Path(legs["caller"]["path"]))
        assert sound.strength(heard[-8000:], 440) > 0.8
        assert sound.strength(sound.read_wav(Path(legs["mix"]["path"]))[-8000:], 440) > 0.05


async def test_call__withheld_person__passes_the_challenge_and_rings() -> None:
    async with House.open() as house:
        call = await house.withheld()
        await asyncio.wait_for(call.answered.wait(), 5)
        picked_up = time.monotonic()
        await house.obeys(call, thinks_s=SLOW_S)
        ringing = await house.answered(within=10)
        assert ringing.began - picked_up < THROUGH_S
        call.hangup()
        record = await house.ended()
        assert record.setup["action"] == "challenge"
        assert record.verdict["action"] == "allow"
        assert record.end["challenge"] == "passed"
        assert record.disposition == "answered"


async def test_challenge__passed_with_a_number__the_next_call_rings_at_once_and_the_ledger_says_why() -> None:
    async with House.open(log={"format": "json", "level": "debug"}) as house:
        first = await house.call(IMPOSSIBLE)
        await house.obeys(first)
        await house.answered(within=10)
        await house.service.logged("learned", from_event=f"challenge-{(await asked(house)).call_id}")
        first.hangup()
        await house.ended(number=IMPOSSIBLE)
        second = await house.call(IMPOSSIBLE)
        await house.answered()
        second.hangup()
        record = await house.service.record(lambda one: one.end and not one.end["challenge"])
        scores = {hit["symbol"]: hit["score"] for hit in record.setup["hits"]}
        assert (scores["INVALID_NUMBER"], scores["CHALLENGE_PASS"], record.setup["action"]) == (
            4,
            -4,
            "allow",
        )


async def test_challenge__wrong_keys_and_hung_up_twice__the_third_call_is_recorded_unasked() -> None:
    async with House.open(log={"format": "json", "level": "debug"}) as house:
        seen = set[str]()
        for _ in range(2):
            call = await house.call(IMPOSSIBLE)
            await house.obeys(call, instead="**")
            await house.hears(call, "again")
            call.hangup()
            record = await house.service.record(lambda one: one.end and one.call_id not in seen)
            seen.add(record.call_id)
            await house.service.logged("learned", from_event=f"challenge-{record.call_id}")
        call = await house.call(IMPOSSIBLE)
        await house.hears(call, "notice")
        call.hangup()
        record = await house.ended(action="voicemail")
        assert "CHALLENGES_FAILED" in {hit["symbol"] for hit in record.setup["hits"]}
        assert house.silent


async def test_challenge__second_key_wrong__new_keys_are_named_and_count() -> None:
    async with House.open() as house:
        call = await house.withheld()
        call.press((await house.hears_keys(call))[0])
        call.press("*")
        await house.hears(call, "again")
        await house.obeys(call)
        await house.answered(within=10)
        call.hangup()
        assert (await house.ended()).end["challenge"] == "passed"


async def test_challenge__first_key_pressed_into_the_naming_of_the_second__that_one_is_named_again() -> None:
    async with House.open() as house:
        call = await house.withheld()
        named = await house.hears_keys(call)
        call.press(named[0])
        assert await house.hears_key(call, after=len(call.rtp.heard)) == named[1]
        call.press(named[1])
        await house.answered(within=10)
        call.hangup()
        assert (await house.ended()).end["challenge"] == "passed"


async def test_challenge__robots_mute_or_talking_over_it__are_recorded_and_nothing_rings() -> None:
    async with House.open(pbx={"globals_": "SCREENER_KEY_WAIT_S=1"}) as house:
        mute, loud = await house.withheld("101"), await house.withheld("102")
        await asyncio.wait_for(loud.answered.wait(), 5)
        speech = sound.tone(1.0)
        loud.rtp.queue += [speech[at : at + 160] for at in range(0, len(speech), 160)] * 20
        await asyncio.gather(house.hears(mute, "notice"), house.hears(loud, "notice"))
        for call, did in ((mute, "101"), (loud, "102")):
            call.hangup()
            assert (await house.ended(did=did)).end["challenge"] == "failed"
        assert house.silent


async def test_challenge__robot_presses_keys_all_the_time__fails_and_is_recorded() -> None:
    async with House.open() as house:
        call = await house.withheld()
        await asyncio.wait_for(call.answered.wait(), 5)
        call.rtp.keys += "*" * 300  # 0.16 s each, in every window
        await house.hears(call, "notice", 30)
        call.hangup()
        assert (await house.ended()).end["challenge"] == "failed"
        assert house.silent
