"""The command that looks at the whole installation and says how to mend what is wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from screener.cli.common import AsJson, Site, chosen, show_json
from screener.doctor import CHECKS, Check, Level, Patient, Result, made
from screener.errors import NotChecked
from screener.text import escaped

_STYLES = {Level.OK: "green", Level.UNCHECKED: "dim", Level.WARN: "yellow", Level.FAIL: "bold red"}
_WIDTH = 12
"""Of the column that says how a check ended: that of `not checked`."""


def doctor(
    only: Annotated[
        list[str] | None,
        typer.Option(help="A check, such as manager.login, or a group, such as manager; may be repeated."),
    ] = None,
    etc: Annotated[
        Path | None,
        typer.Option(
            "--asterisk-etc",
            exists=True,
            file_okay=False,
            show_default=False,
            help="Asterisk's configuration directory.",
        ),
    ] = None,
    pbx: Annotated[str, typer.Option(help="Which of several Asterisks (pbxs), the first if not said.")] = "",
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Look for everything that can be wrong, and say how to mend it. Exit code 1: something is.

    Changes nothing. As root, on the PBX's machine, it sees most; what it cannot see it says.
    """
    wanted = [one for one in CHECKS if not only or {one.name, one.group} & set(only)]
    known = {name for one in CHECKS for name in (one.name, one.group)}
    if unknown := set(only or ()) - known:
        raise typer.BadParameter(
            f"no such check: {', '.join(sorted(unknown))}; there are {', '.join(one.name for one in CHECKS)}"
        )
    patient, printer = Patient(chosen(site), etc, pbx=pbx), _Printer()
    if pbx and pbx not in (there := _asterisks(patient) or [pbx]):
        raise typer.BadParameter(
            f"there is no {pbx!r} in pbxs, but {', '.join(filter(None, there)) or 'none'}"
        )
    results = asyncio.run(_all(wanted, patient, None if as_json else printer))
    if as_json:
        show_json([_plain(one) for one in results])
    else:
        printer.end(results)
    if any(one.level is Level.FAIL for one in results):
        raise typer.Exit(1)


def _asterisks(patient: Patient) -> list[str]:
    """Those of the settings by name; none where the settings do not load, which a check tells."""
    try:
        return list(patient.settings.asterisks)
    except NotChecked:
        return []


async def _all(wanted: list[Check], patient: Patient, printer: _Printer | None) -> list[Result]:
    results = []
    async with patient:
        for one in wanted:
            results.append(result := await made(one, patient))
            if printer:
                printer.line(result)
    return results


def _plain(result: Result) -> dict[str, object]:
    findings = [asdict(one) for one in result.findings]
    return {
        "check": result.check.name,
        "level": result.level,
        "about": result.check.about,
        "findings": findings,
    }


class _Printer:
    """Lines as the checks end, by group: whoever waits sees where it hangs."""

    def __init__(self) -> None:
        self._console, self._group = Console(highlight=False, soft_wrap=True), ""

    def line(self, result: Result) -> None:
        """Print one check, and below it what was found."""
        if result.check.group != self._group:
            self._group = result.check.group
            self._print((f"{self._group}", "bold"))
        fine = [one.what for one in result.findings if one.level is Level.OK]
        said = f"{result.check.about}{': ' if fine else ''}{'; '.join(fine)}"
        self._print((f"  {result.level:<{_WIDTH}}", _STYLES[result.level]), (said, ""))
        for one in result.findings:
            if one.level is Level.UNCHECKED:
                self._print((" " * (_WIDTH + 2) + f"why: {one.what}", "dim"))
            elif one.level is not Level.OK:
                self._print((" " * (_WIDTH + 2) + one.what, _STYLES[one.level]))
                self._print((" " * (_WIDTH + 2) + f"noticed: {one.notice}", ""))
                self._print((" " * (_WIDTH + 2) + f"mend: {one.mend}", "bold"))

    def end(self, results: list[Result]) -> None:
        """Print how many ended how."""
        counts = Counter(one.level for one in results)
        self._print((", ".join(f"{counts[level]} {level}" for level in reversed(Level)), ""))

    def _print(self, *parts: tuple[str, str]) -> None:
        self._console.print(Text.assemble(*((escaped(text), style) for text, style in parts)))
