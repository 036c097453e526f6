"""The policy: what the written rules make of the facts of one call. Pure and deterministic.

Read `document` and `profiles` (what can be written), `compiling` (what is refused at load time),
then `judging` (how a verdict comes about); `values`, `cel` and `templates` are their tools.
"""

from screener.policy.cel import UNKNOWN_SYMBOL
from screener.policy.compiling import compile_policy
from screener.policy.document import Actions, Group, PolicyDocument, PolicyFile, Problem, Rule
from screener.policy.explaining import explain
from screener.policy.judging import FORCE_PRECEDENCE, GroupSum, Policy
from screener.policy.overriding import UNKNOWN_GROUP
from screener.policy.profiles import ProfilesFile, Trunk
from screener.policy.values import Flag, Number, Positive, Symbol, Text, Written

__all__ = [
    "FORCE_PRECEDENCE",
    "UNKNOWN_GROUP",
    "UNKNOWN_SYMBOL",
    "Actions",
    "Flag",
    "Group",
    "GroupSum",
    "Number",
    "Policy",
    "PolicyDocument",
    "PolicyFile",
    "Positive",
    "Problem",
    "ProfilesFile",
    "Rule",
    "Symbol",
    "Text",
    "Trunk",
    "Written",
    "compile_policy",
    "explain",
]
