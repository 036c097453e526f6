"""The dialplan's files, as far as the configuration depends on them."""

from __future__ import annotations

import re
from pathlib import Path

from screener.errors import ConfigError
from screener.verdict import Action

_CONTEXT = re.compile(r"^\[screener-action-([a-z_]+)\]", re.MULTILINE)


def shipped_dir() -> Path:
    """Where the shipped dialplan is: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    installed = package / "_dialplan"
    return installed if installed.is_dir() else package.parent / "dialplan"


def check(directory: Path) -> None:
    """Raise ConfigError unless each action of the policy has its file, and each file its action."""
    problems = []
    if not (directory / "screener.conf").is_file():
        problems.append(f"{directory}/screener.conf:1:1: file: is missing; copy the shipped dialplan there")
    files = {path.stem: path for path in (directory / "actions").glob("*.conf")}
    for action in Action:
        path = directory / "actions" / f"{action}.conf"
        if action not in files:
            problems.append(f"{path}:1:1: file: is missing; a verdict {action} would let the call ring")
        elif action not in _CONTEXT.findall(path.read_text("utf-8", errors="replace")):
            problems.append(f"{path}:1:1: context: [screener-action-{action}] is missing")
    problems += [
        f"{files[name]}:1:1: file: no verdict leads to the action {name}"
        for name in sorted(files.keys() - set(Action))
    ]
    if problems:
        raise ConfigError(problems)
