"""The directory of settings: its first screener.yaml, and the secret of the manager account.

Where this machine stands is guessed from its time zone; the guess is shown, and can be overruled.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import TZPATH

import yaml

from screener import config
from screener.errors import ConfigError, InstallRefused
from screener.installing import disk, pbx
from screener.installing.disk import Rights
from screener.installing.wanted import Wanted

if TYPE_CHECKING:
    from screener.asterisk import Asterisk
    from screener.config import Settings

SETTINGS: Final = "screener.yaml"
SECRET_FILE: Final = "ami.secret"  # noqa: S105 - a name
ACCOUNT: Final = "screener"
_LOCALTIME: Final = Path("/etc/localtime")
_HEAD: Final = """\
# Written by `screener install`, and yours from now on. What does not stand here is as shipped:
# `screener config show --origin` names every value, `screener check` every mistake.
"""


class Place(NamedTuple):
    """In whose plan callers' national numbers are written, and whose clock counts; empty: to be guessed."""

    region: str
    timezone: str


def files(
    found: Asterisk, directory: Path, place: Place, state: Path | None
) -> tuple[Settings, str, list[Wanted]]:
    """The settings in force afterwards, the account's secret, and the files of the directory.

    Settings that are there stay, with their secret. ConfigError names what is wrong in them, and what must be
    told where there are none.
    """
    path, secret_file, rights = directory / SETTINGS, directory / SECRET_FILE, Rights(0o640, os.geteuid(), 0)
    kept = disk.read(secret_file)
    secret = kept.content.decode("utf-8", "replace").strip() if kept else ""
    if there := disk.read(path) is not None:
        loaded = config.load(directory)
        settings = loaded.settings
        if settings.pbxs:
            raise InstallRefused(f"{path}: pbxs: names several Asterisks; each is installed by hand")
        try:
            secret = loaded.ami_secrets()[""].get_secret_value()
        except ConfigError:
            if settings.ami.secret_file != str(secret_file):
                raise
        if settings.ami.username != ACCOUNT:
            raise InstallRefused(f"{path}: ami.username: the account that is installed is called {ACCOUNT}")
    else:
        shipped = config.load(None).settings
        own = {
            "state_dir": (state or shipped.state_dir).absolute(),
            "recordings_dir": found.spool / "screener",
        }
        settings = shipped.model_copy(update=own)
    secret = secret or secrets.token_hex(24)
    if not re.fullmatch(r"[!-:<-~]+( +[!-:<-~]+)*", secret):
        raise InstallRefused(
            f"{path}: the secret has characters that manager.conf does not take: choose another"
        )
    first = b"" if there else _first(found, place, settings, secret_file).encode()
    wanted = [Wanted(path, first, rights, seed=True)]
    if not there or settings.ami.secret_file == str(secret_file):
        wanted.append(Wanted(secret_file, f"{secret}\n".encode(), rights))
    return settings, secret, wanted


def time_zone(localtime: Path = _LOCALTIME) -> str:
    """The IANA name of the system's time zone, empty if it does not say."""
    _, found, name = str(localtime.resolve()).partition("/zoneinfo/")
    return name.removeprefix("posix/").removeprefix("right/") if found else ""


def region_of(zone: str) -> str:
    """The country in which a time zone is kept, empty for those of none (UTC, EST)."""
    for directory in TZPATH:
        try:
            table = Path(directory, "zone.tab").read_text("utf-8")
        except OSError:
            continue
        rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
        return next((row[0] for row in rows if row[2:3] == [zone]), "")
    return ""


def guessed(place: Place) -> Place:
    """What was told, completed by what the system knows; ConfigError where that is not enough."""
    zone = place.timezone or time_zone()
    region = place.region or region_of(zone)
    if not region or not zone:
        why = f"the system's time zone ({zone or 'not set'}) tells no country"
        what = "in whose plan callers' national numbers are written, and whose clock counts"
        raise ConfigError([f"{why}: say {what}: --region DE --timezone Europe/Berlin"])
    return Place(region, zone)


def _first(found: Asterisk, place: Place, settings: Settings, secret_file: Path) -> str:
    """A first screener.yaml: what is particular here, and no default."""
    shipped, port = config.load(None).settings, pbx.manager_port(found)
    ami: dict[str, object] = {"secret_file": str(secret_file)}
    if port != shipped.ami.port:
        ami["port"] = port
    values: dict[str, object] = {"ami": ami, **guessed(place)._asdict()}
    for name in ("state_dir", "recordings_dir"):
        if (value := getattr(settings, name)) != getattr(shipped, name):
            values[name] = str(value)
    return _HEAD + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
