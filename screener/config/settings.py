"""The settings of the service, as they stand in `screener.yaml`; none has a default here.

The shipped `screener.yaml` holds the default of each and says what it means.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

import phonenumbers
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError

from screener.facts import Place
from screener.policy import Flag, Trunk, Written

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


def _optional_path(text: str) -> str:
    return str(_absolute(text)) if text else ""


_one_line = such(str.isprintable, "expected one line of text")
_PORT = r"(\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^][/?#@:,]+)"
_ACCOUNT = "([^/?#]*@)?"
_HOSTS = f"{_ACCOUNT}{_HOST}:{_PORT}(,{_HOST}:{_PORT})*"
_redis_url = such(
    re.compile(
        rf"|rediss?://{_ACCOUNT}{_HOST}?(:{_PORT})?(/\d*)?(\?.*)?|unix://{_ACCOUNT}/[^/].*"
        rf"|redis\+sentinel://{_HOSTS}/[^/?#]+(/\d+)?|redis\+cluster://{_HOSTS}/?",
        re.ASCII,
    ).fullmatch,
    "expected redis://host:port/0, rediss://…, unix:///path, redis+sentinel://host:port,host:port/MASTER "
    "or redis+cluster://host:port,host:port, or nothing; within a password write %2F for /, %23 for #, "
    "%3F for ?, %40 for @",
)
_postgres_url = such(
    re.compile(r"$|postgres(ql)?://[!-~]+").match,
    "expected postgresql://user@host/database, or nothing",
)
_zone = such(_is_zone, "no such time zone; expected a name of the IANA database such as Asia/Shanghai or UTC")
_number = such(
    re.compile(r"\+?[0-9]{2,15}", re.ASCII).fullmatch, "expected 2 to 15 digits, with or without a leading +"
)

_listen = such(
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
_apprise_url = such(
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


class Tls(Written):
    """Encryption of the manager connection."""

    enabled: Flag
    verify: Flag
    ca_file: OptionalLine
    server_name: OptionalLine


class Ami(Written):
    """Where Asterisk's manager interface is, and the account on it."""

    host: Line
    port: Annotated[int, whole(65_535, expected="a port number from 1 to {most}")]
    username: Line
    secret: SecretStr
    secret_file: OptionalLine
    tls: Tls


class Pbx(Ami):
    """One of several Asterisks; what it does not say itself it has from `ami` and `recordings_dir`."""

    recordings_dir: Directory


class Redis(Written):
    """Where the store is; an empty URL means the embedded one. The URL may hold a password."""

    url: Annotated[OptionalLine, _redis_url] = Field(repr=False)
    memory_mb: Annotated[int, whole(65_536)]

    @property
    def memory_bytes(self) -> int:
        """How much the embedded server may hold."""
        return self.memory_mb << 20


class Ledger(Written):
    """Where the ledger is; an empty URL means a file. The URL may hold a password."""

    url: Annotated[OptionalLine, _postgres_url] = Field(repr=False)


class TrunkSettings(Written):
    """What is particular about a carrier link."""

    region: Region


class Trust(Written):
    """How our own calls teach trust; an empty `voicemail_dir` means that messages teach nothing."""

    long_call_s: Annotated[int, whole(3600)]
    half_life_days: Annotated[int, whole(3650)]
    voicemail_dir: Annotated[OptionalLine, AfterValidator(_optional_path)]


class Transcription(Written):
    """Whether and how recordings are transcribed; an empty language means that it is found out."""

    enabled: Flag
    model: Line
    language: Annotated[
        str, such(lambda code: not code or code in HEARD.split(), f"no such language; known are {HEARD}")
    ]
    max_s: Annotated[int, whole(3600)]
    queue: Annotated[int, whole(10_000)]


class Voicemail(Written):
    """Into which mailbox what the screener recorded goes as well, by the number that was called."""

    deliver_to: dict[DialledPattern, Mailbox]


class Notify(Written):
    """Whom to tell of what; the URLs hold passwords."""

    urls: tuple[Annotated[str, _apprise_url], ...] = Field(repr=False)
    events: tuple[Literal["recorded", "alarm"], ...]


_days = whole(36_500, 0, "days, 0 to {most}")


class Retention(Written):
    """After how many days content is erased and recordings are deleted; 0 means never."""

    ledger_days: Annotated[int, _days]
    recordings_days: Annotated[int, _days]


class Metrics(Written):
    """Where metrics and probes are served; nowhere if `listen` is empty."""

    listen: Annotated[OptionalLine, _listen]


class Messages(Written):
    """How many SIP messages are filed within an hour, of one sender and in total."""

    per_sender_hour: Annotated[int, whole(100_000)]
    per_hour: Annotated[int, whole(100_000)]


class Log(Written):
    """How much is logged, in which form, and whether it names people."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["console", "json"]
    personal: Literal["plain", "hashed"]


class Settings(Written):
    """The contents of `screener.yaml`."""

    ami: Ami
    pbxs: dict[PbxName, Pbx]
    redis: Redis
    ledger: Ledger
    state_dir: Directory
    recordings_dir: Directory
    region: Region
    trunks: dict[Trunk, TrunkSettings]
    city: Flag
    timezone: Zone
    watch: Literal["notify", "poll", "off"]
    variant: OptionalLine
    packs: tuple[Line, ...]
    own_numbers: tuple[Annotated[str, _number], ...]
    trust: Trust
    transcription: Transcription
    retention: Retention
    messages: Messages
    voicemail: Voicemail
    notify: Notify
    metrics: Metrics
    log: Log

    @property
    def asterisks(self) -> dict[str, Pbx]:
        """Every Asterisk by its name; the only one has none."""
        alone = {**self.ami.__dict__, "recordings_dir": self.recordings_dir}
        return self.pbxs or {"": Pbx.model_construct(**alone)}

    @property
    def recordings_dirs(self) -> list[Path]:
        """Where all Asterisks record."""
        return [self.recordings_dir, *(pbx.recordings_dir for pbx in self.pbxs.values())]

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone in which local hours and days are counted."""
        return ZoneInfo(self.timezone)

    @cached_property
    def place(self) -> Place:
        """Where this PBX stands, for the facts of a call."""
        trunks = tuple((trunk, about.region) for trunk, about in self.trunks.items())
        return Place(self.region, self.zone, trunks, self.city)
