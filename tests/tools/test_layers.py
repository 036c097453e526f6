"""The import contracts of pyproject.toml: kept by the package, broken by each forbidden import."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = "Imports run downwards only, and neighbours on a floor do not know each other"
CORE = "The core is pure: no clock, no chance, no world outside"

FORBIDDEN = [
    pytest.param("call", "policy", id="upwards-in-the-core"),
    pytest.param("policy", "state", id="upwards-to-the-store"),
    pytest.param("state", "screening", id="upwards-from-the-outer-floor"),
    pytest.param("ledger", "ami", id="neighbour-on-the-outer-floor"),
    pytest.param("verdict", "facts", id="neighbour-in-the-core"),
]
IMPURE = [
    pytest.param("facts", "time", id="clock"),
    pytest.param("policy", "random", id="chance"),
    pytest.param("number", "redis", id="database"),
    pytest.param("verdict", "asyncio", id="event-loop"),
    pytest.param("call", "logging", id="log"),
]


def spoiled(root: Path, imports: dict[str, str]) -> Path:
    """A copy of the package and its contracts in which each module has one import more."""
    shutil.copytree(ROOT / "screener", root / "screener", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for module, imported in imports.items():
        path = root / "screener" / f"{module}.py"
        if not path.exists():
            path = root / "screener" / module / "__init__.py"
        path.write_text(f"{path.read_text()}\nimport {imported}\n")
    return root


def lint(root: Path) -> tuple[int, str]:
    """Exit status and output of lint-imports on the package in `root`."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def upward(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    imports = {str(case.values[0]): f"screener.{case.values[1]}" for case in FORBIDDEN}
    return lint(spoiled(tmp_path_factory.mktemp("upward"), imports))


@pytest.fixture(scope="module")
def impure(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    imports = {str(case.values[0]): str(case.values[1]) for case in IMPURE}
    return lint(spoiled(tmp_path_factory.mktemp("impure"), imports))


def test_layers__package_as_it_is__every_contract_is_kept(tmp_path: Path) -> None:
    status, output = lint(spoiled(tmp_path, {}))
    assert status == 0, output
    assert f"{FLOORS} KEPT" in output
    assert f"{CORE} KEPT" in output


@pytest.mark.parametrize(("module", "imported"), FORBIDDEN)
def test_layers__import_upwards_or_sideways__is_named(
    upward: tuple[int, str], module: str, imported: str
) -> None:
    status, output = upward
    assert status == 1
    assert f"{FLOORS} BROKEN" in output
    assert f"screener.{module} -> screener.{imported} (l." in output


@pytest.mark.parametrize(("module", "imported"), IMPURE)
def test_layers__core_imports_the_world__is_named(
    impure: tuple[int, str], module: str, imported: str
) -> None:
    status, output = impure
    assert status == 1
    assert f"{FLOORS} KEPT" in output
    assert f"{CORE} BROKEN" in output
    assert f"screener.{module} -> {imported} (l." in output


def test_layers__core_reaches_the_world_through_another_module__is_named(tmp_path: Path) -> None:
    status, output = lint(spoiled(tmp_path, {"errors": "os", "number": "screener.errors"}))
    assert status == 1
    assert f"{CORE} BROKEN" in output
    assert "screener.errors -> os (l." in output


def test_layers__module_on_no_floor__is_named(tmp_path: Path) -> None:
    root = spoiled(tmp_path, {})
    (root / "screener" / "shared.py").write_text("")
    status, output = lint(root)
    assert status == 1
    assert "- screener.shared" in output
