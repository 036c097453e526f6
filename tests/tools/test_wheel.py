"""The wheel holds what an installed screener needs besides Python: rules, dialplan and Lua."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files in the wheel as it would be published now."""
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", target],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize(
    ("source", "target", "pattern"),
    [
        ("config", "_config", "*.yaml"),
        ("dialplan", "_dialplan", "*"),
        ("packaging/systemd", "_systemd", "*"),
        ("scripts", "_scripts", "prompts"),
        ("scripts", "_scripts", "lib.sh"),
        ("screener", "", "*.lua"),
    ],
)
def test_wheel__data_files_of_the_checkout__are_all_in_it(
    names: set[str], source: str, target: str, pattern: str
) -> None:
    files = [path for path in (ROOT / source).rglob(pattern) if path.is_file()]
    assert files
    wanted = {(Path("screener") / target / path.relative_to(ROOT / source)).as_posix() for path in files}
    assert wanted <= names


def test_wheel__types_and_licence__are_in_it(names: set[str]) -> None:
    assert "screener/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_wheel__tests_and_scripts__stay_out(names: set[str]) -> None:
    assert {name.split("/")[0].split("-")[0] for name in names} == {"screener", "asterisk_screener"}
