"""scripts/walk: a stranger's path from the installation to its end, on somebody else's PBX."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

from tests.pbx.asterisk import ROOT
from tests.pbx.ua import UserAgent
from tests.walk.machine import Machine, stop

FRIEND, PEST = "+4930123456", "+4930654321"
NEXT = "0.1.999"


def wheel(directory: Path, version: str = "") -> Path:
    """The product as one file, under a later version if one is named."""
    tree = directory / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache"))
    if version:
        init = tree / "screener/__init__.py"
        init.write_text(re.sub(r'__version__ = "[^"]+"', f'__version__ = "{version}"', init.read_text()))
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", directory, tree], check=True)
    shutil.rmtree(tree)
    return next(directory.glob("*.whl"))


class Walk:
    """The steps; each says what it found, and fails the walk if that is not as it should be."""

    def __init__(self, machine: Machine, scratch: Path, phone: UserAgent, caller: UserAgent) -> None:
        self.machine, self.scratch, self.phone, self.caller = machine, scratch, phone, caller
        self._step = time.monotonic()

    def say(self, text: str) -> None:
        now = time.monotonic()
        sys.stdout.write(f" ✓ {now - self._step:5.1f} s  {text}\n")
        self._step = now

    async def succeed(self, *words: str, user: str = "root", within: float = 300) -> str:
        """Run what must end well."""
        code, said = await self.machine.run(*words, user=user, within=within)
        assert code == 0, f"{' '.join(words)} ended with {code}:\n{said}"
        return said

    async def rings(self, number: str) -> None:
        """A call that the reception answers."""
        dialog = await self.caller.call("+493000", number=number)
        there = await asyncio.wait_for(self.phone.incoming.get(), 20)
        await asyncio.wait_for(there.answered.wait(), 10)
        assert there.number == number, f"{there.number} rang"
        dialog.hangup()

    async def is_recorded(self, number: str) -> None:
        """A call that ends in the voicemail: answered, and no telephone rang."""
        dialog = await self.caller.call("+493000", number=number)
        await asyncio.wait_for(dialog.answered.wait(), 20)
        await dialog.say(b"\x20\xa0" * 16000)
        dialog.hangup()
        assert self.phone.incoming.empty(), "the telephone rang"

    async def install(self, built: Path) -> None:
        """The program by pipx, as its documentation says."""
        shutil.copy(built, self.machine.root / "root")
        await self.succeed("pipx", "install", "--force", f"/root/{built.name}", within=600)
        (self.machine.root / "root" / built.name).unlink()

    async def served(self) -> subprocess.Popen[bytes]:
        """The service, as systemd would start it."""
        process = self.machine.start("/usr/local/bin/screener", "run", user="asterisk")
        await self.machine.until("screener", "status", says="connected since", user="asterisk")
        return process

    def metric(self, line: str) -> None:
        """What Prometheus would read."""
        with urlopen(f"http://127.0.0.1:{self.machine.metrics}/metrics", timeout=5) as page:
            text = page.read().decode()
        assert line in text, f"{line!r} is not among the metrics:\n{text}"

    async def all_of_it(self) -> None:
        """From the PBX before us to the PBX after us."""
        machine, etc = self.machine, self.machine.root / "etc/screener"
        await self.rings(PEST)
        before = machine.files()
        self.say("a PBX of its own: who calls, rings")
        await self.install(wheel(self.scratch / "one"))
        self.say("installed by pipx")
        arguments = ("install", "--region", "DE", "--timezone", "Europe/Berlin", "--trunk", "carrier")
        said = await self.succeed("screener", *arguments, "--dry-run")
        assert not etc.exists(), "a dry run wrote something"
        self.say(f"screener install --dry-run: {len(said.splitlines())} lines, nothing written")
        await self.succeed("screener", *arguments)
        settings = etc / "screener.yaml"
        settings.write_text(settings.read_text() + f"metrics: {{listen: '127.0.0.1:{machine.metrics}'}}\n")
        self.say("screener install: the trunk's calls lead to it")
        await self.rings(FRIEND)
        self.say("the service does not run yet: who calls, rings")
        service = await self.served()
        await self.succeed("screener", "list", "add", "block", PEST, "--reason", "pest", user="asterisk")
        await self.is_recorded(PEST)
        await self.rings(FRIEND)
        await machine.until("screener", "recordings", "list", says=PEST, user="asterisk")
        self.say("first blocked call: recorded, and the friend rings")
        self.metric('screener_calls_total{disposition="recorded"} 1.0')
        self.say("seen in the metrics")
        said = await self.succeed("screener", "doctor")
        self.say(f"screener doctor: {said.splitlines()[-1]}")
        await self.install(wheel(self.scratch / "two", NEXT))
        await self.succeed("screener", *arguments)
        stop(service)
        service = await self.served()
        assert NEXT in await self.succeed("screener", "--version")
        await self.is_recorded(PEST)
        await self.rings(FRIEND)
        self.say(f"upgraded to {NEXT}: the block list holds")
        stop(service)
        await self.succeed("screener", "uninstall", "--purge", "--force")
        await self.succeed("pipx", "uninstall", "asterisk-screener")
        await self.rings(PEST)
        self.say("uninstalled: who calls, rings")
        after = machine.files()
        changed = {
            path
            for path in before.keys() | after.keys()
            if before.get(path) != after.get(path) and not path.startswith(("/root/", "/opt/"))
        }
        assert not changed, f"left behind or changed: {sorted(changed)}"
        self.say(f"all {len(after)} files are as they were")


async def walk(original: Path, *, keep: bool) -> int:
    """Walk it; what went wrong is the exit status."""
    with contextlib.ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="scr-walk-"))
        if not keep:
            stack.callback(shutil.rmtree, scratch)
        for name in ("one", "two"):
            (scratch / name).mkdir()
        try:
            async with Machine(original, scratch / "machine") as machine:
                phone = await UserAgent.open(machine.sip, machine.phone, 0.0)
                stack.callback(phone.close)
                caller = await UserAgent.open(machine.sip)
                stack.callback(caller.close)
                await Walk(machine, scratch, phone, caller).all_of_it()
        except (AssertionError, TimeoutError) as error:
            sys.stdout.write(f" ✗ {str(error) or type(error).__name__}\n")
            return 1
        finally:
            if keep:
                sys.stdout.write(f"the machine: {scratch / 'machine'}\n")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/walk")
    parser.add_argument("machine", type=Path)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    sys.exit(asyncio.run(walk(given.machine, keep=given.keep)))
