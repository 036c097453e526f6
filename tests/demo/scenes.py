"""What the demonstration shows, each scene a short story about real calls.

The scenes of an act run at once; within an act the quick ones come first, since the board
shows them in this order.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import datetime
from typing import TYPE_CHECKING

from screener import config
from screener.errors import BundleAltered
from screener.listening import INSTALL, INSTALLED
from tests.demo.line import End
from tests.demo.scene import Skipped
from tests.pbx import sound
from tests.pbx.house import KEYS

if TYPE_CHECKING:
    from tests.demo.line import Line
    from tests.demo.scene import Play, Scene
    from tests.demo.stage import Stage

FRIEND = "+8613912345678"
NOBODY_KNOWN = "+8613800138000"
BLOCKED = "+8613700137000"
SWEEPER = "+862155500100"
COLLECTOR = "+8617712345678"
IMPOSSIBLE = "+99912345"
ODD = "+99954321"
ROBOCALLERS = ("+8613712340001", "+8613712340002", "+8613712340003")
ROTATING = ("+8613866001111", "+8613866002222", "+8613866003333", "+8613866004444")
SCHOOL = "+862166661234"
HOSTILE = "Bob,Channel: PJSIP/evil"

PITCH = "Your car warranty ends today. Press one now."
OFFER = "You have won a holiday. Call us back today."
COLLECTION = "您好，您的借款已经逾期，请尽快还款。"
WARRANTY = (
    "We have been trying to reach you about the warranty of your car. It is about to expire, and this is "
    "the last courtesy call before we close your file."
)
CLOSED = "The school is closed today."
SWEEP = ("201", "202", "203", "204")


async def prepare(stage: Stage) -> None:
    """Make the list entries, and the recordings that the robots play."""
    await asyncio.gather(
        stage.enlist("allow", FRIEND, "a friend"),
        *(stage.enlist("block", number, "robocalls") for number in (BLOCKED, *ROBOCALLERS[:2])),
        *(asyncio.to_thread(spoken) for spoken in (pitch, offer, collection, warranty, closed)),
    )


async def friend(scene: Scene) -> None:
    """A friend on the allow list rings, and the two hear each other."""
    async with scene.call(FRIEND, to="101", should=End.ANSWERED) as call:
        await call.converses()


async def hostile_name(scene: Scene) -> None:
    """A caller name that tries to forge an event is only a name."""
    async with scene.call(NOBODY_KNOWN, to="102", should=End.ANSWERED, name=HOSTILE) as call:
        await call.converses()
    told = call.question.get("call", {})
    call.check(told.get("name") == HOSTILE, f"the name arrived as {told.get('name')!r}")
    call.check(told.get("trunk") == "PJSIP/trunk", f"the name forged the channel {told.get('channel')!r}")


async def sweep(scene: Scene) -> None:
    """Somebody new dials through our numbers: let through at first, then caught."""
    for called in SWEEP[:-1]:
        async with scene.call(SWEEPER, to=called, should=End.ANSWERED) as call:
            await call.converses()
    async with scene.call(SWEEPER, to=SWEEP[-1], should=End.VOICEMAIL) as call:
        await call.leaves(offer())


async def person(scene: Scene) -> None:
    """A person who withholds his number presses the keys he is told, and rings."""
    async with scene.withheld(to="103", should=End.PASSED) as call:
        await call.obeys()
        await call.converses()


async def blocked(scene: Scene) -> None:
    """A caller on the block list hears the notice and is recorded."""
    async with scene.call(BLOCKED, to="104", should=End.VOICEMAIL) as call:
        await call.hears("notice")
        await call.leaves(pitch())


async def impossible_number(scene: Scene) -> None:
    """A caller ID that cannot exist: challenged, guesses the keys twice, is recorded."""
    async with scene.call(IMPOSSIBLE, to="105", should=End.FAILED) as call:
        await _guesses(call)
        await call.leaves(offer())


async def _guesses(call: Line) -> None:
    for _ in range(2):
        told = [await call.is_told_a_key() for _ in range(KEYS)]
        call.presses("".join(str((int(digit) + 1) % 10) for digit in told))


async def collector(scene: Scene) -> None:
    """A 177 mobile number, collection rules on: a robot speaks Chinese over every prompt."""
    # Its rules know the hours for collection: at night it goes to the voicemail without a challenge.
    should = End.VOICEMAIL if is_night() else End.FAILED
    async with scene.call(COLLECTOR, to="106", should=should) as call:
        await call.says(collection())
        await call.leaves(collection())


async def comes_back(scene: Scene) -> None:
    """A person with an odd number presses the keys, and is not asked at the next call."""
    async with scene.call(ODD, to="108", should=End.PASSED) as call:
        await call.obeys()
        await call.converses()
    async with scene.call(ODD, to="109", should=End.ANSWERED) as call:
        await call.converses()


async def robot(scene: Scene) -> None:
    """A robot that withholds its number plays its message, presses nothing, is recorded."""
    async with scene.withheld(to="107", should=End.FAILED) as call:
        await call.says(pitch())
        await call.leaves(pitch())


async def school(scene: Scene) -> None:
    """A school's machine calls three of us at once with the same announcement, and all hear it."""
    async with asyncio.TaskGroup() as group:
        for called in ("501", "502", "503"):
            group.create_task(_announces(scene.call(SCHOOL, to=called, should=End.ANSWERED)))


async def _announces(line: Line) -> None:
    async with line as call:
        await call.converses(closed())


async def block_rotation(scene: Scene) -> None:
    """A dialler with a new number of one block for each call: the fourth guesses keys, is recorded."""
    async with asyncio.TaskGroup() as group:
        for number, called in zip(ROTATING, ("511", "512", "513"), strict=False):
            group.create_task(_announces(scene.call(number, to=called, should=End.ANSWERED)))
    async with scene.call(ROTATING[3], to="514", should=End.FAILED) as call:
        await _guesses(call)
        await call.leaves(offer())


async def same_recording(scene: Scene) -> None:
    """One recording from two numbers is judged a robocall: a third of their block is known at once."""
    if not INSTALLED:
        raise Skipped(f"recordings are not compared without the extra audio: {INSTALL}")
    async with asyncio.TaskGroup() as group:
        for number, called in zip(ROBOCALLERS, ("521", "522"), strict=False):
            group.create_task(_records(scene.call(number, to=called, should=End.VOICEMAIL)))
    heard = await scene.stage.service.logged("the same recording was heard before", callers=2)
    await scene.stage.command("campaigns", "robocall", str(heard["campaign"]))
    async with scene.call(ROBOCALLERS[2], to="523", should=End.VOICEMAIL) as call:
        await call.leaves(offer())


async def _records(line: Line) -> None:
    async with line as call:
        await call.leaves(warranty())


async def screener_killed(scene: Scene) -> None:
    """SIGKILL to the screener in mid-decision: calls ring, blocked ones are recorded; back, it screens."""
    async with scene.call(BLOCKED, to="301", should=End.VOICEMAIL) as recorded:
        await recorded.hears("greeting")
        await scene.stage.hang_screener()
        async with scene.call(NOBODY_KNOWN, to="302", should=End.UNSCREENED) as asked:
            await asyncio.sleep(0.1)  # into its decision
            await scene.stage.kill_screener()
            await asked.converses()
        # Asterisk has the block entries in a database of its own.
        async with scene.call(BLOCKED, to="303", should=End.VOICEMAIL) as call:
            await recorded.leaves(offer())
            await scene.stage.start_screener()
            await call.leaves(pitch())
        call.check(not call.question, "it was judged, though the screener was dead")
    async with scene.call(BLOCKED, to="304", should=End.VOICEMAIL) as call:
        await call.hears("notice")
        scene.leaves_the_stage()
        await call.leaves(pitch())


async def valkey_killed(scene: Scene) -> None:
    """SIGKILL to Valkey: verdicts come without the facts it held; back, it still has the lists."""
    scene.stage.kill_valkey()
    await asyncio.gather(_lists_are_gone_and_back(scene), _numbers_are_still_judged(scene))


async def _lists_are_gone_and_back(scene: Scene) -> None:
    async with scene.call(BLOCKED, to="401", should=End.ANSWERED) as call:
        await call.converses()
    call.check(call.question.get("missing"), "it was judged with Valkey, which should have been dead")
    await scene.stage.valkey_is_back()
    # The screener leaves a store that failed alone for a second; the call above took longer.
    async with scene.call(BLOCKED, to="403", should=End.VOICEMAIL) as call:
        await call.leaves(pitch())


async def _numbers_are_still_judged(scene: Scene) -> None:
    async with scene.call(IMPOSSIBLE, to="402", should=End.PASSED) as call:
        await call.obeys()
        await call.converses()
    call.check(call.question.get("missing"), "it was judged with Valkey, which should have been dead")


async def evidence(scene: Scene) -> None:
    """The robocaller's calls become a case, and a signed bundle: one bit changed in it is found."""
    if not INSTALLED:
        raise Skipped(f"recordings are not compared without the extra audio: {INSTALL}")
    command, bundle = scene.stage.command, scene.stage.kept / "bundle"
    _, suggested = await scene.stage.service.command("case", "suggest", "--json")
    found = next(one for one in json.loads(suggested) if ROBOCALLERS[0] in one["numbers"])
    key, calls = found["keys"][0], " and ".join(found["numbers"])
    scene.tells("case suggest", f"{key} has called {len(found['calls'])} times, from {calls}")
    await command("case", "open", "Warranty", "--suggested", key)
    scene.tells("case confirm", await command("case", "confirm", "1"))
    scene.tells("evidence export", await command("evidence", "export", "1", str(bundle)))
    scene.tells("evidence verify", await command("evidence", "verify", str(bundle)))
    copy = shutil.copytree(bundle, bundle.with_name("bundle-altered"))
    recording = next(copy.glob("recordings/*-caller.wav"))
    content = bytearray(recording.read_bytes())
    content[len(content) // 2] ^= 1
    recording.write_bytes(content)
    scene.tells(
        "one bit changed", await command("evidence", "verify", str(copy), code=BundleAltered.exit_code)
    )


ACTS: tuple[tuple[Play, ...], ...] = (
    (friend, hostile_name, person, comes_back, sweep, blocked, impossible_number, collector, robot),
    (school, block_rotation, same_recording),
    (screener_killed,),
    (valkey_killed, evidence),
)


def pitch() -> bytes:
    """What the robot in English plays."""
    return sound.speech(PITCH)


def offer() -> bytes:
    """What the other robot plays."""
    return sound.speech(OFFER, "en-gb")


def warranty() -> bytes:
    """What a campaign plays from each of its numbers: long enough to be recognised."""
    return sound.speech(WARRANTY)


def closed() -> bytes:
    """What the school's machine says."""
    return sound.speech(CLOSED)


def collection() -> bytes:
    """What the collector's robot plays, in Mandarin."""
    return sound.speech(COLLECTION, "cmn")


def is_night() -> bool:
    """Whether collectors must not call at this moment, as config/rules/collection.yaml has it."""
    hour = datetime.now(config.load(None).settings.zone).hour
    return hour < 8 or hour >= 22
