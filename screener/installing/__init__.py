"""The screener beside an Asterisk that is there already: put in, brought up to date, taken out.

`planning` says what shall be on the machine: the dialplan with what `text` adds to it, the settings of
`site`, `prompts`, and by `pbx` where Asterisk may be led to them. `changes` is what that changes, `applying`
makes it and has Asterisk take it, `removing` undoes it. `record` is what was written, and bounds what may be
replaced or removed; `disk` writes as root among files of others; `service` is systemd's part.
"""

from screener.installing.applying import install
from screener.installing.changes import Changes, shown, to_install, to_remove
from screener.installing.planning import Options, Plan, plan
from screener.installing.record import Record
from screener.installing.record import load as recorded
from screener.installing.removing import clear, uninstall

__all__ = [
    "Changes",
    "Options",
    "Plan",
    "Record",
    "clear",
    "install",
    "plan",
    "recorded",
    "shown",
    "to_install",
    "to_remove",
    "uninstall",
]
