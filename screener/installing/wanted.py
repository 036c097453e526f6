"""What a plan is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from screener.installing.disk import Rights


@dataclass(frozen=True)
class Wanted:
    """A file as it shall be; a `seed` is written once and belongs to the administrator from then on."""

    path: Path
    content: bytes
    rights: Rights
    seed: bool = False
    verbatim: bool = False


@dataclass(frozen=True)
class Hook:
    """A file of the administrator that shall include one of ours."""

    path: Path
    include: str
    at_end: bool = False
