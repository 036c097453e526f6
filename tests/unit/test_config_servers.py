"""Where other servers are: several Asterisks, the store, the ledger; each mistake at file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from screener.config import SECRET_VARIABLE, Config, load
from screener.errors import ConfigError

TWO = "pbxs:\n  a: {host: 10.0.0.1, recordings_dir: /srv/a}\n  b: {host: 10.0.0.2, recordings_dir: /srv/b}\n"


def loaded(site: Path, content: str, **environ: str) -> Config:
    (site / "screener.yaml").write_text(content)
    return load(site, environ=environ)


def problem(site: Path, content: str) -> str:
    """The only problem, without the directory in front of it."""
    with pytest.raises(ConfigError) as caught:
        loaded(site, content)
    (found,) = caught.value.problems
    return found.removeprefix(f"{site}/")


def secret_problem(site: Path, content: str) -> str:
    config = loaded(site, content)
    with pytest.raises(ConfigError) as caught:
        config.ami_secrets()
    (found,) = caught.value.problems
    return found.removeprefix(f"{site}/")


# ---------------------------------------------------------------- several Asterisks


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("pbxs: [a, b]\n", "1:7: pbxs: expected keys with values below it"),
        ("pbxs: berlin\n", "1:7: pbxs: expected keys with values below it"),
        ("pbxs:\n  a: 10.0.0.5\n", "2:6: pbxs.a: expected keys with values below it"),
        ("pbxs:\n  a:\n", "2:5: pbxs.a: expected keys with values below it"),
        ("pbxs:\n  a: {hots: x}\n", "2:7: pbxs.a.hots: unknown key; did you mean host?"),
        ("pbxs:\n  a: {port: 99999}\n", "2:13: pbxs.a.port: expected a port number from 1 to 65535"),
        ("pbxs:\n  a: {tls: yes}\n", "2:12: pbxs.a.tls: expected keys with values below it"),
        ("pbxs:\n  a: {tls: {verify: si}}\n", "2:21: pbxs.a.tls.verify: expected true or false"),
        ("pbxs:\n  a: {recordings_dir: x}\n", "2:23: pbxs.a.recordings_dir: expected a path that begins"),
        ("pbxs:\n  A_1: {}\n", "2:3: pbxs.A_1: expected a name of 32 characters at most: a to z, 0 to 9"),
        ("pbxs:\n  'a\\n': {}\n", "2:3: pbxs.a\\n: expected a name of 32 characters at most"),
        ("pbxs:\n  a: {}\n  a: {}\n", "3:3: a: written twice; the first one is at 2:3"),
        (
            "pbxs:\n  a: {secret: x, secret_file: /y}\n",
            "2:31: pbxs.a.secret_file: pbxs.a.secret is set as well; keep one of the two",
        ),
        (
            "ami:\n  secret: x\n  secret_file: /y\npbxs:\n  a: {}\n",
            "3:16: ami.secret_file: ami.secret is set as well; keep one of the two",
        ),
        (
            "pbxs:\n  a: {host: h}\n  b: {host: i}\n",
            "3:3: pbxs.b.recordings_dir: a records into /var/spool/asterisk/screener, too; give each",
        ),
        (
            "pbxs:\n  a: {host: h, recordings_dir: /s/a}\n  b: {host: i, recordings_dir: /s/c/../a/}\n",
            "3:3: pbxs.b.recordings_dir: a records into /s/c/../a, too; give each",
        ),
        (
            "pbxs:\n  a: {recordings_dir: /srv/a}\n  b: {recordings_dir: /srv/b}\n",
            "3:3: pbxs.b.host: 127.0.0.1:5038 is that of a, too; each has a manager interface of its own",
        ),
    ],
)
def test_pbxs__something_wrong__told_with_line_and_key(tmp_path: Path, content: str, expected: str) -> None:
    assert problem(tmp_path, content).startswith(f"screener.yaml:{expected}")


def test_pbxs__what_one_does_not_say__it_has_from_ami(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "ami: {port: 5039, username: us, tls: {enabled: true}}\n"
        "pbxs:\n  a: {host: h, tls: {verify: false}}\n  b: {host: i, port: 1, recordings_dir: /srv/b}\n",
    )
    a, b = config.settings.asterisks.values()
    assert (a.host, a.port, a.username, a.tls.enabled, a.tls.verify) == ("h", 5039, "us", True, False)
    assert (b.host, b.port, b.tls.verify, b.recordings_dir) == ("i", 1, True, Path("/srv/b"))
    assert a.recordings_dir == config.settings.recordings_dir


@pytest.mark.parametrize("one", ["a: {secret: own}", "a: {secret_file: FILE}"])
@pytest.mark.parametrize("of_all", ["secret: all", "secret_file: /nowhere"])
def test_pbxs__one_names_a_secret__it_counts_for_that_one_alone(
    tmp_path: Path, of_all: str, one: str
) -> None:
    (tmp_path / "secret").write_text("own\n")
    own = one.replace("FILE", str(tmp_path / "secret")).replace("{", "{host: h, recordings_dir: /srv/a, ")
    config = loaded(tmp_path, f"ami: {{{of_all}}}\npbxs:\n  {own}\n")
    assert config.ami_secrets()["a"].get_secret_value() == "own"


def test_pbxs__secret_from_the_environment__is_that_of_all_who_name_none(tmp_path: Path) -> None:
    content = TWO.replace("host: 10.0.0.2", "host: 10.0.0.2, secret: own")
    config = loaded(tmp_path, f"ami: {{secret_file: /nowhere}}\n{content}", **{SECRET_VARIABLE: "all"})
    assert {name: one.get_secret_value() for name, one in config.ami_secrets().items()} == {
        "a": "all",
        "b": "own",
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (TWO, "2:6: pbxs.a.secret: is empty; set it, pbxs.a.secret_file or $SCREENER_AMI_SECRET"),
        (
            f"ami: {{secret: x}}\n{TWO}  c: {{host: c, recordings_dir: /c, secret: ''}}\n",
            "5:44: pbxs.c.secret: is empty",
        ),
        (f"ami: {{secret: CHANGE-ME}}\n{TWO}", "1:15: pbxs.a.secret: CHANGE-ME is no secret; choose one"),
        (f"ami: {{secret_file: /no}}\n{TWO}", "1:20: pbxs.a.secret_file: /no: No such file"),
        (
            f"ami: {{secret: x}}\n{TWO}  c: {{host: c, recordings_dir: /c, secret_file: /no}}\n",
            "5:49: pbxs.c.secret_file: /no: No such file",
        ),
    ],
)
def test_pbxs__secret_cannot_be_had__told_with_line_and_key(
    tmp_path: Path, content: str, expected: str
) -> None:
    assert secret_problem(tmp_path, content).startswith(f"screener.yaml:{expected}")


# ---------------------------------------------------------------- store and ledger

SHAPE = "redis.url: expected redis://host:port/0, rediss://…, unix:///path, redis+sentinel://host:port"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        *(
            (url, SHAPE)
            for url in (
                "http://h:1", "redis://h:abc", "redis://h:1/x", "redis://u:hush@h:99999/0", "unix://",
                "redis+sentinel://h:1", "redis+sentinel://h:1/", "redis+sentinel://h/m", "redis+sentinel://:1/m",
                "redis+sentinel://h,i:1/m", "redis+sentinel://h:99999/m", "redis+sentinel://h:1/m/x",
                "redis+sentinel://h:1/m?db=1", "redis+sentinel://u:hush@h:1,/m",
                "redis+cluster://h", "redis+cluster://h:1/0", "redis+cluster://u:hush@h", "redis+cluster://h:1,i",
            )
        ),
        ("redis://u:hush@h:1/0?foo=1", "redis.url: unknown option 'foo'"),
        ("unix:///run/redis?foo=1", "redis.url: unknown option 'foo'"),
        ("redis://h:1/0?db=x", "redis.url: Invalid value for 'db' in connection URL"),
        ("rediss://h:1/0?ssl_cert_reqs=maybe", "redis.url: Invalid SSL Certificate Requirements Flag: maybe"),
    ],
)  # fmt: skip
def test_store_url__wrong__told_with_its_line_without_its_password(
    tmp_path: Path, url: str, expected: str
) -> None:
    told = problem(tmp_path, f"redis:\n  url: {url}\n")
    assert told.startswith(f"screener.yaml:2:8: {expected}")
    assert "hush" not in told


@pytest.mark.parametrize(
    "url",
    [
        "redis://h", "redis://:6379", "redis://h:1/2?socket_keepalive=true", "redis://u:p@ss@[::1]:1/0",
        "rediss://u:p@h:1/0?ssl_ca_certs=/etc/ca.pem", "unix:///run/redis.sock?db=3", "unix://u:p@/run/r",
        "redis+sentinel://h:1/m", "redis+sentinel://u:p@h:1,[::1]:2/my-master.1/3",
        "redis+cluster://h:1", "redis+cluster://u:p%40@h:1,i:2/",
    ],
)  # fmt: skip
def test_store_url__right__is_taken_and_shown_without_its_password(tmp_path: Path, url: str) -> None:
    config = loaded(tmp_path, f"redis:\n  url: {url}\n")
    assert config.settings.redis.url == url
    (shown,) = (one.value for one in config.effective() if one.path == "screener.redis.url")
    assert shown == url.replace(":p@ss@", ":********@").replace(":p@", ":********@").replace(
        ":p%40@", ":********@"
    )


@pytest.mark.parametrize(
    "url", ["sqlite:///x", "postgresql://u:hush@h:abc/d", "postgresql://u:hush@h/d?no=1"]
)
def test_ledger_url__wrong__told_with_its_line_without_its_password(tmp_path: Path, url: str) -> None:
    told = problem(tmp_path, f"ledger:\n  url: {url}\n")
    assert told.startswith("screener.yaml:2:8: ledger.url: ")
    assert "hush" not in told
