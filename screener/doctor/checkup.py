"""What a check is, and how checks are made: each for itself, with a deadline, and never with a traceback."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from screener.errors import ScreenerError

if TYPE_CHECKING:
    from screener.doctor.patient import Patient

DEADLINE_S = 15.0
"""How long one check may take: a store, a disk or an Asterisk that hangs must not hang the doctor."""

T = TypeVar("T")


class Level(StrEnum):
    """How one check ended, mildest first."""

    OK = "ok"
    UNCHECKED = "not checked"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was seen: what, what callers or the administrator notice of it, and what mends it.

    `mend` is a command or a line of a file, ready to be copied. What is in order has neither.
    """

    level: Level
    what: str
    notice: str = ""
    mend: str = ""


Findings: TypeAlias = AsyncIterator[Finding] | Iterator[Finding]
Look: TypeAlias = "Callable[[Patient], Findings]"


def fine(what: str) -> Finding:
    """Something that is in order and worth a word: a version, a free space."""
    return Finding(Level.OK, what)


def warn(what: str, notice: str, mend: str) -> Finding:
    """Something that calls survive, today."""
    return Finding(Level.WARN, what, notice, mend)


def fail(what: str, notice: str, mend: str) -> Finding:
    """Something by which calls are not screened, recordings get lost, or strangers get in."""
    return Finding(Level.FAIL, what, notice, mend)


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the table: a function that looks, named by its module and itself."""

    look: Look

    @property
    def group(self) -> str:
        """The part of the installation that is looked at."""
        return self.look.__module__.rpartition(".")[2]

    @property
    def name(self) -> str:
        """What `--only` takes, such as `manager.login`."""
        return f"{self.group}.{self.look.__name__}"

    @property
    def about(self) -> str:
        """What is good if the check is."""
        return (self.look.__doc__ or "").partition("\n")[0].rstrip(".")


@dataclass(frozen=True, slots=True)
class Result:
    """How a check ended, and what it saw."""

    check: Check
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst that was seen."""
        return max((one.level for one in self.findings), key=list(Level).index, default=Level.OK)


async def made(check: Check, patient: Patient, deadline_s: float = DEADLINE_S) -> Result:
    """Make one check. What it cannot look at, or not in time, is `not checked` and says why."""
    seen: list[Finding] = []
    try:
        async with asyncio.timeout(deadline_s):
            findings = check.look(patient)
            if isinstance(findings, AsyncIterator):
                async for one in findings:
                    seen.append(one)  # noqa: PERF401 - what was seen before a deadline counts
            else:
                await aside(lambda: seen.extend(findings))
    except TimeoutError:
        seen.append(_unchecked(f"no answer within {deadline_s:g} s"))
    except PermissionError as error:
        seen.append(_unchecked(f"{error.filename}: closed to this user: run this as root"))
    except (ScreenerError, OSError, ValueError) as error:
        seen.append(_unchecked(str(error) or type(error).__name__))
    except Exception as error:  # noqa: BLE001 - a fault of ours must not hide the other checks
        seen.append(_unchecked(f"the check itself failed, please report it: {type(error).__name__}: {error}"))
    return Result(check, tuple(seen))


async def aside(work: Callable[[], T]) -> T:
    """Do what may block in a thread that nobody waits for at the end: a dead disk never returns."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(settle: Callable[[], None]) -> None:
        if not done.done():
            settle()

    def run() -> None:
        settle: Callable[[], None]
        try:
            settle = partial(done.set_result, work())
        except Exception as error:  # noqa: BLE001 - it is raised where it is awaited
            settle = partial(done.set_exception, error)
        with suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(tell, settle)

    threading.Thread(target=run, daemon=True).start()
    return await done


def _unchecked(why: str) -> Finding:
    return Finding(Level.UNCHECKED, " ".join(why.split()))
