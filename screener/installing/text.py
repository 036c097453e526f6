"""What is written between the lines of others, and how changes are shown; all of it pure.

Into a file of the administrator goes nothing but a block of three lines: two markers, and one include between
them. It stands at the top, where it cannot get between a section and its entries; what he adds later lands in
his own last section, and his own `[globals]` win over ours. Only where order demands it (``[trunk](+)` after
`[trunk]`) does it stand at the end.
"""

from __future__ import annotations

import re
from difflib import unified_diff
from typing import TYPE_CHECKING, Final

from screener.errors import InstallRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BEGIN: Final = "; screener: begin (written by `screener install`, taken out by `screener uninstall`)\n"
END: Final = "; screener: end\n"
ARRIVAL: Final = "screened-"
"""What a context of ours is called through which a trunk's calls go, before the name of his own."""
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,59}", re.ASCII)
"""Names of contexts and endpoints that we write into files."""
_BLOCK: Final = re.compile(rf"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
_COMMENT: Final = re.compile(r";--(?!-).*?--;|;[^\n]*", re.DOTALL)
_BOM: Final = "\ufeff"
_SECRET: Final = re.compile(r"(?im)^([ +-]?\s*\w*(?:secret|password|passwd)\s*[=:]>?\s*).*")
_INCLUDE: Final = r"^[ \t]*#(?:try)?include[ \t]+[\"<]?{}[\">]?[ \t]*(?:;.*)?$"


def block(include: str) -> str:
    """The block that includes a file, named as seen from Asterisk's configuration directory."""
    return f"{BEGIN}#include {include}\n{END}"


def includes(text: str, file: str) -> bool:
    """Whether a configuration includes that file."""
    return bool(re.search(_INCLUDE.format(re.escape(file)), text, re.MULTILINE))


def drop_in(text: str) -> str:
    """The directory of which a configuration includes every *.conf, relative; empty if there is none."""
    found = re.search(_INCLUDE.format(r"([A-Za-z0-9_.-]+)/\*\.conf"), text, re.MULTILINE)
    return found[1] if found and found[1] not in {".", "..", "screener"} else ""


def without_block(text: str) -> str:
    """The text without a block of ours, wherever it stands and whatever is in it."""
    return _BLOCK.sub("", text, count=1)


def insertion(path: object, text: str, wanted: str, *, at_end: bool) -> tuple[str, str]:
    """The text with the block in it, and what exactly went in: taken out again, the text is what it was.

    Raises InstallRefused where the block would take entries out of the section that they belong to.
    """
    if at_end:
        inserted = "\n" * bool(text and not text.endswith("\n")) + wanted
        return text + inserted, inserted
    start = len(_BOM) * text.startswith(_BOM)
    if _COMMENT.sub("", text[start:]).strip()[:1] not in {"", "[", "#"}:
        raise InstallRefused(
            f"{path}: begins with entries of a section that stands elsewhere: nothing is put before them. "
            f"Put this where sections begin, and run `screener install --by-hand`:\n{wanted}"
        )
    return text[:start] + wanted + text[start:], wanted


def dialplan(contexts: Iterable[str], globals_: Mapping[str, str], stamp: str) -> str:
    """site.conf, the one file that the administrator's dialplan includes."""
    lines = [
        "; Written by `screener install`, which replaces it: what belongs to this machine, and the rest.",
        "#include screener/screener.conf",
        "",
    ]
    if globals_:
        lines += ["[globals]", *(f"{name}={value}" for name, value in globals_.items()), ""]
    lines += ["[screener-installed]", "; What Asterisk has loaded, for `screener install` to see.",
              f"exten => s,1,NoOp({stamp})", ""]  # fmt: skip
    for context in contexts:
        lines += _arrival(context)
    return "\n".join(lines)


def _arrival(context: str) -> list[str]:
    number = "${FILTER(+0-9A-Za-z._\\x2d,${EXTEN})}"
    lines = [
        f"[{ARRIVAL}{context}]",
        f"; A trunk's calls on their way to {context}. A number it does not know is refused as before; what",
        "; is no number goes there directly. A comma in it would give Goto another place to go to.",
    ]
    for pattern in ("_[+0-9A-Za-z].", "_[0-9]", "s"):
        lines += [
            f"exten => {pattern},1,GotoIf($[${{FIELDQTY(EXTEN,\\,)}} > 1]?unknown)",
            f" same => n,GotoIf($[${{DIALPLAN_EXISTS({context},${{EXTEN}},1)}} = 0]?unknown)",
            f" same => n,ExecIf(${{DIALPLAN_EXISTS(screener,s,1)}}?Gosub(screener,s,1({number})))",
            f" same => n,Goto({context},${{EXTEN}},1)",
            " same => n(unknown),Hangup(1)",
        ]
    return [*lines, f"include => {context}", ""]


def endpoints(trunks: Mapping[str, str]) -> str:
    """pjsip.conf of ours: the context of each trunk, and nothing else of it, is another.

    An addition to a section that is not there any more has Asterisk refuse the whole of pjsip.conf: no trunk
    and no telephone at its next start. So a template of that name is there to be added to, and is ignored.
    """
    lines = [
        "; Written by `screener install`, which replaces it: these trunks' calls are screened. The first",
        "; section of a name is added to: the trunk, or, should it be gone, a template that nobody uses.",
    ]
    for trunk, context in sorted(trunks.items()):
        lines += ["", f"[{trunk}](!)", "type=endpoint", f"[{trunk}](+type=endpoint&TEMPLATES=include)",
                  f"context={ARRIVAL}{context}"]  # fmt: skip
    return "\n".join([*lines, ""])


def difference(path: object, before: str | None, after: str | None, secret: str) -> str:
    """What changes in a file, as a unified diff without any secret in it."""
    here, there = ("/dev/null" if text is None else str(path) for text in (before, after))
    lines = unified_diff(
        (before or "").splitlines(), (after or "").splitlines(), here, there, n=2, lineterm=""
    )
    shown = _SECRET.sub(r"\1(hidden)", "\n".join(lines))
    return shown.replace(secret, "(hidden)") if secret else shown
