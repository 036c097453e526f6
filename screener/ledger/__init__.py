"""The append-only record of every call: what was asked, what was known, what was decided, how it ended.

The service writes through `Ledger`, without ever holding up a call; anything else,
in this process or another, reads with `calls`, `ends`, `oldest_first` and `filed`. One row per event:

setup, challenge
    `call` {number, e164, name, did, trunk, …}, `facts` {name: value}, `verdict`
    (Verdict.as_dict()), `timings` {queue_ms, state_ms, judge_ms, send_ms},
    `missing` [what could not be learned].
end
    `disposition` (answered, abandoned, recorded, rejected, …), `talk_s`,
    `delay_ms` as the dialplan measured it, `cause`, `peer` (the channel that answered).
dialled
    a call of ours to the outside that is over: `number`, `e164`, `answered`, `talk_s`.
recording
    `path`, `leg`, `bytes`, `seconds`, `active_s`, `sha256`, `complete`,
    `closed_at`, `notice_played_at`.
talk
    how the caller of a call that ended on the screening leg talked: `leg` (challenge or voicemail), the
    facts `talk.*`. Of a challenge that was decided they stand in its row.
campaign
    how the caller's leg sounded (extra `audio`): `speech_s`, `onset_s`, `monologue_s`; with six seconds
    of speech also `campaign` (its id), `from_new_number`, `calls`, `callers`, `blocks`, `first`, `last`,
    `name`, `verdict`; `recognised_s` of the recording after which it was recognised while it was made.
transcript
    `path` and `sha256` of the recording, `text`, `language`, `probability`, `model`,
    `seconds`, `took_s`, `wording` [{kind, name, value, quote}].

message
    a SIP MESSAGE: `call` with its `text` and `to`, `facts`, `verdict`, `timings`, `missing` as of a call;
    `wording` as of a transcript. Without a verdict it came while the screener was away.
message-end
    `status` (delivered, held, filed, unreachable), `missed` as of a call.
message-releasing
    somebody has begun to have it delivered afterwards; nobody else may meanwhile.
message-release, message-release-failed
    it was delivered so; or not, for `reason`.
owed
    people are to be told of the recording: `number` and `did` of the call. What was cut short is made good by
    this, until there are rows of the kinds `until`: `delivered`, if it goes into a mailbox, and `notified`,
    if anybody is told so.
notified
    one of the targets of notifications has taken it.
delivered
    `mailbox` into which the recording went besides, `status` (SUCCESS, or VoiceMail's word for why not),
    `message` (its path without ending).

The ledger's own rows are about no call, but for holds of one:

checkpoint
    `seq` and `hash` of the row before, `signature` (hex) by the installation's `key`.
erased
    `rows` [[first, last], …] whose content was erased, `recordings` [{row, bytes, sha256}] that were deleted,
    `because`.
hold, release
    `because`, `by` (whose hold it is), and `e164` if it is on all calls of a number.
case
    about no call: one more thing about a case, see `screener.cases`.

Other kinds may be added: readers pass over what they do not know. Reading order:
`chain` (what binds the rows), `places` and `database` (where they lie: `sqlite`, `postgres`), `store` (a
row), `writer`, `chaining`, `outbox` (the way to a database), `checkpoints`, `reader`, `owing`, `verifying`,
`holds`, `keeping`, `claiming`, `copying`.
"""

from screener.ledger.claiming import claim
from screener.ledger.copying import copy
from screener.ledger.excerpts import excerpt, received, rows
from screener.ledger.holds import Hold
from screener.ledger.keeping import Erased, Keeper
from screener.ledger.outbox import waiting
from screener.ledger.owing import owed
from screener.ledger.places import Place, Postgres
from screener.ledger.reader import (
    CallRecord,
    call,
    calls,
    calls_came_by,
    count,
    deleted,
    ends,
    ever_erased,
    filed,
    message,
    messages,
    messages_filed,
    oldest_first,
    state_of,
)
from screener.ledger.sought import Sought
from screener.ledger.store import Row, append
from screener.ledger.verifying import Report, verify
from screener.ledger.writer import Ledger

__all__ = [
    "CallRecord",
    "Erased",
    "Hold",
    "Keeper",
    "Ledger",
    "Place",
    "Postgres",
    "Report",
    "Row",
    "Sought",
    "append",
    "call",
    "calls",
    "calls_came_by",
    "claim",
    "copy",
    "count",
    "deleted",
    "ends",
    "ever_erased",
    "excerpt",
    "filed",
    "message",
    "messages",
    "messages_filed",
    "oldest_first",
    "owed",
    "received",
    "rows",
    "state_of",
    "verify",
    "waiting",
]
