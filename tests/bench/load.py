"""Calls at a steady rate from SIPp, and what each waited by the dialplan's own clock."""

from __future__ import annotations

import asyncio
import math
import os
import random
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from screener import ledger

if TYPE_CHECKING:
    from tests.pbx.asterisk import Asterisk

TICK = os.sysconf("SC_CLK_TCK")

DIALPLAN = """
exten => _s.,1,Set(T0=${{STRFTIME(,,%s%6q)}})
 same => n,Gosub(screener,s,1(${{EXTEN:1}}))
 same => n,Goto(measured,1)
exten => _a.,1,Set(T0=${{STRFTIME(,,%s%6q)}})
 same => n,AGI({agi},${{EXTEN:1}})
 same => n,Goto(measured,1)
exten => measured,1,Set(FILE({delays},,,al,u)=$[${{STRFTIME(,,%s%6q)}} - ${{T0}}])
 same => n,Answer()
 same => n,Hangup()
"""
AGI = """#!/usr/bin/perl
# What people write: read the environment, decide, set a variable.
$| = 1;
while (<STDIN>) { chomp; last if $_ eq ''; /^agi_callerid: (.*)/ and $number = $1; }
print "SET VARIABLE SCREENER_ACTION \\"", ($number =~ /^\\+86177/ ? "voicemail" : "allow"), "\\"\\n";
<STDIN>;
"""
SCENARIO = """<?xml version="1.0"?>
<scenario name="call"><send retrans="500"><![CDATA[
INVITE sip:{kind}[field1]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:[field0]@[local_ip]:[local_port]>;tag=[pid]SIPp[call_number]
To: <sip:{kind}[field1]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:sipp@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=sipp 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
<recv response="100" optional="true"/><recv response="180" optional="true"/>
<recv response="183" optional="true"/><recv response="200"/>
<send><![CDATA[
ACK sip:{kind}[field1]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:[field0]@[local_ip]:[local_port]>;tag=[pid]SIPp[call_number]
To: <sip:{kind}[field1]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv request="BYE"/>
<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send></scenario>
"""


@dataclass(frozen=True)
class Delays:
    """What the calls of one run waited, in milliseconds; `placed` less `arrived` were lost."""

    placed: int
    arrived: int
    p50: float
    p99: float
    worst: float


def measured(waits_us: list[int], placed: int) -> Delays:
    """The figures of one run."""
    waits = sorted(waits_us)

    def rank(share: float) -> float:
        return waits[max(0, math.ceil(share * len(waits)) - 1)] / 1000 if waits else float("nan")

    return Delays(placed, len(waits), rank(0.5), rank(0.99), rank(1.0))


async def place(pbx: Asterisk, kind: str, rate: int, count: int) -> Delays:
    """Place `count` calls at `rate` a second from as many different callers; `kind` is s or a."""
    directory = pbx.directory / "sipp"
    directory.mkdir(exist_ok=True)
    delays = pbx.directory / "delays"
    delays.write_text("")
    (directory / "call.xml").write_text(SCENARIO.format(kind=kind))
    # From all over the country: thousands within the hour of one prefix meet in blocks of 10,000, by chance.
    callers = (
        f"+861{random.choice((3, 5, 8))}{random.choice((5, 6, 7, 8, 9))}{random.randrange(10**8):08d};"
        f"{100 + random.randrange(50)}"
        for _ in range(count)
    )
    (directory / "callers.csv").write_text("SEQUENTIAL\n" + "\n".join(callers) + "\n")
    process = await asyncio.create_subprocess_exec(
        "sipp", f"127.0.0.1:{pbx.sip}", "-i", "127.0.0.1", "-sf", "call.xml", "-inf", "callers.csv",
        "-r", str(rate), "-m", str(count), "-l", "2000", "-nostdin", "-timeout", f"{count / rate + 30:.0f}",
        cwd=directory, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await process.wait()
    lines = delays.read_text().split()
    return measured([int(float(line)) for line in lines], count)


def phases(path: Path, count: int) -> dict[str, float]:
    """Median milliseconds of each phase of the last `count` decisions in a ledger."""
    timings = [record.timings for record in ledger.calls(path, limit=count) if record.timings]
    return {name: statistics.median(one[name] for one in timings) for name in timings[0]}


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of its ended children so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICK


def rss_mb(pid: int) -> float:
    """Memory that a process holds now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
