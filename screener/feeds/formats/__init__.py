"""Bytes → entries, pure, one file per format.

To add a format: a file with `parse`, a row here, its name in `screener.config.feeds.Format`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from screener.feeds.formats import columns, ftc, phoneblock, plain, prefixes, saracroche
from screener.feeds.formats.reading import BadRow, Entry, Parsed, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["FORMATS", "BadRow", "Entry", "Parsed", "Version"]

FORMATS: Mapping[str, Callable[[bytes, Mapping[str, str]], Iterator[Parsed]]] = {
    "plain": plain.parse,
    "csv": columns.parse,
    "phoneblock": phoneblock.parse,
    "ftc": ftc.parse,
    "prefixes": prefixes.parse,
    "saracroche": saracroche.parse,
}
