"""The settings of the service, as they stand in `screener.yaml`; none has a default here.

The shipped `screener.yaml` holds the default of each and says what it means.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr

from screener.config.values import (
    HEARD,
    DialledPattern,
    Directory,
    Line,
    Mailbox,
    OptionalLine,
    PbxName,
    Region,
    Zone,
    apprise_url,
    listen,
    number,
    optional_path,
    postgres_url,
    redis_url,
    such,
    whole,
)
from screener.facts import Place
from screener.policy import Flag, Trunk, Written

if TYPE_CHECKING:
    from pathlib import Path


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

    url: Annotated[OptionalLine, redis_url] = Field(repr=False)
    memory_mb: Annotated[int, whole(65_536)]

    @property
    def memory_bytes(self) -> int:
        """How much the embedded server may hold."""
        return self.memory_mb << 20


class Ledger(Written):
    """Where the ledger is; an empty URL means a file. The URL may hold a password."""

    url: Annotated[OptionalLine, postgres_url] = Field(repr=False)


class TrunkSettings(Written):
    """What is particular about a carrier link."""

    region: Region


class Trust(Written):
    """How our own calls teach trust; an empty `voicemail_dir` means that messages teach nothing."""

    long_call_s: Annotated[int, whole(3600)]
    half_life_days: Annotated[int, whole(3650)]
    voicemail_dir: Annotated[OptionalLine, AfterValidator(optional_path)]


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

    urls: tuple[Annotated[str, apprise_url], ...] = Field(repr=False)
    events: tuple[Literal["recorded", "alarm"], ...]


_days = whole(36_500, 0, "days, 0 to {most}")


class Retention(Written):
    """After how many days content is erased and recordings are deleted; 0 means never."""

    ledger_days: Annotated[int, _days]
    recordings_days: Annotated[int, _days]


class Metrics(Written):
    """Where metrics and probes are served; nowhere if `listen` is empty."""

    listen: Annotated[OptionalLine, listen]


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
    own_numbers: tuple[Annotated[str, number], ...]
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
