"""Examples are tests: those of every variant hold, each rule has one that notices, mistakes are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from screener.config import Config, failing, load, shipped_dir
from screener.config.layers import variants
from screener.config.nodes import Place, Tree
from screener.errors import ConfigError
from screener.facts import CATALOGUE, never_seen
from screener.number import parse
from screener.state import State

if TYPE_CHECKING:
    from pathlib import Path

    from screener.policy import Rule
    from tests.commandline import Command

VARIANTS = variants(shipped_dir())
EVERY = ["", *VARIANTS]
OWN = """\
examples:
  the school:
    call: {number: anonymous}
    expect: {action: allow, without: [WITHHELD], score: 1..2, profile: none}
"""


def write(site: Path, name: str, text: str) -> None:
    (site / name).parent.mkdir(exist_ok=True)
    (site / name).write_text(text)


def chosen(site: Path, variant: str, more: str = "") -> Config:
    write(site, "screener.yaml", f"variant: '{variant}'\n{more}")
    return load(site, environ={})


def rules_of(config: Config) -> list[tuple[str, str]]:
    """File and symbol of every rule that is asked and that the variant wrote or changed, without one all."""
    layer = f"shipped/{f'variants/{config.settings.variant}/' * bool(config.settings.variant)}"
    files = [
        (name, rules)
        for name, tree in config.trees.items()
        if name.startswith("rules/") and isinstance(rules := tree["rules"], Tree)
    ]
    return [
        (name, symbol)
        for name, rules in files
        for symbol, place in rules.key_places.items()
        if symbol in config.policy.rules and place.file.startswith(layer)
    ]


def written(config: Config) -> dict[str, Place]:
    """The examples by their names, each with the place where it was written last."""
    examples = config.trees["examples.yaml"]["examples"]
    assert isinstance(examples, Tree)
    return examples.key_places


# ---------------------------------------------------------------- the variants


def test_variants__there_are_three() -> None:
    assert VARIANTS == ["debt-harassment", "home", "office"]


@pytest.mark.parametrize("variant", EVERY)
@pytest.mark.parametrize("place", ["", "region: DE\ntimezone: Europe/Berlin\n"])
def test_variant__its_examples__hold_wherever_it_is_used(tmp_path: Path, variant: str, place: str) -> None:
    config = chosen(tmp_path, variant, place)
    assert failing(config, own=False) == []
    shown = f"shipped/{f'variants/{variant}/' * bool(variant)}examples.yaml"
    assert sum(place.file == shown for place in written(config).values()) >= 8


@pytest.mark.parametrize("variant", EVERY)
def test_variant__any_of_its_rules_a_point_less_or_off__an_example_notices(
    tmp_path: Path, variant: str
) -> None:
    config = chosen(tmp_path, variant)
    rules = rules_of(config)
    assert len(rules) >= 4
    for file, symbol in rules:
        score = config.policy.rules[symbol].score
        changed = f"score: {score - 1:g}" if score else "enabled: false"
        write(tmp_path, file, f"rules:\n  {symbol}:\n    {changed}\n")
        broken = failing(chosen(tmp_path, variant), own=False)
        (tmp_path / file).unlink()
        assert broken, f"no example needs {symbol}"


@pytest.mark.parametrize("variant", EVERY)
def test_variant__nothing__is_rejected_and_every_score_has_a_source(tmp_path: Path, variant: str) -> None:
    config = chosen(tmp_path, variant)
    policies = [config.policy, *(policy for _, policy in config.policy.profiles)]
    rules: list[Rule] = [rule for policy in policies for rule in policy.rules.values()]
    assert all(policy.actions.reject is None for policy in policies)
    assert all(rule.source for rule in rules)
    assert {str(rule.force) for rule in rules} == {"None", "allow", "voicemail"}


# ---------------------------------------------------------------- what is written


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("number:", "numbr:", "3:12: examples.the school.call.numbr: unknown key; did you mean number?"),
        ("call:", "cal:", "3:5: examples.the school.cal: unknown key; did you mean call?"),
        ("expect:", "expct:", "4:5: examples.the school.expct: unknown key; did you mean expect?"),
        ("anonymous}", "1, at: 2026-03-04}", "3:27: examples.the school.call.at: expected a local time such"),
        (
            "anonymous}",
            "1, at: 2026-02-30 12:00}",
            "3:27: examples.the school.call.at: expected a local time",
        ),
        (
            "anonymous}",
            "1, presentation: hidden}",
            "3:37: examples.the school.call.presentation: expected one",
        ),
        ("anonymous}", "1, attestation: D}", "3:36: examples.the school.call.attestation: expected ''"),
        ("anonymous}", "1, challenge: won}", "3:34: examples.the school.call.challenge: expected ''"),
        ("allow", "ring", "4:22: examples.the school.expect.action: expected 'allow'"),
        ("action: allow, ", "", "4:5: examples.the school.expect.action: is required, but missing"),
        (
            "WITHHELD",
            "WITHELD",
            "4:39: examples.the school.expect.without.0: unknown symbol WITHELD; did",
        ),
        (
            "WITHHELD",
            "withheld",
            "4:39: examples.the school.expect.without.0: a symbol is written in",
        ),
        ("none", "nigth", "4:72: examples.the school.expect.profile: unknown profile nigth"),
        ("1..2", "2..1", "4:57: examples.the school.expect.score: expected a score such as 4, or the least"),
        ("1..2", "1.2.3", "4:57: examples.the school.expect.score: expected a score such as 4, or the least"),
        (
            "    expect",
            "    facts: {caller.call_1d: 1}\n    expect",
            "4:13: examples.the school.facts.caller.call_1d: unknown key; did you mean caller.calls_1d?",
        ),
        (
            "    expect",
            "    facts: {caller.kind: mobile}\n    expect",
            "4:13: examples.the school.facts.caller.kind: unknown key",
        ),
        (
            "    expect",
            "    facts: {caller.calls_1d: many}\n    expect",
            "4:30: examples.the school.facts.caller.calls_1d: expected a whole number such as 4",
        ),
        (
            "    expect",
            "    facts: {list.block: yes}\n    expect",
            "4:25: examples.the school.facts.list.block: expected true or false",
        ),
        (
            "    expect",
            "    facts: {feed.weight: heavy}\n    expect",
            "4:26: examples.the school.facts.feed.weight: expected a number such as 4 or -2.5",
        ),
    ],
)
def test_examples__mistake__one_problem_at_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    write(tmp_path, "examples.yaml", OWN.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, environ={})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path}/examples.yaml:{said}")


def test_examples__one_of_the_site_does_not_hold__all_that_differs_and_the_reasons(tmp_path: Path) -> None:
    write(tmp_path, "examples.yaml", OWN)
    config = load(tmp_path, environ={})
    (said,) = failing(config, own=True)
    assert said == (
        f"{tmp_path}/examples.yaml:2:3: examples.the school: expected allow, no WITHHELD, score 1..2; "
        "got challenge, score 4: WITHHELD(+4)"
    )
    assert failing(config, own=False) == []


def test_examples__profile_and_symbols_differ__named(tmp_path: Path) -> None:
    night = "profiles: {night: {description: n, hours: [22:00-06:00], rules: {WITHHELD: {enabled: false}}}}\n"
    write(tmp_path, "profiles.yaml", night)
    late = OWN.replace("anonymous", "anonymous, at: 2026-03-04 23:00").replace("without", "symbols")
    write(tmp_path, "examples.yaml", late)
    (said,) = failing(load(tmp_path, environ={}), own=True)
    assert said.endswith(
        "expected WITHHELD, score 1..2, profile none; got allow, score 0, profile night: nothing against it"
    )


def test_examples__shipped_one_changed_by_name__is_the_sites_own_and_the_rest_of_it_stays(
    tmp_path: Path,
) -> None:
    write(tmp_path, "examples.yaml", "examples: {a premium rate number: {expect: {action: voicemail}}}\n")
    (said,) = failing(load(tmp_path, environ={}), own=True)
    assert "premium rate number: expected voicemail; got challenge, score 4: PREMIUM_CALLER(+4)" in said


def test_examples__switched_off__not_tried(tmp_path: Path) -> None:
    write(tmp_path, "examples.yaml", OWN + "    enabled: false\n")
    assert failing(load(tmp_path, environ={}), own=True) == []


def test_examples__of_a_site__read_by_its_own_numbering_plan_and_clock(tmp_path: Path) -> None:
    own = (
        "examples: {home: {call: {number: 0211 5550100}, expect: {action: allow, without: [FROM_ABROAD]}}}\n"
    )
    write(tmp_path, "examples.yaml", own)
    assert failing(chosen(tmp_path, "home", "region: DE\ntimezone: Europe/Berlin\n"), own=True) == []
    assert failing(chosen(tmp_path, "home"), own=True) == []


# ---------------------------------------------------------------- an empty store


@pytest.mark.parametrize("caller", ["+8613912345678", "95588", "anonymous", "+99912345"])
async def test_never_seen__is_what_the_empty_store_says(store_url: str, caller: str) -> None:
    number, state = parse(caller, "CN"), State(store_url)
    try:
        observed = await state.observe(number.key, "100", "1", count=False, at=1.8e9)
    finally:
        await state.close()
    assert never_seen(number) == observed.facts
    if number.key:
        # What is said of software needs a trunk that brings several kinds of it.
        assert never_seen(number).keys() == {
            fact.name for fact in CATALOGUE if fact.source == "state" and not fact.name.startswith("agent.")
        }


# ---------------------------------------------------------------- screener check


def test_check__examples__notes_for_shipped_ones_and_exit_code_2_for_own(
    tmp_path: Path, command: Command
) -> None:
    write(tmp_path, "screener.yaml", "variant: home\nami: {secret: s3cret}\n")
    assert ", variant home; " in command("check", "--config", tmp_path).out
    write(tmp_path, "rules/home.yaml", "rules: {ONE_RING_RANGE: {score: 1}}\n")
    ended = command("check", "--config", tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert (
        "note: by your changes an example does not hold any more: shipped/variants/home/examples.yaml:"
        in ended.out
    )
    assert "a satellite number: expected challenge, score 6; got allow, score 3: FROM_ABROAD(+2)" in ended.out
    write(tmp_path, "examples.yaml", "examples: {a satellite number: {expect: {action: voicemail}}}\n")
    ended = command("check", "--config", tmp_path)
    assert ended.code == 2
    assert f"{tmp_path}/examples.yaml:1:12: examples.a satellite number: expected voicemail" in ended.err
