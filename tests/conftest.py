"""What all tests share: on top of each run stands which Asterisk it is on."""

from tests.pbx.asterisk import find_binary


def pytest_report_header() -> str:
    """A line on top of every run."""
    try:
        return f"asterisk: {find_binary().version}"
    except RuntimeError as error:
        return f"asterisk: {error}"
