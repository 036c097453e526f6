"""Fixtures that unit tests share."""

from tests.valkey import state_directory, store_url, valkey_server

__all__ = ["state_directory", "store_url", "valkey_server"]
