"""Messages that the dialplan kept in files, for we were away or late: filed from there."""

from __future__ import annotations

import asyncio
import contextlib
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from screener import ledger, recordings
from screener.call import KEPT_VARIABLE, UNKEPT_VARIABLE, Call
from screener.errors import AmiError, ScreenerError
from screener.headers import CONTRACT_VERSION
from screener.ledger import Row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from screener.screening import Screener

log = structlog.get_logger(__name__)

LOOK_S = 15.0
"""How often we look for messages that came while we could not answer."""
CLOCKS_DIFFER = timedelta(days=1)
"""So far may Asterisk's clock be ahead of ours."""
KEPT = timedelta(days=2)
"""So long a file of the dialplan's is left alone after it was last written to."""
STATES: Final = ("delivered", "unreachable")
"""What may have become of a message that was not kept."""
AT_ONCE = 500
"""Rows filed in one go: the ledger's queue is for calls."""


class Adopter:
    """Files what the dialplan kept; `about` gives what is filed of a message."""

    def __init__(
        self, screener: Screener, path: ledger.Place, about: Callable[[Call], Awaitable[dict[str, Any]]]
    ) -> None:
        """`path` is the ledger's."""
        self._screener, self._path, self._about = screener, path, about
        self._read_to: dict[Path, int] = {}
        self._told = ""

    async def run(self) -> None:
        """File what came while we could not answer, for ever."""
        root, ended_at = self._screener.filing.spool.root, await self._others_end()
        self._told = ""  # Asterisk may have been restarted meanwhile
        while True:
            read, whole = "", True
            for path in await asyncio.to_thread(lambda: sorted(root.glob("messages-*"))):
                try:
                    await self._adopt(path, ended_at)
                except (OSError, ScreenerError) as error:  # those of other days are read all the same
                    log.error("kept messages cannot be read", path=str(path), reason=str(error))
                    whole = False
                if whole:
                    read = f"{path.name}:{self._read_to[path]}"
            try:
                await self._tell(read)
                await self._ask_unkept()
            except AmiError as error:
                log.warning("it is not known whether messages could not be kept", reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def _others_end(self) -> tuple[str, int]:
        """The file and place to which another screener has filed all in a ledger of its own."""
        if not self._screener.ami.took_over or isinstance(self._path, ledger.Postgres):
            return "", 0
        try:
            told = await self._screener.ami.act("Getvar", Variable=f"GLOBAL({KEPT_VARIABLE})")
        except AmiError:
            return "", 0  # twice in two ledgers is better than in none
        name, _, end = (told.value or "").partition(":")
        return (name, int(end)) if end.isdecimal() else ("", 0)

    async def _tell(self, read: str) -> None:
        """Say how far all is filed, for who takes over."""
        if read not in {"", self._told}:
            await self._screener.ledger.flush()
            await self._screener.ami.act("Setvar", Variable=f"GLOBAL({KEPT_VARIABLE})", Value=read)
            self._told = read

    async def _ask_unkept(self) -> None:
        """Ask Asterisk how many messages it could not keep for us, and raise an alarm if there are any."""
        ami, found = self._screener.ami, dict[str, int]()
        if not ami.ready.is_set():
            return
        for status in STATES:
            name = f"GLOBAL({UNKEPT_VARIABLE}{status})"
            written = (await ami.act("Getvar", Variable=name)).value or "0"
            if found_now := int(written) if written.isdecimal() else 0:
                await ami.act("Setvar", Variable=name, Value="")
                found[status] = found_now
        if found:
            delivered = found.get("delivered", 0)
            self._screener.filing.spool.unkept(sum(found.values()) - delivered, delivered)

    async def _adopt(self, path: Path, ended_at: tuple[str, int]) -> None:
        """File what the dialplan has written there since we looked last, and another before us."""
        if path.name < ended_at[0]:
            self._read_to[path] = (await asyncio.to_thread(path.stat)).st_size
        elif path.name == ended_at[0]:
            self._read_to[path] = max(self._read_to.get(path, 0), ended_at[1])
        found, read = await asyncio.to_thread(self._read, path)
        if found:
            await self._screener.ledger.flush(readable=True)  # what is filed is to be found below
            since = min(message.at for message, _ in found) - CLOCKS_DIFFER
            known = await asyncio.to_thread(ledger.messages_filed, self._path, since)
            for n, (message, end) in enumerate(found, 1):
                await self._file(message, end, known)
                if n % AT_ONCE == 0:
                    await self._screener.ledger.flush()
            log.info(
                "messages that came while the screener was away or late", path=str(path), kept=len(found)
            )
        self._read_to[path] = read
        await self._forget(path)

    async def _forget(self, path: Path) -> None:
        """Delete a file of an earlier day, once all of it is in the ledger: there its content is erased."""
        written = (await asyncio.to_thread(path.stat)).st_mtime
        if written < (self._screener.clock() - KEPT).timestamp():
            await self._screener.ledger.flush()
            with contextlib.suppress(PermissionError):
                await asyncio.to_thread(path.unlink)

    def _read(self, path: Path) -> tuple[list[tuple[Call, dict[str, str]]], int]:
        """New messages in a file of the dialplan's, and how far it was read: to the end of its last line."""
        start = self._read_to.get(path, 0)
        file = recordings.opened(path)  # a pipe in its place would keep us waiting for ever
        if file is None:
            return [], start
        with file:
            if os.fstat(file.fileno()).st_size < start:  # another one, in place of one that was deleted
                start = 0
            file.seek(start)
            lines = file.read().split(b"\n")[:-1]
        found = [one for line in lines if (one := kept(line)) is not None]
        return found, start + sum(len(line) + 1 for line in lines)

    async def _file(self, message: Call, end: dict[str, str], known: set[tuple[str, str]]) -> None:
        if (message.id, "message") not in known:
            body = await self._about(message)
            self._screener.ledger.append(Row(message.id, "message", message.at, body))
        if (message.id, "message-end") not in known:
            self._screener.ledger.append(Row(message.id, "message-end", message.at, end))


def kept(line: bytes) -> tuple[Call, dict[str, str]] | None:
    """A message that the dialplan kept for us, and its end; None for a line that makes no sense."""
    event = dict(
        field.split(": ", 1) for field in line.decode("ascii", "replace").split(",") if ": " in field
    )
    try:
        at = datetime.fromtimestamp(int(event["Asked"]) / 1e6, UTC)
        message = Call.from_message({**event, "Version": CONTRACT_VERSION, "Deadline": "0"}, at)
        return message, {"status": event["Status"], "missed": event["Missed"]}
    except (KeyError, ValueError, OverflowError, OSError) as error:
        log.error("a kept message was not understood", line=repr(line[:200]), reason=str(error))
        return None
