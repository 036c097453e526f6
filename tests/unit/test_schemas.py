"""The JSON schemas for editors: the shipped files satisfy them, typing mistakes do not."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from screener.config import shipped_dir
from screener.config.schemas import MODELS, schema

if TYPE_CHECKING:
    from pathlib import Path

PLACES = [
    (name, path.relative_to(shipped_dir()))
    for name, (files, _) in MODELS.items()
    for path in sorted(shipped_dir().rglob("*.yaml"))
    if fnmatch(re.sub("^variants/[^/]*/", "", str(path.relative_to(shipped_dir()))), files)
]


def as_an_editor_sees_it(text: str) -> Any:
    return yaml.safe_load(text)


def mistakes(name: str, text: str) -> list[str]:
    found = Draft202012Validator(schema(name)).iter_errors(as_an_editor_sees_it(text))
    return [one.message for one in found]


@pytest.mark.parametrize("name", MODELS)
def test_schema__itself__is_valid_and_says_what_every_key_means(name: str) -> None:
    made = schema(name)
    Draft202012Validator.check_schema(made)
    assert json.loads(json.dumps(made)) == made
    if name != "policy":
        assert all("description" in one or "$ref" in one for one in made["properties"].values())


def test_schema__meaning_of_a_setting__is_the_comment_beside_it() -> None:
    made = schema("screener")
    assert made["properties"]["timezone"]["description"].startswith("IANA name; hours and days")
    assert "otherwise redis://host:port" in made["$defs"]["Redis"]["properties"]["url"][
        "description"
    ].replace("6379", "port")


@pytest.mark.parametrize(("name", "path"), PLACES)
def test_schema__shipped_file__satisfies_it(name: str, path: Path) -> None:
    assert mistakes(name, (shipped_dir() / path).read_text()) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("screener", "own_numbers: [0201234567, +862062345678]\nwatch: off\n"),
        ("screener", "trunks: {PJSIP/berlin*: {region: DE}}\ncity: true\n"),
        ("policy", "actions: {reject: off}\n"),
        ("policy", "actions: {challenge: 4.5}\n"),
        ("rules", "enabled: true\n"),
        ("feeds", "feeds: {ftc: {enabled: true, half_life_days: off, source: /a, columns: {number: 1}}}\n"),
        ("examples", "examples: {a: {call: {number: 0201}, facts: {caller.calls_1d: 3}, enabled: false}}\n"),
        ("examples", "examples: {a: {expect: {action: allow, score: 4, profile: none}}}\n"),
        ("examples", "examples: {a: {expect: {action: allow, score: -1.5..4, symbols: [A]}}}\n"),
        ("rules", "rules: {LOUD: {when: true, because: 3, shadow: true, force: none}}\n"),
        (
            "profiles",
            "profiles: {night: {hours: ['22:00-06:00'], days: [mon-fri, holiday], did: [100, +86*]}}\n",
        ),
    ],
)
def test_schema__part_of_a_file_of_the_site__satisfies_it(name: str, text: str) -> None:
    assert mistakes(name, text) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("screener", "ami: {prot: 1}\n"),
        ("screener", "log: {level: loud}\n"),
        ("screener", "trunks: {PJSIP/berlin: {regoin: DE}}\n"),
        ("policy", "actions: {drop: 4}\n"),
        ("policy", "actions: {challenge: many}\n"),
        ("policy", "actions: {challenge: 0}\n"),
        ("rules", "rules: {LOUD: {scroe: 1}}\n"),
        ("rules", "rules: {LOUD: {force: drop}}\n"),
        ("rules", "max_score: 0\n"),
        ("feeds", "feeds: {ftc: {format: xml}}\n"),
        ("feeds", "feeds: {ftc: {max_chnge: 1}}\n"),
        ("examples", "examples: {a: {cal: {}}}\n"),
        ("examples", "examples: {a: {facts: {caller.calls_1x: 1}}}\n"),
        ("examples", "examples: {a: {facts: {list.block: maybe}}}\n"),
        ("examples", "examples: {a: {expect: {action: ring}}}\n"),
        ("examples", "examples: {a: {expect: {score: many}}}\n"),
        ("profiles", "profiles: {night: {hours: ['22-6']}}\n"),
        ("profiles", "profiles: {night: {days: [monday]}}\n"),
        ("profiles", "profiles: {night: {rules: {LOUD: {when: true}}}}\n"),
    ],
)
def test_schema__mistake__is_found(name: str, text: str) -> None:
    assert mistakes(name, text)
