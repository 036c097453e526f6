"""What a soak has shown, as a table for people and as JSON."""

from __future__ import annotations

import platform
import re
from collections import Counter, defaultdict
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any

from tests.soak.account import rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.soak.account import Account
    from tests.soak.faults import Window
    from tests.soak.growth import Sample

MARKS = ("<!-- soak -->\n", "<!-- /soak -->\n")


@dataclass
class Report:
    """One soak. `missed` says which of its aims were."""

    minutes: float
    rate: float
    seed: int
    account: Account
    windows: list[Window]
    samples: list[Sample]
    slopes: dict[str, float]
    late_s: float
    stray: Counter[str]
    complaints: list[dict[str, Any]]
    ledger: str
    left_out: str = ""
    machine: str = field(default_factory=lambda: f"{platform.machine()}, Python {platform.python_version()}")

    @property
    def missed(self) -> list[str]:
        """Everything that must not be."""
        tracebacks = [one for one in self.complaints if "exception" in one or "level" not in one]
        return [
            *self.account.lost,
            *(f"{count} × {what}" for what, count in self.stray.items()),
            *(f"not screened again: {one.kind} {one.what}" for one in self.windows if not one.screened),
            *(f"logged: {one.get('event')} {str(one.get('exception'))[-400:]}" for one in tracebacks),
            *([] if self.ledger.startswith("whole") else [f"the ledger: {self.ledger}"]),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        account = self.account
        return {
            "minutes": self.minutes, "rate": self.rate, "seed": self.seed, "machine": self.machine,
            "placed": dict(account.placed), "reached": dict(account.reached), "died": dict(account.died),
            "misplaced": dict(account.misplaced), "apart": dict(account.apart),
            "rows": dict(account.rows), "recordings": dict(account.recordings),
            "delays_ms": {what: {"calls": len(all_), "p50": rank(all_, 0.5), "p99": rank(all_, 0.99),
                                 "worst": max(all_)} for what, all_ in sorted(account.delays.items())},
            "faults": [{"kind": one.kind, "began": one.began, "what": one.what,
                        "lasted_s": one.mended - one.began,
                        "again_s": one.screened - one.mended if one.screened else None}
                       for one in self.windows],
            "growth": self.slopes, "samples": [astuple(one) for one in self.samples[::10]],
            "late_s": self.late_s, "ledger": self.ledger,
            "complaints": dict(Counter(f"{one.get('event')}: {one.get('reason', '')}"[:300]
                                       for one in self.complaints)),
            "missed": self.missed,
        }  # fmt: skip

    def markdown(self) -> str:
        """The tables that stand in docs/reliability.md."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        account = self.account
        command = f"scripts/soak --minutes {self.minutes:g} --rate {self.rate:g} --seed {self.seed}"
        yield f"`{command}` on {self.machine}"
        yield f"({self.late_s * 1000:.0f} ms was the most by which a call was placed late):"
        yield from (
            "",
            "| caller | placed | died with Asterisk | reached his place | did not |",
            "| --- " * 5 + "|",
        )
        columns = (account.placed, account.died, account.reached, account.misplaced)
        for kind in sorted(account.placed):
            yield f"| {kind} | {' | '.join(str(column[kind]) for column in columns)} |"
        yield f"| all | {' | '.join(str(column.total()) for column in columns)} |"
        yield from ("", "| waited | calls | p50 ms | p99 ms | worst ms |", "| --- " * 5 + "|")
        for what, all_ in sorted(account.delays.items()):
            figures = " | ".join(f"{one:.1f}" for one in (rank(all_, 0.5), rank(all_, 0.99), max(all_)))
            yield f"| {what} | {len(all_)} | {figures} |"
        yield from ("", "| fault | times | screened again after: median s | worst s |", "| --- " * 4 + "|")
        yield from self._again()
        yield from ("", "| counted | |", "| --- | --- |")
        for what, count in (
            *account.rows.items(),
            *account.recordings.items(),
            *sorted(account.apart.items()),
        ):
            yield f"| {what} | {count} |"
        yield f"| rows, recordings or calls lost | {len(account.lost)} |"
        yield f"| the ledger afterwards | {self.ledger} |"
        for what, each in self.slopes.items():
            yield f"| {what} from the second half, outside faults | {each:+.1f} |"
        if last := self.samples[-1:]:
            held = f"{last[0].screener_mb:.0f}, {last[0].store_mb:.0f}, {last[0].files}"
            yield f"| at the end: screener MB, store MB, open files | {held} |"
        if self.left_out:
            yield f"\nLeft out here: {self.left_out}."

    def _again(self) -> Iterator[str]:
        by_kind: dict[str, list[float]] = defaultdict(list)
        for one in self.windows:
            by_kind[one.kind].append(one.screened - one.mended if one.screened else float("inf"))
        for kind, all_ in sorted(by_kind.items()):
            yield f"| {kind} | {len(all_)} | {rank(all_, 0.5):.1f} | {max(all_):.1f} |"


def written_into(page: str, text: str) -> str:
    """The page with the report between its marks."""
    pattern = re.escape(MARKS[0]) + ".*?" + re.escape(MARKS[1])
    return re.sub(pattern, lambda _: MARKS[0] + text + MARKS[1], page, flags=re.DOTALL)


def shown(lines: Iterable[str], at_most: int = 40) -> str:
    """The first of many lines."""
    some = list(lines)
    return "\n".join(
        [*some[:at_most], *([f"… and {len(some) - at_most} more"] if len(some) > at_most else [])]
    )
