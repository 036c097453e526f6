"""The command that writes down the calls of an imagined house, to try rules on before real ones come."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from screener import simulation
from screener.cli.common import Site, load

if TYPE_CHECKING:
    from collections.abc import Iterable


Format = Literal["cdr-csv", "json"]
"""How the calls are written."""


def simulate(
    seed: Annotated[int, typer.Option(help="The same seed gives the same calls.")] = 1,
    form: Annotated[
        Format, typer.Option("--format", help="cdr-csv for `screener replay`; json says all of each call.")
    ] = "cdr-csv",
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this class of callers; may be repeated.", show_default=False),
    ] = None,
    site: Site = None,
) -> None:
    """Write four weeks of calls to an imagined house, with a campaign of each class of callers.

    The callers behave as diallers, collectors, couriers, families do, whatever the rules say; the
    house stands in your region and time zone. As CSV the calls are what a house without a screener hears.
    """
    settings = load(site).settings
    if settings.region not in simulation.PLANS:
        raise typer.BadParameter(
            f"no numbers are known for {settings.region}, only for {', '.join(simulation.PLANS)}"
        )
    if unknown := sorted(set(only or ()) - set(simulation.KINDS)):
        raise typer.BadParameter(
            f"{unknown[0]!r} is none of: {', '.join(simulation.KINDS)}", param_hint="--only"
        )
    calls = simulation.history(seed, settings.region, settings.zone, only or simulation.KINDS)
    if form == "json":
        for one in calls:
            sys.stdout.write(json.dumps(asdict(one), default=str, ensure_ascii=True) + "\n")
    else:
        csv.writer(sys.stdout, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(_records(calls))


def _records(calls: Iterable[simulation.Event]) -> Iterable[list[str]]:
    """Lines of a Master.csv; a record does not tell a withheld number, nor what the caller would do."""
    for n, one in enumerate(simulation.as_it_rings(calls)):
        if isinstance(one, simulation.Attempt):
            source, dialled, context, inward = one.number, one.did, "from-trunk", one.trunk
            rings_s, kind = one.rings_s, one.kind
        else:
            source, dialled, context, inward = "201", one.number, "from-internal", "PJSIP/201"
            rings_s, kind = 10.0, "our own call"
        talk_s = round(one.talk_s) if one.answered else 0
        answer, end = one.at + timedelta(seconds=rings_s), one.at + timedelta(seconds=rings_s + talk_s)
        yield [
            "", source, dialled, context, f'"" <{source}>', f"{inward}-{n:08x}", f"PJSIP/201-{n:08x}", "Dial",
            "PJSIP/201",
            f"{one.at:%F %T}", f"{answer:%F %T}" if one.answered else "", f"{end:%F %T}",
            str(round(rings_s) + talk_s), str(talk_s), "ANSWERED" if one.answered else "NO ANSWER",
            "DOCUMENTATION", f"{one.at.timestamp():.0f}.{n}", kind,
        ]  # fmt: skip
