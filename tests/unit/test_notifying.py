"""Notifications: a real target on the loopback, slow, dead, or well."""

from __future__ import annotations

import threading
import time
from queue import Queue
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from screener import notifying
from screener.notifying import BOUND, Notifier
from tests.webhook import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTILE = "\x1b[31mBob\r\nX-Evil: 1\u202e<script>*_`"


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    monkeypatch.setattr(notifying, "AGAIN_S", 0.01)
    with Target() as one:
        yield one


def test_notifier__events_that_were_chosen__arrive_fit_to_be_shown(target: Target) -> None:
    notifier = Notifier([target.url], ["recorded", "alarm"])
    notifier.tell("other", "left out", "")
    notifier.tell("recorded", f"{HOSTILE} left a message", "score 7.5")
    notifier.alarm("little space left")
    first, second = target.taken.get(timeout=5), target.taken.get(timeout=5)
    assert first["title"] == "[31mBob X-Evil: 1<script>*_` left a message"
    assert (first["message"], second["message"]) == ("score 7.5", "little space left")


def test_notifier__target_that_fails__is_tried_twice_and_told_without_its_password(target: Target) -> None:
    dead = "json://somebody:secret@127.0.0.1:1"
    target.answers = [500]
    with capture_logs() as logs:
        notifier = Notifier([dead, target.url, "nonsense://secret"], ["alarm"])
        notifier.alarm("one")
        assert [target.taken.get(timeout=5)["code"] for _ in range(2)] == ["500", "200"]
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [
        "a URL in notify.urls is not understood",
        "a notification was not taken",
    ]
    assert "secret" not in str(logs)


def test_notifier__target_that_hangs__costs_whoever_tells_nothing(target: Target) -> None:
    target.open.clear()
    notifier = Notifier([target.url], ["alarm"])
    with capture_logs() as logs:
        began = time.monotonic()
        for _ in range(BOUND + 50):
            notifier.alarm("one")
        assert time.monotonic() - began < 2
    assert 48 <= len(logs) <= 50
    assert {line["event"] for line in logs} == {"too many notifications wait: one is left out"}
    target.open.set()
    for _ in range(BOUND):  # what waits would fail beside other tests, one each five seconds
        target.taken.get(timeout=10)


def test_notifier__ends_while_it_sends__says_what_was_taken_and_sends_no_more(target: Target) -> None:
    target.open.clear()
    notifier, taken = Notifier([target.url], ["recorded"]), Queue[int]()
    for _ in range(2):
        notifier.tell("recorded", "one", "two", taken.put)
    while not notifier._sending.locked():
        time.sleep(0.01)
    ending = threading.Thread(target=notifier.finish, args=(10,))
    ending.start()
    target.open.set()
    ending.join(10)
    assert taken.get_nowait() == 1
    assert target.taken.get(timeout=5)
    assert (target.taken.empty(), taken.empty()) == (True, True)


def test_notifier__ends_while_a_target_hangs__does_not_wait_for_it(target: Target) -> None:
    target.open.clear()
    notifier = Notifier([target.url], ["recorded"])
    notifier.tell("recorded", "one", "two")
    while not notifier._sending.locked():
        time.sleep(0.01)
    began = time.monotonic()
    notifier.finish(0.1)
    assert time.monotonic() - began < 5
