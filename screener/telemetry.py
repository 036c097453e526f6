"""The service's log: one line per event, whatever callers write into their names, and never in a call's way.

Lines are made where the event happens and written by a thread of their own: a
reader that hangs (a full pipe, a stopped terminal, a dead disk) costs log lines,
which are counted, and never a caller's time. What other libraries log takes the
same way.
"""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import re
import select
import sys
import threading
import time
import traceback
from contextlib import AbstractContextManager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import structlog

from screener.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from structlog.typing import EventDict, Processor, WrappedLogger

LINES_BOUND = 10_000
TEXT_BOUND = 500
"""Characters of one text in a line; a SIP name may hold many kilobytes."""
DEPTH_BOUND = 4
FRAMES = 4
GATHER_S = 0.02
LINES_AT_ONCE = 200
NOTE_EVERY_S = 1.0
HIDDEN = "[hidden]"
COLOURS = {"debug": 2, "warning": 33, "error": 31, "critical": 31}

_SECRET_KEY = re.compile(r"secret|passw|token|credential|authorization|api_?key", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(?<=://)[^\s/:]*:[^\s/]*(?=@)")
_BARE = re.compile(r"[^\s\"'=\\]+")


class Outlet(AbstractContextManager["Outlet"]):
    """Lines to a file descriptor, by a thread; when more than `bound` wait, new ones are dropped.

    `dropped` counts them, and those that the descriptor refused. As soon as lines can be
    written again, `note` makes a line that tells how many are missing.
    """

    def __init__(self, fd: int, *, bound: int = LINES_BOUND, note: Callable[[int], str]) -> None:
        """Write to `fd`, which stays the caller's to close."""
        self.dropped = 0
        self._fd = fd
        self._bound = bound
        self._note = note
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._counting = threading.Lock()
        self._hurry = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue one line, without its line break: never blocks, never raises."""
        if self._closed or self._lines.qsize() >= self._bound:
            self._drop(1)
        else:
            self._lines.put(line)

    debug = info = warning = error = critical = write

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what waits, but wait no longer than `timeout_s` for a reader that hangs."""
        if not self._closed:
            self._closed = True
            self._lines.put(None)
            self._hurry.set()
        self._thread.join(timeout_s)

    def __exit__(self, *_: object) -> None:
        """Close, whatever happened."""
        self.close()

    def _drop(self, lines: int) -> None:
        with self._counting:
            self.dropped += lines

    def _run(self) -> None:
        told, told_at, last = 0, -NOTE_EVERY_S, False
        while not last:
            lines = [self._lines.get()]
            # Waiting for the next lines and writing them as one saves the event loop most thread switches.
            if self._lines.qsize() < LINES_AT_ONCE:
                self._hurry.wait(GATHER_S)
            while len(lines) < LINES_AT_ONCE and not self._lines.empty():
                lines.append(self._lines.get())
            last = None in lines
            ready = [line for line in lines if line is not None]
            if not self._put(ready):
                self._drop(len(ready))
            missing, now = self.dropped - told, time.monotonic()
            if missing and (last or now - told_at >= NOTE_EVERY_S) and self._put([self._note(missing)]):
                told, told_at = told + missing, now

    def _put(self, lines: list[str]) -> bool:
        rest = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                # Another process that shares the descriptor may have made it non-blocking.
                select.select((), (self._fd,), ())
            except OSError:
                return False
        return True


def configure(  # noqa: PLR0913 - what a log can be told, each once
    *,
    fd: int = 1,
    as_json: bool | None = None,
    level: str = "info",
    secrets: Collection[str] = (),
    pbx: str = "",
    hide: Processor | None = None,
) -> Outlet:
    """Send all logging of the process to `fd`: JSON, or lines for people on a terminal (`as_json` overrides).

    `secrets` are texts that must never appear, whatever they are part of. `pbx` stands on every line about a
    call; `hide` takes out who called. Close the outlet last: what is logged afterwards is dropped.
    """
    terminal = os.isatty(fd)
    least = logging.getLevelNamesMapping()[level.upper()]
    render = _console(colours=terminal) if (terminal if as_json is None else not as_json) else _json_line
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="at")

    def note(missing: int) -> str:
        facts = {"level": "warning", "event": "log lines dropped, the reader was too slow", "count": missing}
        return render(None, "warning", stamp(None, "warning", facts))

    outlet = Outlet(fd, note=note)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            stamp,
            _name_exception,
            _Cleaner(secrets),
            *([_named(pbx)] if pbx else []),
            *([hide] if hide else []),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: outlet,
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Relay()], level=least, force=True)
    logging.captureWarnings(capture=True)
    return outlet


def about_call(call_id: str) -> AbstractContextManager[None]:
    """Name the call on every line that is logged within the block, also by tasks started there."""
    return structlog.contextvars.bound_contextvars(call=call_id)


def _named(pbx: str) -> Processor:
    """Name the PBX on lines about a call: where several are screened, ids of calls are theirs alone."""

    def name(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        if event.get("call"):
            event["pbx"] = pbx
        return event

    return name


class _Cleaner:
    """Makes every value fit for one line: secrets hidden, what does not print shown, cut to size."""

    def __init__(self, secrets: Collection[str]) -> None:
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {key: self._pair(key, value, 0) for key, value in event.items()}

    def _pair(self, key: object, value: object, depth: int) -> object:
        return HIDDEN if value and _SECRET_KEY.search(str(key)) else self._value(value, depth)

    def _value(self, value: object, depth: int) -> object:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, dict) and depth < DEPTH_BOUND:
            return {self._text(str(key)): self._pair(key, item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset) and depth < DEPTH_BOUND:
            return [self._value(item, depth + 1) for item in value]
        return self._text(str(value) if isinstance(value, str | BaseException | PurePath) else repr(value))

    def _text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        if "://" in text:
            text = _URL_PASSWORD.sub(HIDDEN, text)
        if len(text) > TEXT_BOUND:
            text = f"{text[:TEXT_BOUND]}… ({len(text)} characters)"
        return escaped(text)


def _name_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put an exception into one line: what it was, what caused it, and the innermost places."""
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else sys.exception() if given is True else given
    if isinstance(error, BaseException):
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        because = f" (after {type(cause).__name__}: {cause})" if cause else ""
        event["exception"] = f"{type(error).__name__}: {error}{because}"
        places = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
        event["where"] = " < ".join(
            f"{PurePath(code.co_filename).name}:{line} {code.co_name}"
            for code, line in places[: -FRAMES - 1 : -1]
        )
    return event


def _json_line(_: WrappedLogger, __: str, event: EventDict) -> str:
    head = {name: event.pop(name, "") for name in ("at", "level", "event")}
    return json.dumps(head | dict(event), ensure_ascii=False)


def _console(*, colours: bool) -> Callable[[WrappedLogger, str, EventDict], str]:
    """Lines for people: time, level, event, then what is known, quoted so that none can pose as another."""

    def line(_: WrappedLogger, __: str, event: EventDict) -> str:
        at, level, said = (event.pop(name, "") for name in ("at", "level", "event"))
        colour = COLOURS.get(level) if colours else None
        shown = f"\x1b[{colour}m{level:<8}\x1b[0m" if colour else f"{level:<8}"
        return " ".join([at[11:23], shown, str(said), *(f"{key}={bare(event[key])}" for key in event)])

    def bare(value: Any) -> str:  # noqa: ANN401 - any JSON value
        is_bare = isinstance(value, str) and _BARE.fullmatch(value)
        return value if is_bare else json.dumps(value, ensure_ascii=False)

    return line


class _Relay(logging.Handler):
    """Brings what other libraries log, through `logging`, the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        structlog.get_logger().log(level, text, logger=record.name, exc_info=record.exc_info)
