"""The command that runs past calls through a policy before it goes live."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    nullcontext,
)
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO, cast
from zoneinfo import ZoneInfo

import typer

from screener import app, config
from screener import replay as past
from screener.cli.common import Site, has_store, load, progress, show, show_table, span, store
from screener.feeds import terms_of
from screener.state import EmbeddedServer, Rehearsal

if TYPE_CHECKING:
    from datetime import tzinfo

    from screener.config import Config
    from screener.replay import CdrFile, Changed, LedgerFile, Tally
    from screener.replay.comparing import Judge

SQLITE = b"SQLite format 3\0"
BLOCKS = 3
"""Exit code of a change that must not go live as it is."""
ASIDE = 5000
"""From so many calls on, half a second for a second process pays."""
_MAX_REPORTED = 20
_MAX_CONTEXTS = 5


Format = Literal["auto", "ledger", "cdr-csv", "freepbx"]
"""What a source is written in."""


def replay(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="A ledger, a Master.csv of Asterisk, or a CSV of FreePBX's cdr table; our ledger without.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="The site directory to try; the present one if not given.", show_default=False),
    ] = None,
    last: Annotated[str, typer.Option(help="Only the last 90m, 12h or 30d.")] = "",
    form: Annotated[Format, typer.Option("--format", help="What the source is written in.")] = "auto",
    timezone: Annotated[
        str, typer.Option(help="Time zone of a CSV's times; the site's if not given.", metavar="NAME")
    ] = "",
    inbound_context: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Context of calls from outside, * at will; instead of {' '.join(past.INBOUND_CONTEXTS)}.",
            show_default=False,
        ),
    ] = None,
    trunk: Annotated[
        list[str] | None, typer.Option(help="Trunk of calls from outside: PJSIP/carrier.", show_default=False)
    ] = None,
    lists: Annotated[
        bool, typer.Option(help="Ask the lists and feeds of today, where none are recorded.")
    ] = True,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write changes and counts as lines of JSON.", show_default=False),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=0, help="Show so many changes; all if not given.", show_default=False)
    ] = None,
    site: Site = None,
) -> None:
    """Run past calls through a policy and show every verdict that changes.

    Exit code 3: an answered call of more than a minute would be sent to the voicemail or rejected.
    Exit code 1: a verdict of the ledger is not given again by the same policy.
    """
    present = load(site)
    candidate = config.load(against) if against else present
    since = app.now() - span(last) if last else None
    zone = _zone(timezone) if timezone else present.settings.zone
    read = partial(
        past.CdrFile,
        zone=zone,
        contexts=inbound_context or past.INBOUND_CONTEXTS,
        trunks=trunk or (),
        header=form == "freepbx",
    )
    with ExitStack() as stack:
        out = _Output(present.settings.zone, limit)
        if json_file:
            out.lines = stack.enter_context(_written(json_file))
        calls = _opened(source, form, read, present)
        baseline = present if against and not isinstance(calls, past.LedgerFile) else None
        judge = partial(_judge, candidate, baseline)
        live = store(present.settings) if lists and has_store(present.settings) else nullcontext()
        tally = asyncio.run(_run(calls, candidate, judge, live, since, out))
        out.conclude(tally, calls, candidate.policy.hash)
    if tally.blocked:
        raise typer.Exit(BLOCKS)
    if tally.differ:
        raise typer.Exit(1)


def _written(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="ascii")
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror}", param_hint="--json") from None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise typer.BadParameter(
            f"{name!r} is no time zone such as Europe/Berlin", param_hint="--timezone"
        ) from None


def _opened(
    source: Path | None, form: Format, read: Callable[[Path], CdrFile], present: Config
) -> LedgerFile | CdrFile:
    if source is None:
        return past.LedgerFile(app.ledger_path(present.settings))
    with (
        progress() as bar,
        BufferedReader(cast("RawIOBase", bar.open(source, "rb", description="reading"))) as stream,
    ):
        if form == "ledger" or (form == "auto" and stream.peek().startswith(SQLITE)):
            return past.LedgerFile(source)
        calls = read(source)
        reported = 0

        def report(line: int, reason: str) -> None:
            nonlocal reported
            reported += 1
            if reported <= _MAX_REPORTED:
                sys.stderr.write(f"{source}:{line}: {reason}\n")

        calls.read(stream, report)
    if reported > _MAX_REPORTED:
        sys.stderr.write(f"{source}: and {reported - _MAX_REPORTED} more such lines\n")
    return calls


async def _run(
    calls: LedgerFile | CdrFile,
    candidate: Config,
    judge: Callable[[int], AbstractContextManager[Judge]],
    live: AbstractAsyncContextManager[str | None],
    since: datetime | None,
    out: _Output,
) -> Tally:
    settings, total, tally = candidate.settings, calls.total(since), past.Tally()
    async with AsyncExitStack() as stack:
        judging = stack.enter_context(judge(total))
        lists = await stack.enter_async_context(live)
        own = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="screener")), "store")
        server = await stack.enter_async_context(EmbeddedServer(own))
        feeds, half_life_days = terms_of(candidate.feeds), settings.trust.half_life_days
        state = stack.enter_context(Rehearsal(server.url, lists, feeds, half_life_days=half_life_days))
        bar = stack.enter_context(progress())
        task = bar.add_task("judging", total=total)
        region_of, long_call_s = settings.place.region_of, settings.trust.long_call_s
        batches = past.rerun(calls, state, judging, region_of, since, long_call_s=long_call_s)
        for changes, counts in batches:
            tally.add(counts)
            for change in changes:
                out.tell(change)
            bar.update(task, completed=tally.calls + tally.not_asked)
            await asyncio.sleep(0)  # so that Ctrl-C is heard
    return tally


def _judge(candidate: Config, baseline: Config | None, total: int) -> AbstractContextManager[Judge]:
    place = candidate.settings.place
    if total >= ASIDE:
        return past.aside(candidate.document, baseline.document if baseline else None, place)
    bench = past.Bench(candidate.policy, baseline.policy if baseline else None, place)
    return nullcontext(lambda batch: partial(bench.judge, batch))


@dataclass(slots=True)
class _Output:
    """Changes as they come, the counts at the end; and the same as JSON, without times of now."""

    zone: tzinfo
    limit: int | None
    lines: TextIO | None = None
    shown: int = 0

    def tell(self, change: Changed) -> None:
        self._write(change.as_dict())
        if self.limit is not None and self.shown >= self.limit and not change.blocked:
            return
        self.shown += 1
        past_call, old, new = change.past, change.old, change.new
        at = past_call.call.at.astimezone(self.zone)
        became = f", answered, {past_call.talk_s} s" if past_call.answered else ""
        mark = "BLOCKS AN ANSWERED CALL: " if change.blocked else ""
        show(
            f"{mark}{at:%Y-%m-%d %H:%M:%S} {change.caller} to {past_call.call.did or '?'}{became}: "
            f"{old.action} {old.score:g} → {new.action} {new.score:g}: "
            f"{new.reasons or 'nothing against it'} (was: {old.reasons or 'nothing against it'})"
        )

    def conclude(self, tally: Tally, calls: LedgerFile | CdrFile, policy: str) -> None:
        counts = tally.as_dict()
        skipped = dict(sorted(calls.skipped.items()))
        self._write({"summary": {"policy": policy, **counts, "skipped": skipped}})
        if tally.changed > self.shown:
            show(f"… and {tally.changed - self.shown} more changes")
        for columns, key in (
            (("before", "now", "calls"), "actions"),
            (("symbol", "before", "now"), "rules"),
            (("not asked", "for want of", "calls"), "missing"),
        ):
            if counts[key]:
                show_table(columns, map(tuple, counts[key]))
        for what, n in skipped.items():
            show(f"not replayed: {n} {what}")
        if not tally.calls and isinstance(calls, past.CdrFile) and calls.contexts:
            seen = calls.contexts.most_common(_MAX_CONTEXTS)
            named = ", ".join(f"{name or '(none)'} ({n})" for name, n in seen)
            show(f"no call came from outside; name its context with --inbound-context. There are: {named}")
        show(
            f"{tally.calls} verdicts by policy {policy}: {tally.changed} changed, {tally.rescored} by the "
            f"score alone; {tally.not_asked} challenges would not be asked any more"
        )
        if tally.challenged:
            show(f"warning: {tally.challenged} answered calls of more than a minute would be challenged")
        if tally.differ:
            show(
                f"error: {tally.differ} verdicts of the ledger are not given again by the same policy, "
                f"the first in {', '.join(tally.differing)}"
            )
        if tally.blocked:
            show(f"refused: {tally.blocked} answered calls of more than a minute would not ring any more")

    def _write(self, value: dict[str, Any]) -> None:
        if self.lines:
            self.lines.write(json.dumps(value, separators=(",", ":")) + "\n")
