"""A real PostgreSQL for tests: a cluster in a directory of its own, on no port."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg
import pytest

from screener.ledger import Place, Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

START_S = 30.0
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "40",
    "shared_buffers": "16MB",
    "autovacuum": "off",
}
_names = itertools.count(1)


class Cluster:
    """`with Cluster() as cluster:` – a server that runs inside; skips the test where there is none."""

    def __init__(self) -> None:
        found = sorted(
            Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda one: one.parts[-3].zfill(4)
        )
        other = shutil.which("postgres")
        if not found and not other:
            pytest.skip("no PostgreSQL server here: scripts/setup installs Debian's package postgresql")
        self.binaries = found[-1].parent if found else Path(other or "").parent
        # The server refuses to run as root.
        self.user = (
            next(name for name in ("postgres", "nobody") if _exists(name)) if os.geteuid() == 0 else None
        )
        self.directory = Path(tempfile.mkdtemp(prefix="pg-"))
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            if self.user:
                shutil.chown(self.directory, self.user)
            data = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]
            subprocess.run(
                [f"{self.binaries}/initdb", f"-D{self.directory}/data", *data],
                user=self.user, cwd=self.directory, env={}, check=True, capture_output=True,
            )  # fmt: skip
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self) -> None:
        """Start the server, and wait until it answers; after a SIGKILL its children need a moment to end."""
        until = time.monotonic() + START_S
        while True:
            if self.process is None or self.process.poll() is not None:
                options = [f"-c{key}={value}" for key, value in SETTINGS.items()]
                with (self.directory / "log").open("ab") as log:
                    self.process = subprocess.Popen(
                        [self.binaries / "postgres", "-D", self.directory / "data", "-k", self.directory,
                         *options],
                        user=self.user, cwd=self.directory, env={}, stdout=log, stderr=log,
                        start_new_session=True,
                    )  # fmt: skip
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                assert time.monotonic() < until, (self.directory / "log").read_text()
                time.sleep(0.05)  # nothing tells when it is there
            else:
                return

    def kill(self) -> None:
        """SIGKILL the server; what it has started notices and ends."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(START_S)

    def stop(self) -> None:
        """Stop the server as its administrator does: connections are cut."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(START_S)

    def signal_all(self, signum: signal.Signals) -> None:
        """Send a signal to the server and all that it has started."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in [self.process.pid, *map(int, children)]:
            with contextlib.suppress(ProcessLookupError):  # one of a connection that has just ended
                os.kill(pid, signum)

    def url(self, database: str, user: str = "postgres") -> str:
        """Where a database answers."""
        return f"postgresql://{user}@/{database}?host={self.directory}"

    def database(self, template: str = "template0") -> str:
        """A new database; its name."""
        name = f"d{next(_names)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return name

    def place(self, directory: Path, template: str = "template0") -> Postgres:
        """A ledger in a new database."""
        return Postgres(self.url(self.database(template)), directory)

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.poll() is None:
            self.signal_all(signal.SIGCONT)
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(START_S)
        shutil.rmtree(self.directory, ignore_errors=True)


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def spell(place: Place) -> list[str]:
    """A place as arguments of a program."""
    return [place.url, str(place.directory)] if isinstance(place, Postgres) else [str(place), ""]


def spelt(name: str, directory: str) -> Place:
    """The place that these arguments name."""
    return Postgres(name, Path(directory)) if directory else Path(name)


def sql(place: Place, *statements: str) -> list[tuple[Any, ...]]:
    """Do what the owner of the file or the tables can; the rows of the last statement."""
    if isinstance(place, Path):
        with closing(sqlite3.connect(place, isolation_level=None)) as file:
            return [file.execute(one).fetchall() for one in statements][-1]
    with psycopg.connect(place.url, autocommit=True, options="-csearch_path=screener") as db:
        last = [db.execute(one.encode()) for one in statements][-1]
        return last.fetchall() if last.description else []


REFUSES = sqlite3.IntegrityError, psycopg.errors.RaiseException
"""What they raise when a trigger of ours refuses."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The server of all tests of a folder: each takes databases of its own, and mends what it breaks."""
    with Cluster() as running:
        yield running


@pytest.fixture(params=["file", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A ledger that does not exist yet, in both of its forms."""
    if request.param == "file":
        return tmp_path / "spool" / "ledger.db"
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster.place(tmp_path / "spool")
