"""What outlives a call and is shared between screeners: lists and counters in Redis or Valkey.

`client.py` asks in the path of a call; `asking.py` has the question and every key, `observe.lua` answers
it, `connecting.py` holds the line. `lists.py` keeps the allow and
block entries, `patterns.py` says what may stand in them, `forms.py` how their numbers can arrive,
`rows.py` is their form as text.
`campaigns.py` keeps what recordings sound like and who spoke them.
`trust.py` is what calls teach about their callers, `learning.py` and `learn.lua` write it.
`manner.py` is how calls end, as far as it tells how callers dial, `over.lua` counts it.
`embedded.py` runs a server of our own, in its own place (`place.py`), on files that `aof.py` mends;
`rehearsal.py` counts past calls.
"""

from screener.state.asking import Fact, Observed
from screener.state.campaigns import Campaign, Campaigns, Judgement
from screener.state.client import State
from screener.state.embedded import EmbeddedServer, serving
from screener.state.forms import forms
from screener.state.learning import MESSAGE_DAYS, Learning, Message
from screener.state.lists import ImportReport, Lists
from screener.state.manner import Manner, manner_of
from screener.state.patterns import is_emergency
from screener.state.rehearsal import CALLER_TTL_S, LISTED, Over, Question, Rehearsal, Taught
from screener.state.rows import Entry, ListKind, Row
from screener.state.trust import TRUST_TTL_S, Lesson

__all__ = [
    "CALLER_TTL_S",
    "LISTED",
    "MESSAGE_DAYS",
    "TRUST_TTL_S",
    "Campaign",
    "Campaigns",
    "EmbeddedServer",
    "Entry",
    "Fact",
    "ImportReport",
    "Judgement",
    "Learning",
    "Lesson",
    "ListKind",
    "Lists",
    "Manner",
    "Message",
    "Observed",
    "Over",
    "Question",
    "Rehearsal",
    "Row",
    "State",
    "Taught",
    "forms",
    "is_emergency",
    "manner_of",
    "serving",
]
