"""What a site may write, what is refused, and that every refusal names file, line, column and key."""

from __future__ import annotations

import pickle
import shutil
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from screener.config import SECRET_VARIABLE, Config, load, shipped_dir
from screener.config.nodes import MAX_BYTES
from screener.errors import ConfigError

if TYPE_CHECKING:
    from screener.facts import FactValue

RULES = """\
group: local
description: our own
enabled: true
max_score: 5
rules:
  LOUD:
    score: 1
    when: caller.calls_1d > 3
    because: loud
"""


@pytest.fixture(autouse=True)
def _in_a_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site" / "rules").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)


def write(name: str, content: str | bytes) -> None:
    raw = content.encode() if isinstance(content, str) else content
    (Path("site") / name).parent.mkdir(parents=True, exist_ok=True)
    (Path("site") / name).write_bytes(raw)


def loaded(**environ: str) -> Config:
    return load(Path("site"), environ=environ)


def problems(name: str, content: str | bytes) -> list[str]:
    write(name, content)
    with pytest.raises(ConfigError) as caught:
        loaded()
    return caught.value.problems


# ---------------------------------------------------------------- layers


def test_config__no_site__shipped_values_in_force() -> None:
    config = load(None, environ={})
    assert config.settings.ami.port == 5038
    assert config.settings.redis.url == ""
    assert config.settings.state_dir == Path("/var/lib/screener")
    assert config.policy.actions.reject is None
    assert "BLOCKLISTED" in config.policy.rules
    assert "COLLECTOR_PREFIX" not in config.policy.rules


def test_config__site_changes_one_key__the_rest_stays_shipped() -> None:
    write("screener.yaml", "ami:\n  port: 5039\n")
    settings = loaded().settings
    assert (settings.ami.port, settings.ami.host, settings.ami.tls.verify) == (5039, "127.0.0.1", True)


def test_config__one_line_enables_a_group__its_rules_are_asked() -> None:
    facts: dict[str, FactValue] = {
        "caller.region": "CN",
        "caller.national": "17712345678",
        "call.local_hour": 23,
    }
    assert "COLLECTOR_PREFIX" not in loaded().policy.judge(facts).reasons
    write("rules/collection.yaml", "enabled: true\n")
    assert "COLLECTOR_PREFIX(+4)" in loaded().policy.judge(facts).reasons


def test_config__rule_overridden_by_name__other_keys_of_it_stay() -> None:
    write("rules/velocity.yaml", "rules:\n  DID_FANOUT:\n    score: 6\n    shadow: true\n")
    policy = loaded().policy
    assert policy.rules["DID_FANOUT"].score == 6
    assert policy.rules["DID_FANOUT"].when == "caller.dids_1h >= 5"


def test_config__own_rule_file__is_added() -> None:
    write("rules/local.yaml", RULES)
    assert loaded().policy.rules["LOUD"].score == 1


def test_config__list_in_site__replaces_the_whole_list() -> None:
    write("screener.yaml", "own_numbers:\n  - 0201234567\n  - +862062345678\n")
    assert loaded().settings.own_numbers == ("0201234567", "+862062345678")


@pytest.mark.parametrize(
    "content", ["", "# nothing yet\n", "ami:\n  # host: 10.0.0.1\n", "\ufeffregion: CN\n"]
)
def test_config__file_says_nothing__shipped_values_stay(content: str) -> None:
    write("screener.yaml", content)
    assert loaded().settings == load(None, environ={}).settings


def test_config__region_no__is_norway_and_not_false() -> None:
    write("screener.yaml", "region: NO\n")
    assert loaded().settings.region == "NO"


def test_config__trunks__first_that_fits_gives_the_country_and_the_rest_is_at_home() -> None:
    write("screener.yaml", "region: FR\ntrunks:\n  PJSIP/us.1: {region: US}\n  PJSIP/*: {region: DE}\n")
    place = loaded().settings.place
    trunks = ("PJSIP/us.1", "PJSIP/us.12", "PJSIP/", "SIP/a", "")
    assert [place.region_of(trunk) for trunk in trunks] == ["US", "DE", "DE", "FR", "FR"]
    shown = {one.path: (one.value, one.origin) for one in loaded().effective()}
    assert shown["screener.trunks.PJSIP/us.1.region"] == ("US", "site/screener.yaml:3")


def test_config__files_of_editors_and_others__are_ignored() -> None:
    for name in ("README.md", ".screener.yaml.swp", ".#policy.yaml", "screener.yaml.dpkg-old"):
        write(name, "{{{")
    assert loaded().settings.region == "CN"


def test_config__origin__names_layer_and_line() -> None:
    write("screener.yaml", "# ours\nami:\n  port: 5039\n")
    write("rules/velocity.yaml", "rules:\n  BURST: {score: 3}\n")
    config = loaded()
    assert config.origin("screener.ami.port") == "site/screener.yaml:3"
    assert config.origin("rules/velocity.rules.BURST.score") == "site/rules/velocity.yaml:2"
    assert config.origin("policy.actions.challenge").startswith("shipped/policy.yaml:")
    with pytest.raises(KeyError):
        config.origin("screener.ami.prot")


# ---------------------------------------------------------------- refusals, each with its place


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("screener.yaml", "ami:\n  prot: 1\n", "2:3: ami.prot: unknown key"),
        ("screener.yaml", "amy:\n  port: 1\n", "1:1: amy: unknown key"),
        (
            "screener.yaml",
            "region: CN\nami:\n  port: 0x1\n",
            "3:9: ami.port: expected a port number from 1 to 65535",
        ),
        ("screener.yaml", "ami:\n  port: 70000\n", "2:9: ami.port: expected a port number from 1 to 65535"),
        ("screener.yaml", "ami:\n  host: [a]\n", "2:9: ami.host: expected a text"),
        ("screener.yaml", "ami:\n  host: ''\n", "2:9: ami.host: must not be empty"),
        ("screener.yaml", f"ami:\n  host: {'a' * 256}\n", "2:9: ami.host: longer than 255 characters"),
        ("screener.yaml", 'ami:\n  host: "a\\nb"\n', "2:9: ami.host: expected one line of text"),
        ("screener.yaml", "ami: here\n", "1:6: ami: expected keys with values below it"),
        (
            "screener.yaml",
            "ami:\n  tls:\n    enabled: yes\n",
            "3:14: ami.tls.enabled: expected true or false",
        ),
        ("screener.yaml", "own_numbers: 110\n", "1:14: own_numbers: expected a list"),
        (
            "screener.yaml",
            "own_numbers:\n  - '110'\n  - 1-800\n",
            "3:5: own_numbers.1: expected 2 to 15 digits, with or without a leading +",
        ),
        (
            "screener.yaml",
            "timezone: Mars/Base\n",
            "1:11: timezone: no such time zone; expected a name of the IANA database such as Asia/Shanghai",
        ),
        ("screener.yaml", "timezone: ../../etc/passwd\n", "1:11: timezone: no such time zone"),
        ("screener.yaml", "region: XX\n", "1:9: region: no such country; expected two capital letters"),
        (
            "screener.yaml",
            "trunks:\n  PJSIP/berlin: {region: de}\n",
            "2:26: trunks.PJSIP/berlin.region: no such country; expected two capital letters",
        ),
        (
            "screener.yaml",
            "trunks:\n  PJSIP/a: {region: DE}\n  PJ*P: {region: DE}\n",
            "3:3: trunks.PJ*P: expected a trunk such as PJSIP/carrier, or a beginning: PJSIP/sip*",
        ),
        (
            "screener.yaml",
            "trunks: {PJSIP/a: DE}\n",
            "1:19: trunks.PJSIP/a: expected keys with values below it",
        ),
        ("screener.yaml", "trunks: {PJSIP/a: {}}\n", "1:10: trunks.PJSIP/a.region: is required, but missing"),
        ("screener.yaml", "trunks: {PJSIP/a: {regoin: DE}}\n", "1:20: trunks.PJSIP/a.regoin: unknown key"),
        ("screener.yaml", "city: perhaps\n", "1:7: city: expected true or false"),
        ("screener.yaml", "log: {level: loud}\n", "1:14: log.level: expected 'debug'"),
        ("screener.yaml", "state_dir: state\n", "1:12: state_dir: expected a path that begins with /"),
        ("screener.yaml", "redis: {url: localhost}\n", "1:14: redis.url: expected redis://host:port/0"),
        (
            "screener.yaml",
            "log:\n  level: loud\n",
            "2:10: log.level: expected 'debug', 'info', 'warning' or 'error'",
        ),
        (
            "screener.yaml",
            "ami:\n  secret: a\n  secret_file: /b\n",
            "3:16: ami.secret_file: ami.secret is set as well; keep one of the two",
        ),
        (
            "policy.yaml",
            "actions:\n  challenge: four\n",
            "2:14: actions.challenge: expected a number such as 4 or",
        ),
        ("policy.yaml", "actions:\n  challenge: 0\n", "2:14: actions.challenge: expected a number above 0"),
        (
            "policy.yaml",
            "actions:\n  challenge: 1e3\n",
            "2:14: actions.challenge: expected a number such as 4 or",
        ),
        (
            "policy.yaml",
            "actions:\n  challenge: 9\n",
            "2:3: actions: voicemail (8) must be above challenge (9)",
        ),
        ("policy.yaml", "actions:\n  drop: 9\n", "2:3: actions.drop: unknown key"),
        (
            "screener.yaml",
            "voicemail: {deliver_to: {'100': 100}}\n",
            "1:33: voicemail.deliver_to.100: expected a mailbox and its context, such as 100@default",
        ),
        (
            "screener.yaml",
            "voicemail: {deliver_to: {'1 0': 100@default}}\n",
            "1:26: voicemail.deliver_to.1 0: expected a number that is called, its beginning and a star",
        ),
        ("screener.yaml", "state_dir: [/a]\n", "1:12: state_dir: expected a path that begins with /"),
        ("screener.yaml", "recordings_dir: {a: b}\n", "1:17: recordings_dir: expected a path that begins"),
        ("wording/en.yaml", "same: abc\n", "1:7: same: expected pairs of characters, with a space between"),
    ],
)
def test_config__bad_value__named_with_file_line_column_and_key(
    name: str, content: str, expected: str
) -> None:
    (problem,) = problems(name, content)
    assert problem.startswith(f"site/{name}:{expected}")


@pytest.mark.parametrize(
    ("name", "content", "meant"),
    [
        ("rules/velocity.yaml", "rules: {DID_FANOUTT: {score: 6}}\n", "DID_FANOUT"),
        ("rules/velocity.yaml", "rules: {BURTS: {score: 6}}\n", "BURST"),
        ("feeds.yaml", "feeds: {phonblock: {enabled: true}}\n", "phoneblock"),
    ],
)
def test_config__name_of_something_shipped_mistyped__the_right_one_is_told(
    name: str, content: str, meant: str
) -> None:
    found = problems(name, content)
    assert found
    assert all(one.endswith(f"is required, but missing; did you mean {meant}?") for one in found), found


def test_config__name_of_a_shipped_rule_file_mistyped__the_right_one_is_told() -> None:
    found = problems("rules/velocty.yaml", "rules: {BURST: {score: 3}}\n")
    meant = "is required, but missing; did you mean rules/velocity.yaml?"
    assert "site/rules/velocty.yaml:1:1: group: " + meant in found


def test_config__new_name_beside_a_like_one_of_its_own_file__is_compared_with_none() -> None:
    (problem,) = problems("screener.yaml", "trunks: {PJSIP/a: {region: DE}, PJSIP/b: {}}\n")
    assert problem.endswith("is required, but missing")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("score: 1", "score: nan", "7:12: rules.LOUD.score: expected a number such as 4 or -2.5"),
        ("score: 1", "score: 1001", "7:12: rules.LOUD.score: expected a number between -1000 and 1000"),
        ("    score: 1\n", "", "6:3: rules.LOUD.score: is required, but missing"),
        ("because: loud", "becuase: loud", "9:5: rules.LOUD.becuase: unknown key; did you mean because?"),
        (
            "because: loud",
            "because: loud\n    force: drop",
            "10:12: rules.LOUD.force: expected allow, challenge, ",
        ),
        (
            "because: loud",
            "because: loud\n    stage: end",
            "10:12: rules.LOUD.stage: expected setup, challenge or message",
        ),
        ("LOUD:", "Loud:", "6:3: rules.Loud: a symbol is written in capitals, such as DID_FANOUT"),
        (
            "group: local",
            "group: Local",
            "1:8: group: the name of a group is written in small letters, such as",
        ),
        (
            "group: local",
            "group: velocity",
            "1:8: group.velocity: is taken already, at shipped/rules/velocity.yaml",
        ),
        ("max_score: 5\n", "", "1:1: max_score: is required, but missing"),
        ("max_score: 5", "max_score: -5", "4:12: max_score: expected a number above 0"),
        ("LOUD:", "BURST:", "6:3: rules.BURST: is taken already, at shipped/rules/velocity.yaml:"),
        (
            "calls_1d",
            "calls_1dd",
            "8:11: rules.LOUD.when: unknown fact caller.calls_1dd; did you mean caller.calls_1d?",
        ),
        ("> 3", "> '3'", "8:27: rules.LOUD.when: no operator or function '>' for (int, string)"),
        ("> 3", ">", "8:28: rules.LOUD.when: the expression ends too early"),
        ("caller.calls_1d > 3", "1", "8:11: rules.LOUD.when: must be true or false, but its type is INT"),
        (
            "caller.calls_1d > 3",
            "caller.kind.matches('[')",
            "8:31: rules.LOUD.when: invalid regular expression: missing ]: [",
        ),
        (
            "caller.calls_1d > 3",
            "caller.kind.matches(caller.name)",
            "8:31: rules.LOUD.when: the pattern of matches() must be a text in quotes",
        ),
        (
            "> 3",
            "> 3 && symbol.BRUST",
            "8:34: rules.LOUD.when: unknown symbol symbol.BRUST; did you mean symbol.BURST?",
        ),
        ("> 3", "> 3 && symbol.LOUD", "8:11: rules.LOUD.when: symbols in a circle: LOUD needs LOUD"),
        (
            "> 3",
            "> 3 && symbol.CHALLENGE_PASSED",
            "8:11: rules.LOUD.when: CHALLENGE_PASSED is not asked before stage",
        ),
        ("when: caller", 'when: "!has_name && caller', "8:13: rules.LOUD.when: unknown fact has_name"),
        (
            "caller.calls_1d > 3",
            "caller.kind == mobile",
            "8:26: rules.LOUD.when: unknown fact mobile; a text stands in quotes: 'mobile'",
        ),
        ("> 3", "> 3 and true", "8:31: rules.LOUD.when: and is no operator; did you mean &&?"),
        ("> 3", "> 3 OR true", "8:31: rules.LOUD.when: OR is no operator; did you mean ||?"),
        ("> 3", "> 3 &", "8:31: rules.LOUD.when: & is no operator; did you mean &&?"),
        (
            "because: loud",
            "because: '{caller.nam}'",
            "9:16: rules.LOUD.because: unknown fact caller.nam; did you mean",
        ),
        ("because: loud", "because: loud {", "9:19: rules.LOUD.because: a { without its partner"),
        (
            "because: loud",
            "because: '{caller.name.__class__}'",
            "9:16: rules.LOUD.because: unknown fact caller.name.__",
        ),
    ],
)
def test_config__bad_rule__named_with_file_line_column_and_key(old: str, new: str, expected: str) -> None:
    content = RULES.replace(old, new, 1)
    if 'when: "' in content:
        content = content.replace("> 3\n", '> 3"\n')
    (problem,) = problems("rules/local.yaml", content)
    assert problem.startswith(f"site/rules/local.yaml:{expected}")


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("|\n      caller.valid &&\n        caller.kin == 'x'", "10:9"),
        (">\n      caller.valid &&\n      caller.kin == 'x'", "8:11"),
        ("\"caller.valid\\n && caller.kin == 'x'\"", "8:11"),
        ("caller.valid &&\n      caller.kin == 'x'", "8:11"),
        ("caller.name == '你好' || caller.kin == 'x'", "8:34"),
    ],
)
def test_config__expression_in_every_yaml_style__points_into_it_or_at_its_start(
    when: str, expected: str
) -> None:
    (problem,) = problems("rules/local.yaml", RULES.replace("caller.calls_1d > 3", when))
    assert problem.startswith(f"site/rules/local.yaml:{expected}: rules.LOUD.when: unknown fact caller.kin")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("region: CN\n\tlog: x\n", "2:1: yaml: a tab where spaces are needed"),
        ("ami: [a\n", "2:1: yaml: did not find expected ',' or ']'"),
        ("region: a: b\n", "1:10: yaml: mapping values are not allowed in this context"),
        ("region: CN\nlog: {}\nregion: DE\n", "3:1: region: written twice; the first one is at 1:1"),
        ("region: &x CN\n", "1:9: yaml: anchors and aliases (& and *) are not supported"),
        ("a: *x\n", "1:4: yaml: anchors and aliases"),
        ("region: !!python/object:os.system CN\n", "1:9: yaml: tags (!) are not supported"),
        ("? [region]\n: CN\n", "1:3: yaml: a key must be a plain word"),
        ("region: CN\n---\nregion: DE\n", "2:1: yaml: a second document"),
        ("- region\n", "1:1: yaml: expected keys with values"),
        ("a: " + "[" * 17 + "]" * 17, "1:19: yaml: nested deeper than 16 levels"),
        ("a: " + "[" * 100_000, "1:1003: yaml: exceeded maximum nesting depth"),
        ("region: CN # \x07\n", "1:14: file: control character U+0007"),
        (b"region: CN\n# caf\xe9\n", "2:6: file: byte 0xe9 is not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "1:1: file: 1000001 bytes, more than 1000000"),
    ],
)
def test_config__file_that_is_no_tree__named_with_file_line_and_column(
    content: str | bytes, expected: str
) -> None:
    (problem,) = problems("screener.yaml", content)
    assert problem.startswith(f"site/screener.yaml:{expected}")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("polcy.yaml", "is not read; did you mean policy.yaml?"),
        ("velocity.yaml", "is not read; rules belong into rules/"),
        ("screener.yml", "is not read; name it screener.yaml"),
        ("rules/velocity.yml", "is not read; name it rules/velocity.yaml"),
        ("rules/nested/ours.yaml", "is not read; move it to rules/ours.yaml"),
        ("rules/nested/ours.yml", "is not read; move it to rules/ours.yaml"),
        ("rule/ours.yaml", "is not read; move it to rules/ours.yaml"),
        ("Rules/ours.yaml", "is not read; move it to rules/ours.yaml"),
    ],
)
def test_config__file_that_nothing_reads__refused(name: str, expected: str) -> None:
    assert problems(name, "") == [f"site/{name}:1:1: file: {expected}"]


@pytest.mark.parametrize(
    "name", ["rules/..2026_01_01/ours.yaml", ".git/rules/ours.yaml", "old/ours.yaml", "rules.old/ours.yaml"]
)
def test_config__file_in_a_directory_of_others__is_ignored(name: str) -> None:
    write(name, RULES)
    assert "LOUD" not in loaded().policy.rules


def test_config__unreadable_file__named() -> None:
    Path("site/policy.yaml").mkdir()
    assert problems("screener.yaml", "") == ["site/policy.yaml:1:1: file: cannot be read: Is a directory"]


def test_config__site_missing__named() -> None:
    with pytest.raises(ConfigError) as caught:
        load(Path("elsewhere"), environ={})
    assert caught.value.problems == ["elsewhere:1:1: directory: cannot be read: No such file or directory"]


def test_config__many_mistakes__all_reported_at_once() -> None:
    write("screener.yaml", "region: CN\nregion: DE\nami:\n  prot: 5038\n  host: ''\n")
    write("policy.yaml", "actions: [")
    write("rules/velocity.yaml", "rules:\n  BURST:\n    score: lots\n    when: caller.cals_1m > 3\n")
    found = problems(
        "rules/local.yaml", RULES.replace("loud", "'{x}'").replace("max_score: 5", "max_score: 0")
    )
    assert [problem.partition(": ")[0] for problem in found] == [
        "site/policy.yaml:2:1",
        "site/screener.yaml:2:1",
        "site/screener.yaml:5:9",
        "site/screener.yaml:4:3",
        "site/rules/velocity.yaml:3:12",
        "site/rules/local.yaml:4:12",
        "site/rules/velocity.yaml:4:11",
        "site/rules/local.yaml:9:16",
    ]


def test_config__rule_file_with_syntax_error__no_complaints_about_symbols_that_it_holds() -> None:
    (problem,) = problems("rules/lists.yaml", "rules: [\n")
    assert problem.startswith("site/rules/lists.yaml:2:1: yaml: ")


NAMED = {"rules", "feeds", "profiles", "examples", "patterns", "currencies", "hours"}
"""Below these are names, not keys."""
SHIPPED = sorted(shipped_dir().rglob("*.yaml"))


@cache
def keys_of_shipped_files() -> dict[tuple[str, str], list[tuple[int, int, str]]]:
    """Every key that a shipped file holds: line, column, key, by the file and by what is misspelt together.

    That is each key alone, but of what is named in an examples.yaml, a pack or a variant the first together,
    then the second ones, …: each must give one problem all the same.
    """
    found: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
    for path in SHIPPED:
        name = path.relative_to(shipped_dir()).as_posix()
        top = yaml.compose(path.read_text(), Loader=yaml.CBaseLoader)
        assert top
        numbers: Counter[str] = Counter()
        named = NAMED if name.startswith(("variants/", "packs/")) else {"examples", "patterns"}
        todo = [(top, "", "")]
        while todo:
            node, below, of = todo.pop()
            for key, value in node.value:
                if below not in NAMED:
                    numbers[of] += 1
                    at = (key.start_mark.line, key.start_mark.column, key.value)
                    found.setdefault((name, f"{bool(of)} {numbers[of]}"), []).append(at)
                if isinstance(value, yaml.MappingNode):
                    todo.append((value, key.value, of or (key.value if below in named else "")))
    return found


def test_config__keys_of_the_shipped_files__are_all_met() -> None:
    assert sum(map(len, keys_of_shipped_files().values())) > 900


@pytest.mark.parametrize("name", sorted(path.relative_to(shipped_dir()).as_posix() for path in SHIPPED))
def test_config__each_key_of_a_shipped_file_misspelt__one_problem_at_its_line(name: str) -> None:
    shutil.copytree(shipped_dir(), "copy")
    path, sound = Path("copy") / name, (shipped_dir() / name).read_text()
    # They take most of the time, and have their turn.
    for pack in Path("copy").glob("packs/*.yaml"):
        pack.write_text("title: none\nabout: nobody\nzone: UTC\nrules: {}\nexamples: {}\n")
    for examples in Path("copy").rglob("examples.yaml") if "examples" not in name else ():
        examples.write_text(examples.read_text().partition("\nexamples:")[0] + "\nexamples: {}\n")
    write("screener.yaml", f"variant: '{name.split('/')[1] if name.startswith('variants/') else ''}'\n")
    for (of, _), together in keys_of_shipped_files().items():
        if of != name:
            continue
        lines = sound.splitlines(keepends=True)
        for line, column, key in together:
            lines[line] = lines[line][:column] + key + "x" + lines[line][column + len(key) :]
        path.write_text("".join(lines))
        with pytest.raises(ConfigError) as caught:
            load(Path("site"), shipped=Path("copy"), environ={})
        problems = sorted(caught.value.problems)
        wanted = sorted((f"shipped/{name}:{line + 1}:{column + 1}: ", key) for line, column, key in together)
        assert len(problems) == len(wanted), (problems, wanted)
        for problem, (place, key) in zip(problems, wanted, strict=True):
            assert problem.startswith(place)
            assert problem.endswith(f"{key}x: unknown key; did you mean {key}?")


def test_config__secret_of_the_environment_is_gone__the_next_load_does_not_have_it() -> None:
    assert loaded(SCREENER_AMI_SECRET="s3cret").ami_secrets()[""].get_secret_value() == "s3cret"  # noqa: S106 - a test's
    again = loaded()
    assert again.settings.ami.secret.get_secret_value() == ""
    assert again.origin("screener.ami.secret").startswith("shipped/screener.yaml:")


def test_config__symbol_of_the_load_before_is_gone__the_rule_over_it_is_refused() -> None:
    rules = f"{RULES}  AGAIN:\n    score: 1\n    when: symbol.LOUD\n    because: again\n"
    write("rules/local.yaml", rules)
    assert "AGAIN" in loaded().policy.rules
    [problem] = problems("rules/local.yaml", rules.replace("  LOUD:", "  LOUDER:"))
    assert "rules.AGAIN.when: unknown symbol symbol.LOUD" in problem


# ---------------------------------------------------------------- variants


def test_variant__origin__names_its_file_and_line_between_shipped_and_site() -> None:
    write("screener.yaml", "variant: home\n")
    write("rules/home.yaml", "rules:\n  FROM_ABROAD:\n    score: 1\n")
    config = loaded()
    assert config.origin("policy.actions.voicemail").startswith("shipped/variants/home/policy.yaml:")
    assert config.origin("rules/home.max_score").startswith("shipped/variants/home/rules/home.yaml:")
    assert config.origin("rules/home.rules.FROM_ABROAD.score") == "site/rules/home.yaml:3"
    assert config.origin("rules/velocity.rules.BURST.score").startswith("shipped/rules/velocity.yaml:")
    assert (config.settings.variant, config.policy.actions.voicemail) == ("home", None)


def test_variant__profiles_of_the_site__stand_before_those_of_the_variant() -> None:
    write("screener.yaml", "variant: office\n")
    write("profiles.yaml", "profiles:\n  door: {description: the door, did: ['100']}\n")
    assert [one.profile for _, one in loaded().policy.profiles] == ["door", "office_hours"]


@pytest.mark.parametrize("name", ["homee", "../home", "home/rules", "/etc", "."])
def test_variant__that_there_is_not__named_with_those_there_are(name: str) -> None:
    (problem,) = problems("screener.yaml", f"region: CN\nvariant: {name}\n")
    there = "no such variant; there are debt-harassment, home, office"
    assert problem == f"site/screener.yaml:2:10: variant: {there}"


@pytest.mark.parametrize("name", ["screener.yaml", "variants/home/screener.yaml"])
def test_variant__chosen_by_another_file_than_the_sites__refused(name: str) -> None:
    shutil.copytree(shipped_dir(), "copy")
    path = Path("copy") / name
    before = path.read_text() if path.exists() else 'variant: ""'
    path.write_text(before.replace('variant: ""', "variant: office"))
    write("screener.yaml", "variant: home\n")
    with pytest.raises(ConfigError) as caught:
        load(Path("site"), shipped=Path("copy"), environ={})
    (problem,) = caught.value.problems
    assert problem.startswith(f"shipped/{name}:")
    assert problem.endswith("variant: only your own screener.yaml may choose one")


# ---------------------------------------------------------------- secrets


def test_secret__from_the_environment__wins_over_the_files_and_says_so() -> None:
    write("screener.yaml", "ami:\n  secret_file: /nowhere\n")
    config = loaded(**{SECRET_VARIABLE: "s3cret"})
    assert config.ami_secrets()[""].get_secret_value() == "s3cret"
    assert config.origin("screener.ami.secret") == "environment variable SCREENER_AMI_SECRET"


def test_secret__from_its_file__without_the_line_break() -> None:
    Path("secret").write_text("s3cret\n")
    write("screener.yaml", "ami:\n  secret_file: secret\n")
    assert loaded().ami_secrets()[""].get_secret_value() == "s3cret"


@pytest.mark.parametrize(
    ("content", "raw", "expected"),
    [
        (
            "",
            b"x",
            "site/screener.yaml:1:1: ami.secret: is empty; set it, ami.secret_file or $SCREENER_AMI_SECRET",
        ),
        (
            "ami: {secret_file: nowhere}",
            b"x",
            "site/screener.yaml:1:20: ami.secret_file: nowhere: No such file",
        ),
        ("ami: {secret_file: secret}", b"\n", "site/screener.yaml:1:20: ami.secret_file: secret is empty"),
        ("ami: {secret: ''}", b"x", "site/screener.yaml:1:15: ami.secret: is empty"),
        ("ami: {secret_file: ''}", b"x", "site/screener.yaml:1:6: ami.secret: is empty"),
        ("region: CN\nami:\n  port: 5039\n", b"x", "site/screener.yaml:3:3: ami.secret: is empty"),
        (
            "ami: {secret_file: secret}",
            b"a\nb\n",
            "site/screener.yaml:1:20: ami.secret_file: secret: expected one line, the secret",
        ),
        (
            "ami: {secret_file: secret}",
            b"\xff",
            "site/screener.yaml:1:20: ami.secret_file: secret: is not UTF-8",
        ),
    ],
)
def test_secret__cannot_be_had__named(content: str, raw: bytes, expected: str) -> None:
    Path("secret").write_bytes(raw)
    write("screener.yaml", content)
    config = loaded()
    with pytest.raises(ConfigError) as caught:
        config.ami_secrets()[""]
    assert caught.value.problems[0].startswith(expected)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("/no/such", "/no/such: No such file or directory"),
        ("secret", "secret: no certificate can be read from it"),
    ],
)
def test_secret__beside_a_certificate_that_cannot_be_had__it_is_named(file: str, expected: str) -> None:
    Path("secret").write_text("x")
    write("screener.yaml", f"ami: {{secret: x, tls: {{enabled: true, ca_file: {file}}}}}")
    with pytest.raises(ConfigError) as caught:
        loaded().ami_secrets()
    (problem,) = caught.value.problems
    assert problem.startswith(f"site/screener.yaml:1:48: ami.tls.ca_file: {expected}")


@pytest.mark.parametrize("site", [None, Path("bare")])
def test_secret__no_settings_of_ones_own__the_file_to_write_is_named(site: Path | None) -> None:
    Path("bare").mkdir()
    with pytest.raises(ConfigError) as caught:
        load(site, environ={}).ami_secrets()
    place = f"{site or '/etc/screener'}/screener.yaml:1:1"
    assert caught.value.problems[0].startswith(f"{place}: ami.secret: is empty")


def test_secret__shown_in_any_way__hidden() -> None:
    write("screener.yaml", "ami:\n  secret: s3cret\nredis:\n  url: redis://me:s3cret@host:6379/0\n")
    config = loaded()
    shown = repr(config) + str(config.settings) + str(list(config.effective()))
    assert "s3cret" not in shown
    url = next(one for one in config.effective() if one.path == "screener.redis.url")
    assert url == ("screener.redis.url", "redis://me:********@host:6379/0", "site/screener.yaml:4")


def test_secret__beside_a_mistake__not_in_the_error() -> None:
    assert "s3cret" not in str(problems("screener.yaml", "ami:\n  secret: [s3cret]\nredis: {url: s3cret}\n"))


def test_secret__with_a_slash_in_the_url_of_the_ledger__is_a_mistake_that_shows_nothing_of_it() -> None:
    [found] = problems("screener.yaml", "ledger:\n  url: postgresql://me:hunter/s3cret@host/db\n")
    assert found.startswith("site/screener.yaml:2:8: ledger.url: the port is not a number")
    assert "hunter" not in found
    assert "s3cret" not in found


def test_secret__in_the_environment_of_the_process__is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, "s3cret")
    assert load(Path("site")).ami_secrets()[""].get_secret_value() == "s3cret"


def test_error__from_another_process__has_the_same_problems() -> None:
    error = pickle.loads(pickle.dumps(ConfigError(["a.yaml:1:1: x: is missing", "b.yaml:2:1: y: unknown"])))  # noqa: S301 - our own
    assert (error.problems, str(error).count("\n")) == (
        ["a.yaml:1:1: x: is missing", "b.yaml:2:1: y: unknown"],
        1,
    )


def test_config__language_that_does_not_exist__named_with_those_that_do() -> None:
    [found] = problems("screener.yaml", "transcription:\n  enabled: true\n  language: cn\n")
    assert found.startswith(
        "site/screener.yaml:3:13: transcription.language: no such language; known are af "
    )
    assert " zh" in found
