"""What is shipped beside the code for containers and systemd agrees with the code, and with itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from screener import config
from tests.pbx.asterisk import MODULES

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "packaging/systemd/screener.service"
EXPOSURE_MAX = 2.0
"""As `systemd-analyze security` counts, from 0 to 10; 1.6 by Debian 12's."""

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is missing")


@needs_systemd
def test_unit__systemd_of_this_machine__understands_every_line(tmp_path: Path) -> None:
    program = tmp_path / "screener"
    program.touch(mode=0o755)
    text = UNIT.read_text().replace("/usr/bin/screener", str(program))
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE))
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])


@needs_systemd
def test_unit__its_exposure__is_small() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", UNIT],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done
    assert float(found[1]) <= EXPOSURE_MAX


@pytest.mark.parametrize("key", ["ExecStart", "User", "Group", "ReadWritePaths"])
def test_unit__what_install_fills_in__is_one_line(key: str) -> None:
    assert len(re.findall(rf"^{key}=\S.*$", UNIT.read_text(), re.MULTILINE)) == 1


def test_docker__its_settings__are_good() -> None:
    settings = config.load(ROOT / "docker/config", environ={}).settings
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert settings.ami.host in compose["services"]
    assert settings.redis.url == "redis://valkey:6379/0"
    assert "valkey" in compose["services"]
    mounts = [mount.split(":")[1] for mount in compose["services"]["screener"]["volumes"]]
    assert {str(settings.state_dir), str(settings.recordings_dir), "/etc/screener"} <= set(mounts)
    assert Path(settings.ami.secret_file).parent.as_posix() in mounts


def test_docker__every_container__is_read_only_and_without_rights() -> None:
    for file in ("compose.yaml", "compose.test.yaml"):
        text = re.sub(r"!(reset|override)\b", "", (ROOT / file).read_text())  # Compose's own tags
        for name, service in yaml.safe_load(text)["services"].items():
            if "image" in service:
                assert service["read_only"], name
                assert service["cap_drop"] == ["ALL"], name
                assert service["security_opt"] == ["no-new-privileges:true"], name
                assert not service.get("privileged"), name


def test_docker__start_of_asterisk__gives_the_secret_to_no_process_as_an_argument(tmp_path: Path) -> None:
    for name in ("run/ami", "run/asterisk", "bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "run/ami/secret").write_text("abc123")
    for name, runs in (("sed", shutil.which("sed")), ("cat", shutil.which("cat")), ("asterisk", "true")):
        (tmp_path / "bin" / name).write_text(
            f'#!/bin/sh\necho "$@" >>{tmp_path}/arguments\nexec {runs} "$@"\n'
        )
        (tmp_path / "bin" / name).chmod(0o755)
    text = (ROOT / "docker/asterisk/start").read_text().replace("/run/", f"{tmp_path}/run/")
    text = text.replace("/etc/asterisk/screener", str(ROOT / "dialplan"))
    subprocess.run(["sh", "-c", text], check=True, timeout=60, env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
    assert "secret = abc123\n" in (tmp_path / "run/asterisk/manager.conf").read_text()
    assert "abc123" not in (tmp_path / "arguments").read_text()


def test_docker__users_and_groups__are_the_same_numbers_in_both_images() -> None:
    screener = (ROOT / "docker/screener.Dockerfile").read_text()
    asterisk = (ROOT / "docker/asterisk.Dockerfile").read_text()
    spool = re.compile(r"install -d (-o \d+ -g \d+ -m \d+) /var/spool/asterisk/screener$", re.MULTILINE)
    assert spool.findall(screener) == spool.findall(asterisk) == ["-o 10101 -g 10100 -m 2770"]
    assert "--gid 10100 asterisk" in screener
    assert "--gid 10100 asterisk" in asterisk


def test_docker__sound__has_the_ports_that_are_published() -> None:
    rtp = (ROOT / "docker/asterisk/rtp.conf").read_text()
    first, last = re.findall(r"^rtp(?:start|end) = (\d+)$", rtp, re.MULTILINE)
    assert f"127.0.0.1:{first}-{last}:{first}-{last}/udp" in (ROOT / "compose.yaml").read_text()


def test_docker__the_demo_asterisk__has_the_modules_that_the_dialplan_is_tested_with() -> None:
    loaded = re.findall(
        r"^load = (\w+)\.so$", (ROOT / "docker/asterisk/modules.conf").read_text(), re.MULTILINE
    )
    # Signatures of callers, and what they need, are not set up there.
    assert set(MODULES) - set(loaded) == {"res_stir_shaken", "res_curl"}
