"""The kinds of value that configuration files hold, each with what is said of one that is none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

import phonenumbers
from pydantic import AfterValidator, BeforeValidator, StringConstraints
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")


def whole(most: int, least: int = 1, expected: str = "a whole number from 1 to {most}") -> BeforeValidator:
    """Reads a whole number within limits."""

    def read(value: object) -> int:
        digits = isinstance(value, str) and re.fullmatch(r"0|[1-9][0-9]{0,8}", value, re.ASCII)
        if digits and least <= int(digits[0]) <= most:
            return int(digits[0])
        raise PydanticCustomError("whole", f"expected {expected}", {"most": most})

    return BeforeValidator(read)


def such(is_right: Callable[[Any], object], why_not: str) -> AfterValidator:
    """Takes a value for which that is true, and says of others why not."""

    def read(value: T) -> T:
        if not is_right(value):
            raise PydanticCustomError("such", why_not)
        return value

    return AfterValidator(read)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return False
    return True


def _absolute(text: object) -> Path:
    if not (isinstance(text, str) and text.startswith("/")):
        raise PydanticCustomError("path", "expected a path that begins with /")
    return Path(text)


def optional_path(text: str) -> str:
    """Reads a path that begins with /, or nothing."""
    return str(_absolute(text)) if text else ""


_one_line = such(str.isprintable, "expected one line of text")
_PORT = r"(\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^][/?#@:,]+)"
_ACCOUNT = "([^/?#]*@)?"
_HOSTS = f"{_ACCOUNT}{_HOST}:{_PORT}(,{_HOST}:{_PORT})*"
redis_url = such(
    re.compile(
        rf"|rediss?://{_ACCOUNT}{_HOST}?(:{_PORT})?(/\d*)?(\?.*)?|unix://{_ACCOUNT}/[^/].*"
        rf"|redis\+sentinel://{_HOSTS}/[^/?#]+(/\d+)?|redis\+cluster://{_HOSTS}/?",
        re.ASCII,
    ).fullmatch,
    "expected redis://host:port/0, rediss://…, unix:///path, redis+sentinel://host:port,host:port/MASTER "
    "or redis+cluster://host:port,host:port, or nothing; within a password write %2F for /, %23 for #, "
    "%3F for ?, %40 for @",
)
postgres_url = such(
    re.compile(r"$|postgres(ql)?://[!-~]+").match,
    "expected postgresql://user@host/database, or nothing",
)
_zone = such(_is_zone, "no such time zone; expected a name of the IANA database such as Asia/Shanghai or UTC")
number = such(
    re.compile(r"\+?[0-9]{2,15}", re.ASCII).fullmatch, "expected 2 to 15 digits, with or without a leading +"
)

listen = such(
    re.compile(rf"|([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):{_PORT}", re.ASCII).fullmatch,
    "expected ADDRESS:PORT, such as 127.0.0.1:9465 or [::1]:9465, or nothing",
)

HEARD = (
    "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he "
    "hi hr ht hu hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl "
    "nn no oc pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz "
    "vi yi yo yue zh"
)
"""Languages that Whisper knows, by its own codes."""

OptionalLine = Annotated[str, StringConstraints(max_length=255), _one_line]
Line = Annotated[str, StringConstraints(min_length=1, max_length=255), _one_line]
DialledPattern = Annotated[
    str,
    such(
        re.compile(r"\*|\+?[A-Za-z0-9_.#-]{1,63}\*?").fullmatch,
        "expected a number that is called, its beginning and a star such as +8620*, or * for all",
    ),
]
PbxName = Annotated[
    str,
    such(
        re.compile("[a-z0-9][a-z0-9-]{0,31}").fullmatch,
        "expected a name of 32 characters at most: a to z, 0 to 9, and - but not at the beginning",
    ),
]
Mailbox = Annotated[
    str,
    such(
        re.compile(r"[A-Za-z0-9_.+-]{1,63}@[A-Za-z0-9_.-]{1,63}").fullmatch,
        "expected a mailbox and its context, such as 100@default",
    ),
]
apprise_url = such(
    re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[!-~]+").fullmatch,
    "expected a URL of apprise, such as mailto://… or tgram://…",
)
Region = Annotated[
    str,
    such(
        phonenumbers.SUPPORTED_REGIONS.__contains__,
        "no such country; expected two capital letters such as CN or DE",
    ),
]
Zone = Annotated[str, _zone]
Directory = Annotated[Path, BeforeValidator(_absolute)]
