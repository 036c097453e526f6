"""What a monitor sees of the service: its pages, the samples on `/metrics`, what queries ask for."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from screener.policy import Policy, PolicyDocument, compile_policy

if TYPE_CHECKING:
    from tests.pbx.service import Service

PACKAGING = Path(__file__).parents[1] / "packaging"
ON = {"listen": "127.0.0.1:0"}
"""For the settings: served at a port that the log names."""


async def address(service: Service) -> str:
    """Where this service serves its pages."""
    return str((await service.logged("metrics and probes are served"))["address"])


async def page(where: str, path: str, within: float = 10) -> tuple[int, str]:
    """Status and body of a page."""
    host, _, port = where.rpartition(":")
    async with asyncio.timeout(within):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
    return int(head.split()[1]), body.decode()


class Samples:
    """The samples on a page of metrics."""

    def __init__(self, text: str) -> None:
        self.every = [one for family in text_string_to_metric_families(text) for one in family.samples]
        self.names = {one.name for one in self.every}
        self.labels: dict[str, set[str]] = {}
        for one in self.every:
            self.labels.setdefault(one.name, set()).update(one.labels)

    def of(self, metric: str, **labels: str) -> float | None:
        """The sum of the samples with these labels; None if there is none."""
        values = [
            one.value for one in self.every if one.name == metric and labels.items() <= one.labels.items()
        ]
        return sum(values) if values else None

    def by(self, metric: str, label: str) -> dict[str, float]:
        """What is not 0, by label."""
        return {one.labels[label]: one.value for one in self.every if one.name == metric and one.value}

    def lacks(self, query: str) -> list[str]:
        """Metrics and labels that a query names and that are not there."""
        asked = re.sub(r'"[^"]*"', "", query)
        names = set(re.findall(r"\b(?:screener|process)_\w+", asked))
        missing = sorted(names - self.names)
        there = set().union(*(self.labels[name] for name in names & self.names))
        grouped = ",".join(re.findall(r"\bby \(([^)]*)\)", asked))
        picked = ",".join(re.findall(r"\{([^}]*)\}", asked))
        labels = set(re.findall(r"[a-z_]+", f"{grouped},{picked}"))
        return missing + sorted(labels - there - {"instance", "job"})


async def scraped(where: str) -> Samples:
    """The metrics now."""
    status, text = await page(where, "/metrics")
    assert status == 200, text
    return Samples(text)


def queries(value: Any) -> list[str]:
    """Every query in a dashboard or a file of alerts."""
    if isinstance(value, dict):
        return [
            query
            for key, one in value.items()
            for query in ([one] if key == "expr" and isinstance(one, str) else queries(one))
        ]
    return [query for one in value for query in queries(one)] if isinstance(value, list) else []


def no_rules() -> Policy:
    """A policy whose counters are all 0."""
    actions = {"challenge": 4, "voicemail": 8, "reject": "off"}
    return compile_policy(PolicyDocument.model_validate({"actions": actions, "groups": []}))
