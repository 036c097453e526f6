"""Commands of the screener in the process of the test, as a user would type them."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import pytest

from screener.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

    Command: TypeAlias = "Callable[..., Ended]"


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def typed(*arguments: object) -> None:
    """Run a command that must succeed, where there is no test yet."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr(sys, "argv", ["screener", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, arguments


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`command("list", "show")` → exit code and output; no command may ever print a traceback."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["screener", *map(str, arguments)])
        code: int | str | None = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Ended(int(code or 0), out, err)

    return run
