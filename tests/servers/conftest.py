"""Fixtures of tests with servers of their own."""

from tests.commandline import command
from tests.postgres import cluster, place
from tests.valkey import state_directory, store_url, valkey_server

__all__ = ["cluster", "command", "place", "state_directory", "store_url", "valkey_server"]
