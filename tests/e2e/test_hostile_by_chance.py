"""Headers of an INVITE spoilt by chance: they forge no other field, and the next caller is screened."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

from tests.pbx.house import House

WITHIN_S = 10.0
PIECES = (
    *(
        b"%0d%0aStage: x",
        b"\r\n ",
        b"${SHELL(id)}",
        b"$[1/0]",
        b"),Stage: challenge",
        b",Channel: PJSIP/evil",
    ),
    *(b"\\", b'"', b"<sip:1@h>", b";tag=2", b";verstat=TN-Validation-Passed", b"\xff\xfe", b"\xe5\x82\xac"),
    *(b"%00", b"(((", b"]]", b"A" * 300, b"+8613", b"anonymous", b"\t", b"'; DROP TABLE row; --", b"\x1b[2J"),
    *(b"\xe2\x80\xae", b"=", b"|", b"^"),
)
NAMES = (
    *(b"P-Asserted-Identity", b"Remote-Party-ID", b"Diversion", b"Identity", b"P-Attestation-Indicator"),
    *(b"Call-Info", b"History-Info", b"Subject", b"Privacy"),
)
CALLS = 60


def spoilt_header(rng: random.Random, name: bytes) -> bytes:
    pieces = b"".join(rng.choices(PIECES, k=rng.randrange(1, 5)))
    dressed = rng.choice([b"%s", b'"%s" <sip:+8613800138000@h>', b"<sip:%s@h>", b"<sip:1@h>;%s", b"<tel:%s>"])
    return name + b": " + dressed % pieces + b"\r\n"


async def test_hostile__headers_by_chance__forge_no_field_and_the_next_caller_is_screened() -> None:
    async with House.open(pbx={"globals_": "SCREENER_DEADLINE_MS=8000"}) as house:
        await many_call(house, random.randrange(10**6))


async def many_call(house: House, seed: int) -> None:
    rng = random.Random(seed)
    for n in range(CALLS):
        headers = b"".join(spoilt_header(rng, name) for name in rng.sample(NAMES, rng.randrange(1, 4)))
        how: dict[str, Any] = {"number": f"+8615{n:09}"}
        if rng.random() < 0.3:
            how = {"sender": spoilt_header(rng, b"")[2:].strip()}
        agent = b"".join(rng.choices(PIECES, k=2)).replace(b"\r\n", b"")
        call = await house.caller.call(f"88{n:04}", headers=headers, agent=agent, **how)
        with contextlib.suppress(TimeoutError):  # what is no SIP at all is dropped without an answer
            await asyncio.wait_for(call.answered.wait(), 0.5)
        call.hangup()
        if not call.ended.is_set():
            call._finish()
    last = await house.caller.call("100", "+8613711112222")
    await asyncio.wait_for(last.answered.wait(), WITHIN_S)
    last.hangup()
    await house.service.record(lambda one: one.end and one.call.get("number") == "+8613711112222", WITHIN_S)
    seen = [record for record in house.service.calls() if record.setup]
    assert len(seen) > CALLS / 3, f"seed {seed}"
    for record in seen:
        question, end = record.call, record.end
        assert question["trunk"] == "PJSIP/trunk", f"seed {seed}"
        assert question["did"] == "100" or question["did"].startswith("88"), f"seed {seed}"
        assert record.setup["action"] in {"allow", "challenge", "voicemail"}, f"seed {seed}"
        assert not end or end["action"] in {"allow", "challenge", "voicemail"}, f"seed {seed}"
    assert not [line for line in house.service.lines if line.get("level") not in ("info", "warning")], (
        f"seed {seed}"
    )
