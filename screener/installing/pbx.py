"""What this Asterisk has: its contexts, its trunks, its manager interface, and where an include may go."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from screener import asterisk
from screener.errors import ConsoleSilent, InstallRefused
from screener.installing import text
from screener.installing.wanted import Hook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from screener.asterisk import Asterisk

_HOOKS: Final = (
    ("manager.conf", "manager_custom.conf", "screener/manager.conf"),
    ("extensions.conf", "extensions_custom.conf", "screener/site.conf"),
    ("pjsip.conf", "pjsip.endpoint_custom_post.conf", "screener/pjsip.conf"),
)
"""A file of Asterisk, the one for people that FreePBX includes from there, and what shall be included."""
_DEFAULT_PORT: Final = 5038
_YES: Final = {"yes", "true", "y", "t", "1", "on"}


def hooks(etc: Path, *, trunks: bool) -> Iterator[Hook]:
    """Where includes go: FreePBX's file for people, a directory of which all is read, or the file itself.

    InstallRefused where the screener has been installed by hand.
    """
    for name, custom, include in _HOOKS:
        at_end = name == "pjsip.conf"
        if at_end and not trunks:
            continue
        content = text.without_block(_read(etc / name))
        if text.includes(content, "screener/screener.conf"):
            raise InstallRefused(
                f"{etc / name}: includes screener/screener.conf, which was installed by hand: take that line "
                f"out, move {etc}/screener away, and run this again"
            )
        folder = text.drop_in(content)
        if text.includes(content, include):
            continue  # by hand, so it is not ours to take out
        if text.includes(content, custom):
            yield Hook(etc / custom, include, at_end)
        elif folder and not at_end and (etc / folder).is_dir():
            yield Hook(etc / folder / "screener.conf", include)
        else:
            yield Hook(etc / name, include, at_end)


def _read(path: Path) -> str:
    """A file, through links too: FreePBX's own are links to its modules. Nothing is written there."""
    try:
        return path.read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""


def context_of(found: Asterisk, trunk: str) -> str:
    """The context in which an endpoint's calls arrive; InstallRefused where there is no such endpoint."""
    if not text.NAME.fullmatch(trunk):
        raise InstallRefused(f"--trunk {trunk!r}: no name of an endpoint that can be written into a file")
    context = endpoint_context(found, trunk)
    if not context:
        named = "`asterisk -rx 'pjsip show endpoints'` names them"
        raise InstallRefused(f"--trunk {trunk}: no such PJSIP endpoint: {named}")
    return known(found, context.removeprefix(text.ARRIVAL))


def endpoint_context(found: Asterisk, trunk: str) -> str:
    """What Asterisk says of an endpoint's context at this moment, empty where it has none."""
    said = re.search(r"^ *context +: *(\S+)", found.console(f"pjsip show endpoint {trunk}"), re.MULTILINE)
    return said[1] if said else ""


def contexts(found: Asterisk, one: str = "") -> set[str]:
    """The names of all contexts that Asterisk has, or of one if it has that."""
    said = found.console(f"dialplan show {one}".strip())
    return set(re.findall(r"^\[ Context '([^']+)'", said, re.MULTILINE))


def known(found: Asterisk, context: str) -> str:
    """The context, if there is such a one; else InstallRefused."""
    if not text.NAME.fullmatch(context) or context not in contexts(found, context):
        raise InstallRefused(
            f"context {context}: Asterisk has none of that name: `asterisk -rx 'dialplan show'`"
        )
    return context


def manager_port(found: Asterisk) -> int:
    """Where the manager interface listens."""
    try:
        port = re.search(r"TCP Bindaddress: *\S*:(\d+)", found.console("manager show settings"))
        return int(port[1]) if port else _DEFAULT_PORT
    except ConsoleSilent:
        said = asterisk.section(found.etc / "manager.conf", "general").get("port", "")
        return int(said) if said.isdecimal() else _DEFAULT_PORT


def manager_enabled(found: Asterisk) -> bool:
    """Whether the manager interface is on; that is for the administrator to decide."""
    try:
        return bool(re.search(r"Manager \(AMI\): *Yes", found.console("manager show settings")))
    except ConsoleSilent:
        return asterisk.section(found.etc / "manager.conf", "general").get("enabled", "no").lower() in _YES


def leads_here(found: Asterisk) -> bool:
    """Whether any line of the dialplan that is in force asks the screener."""
    try:
        return "Gosub(screener,s,1(" in found.console("dialplan show")
    except ConsoleSilent:
        return False


def trunks(found: Asterisk) -> list[str]:
    """The endpoints that look like trunks: those known by an address, or with an account elsewhere."""
    try:
        listed = found.console("pjsip show endpoints")
    except ConsoleSilent:
        return []
    names, at = list[str](), ""
    for line in listed.splitlines():
        if match := re.match(r" Endpoint: +([^/\s<]+)", line):
            at = match[1]
        elif re.match(r" +(Identify|OutAuth): +[^<\s]", line) and at and at not in names:
            names.append(at)
    return names
