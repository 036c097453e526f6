"""Commands about evidence bundles."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from screener import ledger
from screener.cli.cases import Which
from screener.cli.common import Site, show
from screener.cli.desk import Desk
from screener.cli.outlook import counted, told
from screener.errors import BundleAltered
from screener.evidence import export, verify
from screener.signing import Signer
from screener.text import escaped

cli = typer.Typer(help="Cases as bundles of files that prove that nobody altered them.", no_args_is_help=True)


class Lang(StrEnum):
    """The language of the first page; the summaries are in both."""

    ZH = "zh"
    EN = "en"


@cli.command("export")
def export_one(
    which: Which,
    target: Annotated[Path, typer.Argument(help="A new folder, or a file that ends in .zip.")],
    lang: Annotated[Lang, typer.Option(help="The language of the first page.")] = Lang.EN,
    blank: Annotated[
        bool,
        typer.Option("--blank-third-parties", help="Blank in writing the numbers called, each --third."),
    ] = False,
    third: Annotated[list[str], typer.Option(help="A name to blank.")] = [],  # noqa: B006 - typer copies it
    site: Site = None,
) -> None:
    """Write a case as a bundle: recordings, timeline, incidents, summary, rows, checksums, signature."""
    desk = Desk.of(site)
    case, settings = desk.case(which), desk.config.settings
    blanked = tuple(third) if blank or third else None
    records = desk.records(case)
    signer, calls = Signer.of(settings.state_dir), [one.call_id for one in records]
    rows = ledger.excerpt(desk.path, case.id, calls, signer, withhold=blanked is not None)
    faults = export(case, records, desk.gathering(blanked), rows, target, lang.value, signer)
    for fault in faults:
        show(f"attention: {fault}")
    show(
        f"{target}: case {which} with {told(*counted(records))}, signed with key {signer.public.fingerprint}"
    )


@cli.command("verify")
def verify_one(
    bundle: Annotated[Path, typer.Argument(help="The folder or ZIP.")],
    key: Annotated[
        Path | None,
        typer.Option(
            show_default=False, help="The public key of the installation that made it, kept elsewhere."
        ),
    ] = None,
) -> None:
    """Tell whether a bundle is as it was written: each file that was changed, removed or added is named."""
    if problems := verify(bundle, key):
        raise BundleAltered("\n".join(map(escaped, problems)))
    if key:
        show(f"{bundle}: nothing was changed since it was signed with {key}")
    else:
        show(
            f"{bundle}: not changed by anybody without the key that is in it; --key FILE proves whose that is"
        )
