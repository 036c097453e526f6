"""Fixtures that unit tests share."""

from tests.commandline import command
from tests.valkey import state_directory, store_url, valkey_server

__all__ = ["command", "state_directory", "store_url", "valkey_server"]
