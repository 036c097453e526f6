"""The policy: what the written rules make of the facts of one call. Pure and deterministic.

Read `document` (what can be written), `compiling` (what is refused at load time), then
`judging` (how a verdict comes about); `cel` and `templates` are their tools.
"""

from screener.policy.cel import UNKNOWN_SYMBOL
from screener.policy.compiling import Problem, compile_policy
from screener.policy.document import Actions, Flag, Group, PolicyDocument, PolicyFile, Rule, Written
from screener.policy.explaining import explain
from screener.policy.judging import FORCE_PRECEDENCE, GroupSum, Policy

__all__ = [
    "FORCE_PRECEDENCE",
    "UNKNOWN_SYMBOL",
    "Actions",
    "Flag",
    "Group",
    "GroupSum",
    "Policy",
    "PolicyDocument",
    "PolicyFile",
    "Problem",
    "Rule",
    "Written",
    "compile_policy",
    "explain",
]
