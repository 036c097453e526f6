"""What a verdict costs, and what callers notice while a large policy is loaded.

python -m tests.bench.policy [RULES]     shipped rules, filled up to 60; then a policy of RULES (1000)
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from screener import config, number
from screener.app import SWITCH_S
from screener.call import Call, Stage
from screener.facts import facts_of, never_seen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from screener.facts import FactValue

JUDGED = 5000
NOON = datetime(2026, 3, 4, 4, tzinfo=UTC)
FEW = 60
WHENS = (
    "caller.calls_1h > {n}",
    'caller.national.startsWith("{n}") && call.local_hour < 8',
    "caller.dids_1h >= {n} && !symbol.NEW_CALLER",
    'called.did == "{n}" || caller.carrier == "carrier {n}"',
)
GROUP = "group: bench{g}\ndescription: to measure\nenabled: true\nmax_score: 8\nrules:\n"
RULE = "  BENCH_{n}:\n    score: 1\n    when: '{when}'\n    because: measured\n    source: none\n"


def with_rules(directory: Path, count: int) -> config.Config:
    """The shipped policy, filled up to so many rules that are asked."""
    shipped = len(config.load(None, environ={}).policy.rules)
    (directory / "rules").mkdir(exist_ok=True)
    for start in range(shipped, count, 50):
        rules = "".join(
            RULE.format(n=n, when=WHENS[n % len(WHENS)].format(n=n))
            for n in range(start, min(start + 50, count))
        )
        (directory / "rules" / f"bench{start}.yaml").write_text(GROUP.format(g=start) + rules)
    return config.load(directory, environ={})


def timed(judge: Callable[[Mapping[str, FactValue]], object], facts: Mapping[str, FactValue]) -> list[float]:
    """How long each of many verdicts took, ms."""
    taken = []
    for _ in range(JUDGED):
        begin = time.perf_counter()
        judge(facts)
        taken.append((time.perf_counter() - begin) * 1000)
    return taken


async def stalls(load: Callable[[], object], judge: Callable[[], object]) -> tuple[float, list[float]]:
    """Load a policy in a thread as a reload does: how long it took (s), the waits of calls meanwhile (ms)."""
    loop, waits = asyncio.get_running_loop(), []
    gc.disable()  # as `reloading` does
    begin = loop.time()
    loading = loop.run_in_executor(None, load)
    while not loading.done():
        due = loop.time() + 0.002
        await asyncio.sleep(0.002)
        judge()
        waits.append((loop.time() - due) * 1000)
    took = loop.time() - begin
    gc.enable()
    await loading
    return took, waits


def show(what: str, values: list[float]) -> None:
    """One line of figures."""
    ranked = sorted(values)
    p50, p99 = (ranked[int(share * (len(ranked) - 1))] for share in (0.5, 0.99))
    sys.stdout.write(f"{what:48} p50 {p50:7.3f}  p99 {p99:7.3f}  max {ranked[-1]:7.3f} ms\n")


def main(many: int) -> None:
    """Measure and print."""
    sys.setswitchinterval(SWITCH_S)
    with tempfile.TemporaryDirectory() as few_dir, tempfile.TemporaryDirectory() as many_dir:
        loaded = with_rules(Path(few_dir), FEW)
        place = loaded.settings.place
        number.warm(place.region)
        caller = number.parse("+8613912345678", place.region)
        call = Call("1.1", "PJSIP/carrier-1", Stage.SETUP, at=NOON, number="+8613912345678", did="100")
        facts = facts_of(call, caller, never_seen(caller), place)
        missing = facts_of(call, caller, {}, place)
        gc.freeze()
        show(f"a verdict by {len(loaded.policy.rules)} rules", timed(loaded.policy.judge, facts))
        show("the same, the store's facts missing", timed(loaded.policy.judge, missing))
        large = with_rules(Path(many_dir), many)
        took, waits = asyncio.run(
            stalls(lambda: config.load(Path(many_dir), environ={}), lambda: loaded.policy.judge(facts))
        )
        show(f"a call while {len(large.policy.rules)} rules are loaded ({took:.1f} s)", waits)
        show(f"a verdict by {len(large.policy.rules)} rules", timed(large.policy.judge, facts))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
