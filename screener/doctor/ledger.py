"""The record of every call, and the key that signs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from screener import app
from screener.doctor.checkup import fail, fine, warn
from screener.doctor.rights import open_to_others
from screener.errors import KeyUnusable, LedgerError, NotChecked
from screener.ledger import Postgres, verifying
from screener.signing import FILE, Signer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from screener.doctor.checkup import Finding
    from screener.doctor.patient import Patient
    from screener.signing import Public

UNPROVEN = "calls go on as ever, but the ledger proves nothing"


def chain(patient: Patient) -> Iterator[Finding]:
    """The ledger opens, and is what was written."""
    path = app.ledger_path(patient.settings)
    _made(patient)
    try:
        report = verifying.verify(path, _public(patient))
    except LedgerError as error:
        if isinstance(path, Postgres):
            mend = f"start the database, or mend ledger.url and its rights; rows wait in {path.outbox}"
            yield fail(str(error), "calls are screened, but commands do not see them", mend)
        else:
            mend = f"move it away, to be looked at: mv {path} {path}.broken; then restart the service"
            yield fail(str(error), "calls are screened, but not filed", mend)
        return
    yield fine(f"{report.rows} rows, signed up to {report.signed}")
    for problem in report.problems[:3]:
        mend = "screener ledger verify names every row; restore the last good copy beside it, to compare"
        yield fail(problem, "somebody or a failing disk has changed the record of calls", mend)


def key(patient: Patient) -> Iterator[Finding]:
    """The installation's key is there, signs, and is for its owner alone."""
    _made(patient)
    path = patient.state / FILE
    try:
        Signer.of(patient.state, make=False)
    except KeyUnusable as error:
        mend = f"restore {path} from your copy; without one: mv it away, and restart the service"
        yield fail(str(error), UNPROVEN, mend)
        return
    if path.stat().st_mode & 0o077:
        notice = "whoever has the key can sign another ledger as this one"
        yield fail(f"{path}: others may read or change it", notice, f"chmod 600 {path}")


def private(patient: Patient) -> Iterator[Finding]:
    """Nobody else reads the ledger and what stands beside it."""
    path = _made(patient)
    notice = "who called whom, and what was said, is open to every user of this machine"
    if "r" in open_to_others(path) and "x" in open_to_others(patient.state):
        yield fail(
            f"{path}: every user of this machine may read it", notice, f"chmod o= {patient.state} {path}"
        )
    elif allowed := open_to_others(patient.state):
        what = f"{patient.state}: every user of this machine has the rights {allowed} to it"
        yield (fail if "w" in allowed else warn)(what, notice, f"chmod o= {patient.state}")


def _public(patient: Patient) -> list[Public]:
    try:
        return [Signer.of(patient.state, make=False).public]
    except KeyUnusable:
        return []


def _made(patient: Patient) -> Path:
    """The ledger's file on this machine, which there is once the service has run."""
    path = app.ledger_path(patient.settings)
    here = path.outbox if isinstance(path, Postgres) else path
    if not here.exists():
        raise NotChecked(f"{here}: no ledger yet: the service makes it at its first start, or says why not")
    return here
