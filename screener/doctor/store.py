"""Redis or Valkey: what the screener remembers between calls."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from screener import app, feeds
from screener.doctor.checkup import fail, fine, warn
from screener.doctor.rights import open_to_others
from screener.errors import NotChecked, StateUnavailable
from screener.state import asking, connecting
from screener.state.memory import risk_of
from screener.text import without_password

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from redis.asyncio import Redis

    from screener.doctor.checkup import Finding
    from screener.doctor.patient import Patient

BLIND = "calls are judged without lists, counters and trust"
OLDEST = (6, 2)
"""The oldest Redis on which every script of ours runs."""
SLOW_S = 0.05
"""A call waits 0.2 s for the store at most, and a script takes several times as long as a ping."""
SKEW_S = 2.0
PROBE_KEY = asking.KEYS + "doctor"
LATE = 3
"""A feed that was not fetched for so many of its intervals is stuck."""

_PROBE = """
local answer = {}
for _, words in ipairs(cjson.decode(ARGV[1])) do
  local said = redis.pcall(words[1], KEYS[1], unpack(words, 2))
  local refusal = type(said) == 'table' and said.err
  if refusal and not refusal:find('no such key') then answer[#answer + 1] = words[1] end
  redis.pcall('DEL', KEYS[1])
end
redis.call('TIME')
return answer
"""
_COMMANDS = """
[["GET"], ["SET", "1", "EX", "9"], ["INCR"], ["EXISTS"], ["EXPIRE", "9"], ["STRLEN"], ["GETRANGE", "0", "1"],
 ["SETRANGE", "0", "1"], ["HSET", "a", "1"], ["HGET", "a"], ["HMGET", "a"], ["HGETALL"], ["HDEL", "a"],
 ["HEXISTS", "a"], ["HLEN"], ["HINCRBY", "a", "1"], ["ZADD", "1", "a"], ["ZCARD"], ["ZREM", "a"],
 ["ZRANGE", "0", "1"], ["ZRANGEBYSCORE", "0", "1"], ["ZRANGEBYLEX", "-", "+"], ["ZLEXCOUNT", "-", "+"],
 ["ZREMRANGEBYSCORE", "0", "1"], ["ZREMRANGEBYRANK", "0", "1"], ["ZREMRANGEBYLEX", "-", "+"],
 ["ZSCORE", "a"], ["PERSIST"], ["RENAME", "{screener}:doctor"], ["UNLINK"]]
"""
"""What our scripts call, with arguments that an empty key takes; a test compares it with them."""


async def reachable(patient: Patient) -> AsyncIterator[Finding]:
    """The store answers, and soon."""
    url = without_password(patient.settings.redis.url)
    where = url or f"the embedded store in {app.store_directory(patient.settings)}"
    try:
        client = await patient.store()
        began = time.perf_counter()
        with connecting.needed():
            await client.ping()
    except (NotChecked, StateUnavailable) as error:
        if not url and not await patient.is_running():
            raise NotChecked("the embedded store runs with the service: see service.running") from error
        mend = (
            "redis-cli ping, there; then redis.url in screener.yaml: host, port, password"
            if url
            else (f"systemctl restart screener; {app.store_directory(patient.settings)}/valkey.log says why")
        )
        yield fail(f"{where}: {error}", BLIND, mend)
        return
    took = time.perf_counter() - began
    if took > SLOW_S:
        notice = f"a call waits 200 ms for it at most, and then {BLIND}"
        yield warn(f"{where} takes {took * 1000:.0f} ms for a ping", notice, "put it on this machine")
    else:
        yield fine(f"{where or 'the embedded store'}, {took * 1000:.1f} ms")


async def commands(patient: Patient) -> AsyncIterator[Finding]:
    """The store lets us run scripts, and in them every command that we need."""
    client = await patient.store()
    mend = "ACL SETUSER NAME ~{screener}:* +@all -@dangerous +info; no rename-command of these in redis.conf"
    try:
        digest = await client.script_load(_PROBE)
        refused = await client.evalsha(digest, 1, PROBE_KEY, _COMMANDS)
    except (NoPermissionError, ResponseError, AuthenticationError) as error:
        yield fail(f"the store refuses scripts: {connecting.describe(error)}", BLIND, mend)
        return
    if refused:
        yield fail(f"the store refuses {', '.join(sorted(set(refused)))}", BLIND, mend)


async def version(patient: Patient) -> AsyncIterator[Finding]:
    """The store is new enough."""
    about = await _info(patient, "server")
    name = "Valkey" if "valkey_version" in about else "Redis"
    shown = str(about.get("valkey_version") or about.get("redis_version") or "")
    if not shown:
        raise NotChecked("the store does not say what it is")
    numbers = tuple(int(part) for part in shown.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        mend = f"install Valkey, or Redis {'.'.join(map(str, OLDEST))} or newer; or leave redis.url empty"
        yield fail(f"{name} {shown} is too old", BLIND, mend)
    else:
        yield fine(f"{name} {shown}")


async def memory(patient: Patient) -> AsyncIterator[Finding]:
    """When its memory is full the store forgets the right things."""
    about = await _info(patient, "memory")
    if risk := risk_of(about):
        forgets = str(about.get("maxmemory_policy", "")).startswith("allkeys-")
        mend = "redis-cli config set maxmemory-policy volatile-ttl, and in redis.conf"
        notice = "blocked callers ring, friends are recorded" if forgets else "counters and trust are wrong"
        yield (fail if forgets else warn)(risk, notice, mend)


async def persistence(patient: Patient) -> AsyncIterator[Finding]:
    """The store keeps on disk what it holds, and could do so the last time."""
    about = await _info(patient, "persistence")
    if not about.get("aof_enabled") and not await _setting(await patient.store(), "save"):
        notice = "a restart of the store loses the lists: blocked callers ring, friends are challenged"
        mend = "redis-cli config set appendonly yes, and in redis.conf"
        yield fail("the store keeps nothing on disk: neither appendonly nor save is on", notice, mend)
    for key in ("aof_last_write_status", "rdb_last_bgsave_status"):
        if about.get(key, "ok") != "ok":
            notice = "it refuses changes: list entries and counters are lost"
            yield fail(f"the store could not write to its disk ({key})", notice, "df -h, where it runs")


async def clock(patient: Patient) -> AsyncIterator[Finding]:
    """The store's clock is ours."""
    client = await patient.store()
    with connecting.needed():
        seconds, _ = await client.time()
    apart = seconds - patient.clock().timestamp()
    if abs(apart) > SKEW_S:
        notice = "list entries and counters expire at another time"
        mend = "timedatectl set-ntp true, on both"
        yield warn(f"the store's clock is {apart:+.0f} s from ours", notice, mend)


def socket(patient: Patient) -> Iterator[Finding]:
    """Nobody else may connect to the store's socket."""
    url = patient.store_url()
    if not url.startswith("unix:"):
        return
    path = Path(unquote(urlsplit(url).path))
    if not path.exists():
        raise NotChecked(f"{path} is not there: see store.reachable")
    if "w" in open_to_others(path):
        notice = "every user of this machine may change the lists"
        mend = f"chmod 770 {path}, and unixsocketperm 770 in redis.conf"
        yield fail(f"{path}: every user of this machine may connect", notice, mend)


async def feeds_fresh(patient: Patient) -> AsyncIterator[Finding]:
    """Feeds that are switched on are fetched in time."""
    wanted = {name: feed for name, feed in patient.config.feeds.items() if feed.enabled}
    if not wanted:
        return
    url = patient.store_url()
    await patient.store()
    store = feeds.FeedStore(url)
    try:
        statuses = await store.statuses()
        for name, feed in wanted.items():
            status = statuses.get(name, feeds.Status())
            age_s = patient.clock().timestamp() - status.checked_at
            notice = "numbers that others complain about since then are not known"
            mend = f"screener feed refresh {name}"
            if status.problem:
                yield warn(f"{name}: {status.problem}", notice, mend)
            elif age_s > LATE * feed.refresh_hours * 3600:
                when = f"{age_s / 86_400:.0f} days ago" if status.checked_at else "never"
                yield warn(f"{name}: was fetched {when}, due each {feed.refresh_hours} h", notice, mend)
    finally:
        await store.close()


async def _info(patient: Patient, section: str) -> dict[str, Any]:
    try:
        return dict(await (await patient.store()).info(section))
    except NoPermissionError as error:
        raise NotChecked(f"the store does not let us ask: {error}; ACL SETUSER NAME +info") from error
    except RedisError as error:
        raise connecting.unavailable(error) from error


async def _setting(client: Redis, name: str) -> str:
    try:
        return str((await client.config_get(name)).get(name, ""))
    except RedisError as error:
        raise NotChecked(f"the store does not show its settings: {error}") from error
