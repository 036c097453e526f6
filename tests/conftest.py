"""What all tests share: on top of each run stands which Asterisk it is on."""

import os
import sys

from tests.pbx.asterisk import CACHE, find_binary

if sys.dont_write_bytecode:
    # Else each run, each of its workers and each command that a test starts would compile everything anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(CACHE / "bytecode")
    sys.dont_write_bytecode = False


def pytest_report_header() -> str:
    """A line on top of every run."""
    try:
        return f"asterisk: {find_binary().version}"
    except RuntimeError as error:
        return f"asterisk: {error}"
