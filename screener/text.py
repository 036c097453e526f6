"""Text made safe to show, on a terminal, in a log or a table: what strangers wrote, what holds a secret."""

import re
from typing import Final

HIDDEN: Final = "********"
_USER = re.compile(r"[^:@/?#]*")
_PASSWORD = re.compile(r"(?<=password=)[^&]*", re.IGNORECASE)


def printable(text: str, limit: int) -> str:
    """One short line without control, bidi or invisible characters; what cannot be shown is left out."""
    # Twice the limit is read, so that a flood of invisible characters costs no more than a long name.
    cut = text[: 2 * limit]
    if not cut.isprintable():
        cut = "".join(char if char.isprintable() else " " if char.isspace() else "" for char in cut)
    cut = " ".join(cut.split())
    return cut if len(cut) <= limit else cut[: limit - 1] + "…"


def escaped(text: str) -> str:
    r"""Nothing is left out: what does not print, or ends or turns a line, is shown as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def without_password(url: str) -> str:
    """A URL with all hidden that may be a password; of one that is no proper URL only the scheme is left."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return HIDDEN if url else ""
    credentials, at, place = rest.rpartition("@")
    if set(credentials) & set("/?#"):
        return f"{scheme}://{HIDDEN}"
    place, query, asked = place.partition("?")
    user = _USER.match(credentials)
    named = user[0] if user else ""
    hidden = f":{HIDDEN}" if named != credentials else ""
    return f"{scheme}://{named}{hidden}{at}{place}{query}{_PASSWORD.sub(HIDDEN, asked)}"
