"""What a call says of its caller beside the caller ID, from real SIP headers to facts and rules."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.pbx.house import House

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORGED = b"<sip:0118617712345678;verstat=TN-Validation-Failed@127.0.0.1;user=phone>"
VOUCHED = b"P-Asserted-Identity: <sip:+12125550100;verstat=TN-Validation-Passed-B@h;user=phone>"
LONG_NAME = b'"<sip:+12125550107;verstat=TN-Validation-Passed@h>, (' + b"y" * 150 + b'" '
CALLS = [
    # From, further headers, facts, symbols of the identity group
    (
        FORGED,
        b"Remote-Party-ID: <sip:0118617712345678@h>;party=calling;screen=no",
        {
            "caller.e164": "+8617712345678",
            "caller.domestic_on_foreign_trunk": True,
            "caller.asserted_differs": False,
            "trunk.region": "US",
            "stir.verified": "failed",
        },
        {"FOREIGN_TRUNK", "STIR_FAILED"},
    ),
    (
        # The asserted identity wins over the older header and over From, and is what Asterisk shows.
        FORGED,
        b"Remote-Party-ID: <sip:+13125550100@h>\r\n" + VOUCHED,
        {
            "caller.e164": "+12125550100",
            "caller.domestic_on_foreign_trunk": False,
            "caller.asserted_differs": True,
            "stir.verified": "passed",
            "stir.attestation": "B",
        },
        {"ASSERTED_DIFFERS"},
    ),
    (
        # A name of 200 bytes, an address within, is left out, not the address and what the carrier says.
        LONG_NAME + b"<sip:0118617712345679;verstat=TN-Validation-Failed@127.0.0.1>",
        b"P-Asserted-Identity: " + LONG_NAME + b"<sip:+12125550107@h>",
        {
            "caller.e164": "+12125550107",
            "caller.asserted_differs": True,
            "stir.verified": "failed",
        },
        {"ASSERTED_DIFFERS", "STIR_FAILED"},
    ),
    (
        b"<sip:+12125550125@127.0.0.1>",
        b"P-Asserted-Identity: <sip:+12125550125@h>\r\nP-Asserted-Identity: <tel:+13125550177>",
        {"caller.e164": "+12125550125", "caller.asserted_differs": False},
        set(),
    ),
    (
        b"<sip:2125550123@127.0.0.1>",
        b"",
        {
            "caller.e164": "+12125550123",
            "called.e164": "+13105550199",
            "stir.verified": None,
            "caller.asserted_differs": None,
        },
        set(),
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[House]:
    async with House.open(trunks={"PJSIP/trunk": {"region": "US"}}) as opened:
        yield opened


@pytest.mark.parametrize(("sender", "headers", "facts", "symbols"), CALLS)
async def test_call__on_a_trunk_of_another_country__its_headers_become_facts(
    house: House, sender: bytes, headers: bytes, facts: dict[str, Any], symbols: set[str]
) -> None:
    call = await house.caller.call("3105550199", sender=sender, headers=headers)
    await asyncio.wait_for(call.answered.wait(), 10)
    call.hangup()
    record = await house.ended(e164=facts["caller.e164"])
    known = next(row.body["facts"] for row in record.rows if row.kind == "setup")
    assert {name: known.get(name) for name in facts} == facts
    hits = {hit["symbol"] for hit in record.verdict["hits"] if hit["group"] == "identity"}
    assert hits == symbols
    assert not [line for line in house.pbx.log().splitlines() if "STIR" in line or "IFMODULE" in line]


async def test_call__asterisk_without_stir_shaken__is_asked_about_without_a_word_in_its_log(
    house: House,
) -> None:
    assert "Unloaded" in await house.pbx.cli("module unload res_stir_shaken.so")
    before = house.pbx.log()
    call = await house.caller.call("3105550199", "2125550124")
    await asyncio.wait_for(call.answered.wait(), 10)
    call.hangup()
    record = await house.ended(e164="+12125550124")
    assert record.end["missed"] == ""
    assert house.pbx.log() == before


async def test_call__with_two_asserted_identities__the_one_with_a_number_counts(house: House) -> None:
    two = b'P-Asserted-Identity: "Gate, (1" <sip:gw7@carrier>\r\nP-Asserted-Identity: <tel:+13125550177>'
    call = await house.caller.call("3105550199", sender=b"<sip:2125550124@127.0.0.1>", headers=two)
    await asyncio.wait_for(call.answered.wait(), 10)
    call.hangup()
    # Asterisk itself reads the first alone, and shows that.
    record = await house.service.record(lambda one: one.call.get("number") == "gw7")
    assert record.call["asserted"] == "<tel:+13125550177>"
    assert record.facts["caller.asserted_differs"]
