"""The settings of the service, as they stand in `screener.yaml`; none has a default here.

The shipped `screener.yaml` holds the default of each and says what it means.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import phonenumbers
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError

from screener.facts import Place
from screener.policy import Flag, Trunk, Written


def _port(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,4}", value, re.ASCII) and int(value) < 2**16:
        return int(value)
    raise PydanticCustomError("port", "expected a port number from 1 to 65535")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise PydanticCustomError(
            "timezone", "no such time zone; expected a name of the IANA database such as Asia/Shanghai or UTC"
        ) from None
    return name


def _region(code: str) -> str:
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise PydanticCustomError("region", "no such country; expected two capital letters such as CN or DE")
    return code


def _redis_url(url: str) -> str:
    if url and not re.match(r"(rediss?|unix)://[^/]*/?", url):
        raise PydanticCustomError(
            "url", "expected redis://host:port/0, rediss://… or unix:///path, or nothing"
        )
    return url


def _number(digits: str) -> str:
    if not re.fullmatch(r"\+?[0-9]{2,15}", digits, re.ASCII):
        raise PydanticCustomError("own_number", "expected 2 to 15 digits, with or without a leading +")
    return digits


def _apprise_url(url: str) -> str:
    if not re.match(r"[a-z][a-z0-9+.-]*://\S+$", url, re.IGNORECASE) or not url.isprintable():
        raise PydanticCustomError("apprise", "expected a URL of apprise, such as mailto://… or tgram://…")
    return url


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("line", "expected one line of text")
    return text


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise PydanticCustomError("path", "expected a path that begins with /")
    return path


def _count(most: int) -> BeforeValidator:
    def count(value: object) -> int:
        if (
            isinstance(value, str)
            and re.fullmatch(r"[1-9][0-9]{0,4}", value, re.ASCII)
            and int(value) <= most
        ):
            return int(value)
        raise PydanticCustomError("count", "expected a whole number from 1 to {most}", {"most": most})

    return BeforeValidator(count)


def _optional_path(text: str) -> str:
    return str(_absolute(text)) if text else ""


OptionalLine = Annotated[str, StringConstraints(max_length=255), AfterValidator(_one_line)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_one_line)]
DialledPattern = Annotated[str, StringConstraints(pattern=r"^(\*|\+?[A-Za-z0-9_.#-]{1,63}\*?)$")]
Mailbox = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.+-]{1,63}@[A-Za-z0-9_.-]{1,63}$")]
Region = Annotated[str, AfterValidator(_region)]
Directory = Annotated[Path, BeforeValidator(_absolute)]


class Tls(Written):
    """Encryption of the manager connection."""

    enabled: Flag
    verify: Flag
    ca_file: OptionalLine
    server_name: OptionalLine


class Ami(Written):
    """Where Asterisk's manager interface is, and the account on it."""

    host: Line
    port: Annotated[int, BeforeValidator(_port)]
    username: Line
    secret: SecretStr
    secret_file: OptionalLine
    tls: Tls


class Redis(Written):
    """Where the store is; an empty URL means the embedded one. The URL may hold a password."""

    url: Annotated[OptionalLine, AfterValidator(_redis_url)] = Field(repr=False)
    memory_mb: Annotated[int, _count(65_536)]

    @property
    def memory_bytes(self) -> int:
        """How much the embedded server may hold."""
        return self.memory_mb << 20


class TrunkSettings(Written):
    """What is particular about a carrier link."""

    region: Region


class Trust(Written):
    """How our own calls teach trust; an empty `voicemail_dir` means that messages teach nothing."""

    long_call_s: Annotated[int, _count(3600)]
    half_life_days: Annotated[int, _count(3650)]
    voicemail_dir: Annotated[OptionalLine, AfterValidator(_optional_path)]


class Transcription(Written):
    """Whether and how recordings are transcribed; an empty language means that it is found out."""

    enabled: Flag
    model: Line
    language: Annotated[str, StringConstraints(pattern=r"^([a-z]{2,3})?$")]
    max_s: Annotated[int, _count(3600)]
    queue: Annotated[int, _count(10_000)]


class Voicemail(Written):
    """Into which mailbox what the screener recorded goes as well, by the number that was called."""

    deliver_to: dict[DialledPattern, Mailbox]


class Notify(Written):
    """Whom to tell of what; the URLs hold passwords."""

    urls: tuple[Annotated[str, AfterValidator(_apprise_url)], ...] = Field(repr=False)
    events: tuple[Literal["recorded", "alarm"], ...]


class Log(Written):
    """How much is logged, and in which form."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["console", "json"]


class Settings(Written):
    """The contents of `screener.yaml`."""

    ami: Ami
    redis: Redis
    state_dir: Directory
    recordings_dir: Directory
    region: Region
    trunks: dict[Trunk, TrunkSettings]
    city: Flag
    timezone: Annotated[str, AfterValidator(_zone)]
    watch: Literal["notify", "poll", "off"]
    variant: OptionalLine
    own_numbers: tuple[Annotated[str, AfterValidator(_number)], ...]
    trust: Trust
    transcription: Transcription
    voicemail: Voicemail
    notify: Notify
    log: Log

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone in which local hours and days are counted."""
        return ZoneInfo(self.timezone)

    @cached_property
    def place(self) -> Place:
        """Where this PBX stands, for the facts of a call."""
        trunks = tuple((trunk, about.region) for trunk, about in self.trunks.items())
        return Place(self.region, self.zone, trunks, self.city)
