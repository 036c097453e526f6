"""The one question of a call to the store: its keys, its arguments, and the facts in the reply.

Every key of ours begins here, and what a stranger can write becomes part of one only through `key_part`.
"""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from screener.facts import UNLISTED
from screener.state.patterns import matching_fields
from screener.state.trust import known
from screener.state.weighing import fields_of, weigh

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from screener.state.weighing import Terms

Fact: TypeAlias = str | int | float | bool
Asked: TypeAlias = tuple[list[str], list[str]]
"""The keys and the arguments of a script."""
KEYS = "{screener}:"
"""Before every key; the braces keep them on one node of a cluster, where one script may use them all."""
LISTS_KEY = KEYS + "lists"
LISTS_CHANGES_KEY = KEYS + "lists:changes"
FEED_KEY = KEYS + "feed:"
CAMPAIGNS_KEY = KEYS + "campaigns"
SPOKE_KEY = KEYS + "spoke:"
"""Before a number, or a block and a star: the campaign that it spoke; one that counts against it stays."""
TRUST_KEY = KEYS + "trust:"
CALLER_KEY = KEYS + "caller:"
CALL_KEY = KEYS + "call:"
LIVE_KEY = KEYS + "live:"
SHORT_KEY = KEYS + "short:"
LEAST_IN_BLOCK = 9
"""Characters of a number, its plus sign included, that has a block of 10,000 around it."""
CHALLENGES_KEY = KEYS + "challenges:"
GUESSES_KEY = KEYS + "guesses:"
"""Of callers without a number, by trunk."""
AGENTS_KEY = KEYS + "agents:"
"""By trunk: the software that calls came from."""
SCRIPT = Path(__file__).with_name("observe.lua").read_text(encoding="utf-8")
_SAFE = re.compile(r"[A-Za-z0-9+_.-]{1,64}")
_CALLER = re.compile(r"\+?[0-9]{1,32}")


def key_part(text: str) -> str:
    """The text if it is short and harmless, else a digest of it: nobody writes our keys for us."""
    if _SAFE.fullmatch(text):
        return text
    return "h-" + _digest(text)


def _digest(text: str) -> str:
    return hashlib.blake2s(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


HERE = key_part(platform.node() or "here")
"""This machine: several PBXs may share a store, but each has telephones and mailboxes of its own."""
EXPECTING_KEY = f"{KEYS}expecting:{HERE}"


def is_key(caller: str) -> bool:
    """Whether a caller's number may be part of a key: a plus sign and digits."""
    return _CALLER.fullmatch(caller) is not None


def block_of(caller: str) -> str:
    """The caller's block of 10,000 numbers; a short code is a block of its own."""
    return caller[:-4] if caller.startswith("+") and len(caller) >= LEAST_IN_BLOCK else caller


@dataclass(frozen=True, slots=True)
class Observed:
    """What the store knows about a caller; `missing` says why facts are absent, None if none are."""

    facts: Mapping[str, Fact] = field(default_factory=dict)
    missing: str | None = None


def without_store(caller: str) -> Observed | None:
    """What is known of a caller whom the store cannot know; None if it must be asked."""
    if not caller:
        return Observed(UNLISTED)
    if not is_key(caller):
        return Observed(missing="the caller's number is not a key: only digits after a plus sign are")
    return None


def question(  # noqa: PLR0913 - all that the script asks for
    caller: str,
    did: str,
    call_id: str,
    *,
    trunk: str = "",
    agent: str = "",
    count: bool,
    at: float | None,
    feeds: Sequence[Terms] | None,
) -> Asked:
    """The keys and arguments of `observe.lua`, as `State.observe`; no `feeds`: nor lists."""
    this, block, by = key_part(call_id), block_of(caller), key_part(trunk)
    keys = [LISTS_KEY, CALLER_KEY + caller, f"{KEYS}dids:{caller}", CALL_KEY + this, TRUST_KEY + caller]
    keys += [LIVE_KEY + caller, f"{KEYS}block:{block}", SHORT_KEY + caller, f"{KEYS}trunk:{by}"]
    keys += [CHALLENGES_KEY + caller, GUESSES_KEY + by, EXPECTING_KEY, AGENTS_KEY + by]
    keys += [FEED_KEY + feed.name for feed in feeds or ()]
    keys += [CAMPAIGNS_KEY, SPOKE_KEY + caller, f"{SPOKE_KEY}{block}*"]
    arguments = [key_part(did), "1" if count else "", "" if at is None else repr(at)]
    arguments.append(" ".join(matching_fields(caller)) if caller and feeds is not None else "")
    arguments.append(" ".join(fields_of(caller)) if feeds else "")
    return keys, [*arguments, this, caller[len(block) :], caller, _digest(agent) if agent else ""]


def answer(reply: dict[str, Any], feeds: Sequence[Terms], now: float) -> dict[str, Fact]:
    """The facts in a reply of `observe.lua` to a question about these feeds."""
    trust, found = known(reply.pop("trust", None), now), reply.pop("feeds", [])
    return reply | trust | weigh(found, feeds, now)
