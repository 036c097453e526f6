"""What the screener recorded, in the mailbox that the telephone knows: lamp, e-mail and reason."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from tests.pbx import sound
from tests.pbx.faults import Ear, brief, somebody
from tests.pbx.house import House
from tests.webhook import Target

if TYPE_CHECKING:
    from screener.ledger import CallRecord

ROBOTS = "+86137"
VOICEMAIL_CONF = """
[general]
format=wav
charset=UTF-8
mailcmd=cat > {mail}
emailbody=from ${{VM_CIDNUM}} named ${{VM_CIDNAME}}: ${{VM_CATEGORY}}
[default]
100 => 1234,Somebody,somebody@example.org
"""
MODEL = """\
import pathlib, time
from types import SimpleNamespace

class WhisperModel:
    def __init__(self, model, **how):
        pass

    def transcribe(self, file, **how):
        while not pathlib.Path({gate!r}).exists():
            time.sleep(0.05)
        about = SimpleNamespace(language="en", language_probability=0.9)
        return [SimpleNamespace(text="call me back")], about
"""
TO_100 = {"deliver_to": {"100": "100@default", "102*": "nobody@default"}}


async def mailbox(house: House) -> Path:
    """Load Asterisk's own voicemail; the file into which it writes its e-mail."""
    mail = house.pbx.directory / "mail"
    conf = house.pbx.directory / "etc/voicemail.conf"
    conf.write_text(VOICEMAIL_CONF.format(mail=mail))
    if not (house.pbx.binary.modules / "app_voicemail.so").exists():
        pytest.skip("app_voicemail is missing: Debian 11 has it in the package asterisk-voicemail")
    loaded = await house.pbx.cli("module load app_voicemail.so")
    assert "Loaded" in loaded, loaded
    (house.pbx.directory / "log/cdr-csv").mkdir()
    assert "Loaded" in await house.pbx.cli("module load cdr_csv.so")
    brief(house.pbx, "notice", "greeting")
    code, output = await house.service.command("list", "add", "block", f"{ROBOTS}*", "--reason", "robots")
    assert code == 0, output
    return mail


async def leaves_message(house: House, ear: Ear, to: str = "100") -> dict[str, str]:
    """A blocked caller speaks a tone of one second; the event of the call's end."""
    call = await house.call(number := somebody(ROBOTS), to=to)
    await house.hears(call, "greeting")
    await call.say(sound.tone(1.0))
    call.hangup()
    return await ear.ended(number)


async def delivered(house: House, call_id: str) -> tuple[CallRecord, dict[str, str]]:
    """Wait for what became of the message."""
    record = await house.service.record(
        lambda one: one.call_id == call_id and any(row.kind == "delivered" for row in one.rows), 25
    )
    return record, next(dict(row.body) for row in record.rows if row.kind == "delivered")


async def test_recording__with_a_mailbox_for_its_number__lights_the_lamp_and_is_mailed_with_its_reason() -> (
    None
):
    async with House.open(voicemail=TO_100) as house, Ear.open(house.pbx, events="on") as ear:
        mail = await mailbox(house)
        end = await leaves_message(house, ear)
        record, row = await delivered(house, end["Uniqueid"])
        assert (row["mailbox"], row["status"]) == ("100@default", "SUCCESS")
        lamps = [await ear.raised(Event="MessageWaiting", Mailbox="100@default", New=new) for new in "01"]
        assert [lamp["Waiting"] for lamp in lamps] == ["0", "1"]
        message = Path(row["message"])
        assert message.parent == house.pbx.directory / "spool/voicemail/default/100/INBOX"
        mix = next(Path(one["path"]) for one in record.recordings if one["leg"] == "mix")
        heard, kept = sound.read_wav(message.with_suffix(".wav")), sound.read_wav(mix)
        assert abs(len(heard) - len(kept)) / sound.RATE < 1.5
        step = sound.RATE // 20
        assert (
            sum(sound.strength(heard[at : at + step], 440) > 0.5 for at in range(0, len(heard) - step, step))
            / 20
            >= 0.5
        )
        text = message.with_suffix(".txt").read_text()
        number = unquote(end["Number"])
        assert f"<{number}>" in text
        assert "BLOCKLISTED" in next(line for line in text.splitlines() if line.startswith("callerid="))
        assert f"from {number} named " in mail.read_text()
        assert "score 0, decided by BLOCKLISTED: BLOCKLISTED(+0)" in mail.read_text()
        # Of this no call is made: no telephone has rung, no call record was written.
        assert house.silent
        assert "Local/" not in (house.pbx.directory / "log/cdr-csv/Master.csv").read_text()
        assert "0 active channels" in await house.pbx.cli("core show channels")


async def test_recording__no_mailbox_for_its_number_or_none_there__stays_filed_and_is_told() -> None:
    async with House.open(voicemail=TO_100) as house, Ear.open(house.pbx, events="on") as ear:
        await mailbox(house)
        none, missing = [await leaves_message(house, ear, to) for to in ("101", "102")]
        record, row = await delivered(house, missing["Uniqueid"])
        assert (row["mailbox"], row["status"]) == ("nobody@default", "FAILED")
        assert len(record.recordings) == 2
        await house.service.logged("a message was not delivered", level="error")
        assert len((await house.ended(number=unquote(none["Number"]))).recordings) == 2
        assert "0 active channels" in await house.pbx.cli("core show channels")


async def test_recording__with_a_notification__arrives_and_a_target_that_hangs_delays_no_call() -> None:
    with Target() as target, Target() as hangs:
        hangs.open.clear()
        notify = {"urls": [target.url, hangs.url], "events": ["recorded"]}
        async with House.open(notify=notify) as house, Ear.open(house.pbx) as ear:
            await mailbox(house)
            end = await leaves_message(house, ear)
            told = await asyncio.to_thread(target.taken.get, timeout=15)
            who = unquote(end["Number"])
            assert told["title"] == f"{who} left a message for 100 · {who} 给 100 留言"
            assert told["message"].startswith("score 0, decided by BLOCKLISTED")
            other = await leaves_message(house, ear)
            record = await house.ended(number=unquote(other["Number"]))
            assert record.end["delay_ms"] < 500
            assert "secret" not in str(house.service.lines)


class Gate:
    """A speech recognition that needs no model, and waits until it may go on."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = directory / "gate"
        (directory / "faster_whisper.py").write_text(MODEL.format(gate=str(self.path)))
        monkeypatch.setenv("PYTHONPATH", str(directory))


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return Gate(tmp_path, monkeypatch).path


def inbox(house: House) -> list[str]:
    """What lies in the mailbox, and why."""
    folder = house.pbx.directory / "spool/voicemail/default/100/INBOX"
    return [one.read_text() for one in sorted(folder.glob("*.txt"))]


async def shows(house: House, command: str, what: str) -> None:
    """Wait until Asterisk's console says so."""
    async with asyncio.timeout(20):
        while what not in await house.pbx.cli(command):  # noqa: ASYNC110 - a console
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("waits", [True, False], ids=["the channel waits", "no channel waits any more"])
async def test_recording__screener_killed_while_it_is_transcribed__is_delivered_and_told_once(
    gate: Path, *, waits: bool
) -> None:
    with Target() as target:
        settings: dict[str, Any] = {
            "voicemail": TO_100,
            "transcription": {"enabled": "true"},
            "notify": {"urls": [target.url], "events": ["recorded"]},
        }
        pbx = {} if waits else {"globals_": "SCREENER_DELIVER_MS=1500"}
        async with House.open(pbx=pbx, **settings) as house, Ear.open(house.pbx, events="on") as ear:
            await mailbox(house)
            end = await leaves_message(house, ear)
            await house.service.record(lambda one: len(one.recordings) == 2)
            await house.service.kill()
            if not waits:
                await shows(house, "core show channels", "0 active channels")
            await asyncio.to_thread(gate.touch)
            await house.service.start()
            if not waits:
                await shows(house, "dialplan show globals", f"SCREENER_OWED={end['Uniqueid']}:")
                (await house.call(somebody())).hangup()
            _, row = await delivered(house, end["Uniqueid"])
            assert row["status"] == "SUCCESS"
            told = await asyncio.to_thread(target.taken.get, timeout=15)
            assert "said: call me back" in told["message"]
            # Whatever is told twice would be told before this one.
            await house.service.kill()
            await house.service.start()
            _, row = await delivered(house, (await leaves_message(house, ear))["Uniqueid"])
            assert row["status"] == "SUCCESS"
            assert (await asyncio.to_thread(target.taken.get, timeout=15))["title"] != told["title"]
            assert target.taken.empty()
            assert ["said: call me back" in one for one in inbox(house)] == [True, True]


async def test_recording__screener_killed_while_asterisk_takes_it__lies_there_once_and_that_is_filed() -> (
    None
):
    async with House.open(voicemail=TO_100) as house, Ear.open(house.pbx, events="on") as ear:
        await mailbox(house)
        end = await leaves_message(house, ear)
        await shows(house, "dialplan show globals", f"/{end['Uniqueid']}=begun")
        await house.service.kill()
        await shows(house, "dialplan show globals", f"/{end['Uniqueid']}=SUCCESS")
        await house.service.start()
        _, row = await delivered(house, end["Uniqueid"])
        assert (row["mailbox"], row["status"]) == ("100@default", "SUCCESS")
        assert len(inbox(house)) == 1


async def test_recording__asterisk_restarted_while_it_is_transcribed__no_other_goes_into_its_mailbox(
    gate: Path,
) -> None:
    settings: dict[str, Any] = {"voicemail": TO_100, "transcription": {"enabled": "true"}}
    async with House.open(**settings) as house:
        await mailbox(house)
        async with Ear.open(house.pbx, events="on") as ear:
            first = await leaves_message(house, ear)
            await house.service.record(lambda one: len(one.recordings) == 2)
            await shows(house, "core show channels", "ask@screener-deliver")
        house.pbx.kill()
        house.pbx.spawn()
        await house.pbx.ready()
        assert "Loaded" in await house.pbx.cli("module load app_voicemail.so")
        await shows(house, "dialplan show globals", "SCREENER_DELIVERS=yes")
        async with Ear.open(house.pbx, events="on") as ear:
            other = await leaves_message(house, ear, "101")
            # Its channel has the name of that which asked before, for Asterisk counts anew.
            await shows(house, "core show channels", "ask@screener-deliver")
            await asyncio.to_thread(gate.touch)
            await shows(house, "dialplan show globals", f"SCREENER_OWED={first['Uniqueid']}:")
            assert inbox(house) == []
            (await house.call(somebody())).hangup()
            _, row = await delivered(house, first["Uniqueid"])
            assert row["status"] == "SUCCESS"
            assert [unquote(first["Number"]) in one for one in inbox(house)] == [True]
            record = await house.ended(number=unquote(other["Number"]))
            assert all(row.kind != "delivered" for row in record.rows)
