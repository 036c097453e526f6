"""How many messages are filed in an hour: a stranger must not fill the disk by writing."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

HOUR_S: Final = 3600.0


class Bounds:
    """Counts what was filed in the last hour, of each sender and in total; keeps no more than that."""

    def __init__(self, per_sender: int, in_total: int) -> None:
        self._per_sender, self._in_total = per_sender, in_total
        self._filed: deque[tuple[float, str]] = deque()
        self._of = Counter[str]()
        self._told: dict[str, float] = {}

    def exceeded(self, sender: str, now_s: float) -> str:
        """Which bound one more exceeds, `sender` or `total`; empty if none, and then it counts."""
        while self._filed and self._filed[0][0] <= now_s - HOUR_S:
            _, old = self._filed.popleft()
            self._of[old] -= 1
            if not self._of[old]:
                del self._of[old]
        if self._of[sender] >= self._per_sender:
            return "sender"
        if len(self._filed) >= self._in_total:
            return "total"
        self._filed.append((now_s, sender))
        self._of[sender] += 1
        return ""

    def is_news(self, bound: str, sender: str, now_s: float) -> bool:
        """Whether it was not said within the last hour that this bound is exceeded."""
        about = f"sender {sender}" if bound == "sender" else bound
        self._told = {one: at for one, at in self._told.items() if at > now_s - HOUR_S}
        if about in self._told:
            return False
        self._told[about] = now_s
        return True
