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
        ("redis://host/0?password=pw", "redis://host/0?password=********"),
        ("unix:///s?db=1&password=pw&x=1", "unix:///s?db=1&password=********&x=1"),
        ("postgresql://me:pw@host/db?sslmode=require", "postgresql://me:********@host/db?sslmode=require"),
        ("redis+sentinel://me:pw@a:1,b:2/main", "redis+sentinel://me:********@a:1,b:2/main"),
        ("pw@host", "********"),
    ],
)
def test_without_password__url__shows_no_part_of_it(url: str, shown: str) -> None:
    assert without_password(url) == shown
