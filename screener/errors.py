"""Everything that can go wrong, who catches it, and what the caller on the line notices.

No error of this tree ever drops a call: where the screener cannot answer, the
dialplan lets the call ring after its deadline at the latest.
"""

from __future__ import annotations


class ScreenerError(Exception):
    """What happened, to what, and what to do; printed as it stands by the command line.

    `exit_code` is the status of a command that ends with this error.
    """

    exit_code = 1


class CallErased(ScreenerError):
    """A call was erased while something was still to be done about it, which is not done. Calls go on."""


class ConfigError(ScreenerError):
    """The configuration cannot be used; `problems` holds every reason as `file:line:col: key: text`.

    At start the service refuses to run (exit 2); on reload the old configuration
    stays in force. Callers notice nothing.
    """

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type[ConfigError], tuple[list[str]]]:
        """From one process to another: the text alone would come back as a list of its letters."""
        return type(self), (self.problems,)


class ListEntryRefused(ScreenerError):
    """A list entry that would block our own numbers, emergency services or whole countries."""

    exit_code = 2


class FeedRefused(ScreenerError):
    """A snapshot of a feed is out of reach, malformed or harmful; the one before stays in force."""

    exit_code = 2


class StateUnavailable(ScreenerError):
    """Redis or Valkey cannot be reached by a command that needs it.

    The path of a call never raises this: it gets a verdict without the facts
    that the store would have held.
    """

    exit_code = 5


class AmiError(ScreenerError):
    """An action on the manager connection was not carried out.

    The call in question waits for the dialplan's deadline, then rings.
    """

    exit_code = 4


class NotLeading(AmiError):
    """Another screener answers for this Asterisk, or could, for ours was held up: Asterisk was told nothing.

    Calls are screened by the other, or by us again within a second.
    """


class AmiLoginRefused(AmiError):
    """Asterisk refused the account: wrong name or secret, or an ACL. Calls ring unscreened."""


class ConsoleSilent(AmiError):
    """Asterisk's console did not answer a command: it is down, or this user may not speak to it."""


class UnsafeValue(AmiError):
    """A value for an action holds a line break or another control character; nothing was sent."""


class LedgerError(ScreenerError):
    """The ledger cannot be opened or read."""

    exit_code = 6


class NotInLedger(LedgerError):
    """A command names a call that the ledger does not have, or does not hold. Callers notice nothing."""

    exit_code = 1


class KeyUnusable(ScreenerError):
    """The installation's key cannot be made or read: the service goes on and signs nothing."""

    exit_code = 6


class BundleAltered(ScreenerError):
    """A bundle of evidence is not as it was written; names each file that was changed, removed or added."""

    exit_code = 8


class NotChecked(ScreenerError):
    """The doctor cannot look at something from here; the text says why. Callers notice nothing."""


class NotRunning(ScreenerError):
    """No screener answers the command that was sent to it. Callers notice nothing."""

    exit_code = 7


class SourceUnreadable(ScreenerError):
    """A file of past calls is in none of the formats that are understood. Callers notice nothing."""

    exit_code = 2


class NoSuchCampaign(ScreenerError):
    """A command names a campaign that is not there, or has been forgotten. Callers notice nothing."""


class AsteriskNotFound(ScreenerError):
    """No Asterisk is on this machine, or more than one; names the option that tells which. Calls go on."""

    exit_code = 2


class InstallRefused(ScreenerError):
    """An installation, or its removal, was not begun or was undone: every file is as it was before.

    Calls ring, or are screened, as before.
    """


class InstallUndone(AmiError):
    """Asterisk did not take what was installed: it was taken back. Calls ring, or are screened, as before."""
