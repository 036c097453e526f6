"""The URLs of store and ledger: what is wrong with them before anybody is asked there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from redis.asyncio.connection import Connection, parse_url
from redis.exceptions import RedisError

from screener.config.validating import locate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from screener.config.nodes import Tree
    from screener.config.settings import Settings

INSTALL_POSTGRES = "pip install 'asterisk-screener[postgres]'"


def unusable_urls(tree: Tree, settings: Settings) -> Iterator[str]:
    """Every problem with them, at the line of the URL; none quotes what may be a password."""
    for key, why in (("redis", _store(settings.redis.url)), ("ledger", _ledger(settings.ledger.url))):
        if why:
            yield f"{locate(tree, (key, 'url')).place}: {key}.url: {why}"


def _store(url: str) -> str:
    """What is wrong with options such as ?ssl_ca_certs=…; those of sentinels and clusters have none."""
    if not re.match("rediss?:|unix:", url):
        return ""
    try:
        options: dict[str, Any] = {**parse_url(url)}
        options.pop("connection_class", Connection)(**options)  # not connected by that
    except (ValueError, RedisError) as error:
        return str(error)
    except TypeError as error:  # '….__init__() got an unexpected keyword argument 'foo''
        return f"unknown option {str(error).rpartition('argument ')[2]}"
    return ""


def _ledger(url: str) -> str:
    if not url:
        return ""
    try:
        from psycopg import Error, conninfo  # noqa: PLC0415 - an extra, and a fifth of a second
    except ImportError:
        return f"the extra postgres is not installed: {INSTALL_POSTGRES}"
    try:
        port = str(conninfo.conninfo_to_dict(url).get("port") or "")
    except Error:  # its text may quote the password
        return "not a URL that PostgreSQL understands; expected postgresql://user@host/database"
    if not re.fullmatch("[0-9,]*", port):
        return "the port is not a number; within a password write %2F for /"
    return ""
