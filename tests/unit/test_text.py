"""URLs with a password in them, as they may be shown."""

from __future__ import annotations

import pytest

from screener.text import without_password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("unix:///run/valkey.sock", "unix:///run/valkey.sock"),
        ("redis://me:pw@host:6379/0", "redis://me:********@host:6379/0"),
        ("redis://:pw@host", "redis://:********@host"),
        ("redis://me:p@w@host", "redis://me:********@host"),
        ("redis://me:p:w@host", "redis://me:********@host"),
        ("redis://me:p/w@host", "redis://********"),
        ("redis://me:p#w@host", "redis://********"),
        ("redis://host/0?password=p@w", "redis://********"),
        ("redis://host/0?password=pw", "redis://host/0?********"),
        ("unix:///run/valkey.sock?db=1&password=pw", "unix:///run/valkey.sock?********"),
        ("pw@host", "********"),
    ],
)
def test_without_password__url__shows_no_part_of_it(url: str, shown: str) -> None:
    assert without_password(url) == shown
