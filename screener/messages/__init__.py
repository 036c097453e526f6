"""The way of one SIP MESSAGE: screened by the policy of calls, delivered, held, or filed and no more.

The dialplan asks and delivers; all later messages wait meanwhile. It keeps one back only when we say so, and
we say so only once the ledger has it on disk: so whoever dies when, it is delivered or in the ledger. What
came while we were away lies in files that the dialplan wrote, and is filed from there.

`answering` is that way, `bounds` what a stranger may fill, `releasing` who may have one delivered later,
`adopting` what the dialplan kept for us.
"""

from screener.messages.adopting import kept
from screener.messages.answering import Messages
from screener.messages.bounds import Bounds

__all__ = ["Bounds", "Messages", "kept"]
