"""Asterisk's manager interface and our account on it."""

from __future__ import annotations

import ipaddress
import re
import ssl
from typing import TYPE_CHECKING

from screener.doctor import console
from screener.doctor.checkup import fail, fine, warn
from screener.doctor.console import settings_of
from screener.doctor.patient import LOCAL
from screener.errors import AmiLoginRefused, NotChecked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from screener.doctor.checkup import Finding
    from screener.doctor.console import Line
    from screener.doctor.patient import Patient

UNSCREENED = "calls ring unscreened"
RELOAD = "then: asterisk -rx 'manager reload'"
WRITE, READ = {"call", "message"}, {"user", "call"}
STRANGER = "203.0.113.7"
"""An address that nobody has (RFC 5737)."""
GIVEN_AWAY = {
    "func_shell.so": ({"SHELL"}, "runs commands on this machine"),
    "func_config.so": ({"AST_CONFIG"}, "reads the secrets of other accounts and of telephones"),
    "func_curl.so": ({"CURL", "CURLOPT"}, "fetches web pages from this machine"),
}
"""Modules with functions that Asterisk lets every account ask that may set variables, and what with them."""
ASKS = "Event: UserEvent\r\nPrivilege: user,all\r\nChannel: PJSIP/a-00000001"
FLOOD = "Event: Newchannel\r\nPrivilege: call,all\r\nChannel: PJSIP/a-00000001"

_PRIVILEGES = re.compile(r"\(Priv: ([\w,]+)\)$")
_WEB = re.compile(r"Server Enabled and Bound to (\S+)")
_RULE = re.compile(r"^ *\d+: +(allow|deny) - (\S+)/(\S+)", re.MULTILINE)


async def login(patient: Patient) -> AsyncIterator[Finding]:
    """Asterisk's manager interface takes our account."""
    settings = patient.pbx
    try:
        await patient.ami()
        yield fine(f"{settings.username} at {settings.host}:{settings.port}")
    except NotChecked as error:
        cause = error.__cause__
        if cause is None:
            raise
        if isinstance(cause, AmiLoginRefused):
            yield fail(str(cause).split(". ")[0], UNSCREENED, await _why_refused(patient))
        elif isinstance(cause, ssl.SSLError):
            mend = "manager.conf: tlsenable=yes, tlscertfile=…; ami.tls.ca_file names who signed it"
            yield fail(f"no TLS with {settings.host}:{settings.port}: {cause}", UNSCREENED, mend)
        else:
            reason = str(cause) or "no answer in time"
            what = f"no manager interface at {settings.host}:{settings.port}: {reason}"
            yield fail(what, UNSCREENED, await _why_silent(patient))


async def _why_refused(patient: Patient) -> str:
    name = patient.pbx.username
    try:
        shown = await patient.console(f"manager show user {name}")
    except NotChecked:
        return "compare ami.username and ami.secret with manager.conf, and our address with its permit lines"
    if "secret:" not in shown:
        return f"manager.conf: #include screener/manager.conf, for there is no account {name}; {RELOAD}"
    if not allowed(shown, _our_address(patient)):
        return f"manager.conf, [{name}]: permit={_our_address(patient)} after the deny lines; {RELOAD}"
    return f"put the secret of [{name}] in manager.conf into ami.secret_file or ami.secret, then restart"


async def _why_silent(patient: Patient) -> str:
    settings = patient.pbx
    try:
        shown = settings_of(await patient.console("manager show settings"))
    except NotChecked as error:
        return f"is Asterisk running, and does it answer? systemctl restart asterisk ({error})"
    if shown.get("Manager (AMI)") != "Yes":
        return f"manager.conf, [general]: enabled=yes; {RELOAD}"
    there = shown.get("TLS Bindaddress" if settings.tls.enabled else "TCP Bindaddress", "?")
    if settings.tls.enabled and shown.get("TLS Enable") != "Yes":
        return f"manager.conf, [general]: tlsenable=yes, tlscertfile=…; {RELOAD}"
    host, port = there.rpartition(":")[0].strip("[]"), there.rpartition(":")[2]
    ours = LOCAL if settings.host in LOCAL else {settings.host}
    if port == str(settings.port) and host in {"0.0.0.0", "::", *ours}:  # noqa: S104 - compared
        return f"Asterisk says that it listens on {there}, and does not: systemctl restart asterisk"
    return f"screener.yaml: ami.host and ami.port: Asterisk listens on {there}; then restart the screener"


async def write(patient: Patient) -> AsyncIterator[Finding]:
    """The account may write what it needs, and nothing else."""
    shown = await (await patient.ami()).act("ListCommands")
    classes = [
        set(found[1].split(",")) for text in shown.values() if (found := _PRIVILEGES.search(str(text)))
    ]
    granted = {name for one in classes if len(one - {"all"}) == 1 for name in one - {"all"}}
    name = patient.pbx.username
    mend = f"manager.conf, [{name}]: write = call,message; {RELOAD}"
    if "call" not in granted:
        yield fail("the account may not set variables: it lacks write = call", UNSCREENED, mend)
    elif "message" not in granted:
        yield warn("the account lacks write = message", "messages that were held cannot be released", mend)
    if excess := sorted(granted - WRITE):
        notice = "with the secret, somebody takes over more than the calls: the whole PBX by some of these"
        yield warn(f"the account may do more than it needs: {', '.join(excess)}", notice, mend)


async def read(patient: Patient) -> AsyncIterator[Finding]:
    """The account hears what it needs, and nothing else."""
    name = patient.pbx.username
    shown = settings_of(await patient.console(f"manager show user {name}"))
    if "read perm" not in shown:
        raise NotChecked(f"Asterisk knows no account {name}, see manager.login")
    granted = set(shown["read perm"].replace(" ", "").split(","))
    granted = granted if granted != {"all"} else {"all", "user", "call"}
    mend = f"manager.conf, [{name}]: read = user,call; {RELOAD}"
    if "user" not in granted:
        yield fail("the account hears no question: it lacks read = user", UNSCREENED, mend)
    elif "call" not in granted:
        yield warn("the account lacks read = call", "nothing is known of how callers talk", mend)
    if excess := sorted(granted - READ - {"<none>"}):
        notice = "each call costs the screener more; and what it hears others may hear who have the secret"
        yield warn(f"the account hears more than it needs: {', '.join(excess)}", notice, mend)


async def acl(patient: Patient) -> AsyncIterator[Finding]:
    """The account is open to us and closed to the world: of deny and permit the last that fits counts."""
    name = patient.pbx.username
    shown = await patient.console(f"manager show user {name}")
    lines = f"deny = 0.0.0.0/0.0.0.0, deny = ::/0, then permit = {_our_address(patient)}; {RELOAD}"
    mend = f"manager.conf, [{name}]: {lines}"
    if "secret:" not in shown:
        raise NotChecked(f"Asterisk knows no account {name}, see manager.login")
    if settings_of(shown).get("ACL") == "yes" and not _RULE.search(shown):
        raise NotChecked("this Asterisk does not show the rules of the account: compare manager.conf")
    if not allowed(shown, _our_address(patient)):
        what = f"{_our_address(patient)} is denied: a deny stands behind the permit that should let us in"
        yield fail(what, UNSCREENED, mend)
    if allowed(shown, STRANGER):
        notice = "whoever reaches the port may try secrets, and decide about calls with the right one"
        yield fail("every address may log in", notice, mend)


def allowed(shown: str, address: str) -> bool:
    """Whether the rules that `manager show user` prints let an address in: the last that fits counts."""
    sense = True
    for verb, net, mask in _RULE.findall(shown):
        bits = sum(part.bit_count() for part in ipaddress.ip_address(mask).packed)
        network = ipaddress.ip_network(f"{net}/{bits}", strict=False)
        if ipaddress.ip_address(address) in network:
            sense = verb == "allow"
    return sense


async def events(patient: Patient) -> AsyncIterator[Finding]:
    """The account's eventfilter lets our events through, and no flood."""
    name = patient.pbx.username
    lines = (await patient.sections("manager.conf")).get(name, [])
    if not lines:
        raise NotChecked(f"there is no account {name} in manager.conf, see manager.login")
    filters = [one for one in lines if one.key.startswith("eventfilter")]
    mend = f"manager.conf, [{name}]: eventfilter = ^Event: (ChannelTalkingSt|UserEvent); {RELOAD}"
    if any("(" in one.key for one in filters):
        raise NotChecked(f"{filters[0].place}: a filter of the new form: compare it with {mend}")
    if not _passes(filters, ASKS):
        yield fail(f"{filters[0].place}: the filter hides our events", UNSCREENED, mend)
    if _passes(filters, FLOOD):
        notice = "a busy PBX raises a hundred events for each call, and a caller ID may forge one"
        yield warn(f"[{name}]: no eventfilter keeps other events from us", notice, mend)


def _passes(filters: list[Line], event: str) -> bool:
    hidden = [one.value[1:] for one in filters if one.value.startswith("!")]
    shown = [one.value for one in filters if not one.value.startswith("!")]
    return not any(re.search(one, event) for one in hidden) and (
        not shown or any(re.search(one, event) for one in shown)
    )


async def exposed(patient: Patient) -> AsyncIterator[Finding]:
    """The manager interface is open to nobody who does not need it, and encrypted on a network."""
    settings = patient.pbx
    if settings.host not in LOCAL and not settings.tls.enabled:
        notice = "whoever is between reads the secret and every caller"
        yield fail(f"the connection to {settings.host} is not encrypted", notice, "ami.tls.enabled: true")
    shown = settings_of(await patient.console("manager show settings"))
    bound = shown.get("TCP Bindaddress", "")
    if settings.host in LOCAL and not _is_loopback(bound):
        notice = "the accounts of all programs can be tried from the network, without encryption"
        mend = f"manager.conf, [general]: bindaddr=127.0.0.1; {RELOAD}"
        yield warn(f"the manager interface listens on {bound}", notice, mend)
    if shown.get("Web Manager (AMI/HTTP)") == "Yes":
        for web in _WEB.findall(await patient.console("http show status")):
            if not _is_loopback(web):
                notice = "the accounts can be tried by a web browser"
                mend = f"manager.conf, [general]: webenabled=no; {RELOAD}"
                yield fail(f"the manager interface is on the web server at {web}", notice, mend)


async def functions(patient: Patient) -> AsyncIterator[Finding]:
    """No function gives more than calls to who has stolen the secret."""
    loaded = await patient.dialplan()
    used = console.functions(step for steps in loaded.steps.values() for step in steps)
    for module, (names, what) in GIVEN_AWAY.items():
        if await patient.value(f"IFMODULE({module})") != "1":
            continue
        notice = f"who has stolen the secret {what}"
        if asked := sorted(names & used):
            yield fine(f"{module} is loaded, for your dialplan asks {', '.join(asked)}: {notice}")
        else:
            mend = f"modules.conf: noload = {module}; then: asterisk -rx 'module unload {module}'"
            yield warn(f"{module} is loaded, and your dialplan does not need it", notice, mend)


def _is_loopback(bound: str) -> bool:
    host = bound.rpartition(":")[0].strip("[]")
    return not host or host in LOCAL or host.startswith("127.") or bound == "Disabled"


def _our_address(patient: Patient) -> str:
    host = patient.pbx.host
    if host in LOCAL:
        return "::1" if host == "::1" else "127.0.0.1"
    raise NotChecked("from which address we come to another machine is seen there: run this on it")
