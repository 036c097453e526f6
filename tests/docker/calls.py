"""Places real calls at the Asterisk of compose.yaml and asks the screener's ledger what became of them.

It runs in a container beside the screener's, as the same user, on the same settings. Exit code 1 says
that a call was not where it should be, and which. With `away` the calls are placed while no screener runs:
the friend rings, the blocked caller does not, and nobody asks the ledger. With `filed` nobody calls, and the
ledger has to hold what was recorded so.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PBX = ("asterisk", 5060)
HERE = Path(__file__).parent
FRIEND, BLOCKED = "+8613800138000", "+8613700137000"
TALKS_S = {FRIEND: 3, BLOCKED: 12}
"""The notice is over after six seconds; what is said from then on is recorded."""
RECORDINGS = {FRIEND: 0, BLOCKED: 2}
FILED_S = 20.0


def say(line: str) -> None:
    """Show a line at once, in the log of the container."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def screener(*arguments: str) -> str:
    """What a command of the screener prints; its own words and exit code 1 if it fails."""
    done = subprocess.run(["screener", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"screener {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def call(number: str, folder: Path, *, rings: bool) -> subprocess.Popen[str]:
    """Start a call from `number`; SIPp ends with 0 if it rang, or did not, as it should."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.connect(PBX)
        ours = line.getsockname()[0]
    words = folder / "words.ulaw"
    words.write_bytes((b"\x20" * 10 + b"\xa0" * 10) * 400 * 20)  # a tone of 400 Hz, louder than any silence
    scenario = (HERE / "call.xml").read_text("utf-8")
    for name, value in {
        "CALLER": number, "WORDS": str(words), "MILLISECONDS": str(TALKS_S[number] * 1000),
        "<!-- RINGING -->": '<recv response="180" timeout="5000"/>' if rings else "",
    }.items():  # fmt: skip
        scenario = scenario.replace(name, value)
    file = folder / f"{number}.xml"
    file.write_text(scenario)
    return subprocess.Popen(
        ["sipp", f"{PBX[0]}:{PBX[1]}", "-sf", file, "-s", "100", "-m", "1", "-i", ours, "-mi", ours,
         "-nostdin", "-timeout", "40", "-timeout_error"],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def became(number: str) -> dict[str, Any]:
    """The ledger's row of the latest call from `number`, when it is over and, if recorded, filed."""
    until = time.monotonic() + FILED_S
    row: dict[str, Any] = {}
    while time.monotonic() < until:
        rows = json.loads(screener("calls", "--json", "--limit", "1", "--caller", number))
        row = rows[0] if rows else {}
        if row.get("end") and len(row.get("recordings") or []) == RECORDINGS[number]:
            return row
        time.sleep(0.3)
    return row


def place() -> list[str]:
    """Both callers at once; what went wrong."""
    failures = []
    with tempfile.TemporaryDirectory() as name:
        callers = {number: call(number, Path(name), rings=number == FRIEND) for number in TALKS_S}
        for number, sipp in callers.items():
            output, _ = sipp.communicate()
            if sipp.returncode:
                failures.append(f"SIPp for {number} ended with {sipp.returncode}:\n{output[-3000:]}")
            else:
                rang = "rang" if number == FRIEND else "did not ring"
                say(f"{number}: {rang}, was answered")
    return failures


def filed() -> list[str]:
    """Look each caller up in the ledger; what is not as it should be."""
    failures = []
    for number, wanted in {FRIEND: ("allow", "answered", 0), BLOCKED: ("voicemail", "recorded", 2)}.items():
        row = became(number)
        found = (row["verdict"]["action"], row["disposition"], len(row["recordings"])) if row else ()
        say(f"{number}: {found}")
        if found != wanted:
            failures.append(f"{number} should have {wanted}, and is in the ledger as {row}")
    say(screener("recordings", "verify").strip())
    return failures


def adopted() -> list[str]:
    """Wait until a call that no screener saw has both its recordings in the ledger; what is missing."""
    until = time.monotonic() + FILED_S
    while time.monotonic() < until:
        rows = json.loads(screener("calls", "--json", "--limit", "5"))
        if any(not row["call"] and len(row.get("recordings") or []) == RECORDINGS[BLOCKED] for row in rows):
            say(screener("recordings", "verify").strip())
            return []
        time.sleep(0.3)
    return [f"what was recorded without the screener is not filed: {rows}"]


def main(situation: str) -> int:
    """Call, look, or both."""
    if situation == "away":
        failures = place()
    elif situation == "filed":
        failures = adopted()
    else:
        screener("list", "add", "block", BLOCKED, "--reason", "the test of the containers")
        failures = place() + filed()
    say("\n".join(failures) or "every call was where it should be")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if sys.argv[1:] else ""))
