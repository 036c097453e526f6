"""What an event of the dialplan says: its headers, decoded, and the version of the contract they are in."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTRACT_VERSION = "1"
TOKEN = re.compile(r"[^\x00-\x20\x7f,]{1,200}")
"""What Asterisk itself writes as a channel's name or unique id."""


class WrongContract(ValueError):  # noqa: N818 - named by what it is
    """The dialplan is of another version and must not go on asking: each question makes a caller wait."""


class Headers:
    """The headers of one event, decoded; a header that occurs twice is an attempt at forgery.

    Raises WrongContract for an event of another version, ValueError for whatever makes no sense.
    """

    def __init__(self, event: Mapping[str, object]) -> None:
        self.event = event
        if self.text("Version") != CONTRACT_VERSION:
            msg = (
                f"the dialplan speaks version {self.text('Version') or '?'} of the contract and the "
                f"screener {CONTRACT_VERSION}: install the dialplan that came with this screener"
            )
            raise WrongContract(msg)

    def text(self, key: str) -> str:
        """The value, decoded; empty if there is none. Half a character, where it was cut, is left out."""
        value = self.event.get(key, "")
        if not isinstance(value, str):
            msg = f"the header {key} occurs more than once"
            raise ValueError(msg)  # noqa: TRY004 - malformed input, not a programming error
        raw = unquote_to_bytes(value.encode("utf-8", "surrogatepass"))
        return codecs.getincrementaldecoder("utf-8")("replace").decode(raw)

    def number(self, key: str) -> float | None:
        """The value as a number; None if there is none."""
        return float(text) if (text := self.text(key)) else None

    def token(self, key: str) -> str:
        """The value as Asterisk itself wrote it, which must be there."""
        value = self.event.get(key)
        if not isinstance(value, str) or not TOKEN.fullmatch(value):
            msg = f"the header {key} is missing or malformed"
            raise ValueError(msg)
        return value
