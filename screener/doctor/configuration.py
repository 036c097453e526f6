"""What stands in the files of the screener itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from screener import notifying, transcribing
from screener.config import failing, failing_packs, shipped_dir
from screener.config.layers import CLOSED, read_layers
from screener.doctor.checkup import fail, fine, warn
from screener.doctor.rights import open_to_others
from screener.errors import ConfigError, ScreenerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from screener.doctor.checkup import Finding
    from screener.doctor.patient import Patient


def loads(patient: Patient) -> Iterator[Finding]:
    """The configuration loads, and its examples hold."""
    notice = "a service that runs goes on with the old one; it does not start again: calls ring unscreened"
    try:
        loaded = patient.load()
        broken = [*failing(loaded, own=True), *failing_packs(loaded, own=True)]
        loaded.ami_secrets()
    except ConfigError as error:
        broken = error.problems
    else:
        yield fine(f"policy {loaded.policy.hash}, {len(loaded.policy.rules)} rules")
    for problem in broken:
        what = "give it to the screener's user" if problem.endswith(CLOSED) else "mend that line"
        yield fail(problem, notice, f"{what}, then: screener check")


def modes(patient: Patient) -> Iterator[Finding]:
    """Settings and secrets are for the screener's user alone."""
    files = sorted(patient.site.glob("*.yaml")) if patient.site else []
    if secret := patient.pbx.secret_file:
        files.append(Path(secret))
    notice = "whoever reads the secret may decide about every call, and end those that are being held"
    for path in files:
        if _holds_secret(patient, path) and (rights := open_to_others(path)):
            what = f"{path}: every user of this machine has the rights {rights} to it"
            yield fail(what, notice, f"chmod o= {path}")


def _holds_secret(patient: Patient, path: Path) -> bool:
    settings = patient.settings
    accounts = [settings.ami, *settings.pbxs.values()]
    secrets = (
        *(account.secret.get_secret_value() for account in accounts),
        settings.redis.url, settings.ledger.url, *settings.notify.urls,
    )  # fmt: skip
    named = {account.secret_file for account in accounts}
    return (path.name == "screener.yaml" and any(secrets)) or str(path) in named


async def extras(patient: Patient) -> AsyncIterator[Finding]:
    """What is switched on is installed."""
    from screener import listening  # noqa: PLC0415 - numpy

    settings = patient.settings
    if settings.notify.urls and not notifying.installed():
        yield fail("notify.urls: the extra notify is not installed", "nobody is notified", notifying.INSTALL)
    if settings.transcription.enabled:
        try:
            await transcribing.ready(settings.transcription.model)
        except ScreenerError as error:
            yield fail(str(error), "what callers say is not written down", transcribing.INSTALL)
    if not listening.INSTALLED:
        what = "the extra audio is not installed, so recordings are not compared"
        yield warn(what, "a robot that calls from a new number each time is not known", listening.INSTALL)


def reach(patient: Patient) -> Iterator[Finding]:
    """Some score leads to an action."""
    policy = patient.config.policy
    thresholds = [at for _, at in policy.actions if at is not None]
    most = sum(group.max_score for group in policy.groups.values())
    notice = "every call rings, but for those that a list decides about"
    mend = "policy.yaml: actions: {challenge: 4, voicemail: 8}"
    if not thresholds:
        yield fail("all actions of policy.yaml are off", notice, mend)
    elif min(thresholds) > most:
        yield fail(f"no call can reach {min(thresholds):g}: all groups add {most:g} at most", notice, mend)
    elif not policy.rules:
        yield fail("no rule is enabled", notice, "rules/*.yaml: enabled: true")


def own_numbers(patient: Patient) -> Iterator[Finding]:
    """Our own numbers are named, so that no list or feed can block them."""
    if not patient.settings.own_numbers:
        notice = "a feed or a long prefix that holds a number of yours records your own people"
        yield warn("own_numbers is empty", notice, 'screener.yaml: own_numbers: ["+49301234567"]')


def home(patient: Patient) -> Iterator[Finding]:
    """Country and time zone are those of this PBX, not the shipped ones."""
    for key, notice, line in (
        ("region", "national numbers are read as another country's: no list or rule knows them", "DE"),
        ("timezone", "rules about hours hold at other hours", "Europe/Berlin"),
    ):
        own = read_layers(shipped_dir(), patient.site).setting(key)
        value = getattr(patient.settings, key)
        if own is not None and own.place.origin.startswith("shipped"):
            mend = f"screener.yaml: {key}: {line}, or {value} if that is right"
            yield warn(f"{key} is {value}, as shipped", notice, mend)
        else:
            yield fine(f"{key} {value}")
