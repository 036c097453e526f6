"""Past calls under a new policy: what would have been decided, with the state of each moment rebuilt.

Read `past` (a past call, whatever it was read from), `cdr` (Asterisk's and FreePBX's call detail
records), `recorded` (our ledger), `comparing` (verdicts, old and new), then `rerun` (all of it in
the order of time, the judging in a process of its own).
"""

from screener.replay.cdr import INBOUND_CONTEXTS, CdrFile
from screener.replay.comparing import BLOCKED_TALK_S, Bench, Changed, Tally
from screener.replay.past import PastCall, PastDial
from screener.replay.recorded import LedgerFile
from screener.replay.rerun import aside, rerun

__all__ = [
    "BLOCKED_TALK_S",
    "INBOUND_CONTEXTS",
    "Bench",
    "CdrFile",
    "Changed",
    "LedgerFile",
    "PastCall",
    "PastDial",
    "Tally",
    "aside",
    "rerun",
]
