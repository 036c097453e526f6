"""What stands in the way of `screener install`, or was put there to have root write elsewhere."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.pbx.asterisk import find_binary
from tests.pbx.bare import bare, needs_debian, parts, tree
from tests.users import ASTERISK, needs_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [needs_root, needs_debian, pytest.mark.timeout(180)]


async def test_install__files_that_somebody_else_put_there__are_named_and_left() -> None:
    async with bare() as house:
        service, etc = parts(house)
        (etc / "screener").mkdir()
        (etc / "screener/screener.conf").write_text("; installed by hand\n")
        before = tree(etc)
        code, said = await service.install()
        assert code == 1
        assert f"not written by `screener install`, so not replaced: {etc}/screener/screener.conf" in said
        assert tree(etc) == before
        code, said = await service.install("--force")
        assert code == 0, said
        assert (etc / "screener/screener.conf.before").read_text() == "; installed by hand\n"


def _folder_elsewhere(etc: Path, elsewhere: Path) -> None:
    (etc / "screener").symlink_to(elsewhere)
    os.chown(etc / "screener", ASTERISK, ASTERISK, follow_symlinks=False)


def _account_elsewhere(etc: Path, elsewhere: Path) -> None:
    (etc / "manager.d/screener.conf").symlink_to(elsewhere / "account")


def _dialplan_elsewhere(etc: Path, elsewhere: Path) -> None:
    shutil.move(etc / "extensions.conf", elsewhere)
    (etc / "extensions.conf").symlink_to(elsewhere / "extensions.conf")


def _fifo(etc: Path, _: Path) -> None:
    (etc / "screener").mkdir()
    os.mkfifo(etc / "screener/manager.conf")


@pytest.mark.parametrize("trap", [_folder_elsewhere, _account_elsewhere, _dialplan_elsewhere, _fifo])
async def test_install__links_and_pipes_in_the_way__are_named_and_nothing_goes_through(
    trap: Callable[[Path, Path], None],
) -> None:
    async with bare() as house:
        service, etc = parts(house)
        elsewhere = house.directory / "elsewhere"
        elsewhere.mkdir()
        trap(etc, elsewhere)
        before = tree(house.directory / "pbx/etc"), tree(elsewhere)
        code, said = await service.install("--trunk", "trunk")
        assert code == 1, said
        assert "link" in said or "not a file" in said
        assert (tree(house.directory / "pbx/etc"), tree(elsewhere)) == before


async def test_install__secret__is_in_no_output_and_in_no_process_list() -> None:
    async with bare() as house:
        service, _ = parts(house)
        spy, seen = house.directory / "bin", house.directory / "seen"
        spy.mkdir()
        program = find_binary().command[0]
        (spy / "asterisk").write_text(f'#!/bin/sh\n{{ echo "$@"; env; }} >>{seen}\nexec {program} "$@"\n')
        (spy / "asterisk").chmod(0o755)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{spy}:{os.environ['PATH']}")
            outputs = [(await service.install("--trunk", "trunk"))[1]]
            secret = (service.site / "ami.secret").read_text().strip()
            assert len(secret) == 48
            (service.site / "installed.json").write_text(
                (service.site / "installed.json").read_text().replace(' "version": "', ' "version": "0')
            )
            manager = house.directory / "pbx/etc/screener/manager.conf"
            manager.write_text(manager.read_text() + "; changed\n")
            outputs += [
                (await service.install("--force", "--dry-run"))[1],
                (await service.install("--force"))[1],
            ]
            outputs += [(await service.command("uninstall"))[1]]
        assert "dialplan reload" in seen.read_text()
        assert secret not in "".join([*outputs, seen.read_text(), house.pbx.log()])
        assert "-; changed" in outputs[1]
