"""The service under systemd, where that runs this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from screener.errors import InstallRefused

UNIT: Final = "screener.service"
UNITS: Final = Path("/etc/systemd/system")
_ANSWER_S: Final = 60.0


def here() -> bool:
    """Whether systemd runs this machine."""
    return Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None


def start() -> None:
    """Start it now and at every boot, with the unit as it is now; InstallRefused with what systemd says."""
    _systemctl("daemon-reload")
    _systemctl("enable", UNIT)
    _systemctl("restart", UNIT)


def stop() -> None:
    """Stop it, and start it at no boot any more; InstallRefused with what systemd says."""
    _systemctl("disable", "--now", UNIT)


def forget() -> None:
    """Have systemd see that the unit is gone."""
    _systemctl("daemon-reload")


def _systemctl(*words: str) -> None:
    program = shutil.which("systemctl") or "systemctl"
    try:
        done = subprocess.run(  # noqa: S603 - a list, no shell
            [program, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallRefused(f"systemctl {' '.join(words)}: {error}") from error
    if done.returncode:
        raise InstallRefused(f"systemctl {' '.join(words)}: {done.stderr.strip() or done.returncode}")
