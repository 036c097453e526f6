"""Which calls a question can be about at all, told in SQL, so that the others are not read and decoded."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from screener.text import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

OF_BODY = "SELECT pbx, call_id FROM row WHERE kind = ? AND instr(body, ?) > 0"
OF_IDS = "SELECT pbx, call_id FROM row WHERE call_id IN ({})"
UNJUDGED = """
SELECT pbx, call_id FROM row AS lone WHERE kind = 'end' AND NOT EXISTS (
    SELECT 1 FROM row WHERE pbx = lone.pbx AND call_id = lone.call_id AND kind IN ('setup', 'challenge')
)"""


@dataclass(frozen=True, slots=True)
class Sought:
    """Which calls and messages can be meant at all, so that others are not read: told by their rows alone.

    Those of a Uniqueid in `calls`, those with a row of a kind that has a text in its body (`bodies`: kinds
    and texts as stored), and with `unjudged` all that nobody judged.
    """

    calls: Sequence[str] = ()
    bodies: Sequence[tuple[str, str]] = ()
    unjudged: bool = False

    @classmethod
    def of_any(cls, several: Sequence[Sought]) -> Sought:
        """What one of these describes."""
        return cls(
            [call for one in several for call in one.calls],
            list(dict.fromkeys(body for one in several for body in one.bodies)),
            unjudged=any(one.unjudged for one in several),
        )

    def among(self, sql: str) -> tuple[str, list[str]]:
        """The query for calls, narrowed to these, and the parameters that come before its own."""
        which = [OF_BODY] * len(self.bodies)
        which += [UNJUDGED] * self.unjudged
        which.append(OF_IDS.format(", ".join(["?", *"?" * len(self.calls)])))
        narrowed = f"WHERE (this.pbx, this.call_id) IN ({' UNION '.join(which)}) AND"
        return sql.replace("WHERE", narrowed, 1), [
            *chain.from_iterable(self.bodies),
            "-",
            *map(escaped, self.calls),
        ]
