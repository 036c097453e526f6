"""`screener doctor`: everything that can be wrong, what callers notice of it, and what mends it.

`CHECKS` is the table: a check is one function that yields findings, in the module of what it looks at, and
its name in the tuple here. `checkup.py` says what a finding is, and makes each check with a deadline;
`patient.py` opens what is examined, `console.py` takes apart what Asterisk says, `rights.py` says who may
what. Nothing is changed.
"""

from __future__ import annotations

from screener.doctor import asterisk, configuration, ledger, manager, recordings, service, store
from screener.doctor.checkup import Check, Finding, Level, Result, made
from screener.doctor.patient import Patient

CHECKS = tuple(
    Check(look)
    for look in (
        configuration.loads, configuration.modes, configuration.extras, configuration.reach,
        configuration.own_numbers, configuration.home,
        service.running, service.version, service.in_force, service.parts, service.user,
        manager.login, manager.write, manager.read, manager.acl, manager.events, manager.exposed,
        manager.functions,
        asterisk.version, asterisk.wake, asterisk.modules, asterisk.contexts, asterisk.contract,
        asterisk.path, asterisk.account, asterisk.trunks, asterisk.messages, asterisk.clock,
        asterisk.heartbeat, asterisk.sessions,
        recordings.place, recordings.prompts, recordings.access, recordings.disk, recordings.kept,
        store.reachable, store.commands, store.version, store.memory, store.persistence, store.clock,
        store.socket, store.feeds_fresh,
        ledger.chain, ledger.key, ledger.private,
    )
)  # fmt: skip

__all__ = ["CHECKS", "Check", "Finding", "Level", "Patient", "Result", "made"]
