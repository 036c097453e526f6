"""Notifications through apprise: to a telephone, a chat, an e-mail address, when something happens.

One thread of its own and a bounded queue: a target that is slow or dead costs no call and no recording.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import apprise

    from screener.config.settings import Notify

log = structlog.get_logger(__name__)

INSTALL: Final = "pip install 'asterisk-screener[notify]'"
BOUND: Final = 100
WORDS: Final = {
    "en": {
        "alarm": "Call screener: not in order",
        "recorded": "{caller} left a message for {called}",
        "no_number": "no number",
    },
    "zh": {
        "alarm": "来电筛查：有异常",
        "recorded": "{caller} 给 {called} 留言",
        "no_number": "号码未显示",
    },
}
"""Titles: each in both languages, for those whom one notification reaches may read either."""
AGAIN_S: Final = 5.0
"""The pause before the second and last attempt."""
TITLE_CHARS: Final = 120
BODY_CHARS: Final = 1000


def installed() -> bool:
    """Whether the extra is there: imported only where somebody is to be notified, for it takes 0.1 s."""
    try:
        import apprise  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True


def started(settings: Notify) -> Notifier | None:
    """The notifier that is configured; None without URLs, and without the extra, which the log says."""
    if not settings.urls:
        return None
    if not installed():
        log.error("nobody is notified: the extra notify is not installed", install=INSTALL)
        return None
    return Notifier(settings.urls, settings.events)


def titled(key: str, **values: str) -> str:
    """A title in all languages; a value that is empty is told as the absence of a number."""
    return " · ".join(
        words[key].format(**{name: value or words["no_number"] for name, value in values.items()})
        for words in WORDS.values()
    )


class Notifier:
    """Tells every URL of the `events` that were chosen; what is not taken at the second attempt is lost."""

    def __init__(self, urls: Collection[str], events: Collection[str]) -> None:
        import apprise  # noqa: PLC0415

        self._events = frozenset(events)
        self.failed = 0
        """Those that no target took at the second attempt, and those left out."""
        self._queue: queue.Queue[tuple[str, str, Callable[[int], None]]] = queue.Queue(BOUND)
        # Its own log would go past ours, and may hold what a target answered.
        logging.getLogger("apprise").propagate = False
        logging.getLogger("apprise").addHandler(logging.NullHandler())
        # That of what it sends by has the path of each URL at `log.level: debug`.
        logging.getLogger("urllib3").setLevel(logging.INFO)
        # Of a URL only its scheme is ever shown: what is behind it may be a password.
        self._targets: list[tuple[str, apprise.Apprise]] = []
        for url in urls:
            scheme, target = url.partition(":")[0], apprise.Apprise()
            if target.add(url):
                self._targets.append((scheme, target))
            else:
                log.error("a URL in notify.urls is not understood", scheme=scheme)
        self._sending, self._ended = threading.Lock(), False
        threading.Thread(target=self._run, name="notifications", daemon=True).start()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return self._queue.qsize()

    def tells(self, event: str) -> bool:
        """Whether anybody is told of such an event."""
        return event in self._events

    def tell(self, event: str, title: str, body: str, done: Callable[[int], None] = lambda _: None) -> None:
        """Send it when its turn comes; never blocks. While too many wait it is left out, with a warning.

        `done` is called, from another thread, with how many targets have taken it.
        """
        if event not in self._events:
            return
        try:
            self._queue.put_nowait((printable(title, TITLE_CHARS), printable(body, BODY_CHARS), done))
        except queue.Full:
            self.failed += 1
            log.warning("too many notifications wait: one is left out", about=event)
            done(0)

    def alarm(self, text: str) -> None:
        """Tell of an alarm."""
        self.tell("alarm", titled("alarm"), text)

    def finish(self, within_s: float) -> None:
        """Let what is being sent be sent, for so long at most, and nothing more; blocks."""
        self._ended = True
        self._sending.acquire(timeout=within_s)

    def _run(self) -> None:
        while True:
            title, body, done = self._queue.get()
            with self._sending:
                if self._ended:
                    return
                taken = [self._told(scheme, target, title, body) for scheme, target in self._targets]
                done(sum(taken))

    def _told(self, scheme: str, target: apprise.Apprise, title: str, body: str) -> bool:
        if self._sent(target, title, body):
            return True
        time.sleep(AGAIN_S)
        if self._sent(target, title, body):
            return True
        self.failed += 1
        log.error("a notification was not taken", scheme=scheme)
        return False

    @staticmethod
    def _sent(target: apprise.Apprise, title: str, body: str) -> bool:
        try:
            return bool(target.notify(title=title, body=body, body_format="text"))
        except Exception:  # noqa: BLE001 - a plug-in for one of a hundred services may raise anything
            return False
