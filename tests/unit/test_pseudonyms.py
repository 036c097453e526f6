"""Who called is not in the log, though lines about the same number can be told to be about the same."""

from __future__ import annotations

from typing import Any

import pytest

from screener.pseudonyms import Pseudonyms

HIDE = Pseudonyms(b"k" * 64)
NUMBER, NAME = "+8613912345678", "王小明"


def hidden(**event: Any) -> dict[str, Any]:
    return dict(HIDE(None, "", event))


@pytest.mark.parametrize(
    "written", ["+8613912345678", "+86 139 1234 5678", "+86-139-1234-5678", "+86 (139) 12345678"]
)
def test_pseudonym__number_in_any_writing__is_the_same(written: str) -> None:
    assert HIDE.of(written) == HIDE.of(NUMBER)
    assert HIDE.of(written) != Pseudonyms(b"other" * 16).of(NUMBER)
    assert HIDE.of(NUMBER) != HIDE.of("+8613912345679")


@pytest.mark.parametrize(
    "event",
    [
        {"caller": NUMBER}, {"did": "100"}, {"name": NAME}, {"phone": "PJSIP/reception"},
        {"new_key": NAME},
        {"mailbox": "100@default"}, {"message": f"b'{NAME}'"}, {"facts": {NUMBER: [NAME, {"x": NUMBER}]}},
        {"reason": f"no such number {NUMBER}!"}, {"reason": "139 1234 5678"}, {"reason": f"not {NAME!r}"},
        {"reason": f'Asterisk\'s own "{NAME}" isn\'t one'}, {"exception": f"ValueError: bad value '{NAME}'"},
        {"reason": f"'it\\'s {NAME}'"}, {"path": f"/var/spool/{NUMBER}/x"},
        {"event": f"login of {NUMBER}", "logger": "panoramisk"},
        {"event": "x", "logger": "y", "caller": NAME},
    ],
)  # fmt: skip
def test_event__personal__is_hidden_wherever_it_stands(event: dict[str, Any]) -> None:
    said = repr(hidden(**event))
    assert "#" in said
    for personal in (NUMBER, NUMBER[1:], "139 1234 5678", NAME, "reception", "100@default", "'100'"):
        assert personal not in said


@pytest.mark.parametrize(
    "event",
    [
        {"event": "verdict", "call": "1795555373.24", "pbx": "127.0.0.1:5038", "action": "allow"},
        {"score": 4.5},
        {"reasons": "NEW_CALLER(+0) WITHHELD(+4)", "reached": "sent", "stage": "setup"},
        {"event": "ledger checkpoint", "seq": 7, "hash": "af01" * 16, "signature": "00" * 64},
        {"key": "473e5b36"},
        {"stem": "/var/spool/asterisk/screener/2026-11-28/1795555373.24"},
        {"reason": "Asterisk did not answer Ping within 2 s"}, {"reason": "it isn't there, Asterisk's"},
        {"caller": "", "kept": True, "why": None},
    ],
)  # fmt: skip
def test_event__of_our_own_words__stays_as_it_is(event: dict[str, Any]) -> None:
    assert hidden(**event) == event
