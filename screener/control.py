"""The way to talk to a running screener: a unix socket in its state directory, one JSON line each way.

Only the user that the screener runs as, and root, can open it. A service whose socket cannot be
served screens calls all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog

from screener.errors import NotRunning

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

log = structlog.get_logger(__name__)

SOCKET = "screener.sock"
ASK_S = 10.0
"""How long a command waits for the service; a reload of 1,000 rules takes a second."""
_READ_S = 5.0
_MAX_LINE = 4096
_UNHEARD = {"error": "unknown command"}
_MAX_PATH = 100
"""Bytes in the path of a unix socket, of which Linux takes 107."""

Commands: TypeAlias = "Mapping[str, Callable[..., Awaitable[dict[str, Any]]]]"
"""What can be asked for, by name, and who gives the answer; some need to be told about what."""


@contextlib.asynccontextmanager
async def serving(directory: Path, commands: Commands) -> AsyncIterator[None]:
    """Answer the commands by their names while the block runs; what goes wrong is logged, never raised."""
    server = None
    try:
        listening = _listen(directory)
        server = await asyncio.start_unix_server(
            lambda reader, writer: _answer(reader, writer, commands), sock=listening, limit=_MAX_LINE
        )
    except OSError as error:
        log.error(
            "no control socket: `screener status` and `screener reload` will not find this service",
            directory=str(directory),
            reason=str(error),
        )
    try:
        yield
    finally:
        if server:
            server.close()
            with contextlib.suppress(OSError):
                (directory / SOCKET).unlink()


def ask(directory: Path, command: str, *about: str) -> dict[str, Any]:
    """The running service's answer; NotRunning if there is none, with what to do about it.

    An answer with `error` says why the service did not do it.
    """
    try:
        with _short(directory) as path, socket.socket(socket.AF_UNIX) as line:
            line.settimeout(ASK_S)
            line.connect(path)
            line.sendall(json.dumps({"command": command, "about": about}).encode() + b"\n")
            with line.makefile("rb") as answer:
                reply = json.loads(answer.readline())
    except PermissionError as error:
        raise NotRunning(
            f"{directory / SOCKET}: {error.strerror}; run this as root or as the screener's own user"
        ) from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunning(f"no screener is running on {directory}; start it with `screener run`") from error
    except (OSError, ValueError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        raise NotRunning(f"the screener on {directory} does not answer: {reason}") from error
    if not isinstance(reply, dict) or reply == _UNHEARD:
        raise NotRunning(f"the screener on {directory} answers: {reply!r}; is it of another version?")
    return reply


def _listen(directory: Path) -> socket.socket:
    """A socket that nobody else may open; one that a killed screener left behind is replaced."""
    line = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        with _short(directory) as path:
            _make_room(path)
            line.bind(path)
        line.settimeout(0)
    except BaseException:
        line.close()
        raise
    finally:
        os.umask(before)
    return line


def _make_room(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(1.0)
        try:
            line.connect(path)
        except OSError:
            Path(path).unlink(missing_ok=True)
        else:
            raise OSError("another screener answers there; give this one a state_dir of its own")


@contextlib.contextmanager
def _short(directory: Path) -> Iterator[str]:
    """A path of the socket that is short enough for the kernel, however deep the directory is."""
    path = directory / SOCKET
    if len(os.fsencode(path)) <= _MAX_PATH:
        yield str(path)
        return
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{opened}/{SOCKET}"
    finally:
        os.close(opened)


async def _answer(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    commands: Commands,
) -> None:
    try:
        async with asyncio.timeout(_READ_S):
            line = await reader.readline()
        request = json.loads(line or b"null")
        name = str(request["command"]) if isinstance(request, dict) else ""
        reply = await commands[name](*map(str, request.get("about", ()))) if name in commands else _UNHEARD
        writer.write(json.dumps(reply, default=str).encode() + b"\n")
        await writer.drain()
    except (OSError, ValueError, LookupError):
        log.debug("a visitor of the control socket went away or made no sense")
    except Exception:
        log.exception("a command could not be carried out")
    finally:
        writer.close()
