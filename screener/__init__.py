"""A call screener for Asterisk: every incoming call gets a verdict that a person can read.

Start with `screening.py`: it is the way of one call, and little else::

    event → Call → facts → Verdict → Setvar → dialplan action → recording → ledger row

Then downwards, in the order in which a call meets them:

1. `call.py`      the call as data, and every name shared with the dialplan
2. `number.py`    what a caller ID is: normalised, its kind, region and carrier
3. `facts/`       everything a rule may ask about a call
4. `policy/`      rules, groups and thresholds, compiled; `judge()` is a pure function
5. `verdict.py`   what was decided, and every reason for it
6. `state/`       what is remembered between calls: lists, velocity and trust
7. `ami/`         the one door to Asterisk; of several screeners the one that answers (`lease.py`)
8. `ledger/`      what was decided, kept and chained; `recordings.py` what was said, kept
9. `config/`      the layered YAML files as typed models; `dialplan.py` their other half
10. `transcribing/` what callers said, in writing, if it is switched on; `wording.py` what is found in that
11. `cases/`        what belongs together, `packs/` what it broke, `evidence/` the proof of it
12. `pbx.py`      what each Asterisk has for itself; `app.py` the whole put together; `doctor/` what can be
    wrong with it; `cli/` the commands

`installing/` puts all of it beside an Asterisk, and takes it out. `disk.py` opens directories of others.

Beside the way of a call: `messages/` is that of a SIP message,
`mirror.py` copies the lists into Asterisk for the time that we are away,
`codes.py` puts the last caller on a list when one of our telephones dials a star code, `voicemail.py`
sees what became of messages, `feeds/` fetches numbers that others complain about, `steering.py`,
`reloading.py`, `control.py` and `counters.py` let an administrator look and change things, `replay/` runs
past calls through a policy, `simulation/` imagines callers and knows nothing of our rules.

`filing.py` is where recordings go when a call is over, `spool.py` the directory in which they lie: who may
read it, what room is left. `delivering.py` brings them into Asterisk's own mailboxes, `notifying.py` tells
people, `retention.py` erases and deletes what is too old. `signing.py` is the key of the installation.

`talking.py` is how a caller talks while we speak to him, before his telephone or ours rings.
`packs/` holds what laws say of calls against the contacts of a case; it decides about no call.
`listening.py` compares what callers said with what was heard before: `audio/` is its arithmetic.
`housekeeping.py` keeps up what is done beside the calls.
`headers.py` decodes the events of the dialplan, `text.py` makes strangers' text safe to show, `sip.py`
takes their addresses apart, `dialplan.py` checks
that the dialplan has every action.
`steering.py` is what an administrator sees and does while calls are screened: `control.py` the socket,
`reloading.py` a new policy in place of the old one, `counters.py` what was decided so far. `watching.py` is
what machines see of the same: `probing.py` answers them by HTTP, `metrics.py` is the status for Prometheus.
`telemetry.py` is the log, `pseudonyms.py` takes people out of it. `asterisk.py` finds the Asterisk of this
machine and asks its console, `doctor/` looks for what is wrong with all of it.
`errors.py` says for each error who catches it and what the caller on the line
notices. Imports run in one direction only; `pyproject.toml` holds the contracts.
"""

__version__ = "0.1.0"
