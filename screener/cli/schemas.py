"""The command that gives editors something to check the configuration against."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from screener.cli.common import show, show_json
from screener.config import schemas

Name = StrEnum("Name", {name.upper(): name for name in schemas.MODELS})  # type: ignore[misc]


def schema(
    name: Annotated[Name | None, typer.Argument(help="Which file; all of them if not given.")] = None,
    to: Annotated[
        Path | None,
        typer.Option(show_default=False, help="Write NAME.schema.json into this directory instead."),
    ] = None,
) -> None:
    """Print JSON schemas, for an editor that completes and checks the files while they are written."""
    made = {one: schemas.schema(one) for one in ([str(name)] if name else schemas.MODELS)}
    if to is None:
        show_json(made[str(name)] if name else made)
        return
    to.mkdir(parents=True, exist_ok=True)
    for one, content in made.items():
        path = to / f"{one}.schema.json"
        path.write_text(json.dumps(content, indent=2) + "\n")
        show(f"{path}, for {schemas.MODELS[one][0]}: # yaml-language-server: $schema={path}")
