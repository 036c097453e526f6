"""Plain numbers: one a line, in any form that `screener list add` takes, `+33162*` and ranges too.

A label may follow after a comma, semicolon or tab. Lines that begin with `#` are comments.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from screener.feeds.formats.reading import Entry, Parsed, lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DELIMITER = re.compile(r"[,;\t]")


def parse(raw: bytes, _columns: Mapping[str, str]) -> Iterator[Parsed]:
    """Every line as one vote."""
    for _, text in lines(raw):
        if text.startswith("#"):
            continue
        number, *label = _DELIMITER.split(text, maxsplit=1)
        yield Entry(number, label=label[0] if label else "")
