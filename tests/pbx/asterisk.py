"""A private, real Asterisk for one test: own directory, own ports, own processes, gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import platform
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from screener.dialplan import LINE
from tests.users import reachable

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(
    os.environ.get("SCREENER_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "screener"
)
MODULES = """
func_env res_speech res_agi
app_cdr app_chanspy app_dial app_exec app_mixmonitor app_originate app_playback app_read
app_record app_senddtmf app_stack app_system app_userevent
app_verbose app_waitforsilence bridge_builtin_features
bridge_native_rtp bridge_simple chan_pjsip codec_alaw codec_gsm codec_resample codec_ulaw format_gsm
format_pcm format_wav func_base64 func_callerid func_cdr func_channel func_cut func_db func_dialplan
func_global func_groupcount func_hangupcause func_logic func_math func_module func_periodic_hook func_rand
func_sprintf func_strings func_talkdetect func_timeout func_uri pbx_config
res_clioriginate res_crypto res_curl res_format_attr_h264 res_musiconhold res_pjproject res_pjsip
res_pjsip_authenticator_digest res_pjsip_caller_id res_pjsip_diversion res_pjsip_dtmf_info
res_pjsip_endpoint_identifier_ip res_pjsip_header_funcs res_pjsip_messaging
res_pjsip_outbound_authenticator_digest res_pjsip_pubsub
res_pjsip_rfc3326 res_pjsip_sdp_rtp res_pjsip_session res_rtp_asterisk res_sorcery_astdb
res_sorcery_config res_sorcery_memory res_stir_shaken res_timing_timerfd
""".split()  # noqa: SIM905 - a list of words reads better as words

EXTENSIONS = """
[general]
static=yes
writeprotect=yes

#include screener/screener.conf
#include screener/messages.conf

[globals]
SCREENER_SPOOL={spool}/screener
{globals}

[messages-from-trunk]
exten => _[+0-9].,1,GotoIf(${{DIALPLAN_EXISTS(screener-messages,s,1)}}?ask)
 same => n,MessageSend(pjsip:phone,${{MESSAGE(from)}})
 same => n,Hangup()
 same => n(ask),Gosub(screener-messages,s,1(${{FILTER(+0-9,${{EXTEN}})}},pjsip:phone,PJSIP/trunk))
 same => n,Hangup()
exten => 404,1,Gosub(screener-messages,s,1(${{FILTER(+0-9,${{EXTEN}})}},pjsip:away,PJSIP/trunk))
 same => n,Hangup()
exten => 408,1,Gosub(screener-messages,s,1(${{FILTER(+0-9,${{EXTEN}})}},pjsip:dead,PJSIP/trunk))
 same => n,Hangup()
[from-trunk]
{line}
 same => n,Dial(PJSIP/phone,30)
 same => n,Hangup()
{extra}
"""

PJSIP = """
[global]
type=global
max_initial_qualify_time=0
endpoint_identifier_order=header,ip
[system]
type=system
timer_t1=500
[udp]
type=transport
protocol=udp
bind=127.0.0.1:{sip}
[trunk]
type=endpoint
context=from-trunk
message_context=messages-from-trunk
disallow=all
allow=ulaw
direct_media=no
trust_id_inbound=yes
rtp_symmetric=no
[trunk]
type=identify
endpoint=trunk
match=127.0.0.1
[phone]
type=endpoint
context=from-phone
disallow=all
allow=ulaw
direct_media=no
aors=phone
from_domain=127.0.0.1
[phone]
type=aor
contact=sip:phone@127.0.0.1:{phone}
[phone-dials]
type=identify
endpoint=phone
match_header=X-Telephone: phone
[other]
type=endpoint
context=from-phone
disallow=all
allow=ulaw
direct_media=no
aors=other
from_domain=127.0.0.1
[other]
type=aor
contact=sip:other@127.0.0.1:{phone}
[away]
type=endpoint
aors=away
[away]
type=aor
max_contacts=1
[dead]
type=endpoint
aors=dead
[dead]
type=aor
contact=sip:dead@127.0.0.1:9
qualify_frequency=1
qualify_timeout=0.3
"""

MANAGER = """
[general]
enabled=yes
bindaddr=127.0.0.1
port={ami}
tlsenable={tls}
tlsbindaddr=127.0.0.1:{ami_tls}
tlscertfile={etc}/ami.pem

#include screener/manager.conf

[test]
secret=test
read=all
write=all
"""


_first = 20_000 + os.getpid() % 17 * 750
_ports = itertools.cycle(range(_first, _first + 750))
"""Each worker's own, and below those that Linux gives to who asks for any (from 32768 on): until a port is
taken no telephone of another test may come into its place."""


def free_ports(count: int) -> list[int]:
    """Ports that are free for TCP and UDP, all different."""
    return list(itertools.islice(filter(_is_free, _ports), count))


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


@dataclass(frozen=True)
class Binary:
    """How to run Asterisk here: the installed one, or the one in the cached root file system."""

    command: tuple[str, ...]
    modules: Path
    data: Path
    sounds: Path

    @functools.cached_property
    def version(self) -> str:
        """What it says of itself: `16.28.0~dfsg-0+deb11u10`."""
        answer = subprocess.run([*self.command, "-V"], capture_output=True, text=True, check=True).stdout
        return answer.removeprefix("Asterisk ").strip()


def find_binary() -> Binary:
    """The cached root file system, which scripts/setup makes where it is needed, else the installed one."""
    root = Path(os.environ.get("SCREENER_ASTERISK_ROOT") or CACHE / "asterisk-root")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    program = str(root / "asterisk") if (root / "asterisk").exists() else shutil.which("asterisk", path=path)
    if program is None:
        raise RuntimeError("there is no Asterisk here: run scripts/setup")
    base = root if program.startswith(str(root)) else Path("/")
    library = base / "usr/lib" / f"{platform.machine()}-linux-gnu/asterisk/modules"
    modules = library if library.exists() else base / "usr/lib/asterisk/modules"
    data = base / "usr/share/asterisk"
    return Binary((program,), modules, data, data / "sounds/en")


class Asterisk:
    """`async with Asterisk(directory) as pbx:` – up and answering inside, stopped outside.

    `more` is text for the ends of configuration files: {"pjsip.conf": "…"}.
    """

    def __init__(self, directory: Path, *, tls: bool = False, extra: str = "", globals_: str = "",
                 more: dict[str, str] | None = None,
                 user: int | None = None, umask: int = -1, systemname: str = "") -> None:  # fmt: skip
        self.directory = directory
        self.binary = find_binary()
        self.sip, self.ami, self.phone, self.ami_tls = free_ports(4)
        self.tls, self.extra, self.globals_, self.more = tls, extra, globals_, more or {}
        self.user, self.umask, self.systemname = user, umask, systemname
        self.process: subprocess.Popen[bytes] | None = None
        self.secret = "a secret of the tests"  # noqa: S105
        self.spool = directory / "spool" / "screener"

    def write(self) -> None:
        """Write the whole configuration."""
        etc, data = self.directory / "etc", self.directory / "data"
        for name in (
            "etc",
            "var",
            "run",
            "spool",
            "log",
            "db",
            "data/sounds/en",
            "data/sounds/zh",
        ):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        for item in self.binary.data.iterdir():
            if item.name != "sounds" and not (data / item.name).exists():
                (data / item.name).symlink_to(item)
        for item in self.binary.sounds.iterdir():
            with contextlib.suppress(FileExistsError):
                (data / "sounds/en" / item.name).symlink_to(item)
        for language in ("en", "zh"):
            target = data / "sounds" / language / "screener"
            if not target.is_symlink():
                target.symlink_to(CACHE / "sounds" / language / "screener")
        paths = {
            "astetcdir": etc, "astmoddir": self.binary.modules, "astvarlibdir": self.directory / "var",
            "astdbdir": self.directory / "db", "astkeydir": self.directory / "var", "astdatadir": data,
            "astagidir": self.directory / "var", "astspooldir": self.directory / "spool",
            "astrundir": self.directory / "run", "astlogdir": self.directory / "log",
        }  # fmt: skip
        shutil.copytree(ROOT / "dialplan", etc / "screener", dirs_exist_ok=True)
        account = (etc / "screener/manager.conf").read_text()
        (etc / "screener/manager.conf").write_text(account.replace("CHANGE-ME", self.secret))
        files = {
            "asterisk.conf": "[directories]\n"
            + "".join(f"{key} => {value}\n" for key, value in paths.items())
            + f"[options]\nlanguageprefix=yes\nsystemname={self.systemname}\n",
            "modules.conf": "[modules]\nautoload=no\n" + "".join(f"load={name}.so\n" for name in MODULES),
            "logger.conf": "[general]\n[logfiles]\nmessages.log => notice,warning,error\n",
            "extensions.conf": EXTENSIONS.format(
                line=LINE, spool=self.directory / "spool", globals=self.globals_, extra=self.extra
            ),
            "pjsip.conf": PJSIP.format(sip=self.sip, phone=self.phone),
            "manager.conf": MANAGER.format(
                ami=self.ami, ami_tls=self.ami_tls, etc=etc, tls="yes" if self.tls else "no"
            ),
            "rtp.conf": "[general]\nrtpstart=10000\nrtpend=19999\n",
            "cdr.conf": "[general]\nenable=yes\nunanswered=yes\n[csv]\nloguniqueid=yes\n",
            "indications.conf": "[general]\ncountry=us\n[us]\ndescription=US\nringcadence=2000,4000\n"
            "dial=350+440\nbusy=480+620/500,0/500\nring=440+480/2000,0/4000\ncongestion=480+620/250,0/250\n",
            "musiconhold.conf": "[general]\n",
        }
        for name, text in files.items():
            (etc / name).write_text(text)
        for name, text in self.more.items():
            with (etc / name).open("a") as file:
                file.write(text)

    def spawn(self) -> None:
        """Start the process; returns before it is ready."""
        log = (self.directory / "log/console").open("ab")
        self.process = subprocess.Popen(
            [*self.binary.command, "-C", str(self.directory / "etc/asterisk.conf"), "-f", "-n"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, umask=self.umask,
            user=self.user, group=self.user, extra_groups=None if self.user is None else [],
        )  # fmt: skip
        log.close()

    async def start(self, within: float = 20) -> None:
        """Start and wait until calls can be placed."""
        self.write()
        if self.user is not None:
            reachable(self.directory)
            for path in (self.directory, *self.directory.rglob("*")):
                os.chown(path, self.user, self.user, follow_symlinks=False)
        self.spawn()
        await self.ready(within)

    async def ready(self, within: float = 20) -> None:
        """Wait until it is fully booted."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            assert self.process is not None
            if self.process.poll() is not None:
                break
            if (self.directory / "run/asterisk.ctl").exists():
                answer = await self.cli("core waitfullybooted")
                if "fully booted" in answer:
                    return
            await asyncio.sleep(0.03)
        msg = (
            f"Asterisk did not start: {(self.directory / 'log/console').read_text(errors='replace')[-2000:]}"
        )
        raise RuntimeError(msg)

    async def cli(self, command: str) -> str:
        """The output of one console command."""
        process = await asyncio.create_subprocess_exec(
            *self.binary.command, "-C", str(self.directory / "etc/asterisk.conf"), "-rx", command,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        return output.decode(errors="replace")

    def log(self) -> str:
        """What Asterisk wrote into its log."""
        path = self.directory / "log/messages.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self) -> None:
        """SIGKILL, and wait for it."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    async def stop(self) -> None:
        """Stop it and wait until it is gone."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            for _ in range(200):
                if self.process.poll() is not None:
                    return
                await asyncio.sleep(0.02)
            self.kill()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
