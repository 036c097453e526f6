"""The screener's service, if it runs on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from screener import __version__
from screener.control import SOCKET
from screener.doctor.checkup import fail, fine, warn
from screener.doctor.manager import UNSCREENED
from screener.doctor.rights import of_user
from screener.errors import NotChecked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from screener.doctor.checkup import Finding
    from screener.doctor.patient import Patient

START = "systemctl start screener, or: screener run"


async def running(patient: Patient) -> AsyncIterator[Finding]:
    """The service runs and answers."""
    try:
        about = await patient.service()
    except NotChecked as error:
        if "run this as root" in str(error):
            raise
        yield fail(str(error), UNSCREENED, START)
    else:
        yield fine(f"since {about['started_at']}")


async def version(patient: Patient) -> AsyncIterator[Finding]:
    """The service is of the version of this command."""
    about = await patient.service()
    if about["version"] != __version__:
        what = f"the service is {about['version']}, this command {__version__}"
        notice = "an upgrade is not in force yet"
        yield warn(what, notice, "systemctl restart screener")


async def in_force(patient: Patient) -> AsyncIterator[Finding]:
    """What stands in the files is in force."""
    about = await patient.service()
    for problem in about["problems"]:
        notice = "calls are judged by the policy before the change"
        yield fail(f"the service could not take over: {problem}", notice, "mend that line; screener reload")
    if about["restart_needed"]:
        what = f"changed, but not in force: {', '.join(about['restart_needed'])}"
        yield warn(what, "the service goes on with the values before", "systemctl restart screener")


async def parts(patient: Patient) -> AsyncIterator[Finding]:
    """The service has Asterisk, store and ledger, and no recording is lost."""
    about = await patient.service()
    written = about["ledger"]
    for pbx in about["pbxs"].values():
        if not (pbx["ami"]["connected_since"] or pbx["ami"]["standing_by"]):
            what = f"the service is not connected to Asterisk at {pbx['ami']['address']}"
            yield fail(what, UNSCREENED, "see manager.login; the log of the service has the reason")
        for alarm in pbx["recordings"]["alarms"]:
            yield fail(f"recordings: {alarm}", "what callers say may be lost", "see docs/recordings.md")
    if not written["healthy"] or written["dropped"]:
        what = f"the ledger is not written: {written['waiting']} rows wait, {written['dropped']} are lost"
        yield fail(what, "calls are screened, but not filed", "see recordings.disk and ledger.chain")
    if lost := about["store"]["lost_lessons"]:
        what = f"{lost} calls since the start taught nothing about trust"
        yield warn(what, "friends may be challenged once more", "see store.reachable")


def user(patient: Patient) -> Iterator[Finding]:
    """The service does not run as root."""
    path = patient.state / SOCKET
    if not path.exists():
        raise NotChecked("no service runs here, see service.running")
    owner = of_user(path.stat().st_uid)
    if owner.uid == 0:
        what = "the service runs as root"
        notice = "a fault in it is a fault with all rights"
        mend = "User=screener in its unit; chown -R screener: the state directory; then restart"
        yield warn(what, notice, mend)
    else:
        yield fine(f"runs as {owner.name}")
