"""The dialplan's files, as far as the configuration depends on them."""

from __future__ import annotations

import re
from pathlib import Path

from screener.errors import ConfigError
from screener.headers import CONTRACT_VERSION
from screener.verdict import Action

INSTALLED = Path("/etc/asterisk/screener")
CONTEXTS = ("screener", "screener-ask", "screener-talk", "screener-mirror", "screener-learn", "screener-end")
ASK = "ExecIf(${DIALPLAN_EXISTS(screener,s,1)}?Gosub(screener,s,1(${FILTER(+0-9,${EXTEN})})))"
LINE = f"exten => _[+0-9].,1,{ASK}"
"""What leads a call here, in the administrator's dialplan. The called number is the caller's to write:
unfiltered, `100))x:System(…)` in it is the other branch of ExecIf, taken when this dialplan is not there."""
_SECTIONS = re.compile(r"^\[([\w-]+)\]", re.MULTILINE)
_VERSION = re.compile(r"UserEvent\(\w+,Version: (\w+)")
_CONTEXT = re.compile(r"^\[screener-action-([a-z_]+)\]", re.MULTILINE)


def shipped_dir() -> Path:
    """Where the shipped dialplan is: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    installed = package / "_dialplan"
    return installed if installed.is_dir() else package.parent / "dialplan"


def check(directory: Path) -> None:
    """Raise ConfigError unless the dialplan speaks our version and each action of the policy has its file."""
    problems = []
    main = directory / "screener.conf"
    if not main.is_file():
        problems.append(f"{main}:1:1: file: is missing; copy the shipped dialplan there")
    elif set(_VERSION.findall(main.read_text("utf-8", errors="replace"))) != {CONTRACT_VERSION}:
        problems.append(f"{main}:1:1: version: is not {CONTRACT_VERSION}; copy the shipped dialplan there")
    else:
        there = _SECTIONS.findall(main.read_text("utf-8", errors="replace"))
        problems += [
            f"{main}:1:1: context: [{name}] is missing; copy the shipped dialplan there"
            for name in CONTEXTS
            if name not in there
        ]
    for part in (directory / "codes.conf", directory / "messages.conf"):  # only where somebody wants them
        if part.is_file() and set(_VERSION.findall(part.read_text("utf-8", errors="replace"))) != {
            CONTRACT_VERSION
        }:
            problems.append(
                f"{part}:1:1: version: is not {CONTRACT_VERSION}; copy the shipped dialplan there"
            )
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
