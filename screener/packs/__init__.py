"""Rule packs: what a law or a guideline says of calls, as data, held against the contacts of one case. Pure.

`evaluate` is all that a case needs. Read `contact` (one contact as the law counts it, and what a rule may
ask of it), `document` (what can be written), then `evaluating` (how contacts become incidents). Contacts
of one case come from one claimed creditor or campaign, over all its numbers; who gathers them is not
known here. A pack never decides what becomes of a call.
"""

from screener.packs.contact import NAMES, Contact, ContactKind
from screener.packs.document import PackFile
from screener.packs.evaluating import Incident, Pack, compile_pack, evaluate

__all__ = ["NAMES", "Contact", "ContactKind", "Incident", "Pack", "PackFile", "compile_pack", "evaluate"]
