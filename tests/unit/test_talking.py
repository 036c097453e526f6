"""How callers talk: rows of what is heard and what follows, and what is never guessed."""

from __future__ import annotations

import pytest

from screener.talking import CALLS_MAX, GAP_S, SPANS_MAX, STARTS, STOPS, Talks, pattern

ONE, TWO = [(0.0, 5.0)], [(0.0, 5.0), (10.0, 15.0)]
ROWS = [
    # what it is, our prompts, his speech, now; share, through, monologue, silent
    ("mute", TWO, [], 21.0, (0.0, 0.0, 0.0, 6.0)),
    ("a greeting, then listens", TWO, [(0.5, 1.5)], 17.0, (0.1, 0.0, 1.0, 2.0)),
    ("answers the prompt", ONE, [(6.0, 8.0)], 9.0, (0.0, 0.0, 2.0, 1.0)),
    ("still talking at its end", ONE, [(4.0, 8.0)], 9.0, (0.2, 0.0, 4.0, 0.0)),
    ("a recording", TWO, [(0.2, 21.0)], 21.0, (0.98, 11.0, 20.8, 0.0)),
    ("a recording that ends", TWO, [(0.2, 11.0)], 21.0, (0.58, 1.0, 10.8, 6.0)),
    ("stops when we speak again", TWO, [(0.0, 5.0), (8.0, 10.4)], 15.0, (0.54, 0.4, 5.0, 0.0)),
    ("talks over both, with a pause", TWO, [(0.0, 5.0), (10.5, 15.0)], 15.0, (0.95, 0.0, 5.0, 0.0)),
    ("short pauses are one monologue", ONE, [(0.0, 4.0), (3.9 + GAP_S, 9.0)], 9.0, (0.8, 0.0, 9.0, 0.1)),
    ("a longer one ends it", ONE, [(0.0, 4.0), (4.1 + GAP_S, 9.0)], 9.0, (0.8, 0.0, 4.0, 0.3)),
    ("keys are no speech", ONE, [(1.0, 1.05), (5.5, 5.59)], 7.0, (0.0, 0.0, 0.0, 2.0)),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_pattern__speech_and_prompts__gives_the_facts(row: tuple[object, ...]) -> None:
    _, prompts, speech, now, wanted = row
    found = pattern(prompts, speech, now)  # type: ignore[arg-type]  # rows of a table
    assert tuple(found.values()) == pytest.approx(wanted)
    assert list(found) == ["talk.over_share", "talk.through_s", "talk.monologue_s", "talk.silent_s"]


def test_pattern__no_prompt_was_heard__nothing_is_known() -> None:
    assert pattern([], [(0.0, 5.0)], 9.0) == pattern([(3.0, 3.0)], [], 9.0) == {}


def told(talks: Talks, *events: tuple[float, str, str], call: str = "1.1") -> None:
    """Events of a call: when, which, and what it says."""
    for at, name, says in events:
        leg, _, prompt = says.partition(" ")
        body = {"Duration": says} if name == STOPS else {"Version": "1", "Leg": leg, "Prompt": prompt}
        event = name if name in {STARTS, STOPS} else "UserEvent"
        talks.receive({"Event": event, "Uniqueid": call} | body, at)


LEG, SAYS, SAID = (0, "T", "challenge"), (1, "T", "challenge begins"), (6, "T", "challenge ends")


def test_talks__in_the_order_of_a_call__are_known_and_forgotten_with_the_leg() -> None:
    talks = Talks()
    told(talks, LEG, SAYS, (2, STARTS, ""), (5, STOPS, "2500"), SAID)
    assert talks.known("1.1", 8) == pattern([(1, 6)], [(2, 4.5)], 8)
    told(talks, (9, "T", ""))
    assert talks.known("1.1", 9) == talks.over("1.1", 9) == {}


def test_talks__a_click__is_told_with_less_than_no_duration() -> None:
    talks = Talks()
    told(talks, LEG, SAYS, (2, STARTS, ""), (2.5, STOPS, "-2"), SAID)
    assert talks.known("1.1", 7) == pattern([(1, 6)], [], 7)


def test_talks__from_the_challenge_into_the_voicemail__goes_on_without_a_word_of_asterisk() -> None:
    talks = Talks()
    told(talks, LEG, SAYS, (2, STARTS, ""), SAID)
    assert talks.known("1.1", 10)["talk.monologue_s"] == 8
    told(talks, (10, "T", "voicemail"), (10, "T", "voicemail begins"), (14, "T", "voicemail ends"))
    assert talks.over("1.1", 16) == {"leg": "voicemail"} | pattern([(10, 14)], [(10, 16)], 16)
    assert talks.over("1.1", 17) == {}


def test_talks__nobodys_speech_was_ever_told__silence_is_not_believed() -> None:
    talks = Talks()
    told(talks, LEG, SAYS, SAID)
    assert talks.known("1.1", 9) == {}
    told(talks, (9, STARTS, ""), call="2.2")
    assert talks.known("1.1", 9)["talk.silent_s"] == 3


def test_talks__connection_lost__legs_from_before_stay_unknown_and_new_ones_are_known() -> None:
    talks = Talks()
    told(talks, LEG, SAYS, (2, STARTS, ""))
    talks.clear()
    told(talks, SAID, (7, STARTS, ""), (8, "T", "challenge begins"), (9, "T", "challenge ends"))
    assert talks.known("1.1", 10) == {}
    told(talks, LEG, SAYS, SAID, call="3.3")
    assert talks.known("3.3", 10)


@pytest.mark.parametrize(
    "event",
    [
        {"Event": STARTS},
        {"Event": STARTS, "Uniqueid": ["1.1", "9.9"]},
        {"Event": STARTS, "Uniqueid": "1.1\r\nX"},
        {"Event": STOPS, "Uniqueid": "1.1", "Duration": "for ever"},
        {"Event": STOPS, "Uniqueid": "1.1", "Duration": ["1", "2"]},
        {"Event": STOPS, "Uniqueid": "1.1"},
        {"Event": "UserEvent", "Uniqueid": "1.1", "Version": "1", "Leg": ["a", "b"]},
    ],
)
def test_talks__an_event_that_makes_no_sense__is_refused(event: dict[str, object]) -> None:
    talks = Talks()
    told(talks, LEG, SAYS, (2, STARTS, ""))
    with pytest.raises(ValueError):  # noqa: PT011 - what it says is for the log
        talks.receive(event, 3)
    assert talks.known("1.1", 3)["talk.monologue_s"] == 1


def test_talks__too_many_calls_or_parts__are_bounded() -> None:
    talks = Talks()
    for n in range(CALLS_MAX + 1):
        told(talks, LEG, SAYS, call=f"{n}.0")
    told(talks, (2, STARTS, ""), call="1.0")
    assert (talks.known("0.0", 9), talks.known("1.0", 9) != {}) == ({}, True)
    for n in range(SPANS_MAX):
        told(talks, (2 + n, STARTS, ""), (2 + n, STOPS, "500"), call="1.0")
    assert talks.known("1.0", 999)
    told(talks, (600, STARTS, ""), (601, STOPS, "500"), call="1.0")
    assert talks.known("1.0", 999) == {}
