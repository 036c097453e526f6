"""The Asterisk of this machine: where its directories are, who it is, what its console answers.

A running Asterisk says it all itself; of one that is down `asterisk.conf` does, and what packages agree on.
Nothing here writes, and nothing needs root.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from screener.errors import AsteriskNotFound, ConsoleSilent

USUAL: Final = tuple(map(Path, ("/etc/asterisk", "/usr/local/etc/asterisk", "/opt/asterisk/etc/asterisk")))
ANSWER_S: Final = 20.0
"""The longest that a console command may take; a reload of a large dialplan takes a second or two."""
_USUAL_PATHS: Final = {
    "astvarlibdir": "/var/lib/asterisk",
    "astspooldir": "/var/spool/asterisk",
    "astrundir": "/var/run/asterisk",
}
_SETTINGS: Final = {
    "Configuration directory": "astetcdir",
    "Data directory": "astdatadir",
    "Spool directory": "astspooldir",
    "VarLib directory": "astvarlibdir",
}
"""What `core show settings` calls the entries of asterisk.conf."""


@dataclass(frozen=True)
class Asterisk:
    """One Asterisk: its configuration directory and what follows from it.

    `program` is empty where only its files were found. `user` and `group` are those it runs as.
    """

    etc: Path
    data: Path
    spool: Path
    program: str
    running: bool
    version: str
    user: int
    group: int

    @property
    def sounds(self) -> Path:
        """Where prompts are looked for, in a directory for each language."""
        return self.data / "sounds"

    def console(self, command: str) -> str:
        """What the console answers to a command, without colours; ConsoleSilent when it does not answer."""
        return _console(self.program, self.etc, command)


def find(etc: Path | None = None) -> Asterisk:
    """Find the Asterisk that reads `etc`; AsteriskNotFound without it unless exactly one usual place fits."""
    etc = (etc or _only_one()).absolute()
    if not (etc / "asterisk.conf").is_file() and not (etc / "extensions.conf").is_file():
        raise AsteriskNotFound(
            f"{etc}: neither asterisk.conf nor extensions.conf is there; see --asterisk-etc"
        )
    program = _program()
    paths = {**_USUAL_PATHS, **_directories(etc / "asterisk.conf")}
    try:
        told = _console(program, etc, "core show settings")
    except ConsoleSilent:
        told = ""
    said = {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in told.splitlines())
    }
    running = "Configuration directory" in said
    paths |= {ours: said[theirs] for theirs, ours in _SETTINGS.items() if said.get(theirs)}
    user, group = _identity(etc / "asterisk.conf", paths, running=running)
    return Asterisk(
        etc=etc, data=Path(paths.get("astdatadir") or _usual_data(paths["astvarlibdir"])),
        spool=Path(paths["astspooldir"]), program=program, running=running,
        version=said.get("Version") or _version(program), user=user, group=group,
    )  # fmt: skip


def _only_one() -> Path:
    there = {place.resolve(): place for place in USUAL if (place / "asterisk.conf").is_file()}
    if len(there) == 1:
        return next(iter(there.values()))
    tell = "say which by --asterisk-etc DIR"
    if there:
        listed = ", ".join(map(str, there.values()))
        raise AsteriskNotFound(f"more than one Asterisk is configured here ({listed}): {tell}")
    raise AsteriskNotFound(f"no asterisk.conf in {', '.join(map(str, USUAL))}: {tell}")


def _program() -> str:
    return shutil.which("asterisk", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin") or ""


def _run(command: list[str]) -> str:
    done = subprocess.run(  # noqa: S603 - a list, no shell
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ANSWER_S, check=False,
        env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise OSError(said.splitlines()[0] if said else f"exit status {done.returncode}")
    return done.stdout.decode(errors="replace")


def _console(program: str, etc: Path, command: str) -> str:
    if not program:
        raise ConsoleSilent("the program asterisk is not on PATH: its console cannot be asked")
    conf = ["-C", str(etc / "asterisk.conf")] if (etc / "asterisk.conf").is_file() else []
    try:
        return _run([program, *conf, "-rx", command])
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConsoleSilent(f"Asterisk's console does not answer `{command}`: {error}") from error


def _version(program: str) -> str:
    try:
        return _run([program, "-V"]).strip().removeprefix("Asterisk ") if program else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""


def section(conf: Path, name: str) -> dict[str, str]:
    """The entries of a section, of that file alone; empty where it is not there or cannot be read."""
    try:
        text = conf.read_text("utf-8", errors="replace")
    except OSError:
        return {}
    # Debian's directories are marked as a template: Asterisk skips them, for they are what it was built with.
    found = re.search(rf"^\[{re.escape(name)}\][^\n]*\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    lines = found[1].splitlines() if found else []
    parts = (line.partition(";")[0].partition("=") for line in lines)
    return {key.strip(): value.lstrip(">").strip() for key, equals, value in parts if equals}


def _directories(conf: Path) -> dict[str, str]:
    return {key: value for key, value in section(conf, "directories").items() if value.startswith("/")}


def _usual_data(varlib: str) -> str:
    """Debian keeps sounds in /usr/share, Asterisk itself beside its database."""
    return next((place for place in ("/usr/share/asterisk",) if Path(place, "sounds").is_dir()), varlib)


def _identity(conf: Path, paths: dict[str, str], *, running: bool) -> tuple[int, int]:
    """User and group that Asterisk runs as: of the process, else as configured, else as packages have it."""
    if running:
        try:
            about = Path("/proc", Path(paths["astrundir"], "asterisk.pid").read_text().strip()).stat()
        except OSError:
            pass
        else:
            return about.st_uid, about.st_gid
    options = section(conf, "options")
    for name in (options.get("runuser", ""), "asterisk"):
        try:
            known = pwd.getpwnam(name)
        except KeyError:
            continue
        return known.pw_uid, known.pw_gid
    about = next(path.stat() for path in (Path(paths["astspooldir"]), conf, Path("/")) if path.exists())
    return about.st_uid, about.st_gid
