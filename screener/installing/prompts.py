"""The prompts as sound: those that somebody has ready, or made here by espeak-ng and sox.

The package has their texts only: 2.3 MB of sound would be four times the rest of it, and a voice of the house
is better than any that could be shipped.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from screener import dialplan
from screener.errors import InstallRefused
from screener.installing import disk

if TYPE_CHECKING:
    from collections.abc import Iterator

MAKING_S: Final = 300.0


def made(sounds: Path, ready: Path | None) -> Iterator[tuple[Path, bytes]]:
    """Each prompt and where Asterisk looks for it; InstallRefused when one is missing or cannot be made."""
    with tempfile.TemporaryDirectory(prefix="screener-prompts-") as folder:
        source = ready or _make(Path(folder))
        for table in sorted((dialplan.shipped_dir() / "prompts").glob("*.txt")):
            language = disk.real(sounds / table.stem) / "screener"
            for name in _names(table):
                path = source / table.stem / "screener" / f"{name}.wav"
                try:
                    yield language / path.name, path.read_bytes()
                except OSError as error:
                    raise InstallRefused(
                        f"{path}: {error.strerror}; --sounds DIR must hold every prompt"
                    ) from error


def _names(table: Path) -> list[str]:
    lines = table.read_text("utf-8").splitlines()
    return [line.partition(":")[0] for line in lines if line and not line.startswith("#")]


def _make(folder: Path) -> Path:
    package = Path(__file__).parent.parent
    scripts = package / "_scripts" if (package / "_scripts").is_dir() else package.parent / "scripts"
    done = subprocess.run(  # noqa: S603 - our own script, no shell between
        ["/usr/bin/env", "bash", str(scripts / "prompts"), str(folder / "sounds")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=MAKING_S, check=False,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "SCREENER_CACHE": str(folder / "cache"),
             "SCREENER_PROMPTS": str(dialplan.shipped_dir() / "prompts"), "HOME": str(folder)},
    )  # fmt: skip
    if done.returncode:
        raise InstallRefused(
            f"the prompts cannot be made: {done.stderr.strip()}; or give ready ones by --sounds DIR "
            "(DIR/LANGUAGE/screener/NAME.wav)"
        )
    return folder / "sounds"
