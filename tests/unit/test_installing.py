"""What an installation writes between the lines of others, and how it is undone at every point of failure."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screener import asterisk, config
from screener.errors import ConfigError, InstallRefused
from screener.installing import disk, service, site, text
from tests.pbx.asterisk import CACHE
from tests.pbx.bare import tree
from tests.users import ASTERISK, needs_root

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commandline import Command

LINES = st.lists(
    st.sampled_from(["[general]", "a = b", "; remark", "", "#include x.conf", "exten => s,1,NoOp()"])
)


def arguments(etc: Path) -> list[object]:
    """What every install of these tests is told."""
    return [
        "install", "--config", etc.parent / "site", "--asterisk-etc", etc, "--state-dir",
        etc.parent / "state", "--region", "DE", "--timezone", "Europe/Berlin", "--sounds", CACHE / "sounds",
        "--no-service",
    ]  # fmt: skip


@given(lines_=LINES, ended=st.booleans(), bom=st.booleans(), at_end=st.booleans())
def test_block__put_in_and_taken_out__leaves_the_text_as_it_was(
    lines_: list[str], *, ended: bool, bom: bool, at_end: bool
) -> None:
    before = "\ufeff" * bom + "\n".join(lines_) + "\n" * ended
    try:
        after, inserted = text.insertion("x.conf", before, text.block("screener/site.conf"), at_end=at_end)
    except InstallRefused:
        entries = [line for line in lines_ if line and line[0] != ";"]
        assert not at_end
        assert entries[0][0] not in "[#"
        return
    assert after.replace(inserted, "", 1) == before
    assert after.count(text.BEGIN) == after.count(text.END) == 1
    lines = after.removeprefix("\ufeff").split("\n")
    assert lines.index("#include screener/site.conf") == lines.index(text.BEGIN.strip()) + 1


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        ('#include "manager.d/*.conf" ', "manager.d"),
        ("#tryinclude manager.d/*.conf ; all", "manager.d"),
        ("#include <manager.d/*.conf>", "manager.d"),
        (";#include manager.d/*.conf", ""),
        ("#include ../*.conf", ""),
        ("#include screener/*.conf", ""),
        ("#include manager.d/one.conf", ""),
    ],
)
def test_drop_in__directory_of_which_all_is_included__is_used(line: str, folder: str) -> None:
    assert text.drop_in(f"[general]\nenabled = yes\n{line}\n") == folder


def test_difference__secrets_of_others__are_not_shown() -> None:
    before = "[general]\nenabled=yes\n[admin]\nsecret = amp111\npassword=x1y2\n"
    shown = text.difference("manager.conf", before, "; one\n" + before, "") + text.difference(
        "f", None, before + "permit = 0123456789abcdef\n", "0123456789abcdef"
    )
    assert not re.search("amp111|x1y2|0123456789abcdef", shown)
    assert "+; one" in shown


def test_region__of_a_time_zone__is_its_country() -> None:
    assert [site.region_of(zone) for zone in ("Europe/Berlin", "Asia/Shanghai", "Etc/UTC", "")] == [
        "DE",
        "CN",
        "",
        "",
    ]
    assert site.guessed(site.Place("", "Europe/Paris")) == ("FR", "Europe/Paris")
    with pytest.raises(ConfigError, match="--region DE --timezone"):
        site.guessed(site.Place("", "Etc/UTC"))


def test_zone__of_the_system__is_where_its_link_leads(tmp_path: Path) -> None:
    (tmp_path / "zoneinfo/Asia").mkdir(parents=True)
    (tmp_path / "zoneinfo/Asia/Tokyo").touch()
    (tmp_path / "localtime").symlink_to("zoneinfo/Asia/Tokyo")
    assert site.time_zone(tmp_path / "localtime") == "Asia/Tokyo"
    assert site.time_zone(tmp_path / "nothing") == ""


@needs_root
def test_real__links__are_followed_if_they_are_roots(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "ours").symlink_to("there")
    (tmp_path / "theirs").symlink_to(tmp_path / "there")
    os.chown(tmp_path / "theirs", ASTERISK, ASTERISK, follow_symlinks=False)
    assert disk.real(tmp_path / "ours/../ours/new/file") == tmp_path / "there/new/file"
    with pytest.raises(InstallRefused, match="theirs: a symbolic link"):
        disk.real(tmp_path / "theirs/file")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InstallRefused):
        disk.real(tmp_path / "loop")


def test_remove_tree__link_put_on_the_way_meanwhile__leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "roots/state/kept").mkdir(parents=True)
    (tmp_path / "theirs").symlink_to(tmp_path / "roots")
    with pytest.raises(InstallRefused, match="theirs"):
        disk.remove_tree(tmp_path / "theirs/state")
    assert (tmp_path / "roots/state/kept").is_dir()
    disk.remove_tree(tmp_path / "roots/state")
    assert not (tmp_path / "roots/state").exists()


@needs_root
def test_install__settings__are_what_is_particular_here(etc: Path, command: Command) -> None:
    assert command(*arguments(etc)).code == 0
    loaded = config.load(etc.parent / "site")
    assert (loaded.settings.region, loaded.settings.timezone, loaded.settings.ami.port) == (
        "DE",
        "Europe/Berlin",
        5039,
    )
    assert loaded.settings.recordings_dir == etc.parent / "spool/screener"
    assert loaded.ami_secrets()[""].get_secret_value() in (etc / "screener/manager.conf").read_text()
    assert command("check", "--config", etc.parent / "site", "--dialplan", etc / "screener").code == 0
    assert "nothing to do" in command(*arguments(etc)).out


@needs_root
def test_install__asterisk_is_another_user__he_reads_all_that_he_shall_include(
    etc: Path, command: Command
) -> None:
    (etc / "manager.d").mkdir(exist_ok=True)
    manager = (etc / "manager.conf").read_text()
    (etc / "manager.conf").write_text(
        manager.replace("[general]", '[general]\n#include "manager.d/*.conf"', 1)
    )
    os.chown(etc.parent / "spool", ASTERISK, ASTERISK)
    assert command(*arguments(etc)).code == 0
    group = asterisk.find(etc).group
    assert group
    for path in (etc / "manager.d/screener.conf", etc / "screener/manager.conf", etc / "screener/site.conf"):
        assert (path.stat().st_gid, path.stat().st_mode & 0o777) == (group, 0o640), path


@needs_root
def test_install__manager_that_is_off__is_said_and_left_to_the_administrator(
    etc: Path, command: Command
) -> None:
    off = (etc / "manager.conf").read_text().replace("enabled = yes", "enabled = no")
    (etc / "manager.conf").write_text(off)
    assert "NO CALL CAN BE SCREENED" in command(*arguments(etc)).out
    assert (etc / "manager.conf").read_text() == off


@needs_root
def test_install__disk_full_at_any_file__leaves_all_as_it_was(
    etc: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, files = os.rename, 0

    def full(*names: object, **places: object) -> None:
        nonlocal files
        files += 1
        if files == last:
            raise OSError(28, "No space left on device")
        rename(*names, **places)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", full)
    before = tree(etc.parent)
    last = 1
    while True:
        files = 0
        ended = command(*arguments(etc))
        if ended.code == 0:
            break
        assert "No space left" in ended.err
        assert tree(etc.parent) == before, f"after file {last}"
        last += 1 if last < 5 else 9
    assert last > 60
    assert command("uninstall", "--config", etc.parent / "site", "--purge").code == 0
    assert tree(etc.parent) == before


@needs_root
@pytest.mark.parametrize("at", [1, 2, 30, 62, 69, 72, 73])
def test_install__killed_in_the_middle__is_finished_by_the_next_or_taken_out(
    etc: Path, command: Command, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    before = tree(etc.parent)
    if not (child := os.fork()):
        rename, files = os.rename, 0

        def killed(*names: object, **places: object) -> None:
            nonlocal files
            files += 1
            if files == at:
                os._exit(9)
            rename(*names, **places)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "rename", killed)
        try:
            command(*arguments(etc))
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    if at > 1:  # the record is the first file
        assert command("uninstall", "--config", etc.parent / "site", "--force").code == 0
        assert tree(etc.parent) == before
    assert command(*arguments(etc)).code == 0
    assert command("uninstall", "--config", etc.parent / "site", "--purge").code == 0


@needs_root
def test_install__block_that_somebody_changed__is_refused_until_forced(etc: Path, command: Command) -> None:
    before = (etc / "extensions.conf").read_text()
    assert command(*arguments(etc)).code == 0
    path = etc / "extensions.conf"
    path.write_text(path.read_text().replace("screener/site.conf", "mine.conf"))
    ended = command(*arguments(etc))
    assert (ended.code, "between the marks" in ended.err) == (1, True)
    ended = command("uninstall", "--config", etc.parent / "site")
    assert f"{path}: changed by somebody" in ended.out
    assert "mine.conf" in path.read_text()
    assert command(*arguments(etc), "--force").code == 0
    assert "mine.conf" not in path.read_text()
    assert command("uninstall", "--config", etc.parent / "site").code == 0
    assert path.read_text() == before


@needs_root
def test_record__that_others_may_write__removes_nothing(etc: Path, command: Command) -> None:
    assert command(*arguments(etc)).code == 0
    record = etc.parent / "site/installed.json"
    record.chmod(0o666)
    ended = command("uninstall", "--config", etc.parent / "site")
    assert (ended.code, "others may write it" in ended.err) == (1, True)
    assert (etc / "screener/site.conf").exists()


def test_install__as_somebody_else_than_root__says_the_command(
    etc: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12003)
    ended = command(*arguments(etc))
    assert (ended.code, "this needs root: sudo " in ended.err) == (1, True)


@needs_root
@pytest.mark.parametrize("starts", [True, False])
def test_service__where_systemd_runs__is_started_and_taken_out(
    etc: Path, command: Command, monkeypatch: pytest.MonkeyPatch, *, starts: bool
) -> None:
    units, programs = etc.parent / "units", etc.parent / "bin"
    units.mkdir()
    programs.mkdir()
    refuses = "" if starts else '[ "$1" = restart ] && { echo "Job failed" >&2; exit 1; }\n'
    (programs / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{etc.parent}/said\n{refuses}exit 0\n')
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(service, "UNITS", units)
    monkeypatch.setattr(service, "here", lambda: True)
    ended = command(*arguments(etc)[:-1])
    assert (ended.code, "the service is started" in ended.out) == ((0, True) if starts else (1, False))
    assert starts or "Job failed" in ended.err
    unit = (units / "screener.service").read_text()
    assert f"screener run --config {etc.parent}/site\n" in unit
    assert f"{etc.parent}/state {etc.parent}/spool/screener" in unit
    assert f"\nUser={(etc.parent / 'spool').stat().st_uid}\n" in unit
    assert command("uninstall", "--config", etc.parent / "site").code == 0
    assert not list(units.iterdir())
    said = (etc.parent / "said").read_text().splitlines()
    assert said == [
        "daemon-reload", "enable screener.service", "restart screener.service",
        "disable --now screener.service", "daemon-reload",
    ]  # fmt: skip
