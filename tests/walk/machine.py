"""Somebody else's PBX: a Debian of its own below a directory, entered with chroot, its Asterisk running."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.pbx.asterisk import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
FROM_HERE = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PIPX_HOME": "/opt/pipx",
    "PIPX_BIN_DIR": "/usr/local/bin",
}
PJSIP = """
[udp]
type=transport
protocol=udp
bind=127.0.0.1:{sip}
[carrier]
type=endpoint
context=from-carrier
disallow=all
allow=ulaw
[carrier]
type=identify
endpoint=carrier
match=127.0.0.1
[reception]
type=endpoint
context=from-inside
disallow=all
allow=ulaw
aors=reception
[reception]
type=aor
contact=sip:reception@127.0.0.1:{phone}
"""
EXTENSIONS = """
[from-carrier]
exten => _[+0-9].,1,Dial(PJSIP/reception,30)
 same => n,Hangup()
"""
PASSING = (
    *("/var/log/", "/var/lib/asterisk/astdb.sqlite3", "/run/", "/proc/", "/dev/"),
    *("/tmp/", "/var/tmp/"),  # noqa: S108 - of the other machine
)
"""What a machine writes by itself."""


class Machine:
    """`async with Machine(original, directory) as machine:` – a copy whose Asterisk runs inside."""

    def __init__(self, original: Path, directory: Path) -> None:
        self.original, self.root = original, directory
        self.sip, self.ami, self.phone, self.metrics = free_ports(4)
        self._stack = contextlib.ExitStack()

    async def __aenter__(self) -> Self:
        self._made()
        try:
            self.start("asterisk", "-f", user="asterisk")
            await self.until("asterisk", "-rx", "core waitfullybooted", says="fully booted")
        except BaseException:
            self._stack.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stack.close()

    def _made(self) -> None:
        """Copy it, with a trunk and a telephone that are ours to play."""
        subprocess.run(["cp", "-a", "--", self.original, self.root], check=True)
        proc = str(self.root / "proc")
        subprocess.run(["mount", "-t", "proc", "proc", proc], check=True)
        self._stack.callback(lambda: subprocess.run(["umount", "-l", proc], check=True))
        with contextlib.suppress(FileNotFoundError):
            # What this machine trusts and where it looks names up, the other one does too.
            shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
            shutil.copy("/" + CERTIFICATES, self.root / CERTIFICATES)
        etc = self.root / "etc/asterisk"
        (etc / "pjsip.conf").write_text(PJSIP.format(sip=self.sip, phone=self.phone))
        (etc / "extensions.conf").write_text((etc / "extensions.conf").read_text() + EXTENSIONS)
        manager = (etc / "manager.conf").read_text().replace("enabled = no", "enabled = yes")
        (etc / "manager.conf").write_text(manager.replace("port = 5038", f"port = {self.ami}"))
        (self.root / "run/asterisk").mkdir(exist_ok=True)
        shutil.chown(self.root / "run/asterisk", *self._owner())

    def _owner(self) -> tuple[int, int]:
        fields = next(
            line.split(":")
            for line in (self.root / "etc/passwd").read_text().splitlines()
            if line.startswith("asterisk:")
        )
        return int(fields[2]), int(fields[3])

    def _words(self, words: tuple[str, ...], user: str) -> list[str]:
        as_user = [f"--userspec={':'.join(map(str, self._owner()))}"] if user != "root" else []
        return ["chroot", *as_user, str(self.root), *words]

    def _environment(self) -> dict[str, str]:
        return ENVIRONMENT | {name: os.environ[name] for name in FROM_HERE if name in os.environ}

    def start(self, *words: str, user: str) -> subprocess.Popen[bytes]:
        """Start a program that is stopped at the end, if not before."""
        process = subprocess.Popen(
            self._words(words, user), env=self._environment(), cwd="/", stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._stack.callback(stop, process)
        return process

    async def run(self, *words: str, user: str = "root", within: float = 120) -> tuple[int, str]:
        """A command on the machine: its exit status and what it said."""
        process = await asyncio.create_subprocess_exec(
            *self._words(words, user), env=self._environment(), cwd="/", stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), within)
        return process.returncode or 0, out.decode("utf-8", "replace")

    async def until(self, *words: str, says: str, user: str = "root", within: float = 60) -> str:
        """Run a command until it says so."""
        said = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while says not in said:
                    _, said = await self.run(*words, user=user)
                    await asyncio.sleep(0.1)
                return said
        msg = f"{' '.join(words)}: never said {says!r}, but: {said[-500:]}"
        raise AssertionError(msg)

    def files(self) -> dict[str, str]:
        """Every file of the machine but those that it writes by itself: its rights, and what is in it."""
        return dict(self._files())

    def _files(self) -> Iterator[tuple[str, str]]:
        for directory, names, files in os.walk(self.root):
            for name in names + files:
                path = Path(directory, name)
                shown = "/" + str(path.relative_to(self.root))
                if (shown + "/").startswith(PASSING):
                    continue
                about = path.lstat()
                rights = f"{about.st_mode:o} {about.st_uid}:{about.st_gid}"
                if path.is_symlink():
                    yield shown, f"{rights} → {path.readlink()}"
                elif path.is_file():
                    yield shown, f"{rights} {hashlib.sha256(path.read_bytes()).hexdigest()}"
                else:
                    yield shown, rights


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program, gently at first."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
