"""The status of the service as Prometheus reads it. A row of the table is a metric; nothing is counted here.

No label holds what a stranger writes: they are words of our own, and names of the configuration.
"""

from __future__ import annotations

from datetime import datetime
from itertools import product
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from screener.call import Stage
from screener.verdict import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Row(NamedTuple):
    """A metric: where its value stands in the status, and what a `*` on the way there is as a label.

    What ends in `_total` is a counter. A value in `_ms` is shown in seconds. `?` shows whether there is
    anything, `@` a time as Unix time.
    """

    name: str
    path: str
    about: str
    labels: tuple[str, ...] = ()


PBX: Final = ("pbx",)
"""Its name, empty where there is only one: to Prometheus no label at all."""
ROWS: Final = (
    Row("screener_build_info", "version.*", "Version of the screener.", ("version",)),
    Row("screener_start_timestamp_seconds", "started_at@", "When the service was started."),
    Row("screener_policy_info", "policy.*", "Hash of the policy in force.", ("hash",)),
    Row("screener_policy_rules", "rule_count", "Rules of the policy in force."),
    Row("screener_policy_loaded_timestamp_seconds", "loaded_at@", "When the policy was loaded."),
    Row("screener_config_refused", "problems?", "1 while the changed files have mistakes and wait."),
    Row("screener_config_restart_needed", "restart_needed?", "1 while changed settings wait for a restart."),
    Row("screener_ready", "ready", "1 while every call gets its full verdict."),
    Row("screener_part_ready", "parts.*", "Whether a part that this needs is there.", ("part",)),
    # The way of a call.
    Row("screener_verdicts_total", "verdicts.*.*", "Verdicts given.", ("stage", "action")),
    Row("screener_answers_total", "reached.*", "Whether the verdict reached the dialplan.", ("reached",)),
    Row("screener_unjudged_total", "failures.*", "Questions without a verdict, by why.", ("reason",)),
    Row("screener_calls_total", "dispositions.*", "Calls that are over, by their end.", ("disposition",)),
    Row("screener_calls_unscreened_total", "missed.*", "Of these without a verdict, by why.", ("missed",)),
    Row("screener_challenges_total", "challenges.*", "What became of challenges.", ("outcome",)),
    Row("screener_messages_total", "messages.*", "SIP messages, by what was done with them.", ("status",)),
    Row("screener_messages_unfiled_total", "unfiled_messages.*", "Messages beyond their bound.", ("status",)),
    Row("screener_symbol_hits_total", "rules.*.hits", "How often a rule fired.", ("symbol",)),
    Row("screener_symbol_shadow_hits_total", "rules.*.shadow_hits", "Of these in shadow.", ("symbol",)),
    Row(
        "screener_symbol_would_change_total", "rules.*.would_change",
        "Verdicts that would have been others had the rule in shadow counted.", ("symbol",),
    ),
    Row("screener_profile_verdicts_total", "profiles.*", "Verdicts under a profile.", ("profile",)),
    # What it needs.
    Row(
        "screener_ami_connected", "pbxs.*.ami.connected_since?",
        "1 while Asterisk takes our heartbeat.", PBX,
    ),
    Row("screener_ami_standing_by", "pbxs.*.ami.standing_by", "1 while another screener answers.", PBX),
    Row("screener_ami_reconnects_total", "pbxs.*.ami.reconnects", "Connections after the first.", PBX),
    Row("screener_ami_round_trip_seconds", "pbxs.*.ami.round_trip_ms", "Of the latest ping.", PBX),
    Row(
        "screener_ami_heartbeat_age_seconds", "pbxs.*.ami.heartbeat_age_s",
        "Since Asterisk took the latest.", PBX,
    ),
    Row("screener_store_up", "store.reachable", "1 while Redis or Valkey answers."),
    Row("screener_store_at_risk", "store.risk?", "1 if it may forget lists when its memory is full."),
    Row("screener_store_latency_seconds", "store.latency_ms", "Of the latest look at it."),
    Row("screener_store_incomplete_total", "store.incomplete", "Questions not answered in full."),
    Row("screener_store_restarts_total", "embedded_restarts", "Restarts of the embedded store."),
    Row("screener_store_lost_lessons_total", "store.lost_lessons", "What calls taught and was not stored."),
    Row("screener_ledger_up", "ledger.healthy", "1 while rows can be written."),
    Row("screener_ledger_waiting_rows", "ledger.waiting", "Rows not yet on disk."),
    Row("screener_ledger_lag_seconds", "ledger.lag_s", "How long those being written have waited."),
    Row("screener_ledger_lost_rows_total", "ledger.dropped", "Rows lost."),
    Row("screener_recordings_total", "pbxs.*.recordings.filed", "Recordings filed, each leg one.", PBX),
    Row("screener_recordings_bytes_total", "pbxs.*.recordings.bytes", "Their size.", PBX),
    Row(
        "screener_recordings_lost_total", "pbxs.*.recordings.lost",
        "Recordings missing, or impossible to file.", PBX,
    ),
    Row("screener_recordings_refused_total", "pbxs.*.recordings.refused", "Not made: too many at once.", PBX),
    Row(
        "screener_recordings_alarms", "pbxs.*.recordings.alarms#",
        "What is wrong with their directory now.", PBX,
    ),
    Row("screener_recordings_free_bytes", "pbxs.*.recordings.free_bytes", "Space left for recordings.", PBX),
    # What is beside the calls.
    Row("screener_queue_length", "queues.*", "What waits for its turn.", ("queue",)),
    Row("screener_notifications_failed_total", "notifications_failed", "Not taken, or left out."),
    Row("screener_feed_entries", "feeds.*.entries", "Entries of the snapshot in force.", ("feed",)),
    Row("screener_feed_age_seconds", "feeds.*.age_s", "Age of the snapshot in force.", ("feed",)),
    Row("screener_feed_max_age_seconds", "feeds.*.max_age_s", "From which on it is refused.", ("feed",)),
    Row("screener_feed_failures", "feeds.*.failures", "Attempts in a row that were refused.", ("feed",)),
    Row("screener_mirror_entries", "pbxs.*.mirror.entries", "List entries that Asterisk is to hold.", PBX),
    Row(
        "screener_mirror_left_out", "pbxs.*.mirror.left_out",
        "Block entries that did not fit into Asterisk.", PBX,
    ),
    Row(
        "screener_mirror_age_seconds", "pbxs.*.mirror.age_s",
        "Since Asterisk was last seen to hold them all.", PBX,
    ),
    Row("screener_campaigns", "campaigns", "Different recordings known, of any verdict."),
    Row("screener_part_restarts_total", "restarts.*", "Work beside calls, begun again.", ("part",)),
    Row("screener_loop_lag_seconds", "loop.worst_ms", "Worst delay of the event loop in half a minute."),
    Row("screener_log_lost_lines_total", "log_lost", "Log lines lost: their reader was too slow."),
)  # fmt: skip
KNOWN: Final = {
    "screener_verdicts_total": tuple(product(Stage, Action)),
    **{
        name: tuple((word,) for word in words)
        for name, words in (
            ("screener_answers_total", ("sent", "late", "gone")),
            ("screener_unjudged_total", ("late", "not judged")),
            (
                "screener_calls_total",
                ("answered", "recorded", "rejected", "busy", "unanswered", "abandoned"),
            ),
            ("screener_calls_unscreened_total", ("away", "late", "other")),
            ("screener_challenges_total", ("passed", "failed", "broken", "other")),
            ("screener_messages_total", ("delivered", "held", "filed", "released")),
        )
    },
}
"""Shown from the start, also what has not happened yet: an alert could not see the first time otherwise."""
DELAYS: Final = (
    "screener_delay_seconds",
    "What a call waited, by phase; total is what the dialplan measured.",
)


def exposition(status: Mapping[str, Any]) -> bytes:
    """Give the metrics of this status and of the process in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Shown(status))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return generate_latest(registry)


class _Shown(Collector):
    def __init__(self, status: Mapping[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Give each row that has a value, and the delays."""
        for row in ROWS:
            kind = CounterMetricFamily if row.name.endswith("_total") else GaugeMetricFamily
            family = kind(row.name, row.about, labels=row.labels)
            for labels, value in self._values(row):
                family.add_metric(labels, value)
            if family.samples:
                yield family
        delays = HistogramMetricFamily(*DELAYS, labels=["phase"])
        for phase, one in self._status["delays"].items():
            bounds = [(str(float(ms) / 1000), times) for ms, times in one["buckets"].items()]
            delays.add_metric([phase], [*bounds, ("+Inf", one["count"])], one["sum_ms"] / 1000)
        yield delays

    def _values(self, row: Row) -> Iterable[tuple[tuple[str, ...], float]]:
        known: dict[tuple[str, ...], float] = dict.fromkeys(KNOWN.get(row.name, ()), 0.0)
        return (known | dict(found(self._status, row.path))).items()


def found(
    status: Any,  # noqa: ANN401 - any JSON value
    path: str,
) -> Iterator[tuple[tuple[str, ...], float]]:
    """Each value at this path with the labels on the way; none where there is nothing."""
    step, _, rest = path.partition(".")
    if step == "*":
        for name, value in (status if isinstance(status, dict) else {str(status): 1}).items():
            for labels, number in found({"": value}, f".{rest}" if rest else ""):
                yield (str(name), *labels), number
        return
    how = step[-1:] if step[-1:] in {"?", "@", "#"} else ""
    value = status.get(step.removesuffix(how) if how else step)
    if rest and value is not None:
        yield from found(value, rest)
    elif not rest and (value is not None or how == "?"):
        yield (), _number(value, how) / (1000 if step.endswith("_ms") else 1)


def _number(value: Any, how: str) -> float:  # noqa: ANN401 - any JSON value
    if how == "?":
        return float(bool(value))
    if how == "@":
        return datetime.fromisoformat(value).timestamp()
    return float(len(value) if how == "#" else value)
