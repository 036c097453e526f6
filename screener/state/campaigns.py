"""Campaigns: recordings that were heard, who spoke them, and what a person said of them.

Every recording with enough speech is kept as a print, for it may come again. It becomes a campaign
when a second number speaks it; until then it proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from screener.errors import NoSuchCampaign
from screener.state.asking import CAMPAIGNS_KEY, KEYS, SPOKE_KEY
from screener.state.connecting import TIMEOUT_S, needed, open_client
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Iterable

Judgement = Literal["harmless", "robocall"]

KEEP_S: Final = 90 * 86_400
KEEP_SINGLE_S: Final = 30 * 86_400
"""What only one number has spoken is forgotten sooner, so that a flood of messages drives out no campaign."""
MAX_CAMPAIGNS: Final = 10_000
"""3.2 kB each in the store, 32 MB in all."""
MAX_CALLERS: Final = 128
"""180 bytes for each after the first."""
MAX_NAME: Final = 64

_PRINTS = KEYS + "campaigns:prints"
_FORGET_AT = KEYS + "campaigns:forget_at"
_CALLERS = KEYS + "campaigns:callers"
_LAST_ID = KEYS + "campaigns:last"
_COUNTS = ("calls", "callers", "blocks", "first", "last")
_FIELDS = (*_COUNTS, "name", "verdict")
_BATCH = 500
_HEAR = Path(__file__).with_name("campaigns.lua").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Campaign:
    """A recording and its history; `first` and `last` are Unix time.

    `callers` counts distinct numbers (128 at most, all withheld ones as one), `blocks` those of 10,000
    numbers that they lie in. `verdict` is empty until a person gives one.
    """

    id: int
    calls: int = 0
    callers: int = 0
    blocks: int = 0
    first: int = 0
    last: int = 0
    name: str = ""
    verdict: Judgement | Literal[""] = ""

    @property
    def known(self) -> bool:
        """It is a campaign, not one person's message: two numbers spoke it, or a person judged it."""
        return self.callers > 1 or self.name != "" or self.verdict != ""


class Campaigns:
    """The campaigns in the store. All methods raise StateUnavailable if it is out of reach."""

    def __init__(self, url: str) -> None:
        self._client = open_client(url, timeout_s=TIMEOUT_S)
        self._hear = self._client.register_script(_HEAR)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def hear(
        self, known: int | None, stored: bytes, caller: str, block: str, *, at: float | None = None
    ) -> Campaign:
        """Count a call that spoke a recording and return its campaign, a new one unless it is `known`.

        `caller` and `block` are `CallerNumber.key` and `.block`, empty for a withheld number; `at` (Unix
        time) replaces the server's clock.
        """
        spoke = (SPOKE_KEY + caller, f"{SPOKE_KEY}{block}*")
        keys = [CAMPAIGNS_KEY, _PRINTS, _FORGET_AT, _CALLERS, _LAST_ID, *spoke]
        limits = (KEEP_S, KEEP_SINGLE_S, MAX_CAMPAIGNS, MAX_CALLERS)
        with needed():
            told = await self._hear(
                keys, [known or "", stored, caller, block, "" if at is None else at, *limits]
            )
        return (await self.find([int(told)]))[0]

    async def prints(self, known: Collection[int]) -> tuple[dict[int, bytes], set[int]]:
        """The prints that are not `known` yet, by id, and the ids of all that there are."""
        with needed():
            ids = {int(one) for one in await cast("Awaitable[list[str]]", self._client.hkeys(_PRINTS))}
            wanted = sorted(ids.difference(known))
            new: dict[int, bytes] = {}
            for at in range(0, len(wanted), _BATCH):
                part = wanted[at : at + _BATCH]
                # As bytes, which the client would otherwise take for text.
                command = cast("Any", self._client).execute_command
                found = await command("HMGET", _PRINTS, *part, NEVER_DECODE=True)
                new |= {one: stored for one, stored in zip(part, found, strict=True) if stored is not None}
        return new, ids

    async def all(self) -> list[Campaign]:
        """Every campaign, and every recording that only one number has spoken, in order of their ids."""
        with needed():
            ids = await cast("Awaitable[list[str]]", self._client.hkeys(_PRINTS))
        return await self.find(sorted(map(int, ids)))

    async def find(self, ids: Iterable[int]) -> list[Campaign]:
        """The campaigns of these ids; one that is not there has no calls."""
        found: list[Campaign] = []
        wanted = list(ids)
        for at in range(0, len(wanted), _BATCH):
            part = wanted[at : at + _BATCH]
            fields = [f"{one}:{field}" for one in part for field in _FIELDS]
            with needed():
                values = await cast("Awaitable[list[str | None]]", self._client.hmget(CAMPAIGNS_KEY, fields))
            found += [
                _campaign(one, values[place * len(_FIELDS) : (place + 1) * len(_FIELDS)])
                for place, one in enumerate(part)
            ]
        return found

    async def name(self, one: int, name: str) -> None:
        """Give a campaign a name; from then on it is never forgotten. NoSuchCampaign if it is not there."""
        await self._say(one, "name", printable(name, MAX_NAME))

    async def judge(self, one: int, verdict: Judgement) -> None:
        """Say what a campaign is; from then on it is never forgotten. NoSuchCampaign if it is not there."""
        await self._say(one, "verdict", verdict)

    async def forget(self, one: int) -> None:
        """Forget a campaign; who spoke it is no longer known for it. NoSuchCampaign if it is not there."""
        await self._need(one)
        with needed():
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.hdel(_PRINTS, str(one))
                pipe.hdel(CAMPAIGNS_KEY, *(f"{one}:{field}" for field in _FIELDS))
                pipe.zrem(_FORGET_AT, one)
                pipe.zremrangebylex(_CALLERS, f"[{one} ", f"({one}!")
                await pipe.execute()

    async def _say(self, one: int, field: str, value: str) -> None:
        await self._need(one)
        with needed():
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.hset(CAMPAIGNS_KEY, f"{one}:{field}", value)
                pipe.zrem(_FORGET_AT, one)
                await pipe.execute()

    async def _need(self, one: int) -> None:
        with needed():
            there = await self._client.hexists(_PRINTS, str(one))
        if not there:
            raise NoSuchCampaign(f"there is no campaign {one}; `screener campaigns --all` lists them")


def _campaign(one: int, values: list[str | None]) -> Campaign:
    """A row of the store; what another program left there that is no number counts as 0."""
    calls, callers, blocks, first, last = (
        int(text) if text and text.isascii() and text.isdigit() else 0 for text in values[: len(_COUNTS)]
    )
    name, verdict = values[len(_COUNTS) :]
    judged: Judgement | Literal[""] = (
        "harmless" if verdict == "harmless" else "robocall" if verdict == "robocall" else ""
    )
    return Campaign(one, calls, callers, blocks, first, last, printable(name or "", MAX_NAME), judged)
