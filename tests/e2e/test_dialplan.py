"""The dialplan alone: what it asks, how long it waits, what callers hear, and when a recording ends."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tests.pbx import sound
from tests.pbx.faults import Ear, brief, stopped
from tests.pbx.house import FRIEND, KEYS, House

if TYPE_CHECKING:
    from array import array
    from pathlib import Path

    from tests.pbx.asterisk import Asterisk
    from tests.pbx.ua import Dialog

TO_THE_ACTIONS = """
exten => 901,1,Gosub(screener-action-challenge,s,1)
 same => n,Dial(PJSIP/phone,30)
exten => 902,1,Set(CHANNEL(hangup_handler_push)=screener-end,s,1)
 same => n,Gosub(screener-action-voicemail,s,1)
"""
"""Extensions that take an action without a verdict: the screener is not needed for them."""
CHALLENGE, VOICEMAIL = "901", "902"
ALL = ("notice", "greeting", "press", "again", "thanks", "goodbye")
DEADLINE_MS, LOADED_MS = 1500, 800
PATIENT = "SCREENER_DEADLINE_MS=8000"
"""Where a test is not about time, a busy machine may take its own."""


def actions(**globals_: int | str) -> dict[str, str]:
    """An Asterisk with the extensions above and these globals."""
    lines = [f"SCREENER_{name}={value}" for name, value in globals_.items()]
    return {"extra": TO_THE_ACTIONS, "globals_": "\n".join(lines)}


def recorded(pbx: Asterisk) -> dict[str, Path]:
    """The files in the spool by leg."""
    return {path.stem.rpartition("-")[2]: path for path in pbx.spool.glob("*/*.wav")}


async def closed_recording(pbx: Asterisk, leg: str, within: float = 10) -> array[int]:
    """The samples of one leg, once Asterisk has closed it: only then its header is true."""
    async with asyncio.timeout(within):
        while True:
            path = recorded(pbx).get(leg)
            if path and path.stat().st_size > 44 and path.read_bytes()[4:8] != bytes(4):
                samples = sound.read_wav(path)
                if samples and path.stat().st_size >= 44 + 2 * len(samples):
                    return samples
            await asyncio.sleep(0.05)


def piece(prompt: str, language: str = "en") -> bytes:
    """The loudest 60 ms in the first 1.2 s of a prompt: silence would be heard in any other one too."""
    samples = sound.prompt(prompt, language)[: int(1.2 * sound.RATE)]
    loudest = max(range(0, len(samples) - 480, 80), key=lambda at: sum(map(abs, samples[at : at + 480])))
    return sound.ulaw(samples[loudest : loudest + 480])


async def hears(call: Dialog, prompt: str, language: str = "en") -> None:
    """Wait until the caller hears this prompt."""
    await call.hear({prompt: piece(prompt, language)})


async def over(call: Dialog, within: float) -> None:
    await asyncio.wait_for(call.ended.wait(), within)


# ---------------------------------------------------------------- the question


async def test_reject__threshold_reached__the_caller_is_refused_and_nothing_rings() -> None:
    site = {"policy.yaml": "actions:\n  challenge: off\n  voicemail: off\n  reject: 4\n"}
    async with House.open(site) as house:
        call = await house.withheld()
        await over(call, 10)
        assert call.status == 403
        record = await house.ended()
        assert (record.verdict["action"], record.disposition) == ("reject", "rejected")
        assert record.end["cause"] == 21
        assert house.silent


async def test_screening__same_channel_again__is_not_asked_twice() -> None:
    twice = (
        "exten => 2001,1,Gosub(screener,s,1(${EXTEN}))\n same => n,Gosub(screener,s,1(9999))\n"
        " same => n,GotoIf($[${GOSUB_RETVAL} = allow]?from-trunk,100,2)\n"
    )
    async with House.open(pbx={"extra": twice, "globals_": PATIENT}) as house, Ear.open(house.pbx) as ear:
        call = await house.call(FRIEND, to="2001")
        await house.answered()
        call.hangup()
        record = await house.ended()
        assert [event["Did"] for event in ear.events if event["UserEvent"] == "ScreenerAsk"] == ["2001"]
        assert sorted(row.kind for row in record.rows) == ["end", "setup"]
        assert (record.call["did"], record.end["did"], record.end["missed"]) == ("2001", "2001", "")


async def test_question__from_a_telephone_with_headers__carries_all_of_them() -> None:
    headers = (
        f'P-Asserted-Identity: "Anna" <sip:{FRIEND}@carrier>\r\n'
        "P-Attestation-Indicator: B\r\n"
        "Diversion: <sip:4711@carrier>;reason=unconditional\r\n"
    )
    async with House.open(screener=False) as house, Ear.open(house.pbx) as ear:
        await house.pbx.cli("dialplan set global SCREENER_USER test")
        await house.pbx.cli("dialplan set global SCREENER_HEARTBEAT 4000000000")
        call = await house.call(FRIEND, to="12345", headers=headers, agent="Carrier/1.0")
        asked = await ear.asked(FRIEND)
        call.hangup()
        assert (asked["Did"], asked["Name"], asked["Diversion"]) == ("12345", "Anna", "4711")
        assert (asked["Stage"], asked["Deadline"], asked["Attestation"]) == ("setup", "500", "B")
        assert (asked["Version"], asked["Challenge"]) == ("1", "")
        assert unquote(asked["Asserted"]) == f'"Anna" <sip:{FRIEND}@carrier>'
        assert asked["Agent"] == "Carrier%2F1.0"
        assert asked["Channel"].startswith("PJSIP/trunk-")


async def test_wait__caller_presses_keys__is_neither_shorter_nor_longer_and_forges_no_verdict() -> None:
    answered_first = (
        "exten => 903,1,Answer()\n same => n,Set(began=${STRFTIME(,,%s%6q)})\n"
        " same => n,Gosub(screener,s,1(${EXTEN}))\n"
        " same => n,Log(WARNING,waited $[(${STRFTIME(,,%s%6q)} - ${began}) / 1000] ms for ${GOSUB_RETVAL}:"
        "${SCREENER_SCORE}:)\n same => n,Dial(PJSIP/phone,30)\n"
    )
    pbx = {"extra": answered_first, "globals_": f"SCREENER_DEADLINE_MS={DEADLINE_MS}"}
    async with House.open(pbx=pbx) as house, Ear.open(house.pbx) as ear:
        assert house.service.process is not None
        with stopped(house.service.process.pid):
            call = await house.call(FRIEND, to="903")
            await asyncio.wait_for(call.answered.wait(), 5)
            await ear.asked(FRIEND)
            for key in "D5#D1D*D0":  # 0.16 s each: up to the very end of the wait
                call.press(key)
            await house.rings(10)
            call.hangup()
            end = await ear.ended(FRIEND)
        waited = re.search(r"waited ([\d.]+) ms for (\S+)", house.pbx.log())
        assert waited
        assert waited[2] == "allow::"
        assert DEADLINE_MS <= float(waited[1]) <= DEADLINE_MS + LOADED_MS
        assert (end["Missed"], end["Action"]) == ("late", "allow")
        assert float(end["Delay"]) >= DEADLINE_MS


async def test_wait__caller_holds_down_the_wake_up_key__still_gets_the_screeners_verdict() -> None:
    answered_first = (
        "exten => 903,1,Answer()\n same => n,Wait(0.5)\n same => n,Gosub(screener,s,1(${EXTEN}))\n"
        " same => n,Dial(PJSIP/phone,30)\n"
    )
    async with House.open(pbx={"extra": answered_first, "globals_": PATIENT}) as house:
        number = FRIEND
        await house.service.command("list", "add", "block", number, "--reason", "robocalls")
        call = await house.call(number, to="903")
        await asyncio.wait_for(call.answered.wait(), 5)
        for _ in range(10):
            call.press("D")
        await hears(call, "notice")
        call.hangup()
        record = await house.ended()
        assert (record.end["action"], record.end["missed"]) == ("voicemail", "")
        assert house.silent


async def test_wait__asterisk_cannot_press_the_wake_up_key__the_verdict_counts_at_the_deadline() -> None:
    async with House.open() as house:
        await house.pbx.cli("module unload app_senddtmf.so")
        call = await house.withheld()
        await hears(call, "press")
        call.hangup()
        record = await house.ended()
        assert (record.setup["action"], record.end["action"], record.end["missed"]) == (
            "challenge",
            "challenge",
            "",
        )
        assert record.end["delay_ms"] >= 499


async def test_verdict__its_action_is_not_in_the_dialplan__the_call_rings() -> None:
    async with House.open(pbx={"globals_": PATIENT}) as house:
        await house.pbx.cli("dialplan remove context screener-action-challenge")
        call = await house.withheld()
        await house.answered()
        await asyncio.wait_for(call.answered.wait(), 5)
        call.hangup()
        record = await house.ended()
        assert (record.setup["action"], record.end["action"]) == ("challenge", "allow")
        assert record.disposition == "answered"
        assert "no action challenge in the dialplan: letting the call through" in house.pbx.log()


# ---------------------------------------------------------------- the voicemail


async def test_voicemail__caller_falls_silent__the_message_ends_after_that_silence() -> None:
    async with House.open(screener=False, pbx=actions(SILENCE_S=1)) as house:
        brief(house.pbx, *ALL)
        call = await house.call(to=VOICEMAIL)
        await hears(call, "greeting")
        await call.say(sound.tone(1.0))
        await over(call, 15)
        samples = await closed_recording(house.pbx, "caller")
        tone_ends = max(
            at for at in range(0, len(samples), 400) if sound.strength(samples[at : at + 400], 440) > 0.8
        )
        assert 0.8 <= (len(samples) - tone_ends) / sound.RATE <= 3.5
        # In step: 16.28 alone would leave out what did not arrive in time.
        assert len(samples) == len(await closed_recording(house.pbx, "mix"))


async def test_voicemail__caller_talks_without_end__the_message_ends_at_its_limit() -> None:
    async with House.open(screener=False, pbx=actions(MESSAGE_MAX_S=2)) as house:
        brief(house.pbx, *ALL)
        call = await house.call(to=VOICEMAIL)
        await asyncio.wait_for(call.answered.wait(), 5)
        second = sound.tone(1.0)
        call.rtp.queue += [second[at : at + 160] for at in range(0, len(second), 160)] * 60
        await over(call, 20)
        samples = await closed_recording(house.pbx, "caller")
        # greeting 1.2 s, beep, 2 s
        assert 3 <= len(samples) / sound.RATE <= 8
        assert sound.strength(samples[-4000:], 440) > 0.8


async def test_voicemail__caller_sends_no_sound_at_all__ends_by_itself() -> None:
    async with House.open(screener=False, pbx=actions(SILENCE_S=1)) as house, Ear.open(house.pbx) as ear:
        brief(house.pbx, *ALL)
        house.caller._hear = lambda *_: None  # type: ignore[method-assign]  # it never learns where to send
        call = await house.call(to=VOICEMAIL)
        await over(call, 15)
        assert call.answered.is_set()
        assert (await ear.ended(FRIEND))["Action"] == "voicemail"


async def test_voicemail__hang_up_in_the_notice__leaves_no_recording() -> None:
    async with House.open(screener=False, pbx=actions()) as house, Ear.open(house.pbx) as ear:
        call = await house.call(to=VOICEMAIL)
        await hears(call, "notice")
        call.hangup()
        end = await ear.ended(FRIEND)
        assert (end["Recording"], end["Notice"]) == ("", "")
        assert not recorded(house.pbx)


async def test_voicemail__hang_up_in_the_greeting__leaves_what_there_was() -> None:
    async with House.open(screener=False, pbx=actions()) as house, Ear.open(house.pbx) as ear:
        brief(house.pbx, "notice")
        call = await house.call(to=VOICEMAIL)
        await hears(call, "greeting")
        call.hangup()
        end = await ear.ended(FRIEND)
        assert end["Recording"]
        assert end["Notice"]
        for leg in ("caller", "mix"):
            assert 0.5 <= len(await closed_recording(house.pbx, leg)) / sound.RATE <= 8


# ---------------------------------------------------------------- the prompts


async def test_challenge__prompt_sounds_missing__the_call_rings() -> None:
    async with House.open(screener=False, pbx=actions()) as house:
        (house.pbx.directory / "data/sounds/en/screener").unlink()
        call = await house.call(to=CHALLENGE)
        await house.answered(within=10)
        call.hangup()
        assert "the prompt sounds are missing: letting the call through" in house.pbx.log()


async def test_voicemail__prompt_sounds_missing__asterisks_own_notice_comes_before_the_recording() -> None:
    async with House.open(screener=False, pbx=actions(SILENCE_S=1)) as house, Ear.open(house.pbx) as ear:
        (house.pbx.directory / "data/sounds/en/screener").unlink()
        call = await house.call(to=VOICEMAIL)
        await over(call, 25)
        assert (await ear.ended(FRIEND))["Notice"]
        assert len(await closed_recording(house.pbx, "mix")) > sound.RATE / 2
        assert "using Asterisk's own" in house.pbx.log()


async def test_voicemail__no_notice_at_all__nothing_is_recorded() -> None:
    async with House.open(screener=False, pbx=actions(SILENCE_S=1)) as house, Ear.open(house.pbx) as ear:
        sounds = house.pbx.directory / "data/sounds/en"
        for name in ("screener", "vm-intro.gsm"):
            (sounds / name).unlink()
        call = await house.call(to=VOICEMAIL)
        await over(call, 25)
        end = await ear.ended(FRIEND)
        assert (end["Recording"], end["Notice"]) == ("", "")
        assert not recorded(house.pbx)


async def test_prompts__language_chosen__callers_hear_it() -> None:
    async with House.open(screener=False, pbx=actions(LANGUAGE="zh")) as house:
        asked, recording = await asyncio.gather(house.call(to=CHALLENGE), house.call(to=VOICEMAIL))
        await asyncio.gather(hears(asked, "press", "zh"), hears(recording, "notice", "zh"))
        asked.hangup()
        recording.hangup()


async def test_prompts__profile_names_a_language__goes_before_that_of_the_dialplan() -> None:
    site = {"profiles.yaml": "profiles: {shop: {description: s, did: [102], language: zh}}\n"}
    async with House.open(site, pbx=actions(LANGUAGE="en")) as house:
        theirs, ours = await asyncio.gather(house.withheld("102"), house.withheld("103"))
        await asyncio.gather(hears(theirs, "press", "zh"), hears(ours, "press", "en"))
        theirs.hangup()
        ours.hangup()


async def test_prompts__no_language_chosen__is_the_channels_own() -> None:
    extra = TO_THE_ACTIONS.replace("901,1,", "901,1,Set(CHANNEL(language)=zh)\n same => n,")
    async with House.open(screener=False, pbx={"extra": extra}) as house:
        call = await house.call(to=CHALLENGE)
        await hears(call, "press", "zh")
        call.hangup()


async def test_challenge__caller_presses_the_wake_up_key_for_ever__fails_as_any_wrong_key() -> None:
    async with House.open() as house:
        call = await house.withheld()
        # The first of them may be a late wake-up of the screener's own.
        await house.obeys(call, instead="D" * (1 + KEYS))
        await house.obeys(call, instead="D" * KEYS)
        await hears(call, "notice")
        call.hangup()
        record = await house.ended()
        assert record.end["challenge"] == "failed"


async def test_dialplan__of_another_version__callers_do_not_go_on_waiting() -> None:
    async with House.open(screener=False) as house:
        main = house.pbx.directory / "etc/screener/screener.conf"
        main.write_text(main.read_text().replace("Version: 1", "Version: 2"))
        await house.pbx.cli("dialplan reload")
        await house.service.start()
        call = await house.call()
        await house.answered()
        call.hangup()
        await house.service.logged("calls ring unscreened")
        placed = time.monotonic()
        await house.call()
        await house.rings()
        assert time.monotonic() - placed < DEADLINE_MS / 1000
