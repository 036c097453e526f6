"""Strings that a hostile caller may write for his number: more than 500, no two of them the same."""

from __future__ import annotations

import itertools
from typing import Final

_BASES = ("17712345678", "+8617712345678", "anonymous", "95588", "sip:+8617712345678@h", "201")
_BAD: tuple[str, ...] = (
    "\0",
    "\r\nAction: Originate",
    "\n",
    "\t",
    "\x1b[31m",
    "\x7f",
    "\x85",
    "\xad",
    "\u200b",
    "\u200f",
)
_BAD += ("\u202e", "\u2066", "\u2028", "\ufeff", "\ud800", "\udfff", "\ufffd", "\U0001f4de", "\U0001d7d9")
_BAD += (
    "²",
    "٣",
    "x",
    "e5",
    "%00",
    "%",
    "$(id)",
    "'; DROP",
    "{}",
    "é",
    "#",
    "*",
    ",",
    "|",
    "\\",
    "~",
    "_",
    "=",
)

SPOILT: Final = tuple(
    dict.fromkeys(
        base[:at] + bad + base[at:]
        for base, bad in itertools.product(_BASES, _BAD)
        for at in (0, 2, len(base) // 2)
        if not (base.startswith("sip:") and at == 0)
    )
)
"""Not one is a number, whatever country it is read in."""

_HEADS = ("", "+", "0", "00", "011", "+0", "86", "+86", "0086", "01186", "95", "+1", "1", "+44", "+7", "+800")

COSTLY: Final = (
    *(head + digit * length for head in _HEADS for digit in "0159" for length in (3, 8, 11, 15, 60)),
    *(fill * 600 for fill in ('"', "\\", "<", "(", "-", "１", ";", '\\"', "sip:", "+", "\ud800", "a@")),
    '"' + "\\" * 509,
    *('"' * n + "<sip:+8617712345678@h>" for n in range(1, 60)),
    "<sip:+8617712345678;" + ";" * 480 + "@h>",
)
"""Long, ambiguous, or badly nested: what may take long to read. Some of them are numbers."""
