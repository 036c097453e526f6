"""What a person takes to an authority: a case as a bundle of files that proves it was not altered.

`exporting` is the way of it: `dossier` gathers a case as plain values, `pages` writes them down for people
and spreadsheets in the `words` of each language, `sealing` writes the bundle and signs it. `verifying` tells
whether one is as it was written; `attached` keeps the files that a person adds.
The same ledger and files give the same bytes.
"""

from screener.evidence.attached import attach, discard
from screener.evidence.dossier import Dossier, Gathering, gather
from screener.evidence.exporting import export
from screener.evidence.verifying import verify

__all__ = ["Dossier", "Gathering", "attach", "discard", "export", "gather", "verify"]
