"""What is to be on this machine: each file with its content, and the line that leads Asterisk to it."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from screener import __version__, dialplan
from screener.errors import InstallRefused
from screener.installing import disk, pbx, prompts, service, site, text
from screener.installing.disk import Rights
from screener.installing.record import Record, digest
from screener.installing.wanted import Wanted

if TYPE_CHECKING:
    from screener.asterisk import Asterisk
    from screener.config import Settings
    from screener.installing.wanted import Hook


@dataclass(frozen=True)
class Options:
    """What the administrator has said."""

    site: Path
    trunks: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    region: str = ""
    timezone: str = ""
    sounds: Path | None = None
    state: Path | None = None
    by_hand: bool = False
    service: bool = True


@dataclass
class Plan:
    """All of it, in the order of writing: what leads Asterisk to the rest comes last.

    `rights` are those of files that Asterisk shall read, and nobody else.
    """

    site: Path
    secret: str
    record: Record
    rights: Rights
    stamp: str = ""
    directories: list[tuple[Path, Rights]] = field(default_factory=list)
    files: list[Wanted] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)


def plan(found: Asterisk, options: Options, old: Record) -> Plan:
    """What `install` would have here; reads, and writes nothing. ScreenerError where it cannot be."""
    etc, directory = disk.real(found.etc), disk.real(options.site)
    if old.etc and old.etc != str(etc):
        raise InstallRefused(f"{directory}: is installed for {old.etc}: `screener uninstall` first")
    record = _record(found, options, old, etc)
    settings, secret, files = site.files(
        found, directory, site.Place(options.region, options.timezone), options.state
    )
    record.state = str(disk.real(settings.state_dir))
    record.recordings = str(disk.real(settings.recordings_dir))
    ours, root = Rights(0o640, os.geteuid(), found.group), Rights(0o644, os.geteuid(), os.getegid())
    made = Plan(directory, secret, record, ours)
    folder, shared = replace(ours, mode=0o750), Rights(0o750, found.user, found.group)
    directories = {
        directory: folder, etc / "screener": folder, etc / "screener/actions": folder,
        Path(record.state): shared, Path(record.recordings): shared,
    }  # fmt: skip
    for path, content in prompts.made(disk.real(found.sounds), options.sounds):
        directories |= dict.fromkeys((path.parent.parent, path.parent), replace(root, mode=0o755))
        made.files.append(Wanted(path, content, root, verbatim=True))
    made.directories = list(directories.items())
    for path, text_, shipped in _dialplan(etc / "screener", made):
        made.files.append(Wanted(path, text_.encode(), ours, verbatim=shipped))
    made.files += [replace(one, rights=ours) for one in files]
    if record.service and service.here():
        made.files.append(Wanted(service.UNITS / service.UNIT, _unit(found, settings, directory), root))
    if not record.by_hand:
        made.hooks = list(pbx.hooks(etc, trunks=bool(record.trunks)))
    return made


def _record(found: Asterisk, options: Options, old: Record, etc: Path) -> Record:
    """What was said to earlier installs holds until `uninstall`."""
    fresh = [name for name in options.trunks if name not in old.trunks]
    trunks = {**old.trunks, **{name: pbx.context_of(found, name) for name in fresh}}
    named = [pbx.known(found, name) for name in options.contexts]
    return Record(
        version=__version__, etc=str(etc), trunks=trunks,
        contexts=sorted({*old.contexts, *trunks.values(), *named}),
        by_hand=options.by_hand or old.by_hand, service=options.service and (old.service or not old.etc),
    )  # fmt: skip


def _dialplan(folder: Path, made: Plan) -> list[tuple[Path, str, bool]]:
    """The dialplan's files, each with its text and whether that is as shipped."""
    source, record = dialplan.shipped_dir(), made.record
    if not re.fullmatch(r"[\w/.+-]+", record.recordings):
        raise InstallRefused(
            f"recordings_dir {record.recordings!r}: a dialplan takes no such path: choose another"
        )
    parts = []
    for path in sorted(source.rglob("*.conf")):
        content = path.read_text("utf-8")
        if path.name == "manager.conf":
            parts.append((folder / path.name, content.replace("CHANGE-ME", made.secret), False))
        else:
            parts.append((folder / path.relative_to(source), content, True))
    default = re.search(r"^SCREENER_SPOOL=(\S+)", (source / "screener.conf").read_text("utf-8"), re.MULTILINE)
    elsewhere = not default or default[1] != record.recordings
    globals_ = {"SCREENER_SPOOL": record.recordings} if elsewhere else {}
    everything = text.dialplan(record.contexts, globals_, "") + "".join(part for _, part, _ in parts)
    made.stamp = f"{__version__} {digest(everything.encode())[:12]}"
    parts.append((folder / "site.conf", text.dialplan(record.contexts, globals_, made.stamp), False))
    if record.trunks:
        parts.append((folder / "pjsip.conf", text.endpoints(record.trunks), False))
    return parts


def _unit(found: Asterisk, settings: Settings, directory: Path) -> bytes:
    program = Path(sys.executable).parent / "screener"
    if not program.is_file() or not disk.may_run(program.resolve(), found.user, found.group):
        raise InstallRefused(
            f"{program}: Asterisk's user cannot run it, so no service of his can: install the screener where "
            "he can read, such as `python3 -m venv /opt/screener`, or use --no-service and run it yourself"
        )
    package = Path(__file__).parent.parent
    inside = package / "_systemd"
    unit = (inside if inside.is_dir() else package.parent / "packaging/systemd") / service.UNIT
    here = {
        "ExecStart": f"{program} run --config {directory}",
        "User": str(found.user), "Group": str(found.group),
        "ReadWritePaths": f"{settings.state_dir} {settings.recordings_dir}",
    }  # fmt: skip
    lines = [(line, line.partition("=")[0]) for line in unit.read_text("utf-8").splitlines()]
    return "".join(f"{key}={here[key]}\n" if key in here else f"{line}\n" for line, key in lines).encode()
