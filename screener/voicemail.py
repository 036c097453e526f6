"""What became of the messages in Asterisk's own mailboxes: kept ones speak for a caller, deleted ones do not.

Asterisk keeps a message in `VOICEMAIL_DIR/CONTEXT/MAILBOX/FOLDER/msgNNNN.txt` with its sound beside it,
moves it to `Old` when it has been heard, and numbers the rest anew. So a message is known by what stands in
that file: its `msg_id`, the time and the channel. Nobody waits for what is done here, and nothing is ever
written there.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from screener.state import MESSAGE_DAYS, Message, trust

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from screener.state import Learning

log = structlog.get_logger(__name__)

LOOK_S = 60.0
INBOX, DELETED = "INBOX", "Deleted"
URGENT = "Urgent"
DAY_S = 86400.0
_MESSAGE = re.compile(r"msg[0-9]{4}")
_MAX_BYTES = 8192
_MAX_FILES = 10_000
_FIELD = re.compile(r"^(msg_id|origtime|callerchan)=(.+)$", re.MULTILINE)


class Mailboxes:
    """The mailboxes below `directory`; empty: none are looked at."""

    def __init__(self, directory: str, learning: Learning, *, clock: Callable[[], float]) -> None:
        self._root = Path(directory) if directory else None
        self._learning, self._clock = learning, clock
        self._missing: set[str] = set()
        self._complained = False

    async def remember(self, call_id: str, caller: str, message: str, at: datetime) -> None:
        """Keep in mind the message that a call left; `message` is its path without ending. Never raises."""
        if self._root is None:
            return
        try:
            mailbox, identity = await asyncio.to_thread(_identified, self._root, message)
        except (OSError, ValueError) as error:
            self._complain(str(error))
            return
        await self._learning.remember(
            Message(call_id, caller, mailbox=mailbox, identity=identity, at=at.timestamp())
        )

    async def run(self) -> None:
        """Look now and then until cancelled; raises StateUnavailable when the store is."""
        while self._root is not None:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Learn from the messages whose fate is known by now; raises StateUnavailable.

        A message counts as deleted when it is missing at two looks: between two folders it is in neither.
        """
        if self._root is None:
            return
        places: dict[str, dict[str, str] | None] = {}
        for one in await self._learning.messages():
            if one.mailbox not in places:
                places[one.mailbox] = await asyncio.to_thread(self._places, self._root / one.mailbox)
            held = places[one.mailbox]
            if one.at + MESSAGE_DAYS * DAY_S <= self._clock():
                await self._settle(one, kept=None)
            elif held is not None:
                await self._judge(one, held.get(one.identity))

    async def _judge(self, one: Message, folder: str | None) -> None:
        if folder in {INBOX, URGENT}:
            self._missing.discard(one.call_id)
        elif folder is None and one.call_id not in self._missing:
            self._missing.add(one.call_id)
        else:
            await self._settle(one, kept=folder not in {None, DELETED})

    async def _settle(self, one: Message, *, kept: bool | None) -> None:
        self._missing.discard(one.call_id)
        if kept is not None:
            await self._learning.learn(one.caller, f"voicemail-{one.call_id}", trust.of_message(kept=kept))
            log.info("a voicemail message was heard", call=one.call_id, kept=kept)
        await self._learning.done(one.call_id)

    def _places(self, mailbox: Path) -> dict[str, str] | None:
        """The folder of each message in a mailbox by identity; None when it cannot be seen."""
        try:
            return _folders(mailbox)
        except OSError as error:
            self._complain(str(error))
            return None

    def _complain(self, reason: str) -> None:
        """Say once what is wrong: every message would say the same."""
        if not self._complained:
            self._complained = True
            log.error(
                "messages in Asterisk's mailboxes teach nothing: let the screener's user read them, set "
                "trust.voicemail_dir to where they are, or to nothing",
                directory=str(self._root),
                reason=reason,
            )


def _identified(root: Path, message: str) -> tuple[str, str]:
    """The mailbox of a message below `root`, and its identity; ValueError, OSError when there is none."""
    path = Path(message)
    inside = path.resolve().relative_to(root.resolve()) if path.is_absolute() else Path()
    folders = inside.parts
    if len(folders) != len(("context", "mailbox", "folder", "message")) or not _MESSAGE.fullmatch(path.name):
        raise ValueError(f"{message!r} is no message below {root}")
    identity = _identity(path.with_name(path.name + ".txt"))
    if not identity:
        raise ValueError(f"{message!r} does not say what it is")
    return str(Path(*folders[:2])), identity


def _folders(mailbox: Path) -> dict[str, str]:
    """The folder of each message by identity; OSError where anything cannot be read: that is not deleted."""
    found: dict[str, str] = {}
    (mailbox / INBOX).stat()
    # Not glob, which passes over a folder that it may not read.
    texts = [one for folder in mailbox.iterdir() if folder.is_dir() for one in folder.iterdir()]
    if len(texts) > _MAX_FILES:
        raise OSError(f"more than {_MAX_FILES} files in {mailbox}")
    for text in texts:
        if text.suffix == ".txt":
            with suppress(FileNotFoundError):  # it is being moved
                found[_identity(text)] = text.parent.name
    return found


def _identity(path: Path) -> str:
    """What Asterisk calls a message, and when and by which channel it came."""
    with path.open("rb") as file:
        text = file.read(_MAX_BYTES).decode("utf-8", "replace")
    fields = dict(_FIELD.findall(text))
    return " ".join(fields[name] for name in ("msg_id", "origtime", "callerchan") if name in fields)[:200]
