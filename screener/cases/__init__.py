"""Cases: the calls, messages and notes that come from one claimed creditor or campaign. Pure.

Nothing of a case is kept but ledger rows of kind `case`, which are only ever added: a case is what they
make when read in order (`fold`). `case` of a body names it; people say its number, the place of its first
row among those of all cases, so that two who open one at the same moment get two. `do` is one of

open, name    `name`; `debtor`: whether the person called is the debtor
add, remove   `numbers` (a `*` at the end: whatever follows), `campaigns`, `calls`
confirm, close, reopen, hold, release
lost          `calls` and `messages` of it, by their ids, that retention or a person has erased
erase         of the case itself: its `number`, which nobody gets again
note          `id`, `kind`, `at`, `text`, `files` [{name, bytes, sha256}], `number`; of a call: `call`, and
              `by`, robot or person; `refused`: no further contact was asked for; `debtor`: as above, of
              this one
withdraw      `note`, its id; `who` says that it is wrong, and `because`

Reading order: `case` (what rows make of one), `records` (what a call or message is to it), `contacts` (what
the law counts), `losing` (what erasing takes from it).
"""

from screener.cases.case import KIND, Case, Note, fold
from screener.cases.contacts import contacts_of
from screener.cases.losing import losses, without, without_caller
from screener.cases.records import caller_of, campaign_of, is_message

__all__ = [
    "KIND",
    "Case",
    "Note",
    "caller_of",
    "campaign_of",
    "contacts_of",
    "fold",
    "is_message",
    "losses",
    "without",
    "without_caller",
]
