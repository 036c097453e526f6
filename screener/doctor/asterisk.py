"""Asterisk itself: its version, its modules, and the dialplan that it has loaded."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING

from screener import dialplan
from screener.doctor.checkup import fail, fine, warn
from screener.doctor.console import applications, functions, is_ours, listed, settings_of
from screener.doctor.manager import UNSCREENED
from screener.errors import NotChecked
from screener.headers import CONTRACT_VERSION
from screener.verdict import Action

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from screener.doctor.checkup import Finding
    from screener.doctor.patient import Patient

OLDEST = 16
SKEW_S = 2.0
"""So far clocks may be apart; times of the ledger are by ours, times of files by Asterisk's."""
RELOAD = "then: asterisk -rx 'dialplan reload'"
SESSIONS = 2
"""Of our account: the doctor's, and the screener's, here or elsewhere."""
GONE_S = 1.0
"""So long a session that has ended may still count."""
LOOKS = 100
"""Within that time, for screeners that stand by: two may write at nearly the same moments."""
COPY = (
    "screener install; what was put there by hand: "
    f"cp -rT {dialplan.shipped_dir()} /etc/asterisk/screener, but keep manager.conf; {RELOAD}"
)
INCLUDE = f"extensions.conf: #include screener/screener.conf; {RELOAD}"
ENDPOINTS_MAX = 50
"""So many trunks are looked at; each takes a question to the console."""
OPTIONAL = {"TALK_DETECT": "nothing is known of how callers talk", "STIR_SHAKEN": ""}
"""Functions that the dialplan asks only where their module is, and what is missing without them."""
IN_USE = {
    "screener-deliver": "voicemail.deliver_to", "screener-delivered": "voicemail.deliver_to",
}  # fmt: skip

_VERSION = re.compile(r"(?:Asterisk )?(?:GIT-|certified/)?(\d+)\.")
_CONTRACT = re.compile(r"^Screener\w+,Version: (\w+)")
_ENDPOINT = re.compile(r"^ Endpoint:  (\S+)", re.MULTILINE)


async def version(patient: Patient) -> AsyncIterator[Finding]:
    """Asterisk is new enough."""
    shown = (await patient.about()).get("Version", "")
    found = _VERSION.match(shown)
    if found and int(found[1]) < OLDEST:
        notice = "the dialplan cannot be woken: each caller waits the whole deadline"
        yield fail(f"Asterisk {shown} is older than {OLDEST}", notice, f"install Asterisk {OLDEST} or newer")
    else:
        yield fine(f"Asterisk {shown}")


async def wake(patient: Patient) -> AsyncIterator[Finding]:
    """Asterisk can press a key as if the caller had, which ends his wait."""
    notice = "each caller waits the whole deadline, half a second, before his telephone rings"
    shown = await patient.console("manager show command PlayDTMF")
    if "Action: PlayDTMF" not in shown:
        yield fail("there is no action PlayDTMF", notice, "asterisk -rx 'module load app_senddtmf.so'")
    elif "[Arguments]" not in shown:
        raise NotChecked("this Asterisk has no documentation of its actions")
    elif "\nReceive\n" not in shown:
        mend = f"install Asterisk {OLDEST}.28 or newer"
        yield fail("PlayDTMF of this Asterisk has no `Receive`", notice, mend)


async def modules(patient: Patient) -> AsyncIterator[Finding]:
    """Each application and function that the loaded dialplan uses is there."""
    loaded = await patient.dialplan()
    unused = {name for name, key in IN_USE.items() if key and not patient.settings.voicemail.deliver_to}
    ours = [
        one for name, rows in loaded.steps.items() if is_ours(name) and name not in unused for one in rows
    ]
    if not ours:
        raise NotChecked("the screener's dialplan is not loaded, see asterisk.contexts")
    there = listed(await patient.console("core show applications"))
    known = listed(await patient.console("core show functions"))
    pjsip = await patient.value("IFMODULE(chan_pjsip.so)") == "1"
    missing = {("application", name) for name in applications(ours) - there}
    missing |= {
        ("function", name) for name in functions(ours) - known if pjsip or not name.startswith("PJSIP_")
    }
    data = (await patient.asterisk()).data
    for kind, name in sorted(missing):
        module = _provider(data, kind, name)
        mend = f"asterisk -rx 'module load {module}.so', and load={module}.so in modules.conf"
        what = f"the {kind} {name} is missing: module {module} is not loaded"
        if name not in OPTIONAL:
            notice = "calls that get there ring unscreened, or are not asked, or not recorded"
            yield fail(what, notice, mend)
        elif OPTIONAL[name]:
            yield warn(what, OPTIONAL[name], mend)


def _provider(data: Path, kind: str, name: str) -> str:
    """The module that has an application or a function, by Asterisk's own documentation.

    That of 16 names no modules: there they are called like what is in them.
    """
    for path in sorted((data / "documentation").glob("core-*.xml")):
        for tag in re.findall(rf"<{kind}\s[^>]*>", path.read_text("utf-8", "replace")):
            about = dict(re.findall(r'(\w+)="([^"]*)"', tag))
            if about.get("name") == name and about.get("module"):
                return str(about["module"])
    return f"{'app' if kind == 'application' else 'func'}_{name.lower().replace('_', '')}"


async def contexts(patient: Patient) -> AsyncIterator[Finding]:
    """Every context of the screener's dialplan is loaded."""
    wanted = [*dialplan.CONTEXTS, *(f"screener-action-{action}" for action in Action)]
    missing = [name for name in wanted if await patient.value(f"DIALPLAN_EXISTS({name},s,1)") != "1"]
    if len(missing) == len(wanted):
        yield fail("the screener's dialplan is not loaded", UNSCREENED, INCLUDE)
    elif missing:
        notice = "a verdict that leads there lets the call ring"
        yield fail(f"not loaded: {', '.join(f'[{name}]' for name in missing)}", notice, COPY)


async def contract(patient: Patient) -> AsyncIterator[Finding]:
    """The loaded dialplan speaks the version of this program."""
    loaded = await patient.dialplan()
    ours = [one for name, steps in loaded.steps.items() if is_ours(name) for one in steps]
    found = {
        (version[1], one.origin)
        for one in ours
        if one.application == "UserEvent" and (version := _CONTRACT.match(one.arguments))
    }
    if not found:
        raise NotChecked("the screener's dialplan is not loaded, see asterisk.contexts")
    old = [one.origin for one in ours if one.application == "ExecIf"]
    if old:
        what = f"{old[0]}: the screener's dialplan has ExecIf, which it has no more: it is an old one"
        yield fail(what, "whoever calls can run commands on this machine, by a header", COPY)
    for spoken, origin in sorted(found):
        if spoken != CONTRACT_VERSION:
            what = f"{origin}: version {spoken} of the contract, the program speaks {CONTRACT_VERSION}"
            yield fail(what, "questions are not understood: calls ring unscreened after the deadline", COPY)


async def path(patient: Patient) -> AsyncIterator[Finding]:
    """Calls from outside get to the screener."""
    loaded = await patient.dialplan()
    callers = loaded.callers_of("screener")
    if not callers:
        yield fail("no context has the line that asks the screener", UNSCREENED, f"{dialplan.LINE}, {RELOAD}")
        return
    for origin in loaded.unfiltered("screener"):
        what = f"{origin}: the called number is handed on as the caller wrote it"
        notice = "while [screener] is not loaded, whoever calls can run commands on this machine"
        yield fail(what, notice, f"{dialplan.LINE}, {RELOAD}")
    # A trunk is known by its address; who is known by a password is a telephone.
    found = {name: about for name, about in (await _trunks(patient)).items() if about["match"]}
    ways = {about["context"]: name for name, about in found.items() if about.get("context")}
    lost = {way: name for way, name in ways.items() if not loaded.reached_from([way]) & set(callers)}
    if ways and len(lost) == len(ways):
        where = ", ".join(f"[{way}]" for way in sorted(lost))
        what = f"[{'], ['.join(callers)}] asks the screener, but calls arrive in {where}"
        yield fail(what, UNSCREENED, f"there, before the Dial: {dialplan.LINE}, {RELOAD}")
        return
    for way, name in sorted(lost.items()):
        what = f"calls of the endpoint {name} arrive in [{way}], which does not ask the screener"
        yield warn(
            what,
            "if these come from outside they ring unscreened",
            f"there, before the Dial: {dialplan.LINE}",
        )
    yield fine(f"asked in [{'], ['.join(callers)}]")


async def account(patient: Patient) -> AsyncIterator[Finding]:
    """The dialplan looks for the account that the screener logs in with."""
    ours, theirs = patient.pbx.username, await patient.value("SCREENER_USER")
    if theirs and theirs != ours:
        what = f"the dialplan waits for {theirs} (SCREENER_USER), the screener is {ours} (ami.username)"
        yield fail(what, f"nobody is asked: {UNSCREENED}", f"[globals]: SCREENER_USER={ours}, {RELOAD}")


async def trunks(patient: Patient) -> AsyncIterator[Finding]:
    """No stranger is believed what he says that his number is."""
    found = await _trunks(patient)
    for name, about in found.items():
        if about.get("trust_id_inbound") != "true":
            continue
        if not about["match"] or "0.0.0.0/0" in about["match"] or name == "anonymous":
            what = f"endpoint {name}: trust_id_inbound=yes, and no `match` says which addresses it is for"
            notice = "whoever names the number of a friend rings: the allow list believes it"
            mend = f"pjsip.conf, [{name}]: trust_id_inbound=no; asterisk -rx 'module reload res_pjsip.so'"
            yield fail(what, notice, mend)
        else:
            yield fine(f"{name} asserts caller IDs for {about['match']}")


async def messages(patient: Patient) -> AsyncIterator[Finding]:
    """Where the dialplan takes SIP messages, they get there."""
    callers = (await patient.dialplan()).callers_of("screener-messages")
    if not callers:
        return
    found = await _trunks(patient)
    if found and not any(about.get("message_context") in callers for about in found.values()):
        what = f"[{'], ['.join(callers)}] asks the screener of messages, but no endpoint sends any there"
        mend = f"pjsip.conf, at the trunk: message_context={callers[0]}; then: asterisk -rx 'pjsip reload'"
        yield warn(what, "messages go the way of calls, or are refused", mend)


async def clock(patient: Patient) -> AsyncIterator[Finding]:
    """Asterisk's clock is ours."""
    answer = await (await patient.ami()).act("Ping")
    apart = float(answer.timestamp) - patient.clock().timestamp()
    if abs(apart) > SKEW_S:
        notice = "times in the ledger and of recordings differ; rules about hours go by ours"
        yield warn(
            f"Asterisk's clock is {apart:+.0f} s from ours", notice, "timedatectl set-ntp true, on both"
        )


async def heartbeat(patient: Patient) -> AsyncIterator[Finding]:
    """The screener's heartbeat arrives in Asterisk, and no other."""
    if not await patient.is_running():
        raise NotChecked("no service runs here, see service.running")
    rival_age_s = (await patient.service())["pbxs"].get(patient.name, {}).get("ami", {}).get("rival_age_s")
    if rival_age_s is not None:
        what = f"another screener set its own while ours answered, {rival_age_s:.0f} s ago"
        notice = "each call gets two verdicts, is filed twice, and who talks may hear a key"
        mend = "asterisk -rx 'manager show connected' names them; stop the older, or give it our account"
        yield fail(what, notice, mend)
    beat = await patient.value("GLOBAL(SCREENER_HEARTBEAT)")
    age = int(await patient.value("EPOCH")) - int(beat or 0)
    if age > int(await patient.value("SCREENER_STALE_S") or 0):
        last = f"the last came {age} s ago" if beat not in ("", "0") else "none has come"
        mend = "systemctl restart screener, for it may be connected to another Asterisk: screener status"
        yield fail(f"no heartbeat of the screener: {last}", f"nobody is asked: {UNSCREENED}", mend)


async def sessions(patient: Patient) -> AsyncIterator[Finding]:
    """The screener uses the account, others that stand by, and nobody else."""
    name = patient.pbx.username
    asked = f"AMI_CLIENT({name},sessions)"
    if int(await patient.value(asked) or 0) <= SESSIONS:
        return
    standing = await _standing_by(patient)
    others = int(await patient.value(asked) or 0) - SESSIONS
    mend = "asterisk -rx 'manager show connected' names their addresses; stop what is no such screener"
    if others > 0 and not standing:
        what = f"{others} more than one screener is logged in as {name}, and none of them stands by"
        notice = "one older than the lease would answer each call, too; any makes a take-over slower, 2 s"
        yield fail(what, notice, mend)
    elif others > standing:
        what = f"of {others} others on the account {name} only {standing} seen standing by"
        yield warn(what, "whoever else has the account may decide about calls", mend)
    elif others > 0:
        yield fine(f"{others} besides the screener that answers: standing by")


async def _standing_by(patient: Patient) -> int:
    """How many screeners were seen to stand by: each writes its name, with a new count, over the others'."""
    marks = set()
    for _ in range(LOOKS):
        marks.add(await patient.value("GLOBAL(SCREENER_STANDBY)"))
        await asyncio.sleep(GONE_S / LOOKS)
    seen = Counter(mark.partition(":")[0] for mark in marks)
    return sum(times > 1 for times in seen.values())


async def _trunks(patient: Patient) -> dict[str, dict[str, str]]:
    """PJSIP endpoints that do not log in with a password, as trunks do: their settings, and `match`."""

    async def look() -> dict[str, dict[str, str]]:
        if await patient.value("IFMODULE(chan_pjsip.so)") != "1":
            return {}
        found = {}
        shown = await patient.console("pjsip show endpoints")
        for block in re.split(r"\n(?= Endpoint:)", shown):
            name = _ENDPOINT.match(block)
            # A telephone that registers is no trunk; nor is one that we only call.
            if name and "<" not in name[1] and "InAuth:" not in block:
                match = re.findall(r"^ +Match: +(\S+)$", block, re.MULTILINE)
                found[name[1].split("/")[0]] = ", ".join(match)
        return {
            name: settings_of(await patient.console(f"pjsip show endpoint {name}")) | {"match": match}
            for name, match in list(found.items())[:ENDPOINTS_MAX]
        }

    return await patient.once("endpoints", look)
