"""Log lines that name nobody: keyed hashes instead of numbers, names, and whatever else may hold them.

What is shown as it is stands in a list; all else counts as personal until somebody says that it is not.
Whoever has not the key cannot find a number by trying all of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

PLAIN: Final = frozenset((
    "about", "action", "address", "alarm", "ami", "at", "call", "disposition", "event_name", "feed",
    "from_event", "hash", "install", "key", "language", "leg", "level", "list", "logger", "pages",
    "pbx", "policy", "reached", "reasons", "scheme", "signature", "stage", "status", "verdict",
    "what", "where", "why",
))  # fmt: skip
"""Keys whose values are of our own making, or of the configuration's."""
QUOTING: Final = frozenset((
    "directory", "error", "event", "exception", "path", "problems", "reason", "recordings_dir", "settings",
    "spool", "stem",
))  # fmt: skip
"""Keys whose texts are ours, but may quote strangers: there only numbers and quotations are hashed."""

_PERSONAL: Final = re.compile(
    r"(?P<ours>\b\d{9,10}\.\d+\b|\b\d{4}-\d\d-\d\d\b)"  # a channel's id, a day: recordings are named by them
    r"|\+?\d(?:[ ()./-]{0,2}\d){4,}"
    r"""|(?<!\w)'(?:[^'\\]|\\.)*'(?!\w)|"(?:[^"\\]|\\.)*\""""
)
_SEPARATORS: Final = re.compile(r"[\s()./-]+")
_NUMBER: Final = re.compile(r"\+?[\d\s()./-]+")


class Pseudonyms:
    """A processor of log events; `key` is the installation's, so that its hashes mean nothing elsewhere."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.blake2s(key, person=b"pseudony").digest()

    def __call__(self, _: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        """Give the event without anything that tells who called, whom, or what was said."""
        foreign = "logger" in event  # what another library logs is no text of ours
        return {
            key: value
            if key in PLAIN or (key == "event" and not foreign)
            else self._hidden(value, quoting=key in QUOTING)
            for key, value in event.items()
        }

    def of(self, text: str) -> str:
        """The pseudonym; however a number is written with blanks or dashes, it has the same."""
        if _NUMBER.fullmatch(text):
            text = _SEPARATORS.sub("", text)
        return (
            "#"
            + hashlib.blake2s(
                text.encode(errors="backslashreplace"), key=self._key, digest_size=6
            ).hexdigest()
        )

    def _hidden(self, value: Any, *, quoting: bool) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, str):
            if not quoting:
                return self.of(value) if value else value
            return _PERSONAL.sub(
                lambda found: found[0] if found["ours"] else self.of(found[0].strip("'\"")), value
            )
        if isinstance(value, Mapping):
            return {self.of(str(key)): self._hidden(one, quoting=quoting) for key, one in value.items()}
        if isinstance(value, list):
            return [self._hidden(one, quoting=quoting) for one in value]
        return value
