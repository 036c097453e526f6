"""The same recording is known again through what lines do to it; nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from screener.audio.fingerprint import KEPT_WORDS, MAX_BIT_ERRORS, Print, Shelf, bit_errors
from screener.audio.speech import RATE, pattern, voiced
from tests.voices import (
    MANDARIN,
    coded,
    faster,
    joined,
    lossy,
    louder,
    noisy,
    print_of,
    spoken,
    tones,
)

WARRANTY = (
    "We have been trying to reach you about the warranty of your car. It is about to expire, and this is "
    "the last courtesy call before we close your file. Press one to speak to an agent, or two to be removed."
)
LOAN = (
    "This is the office for student loans. Because of a change of the law you qualify for forgiveness of "
    "your balance. Call us back within two days, or this offer will be given to somebody else. Goodbye."
)
DEBT = (
    "您好,这里是法务部。您的贷款已经逾期三十天,如果今天下午五点之前不处理,"
    "我们将上门核实您的情况。请按一转接专员。"
)
OPENING = "Hello. This is an important message about your account, please listen to all of it."
CHANCE = 20261


def rng() -> np.random.Generator:
    return np.random.default_rng(CHANCE)


def hush(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), np.int16)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda sound: coded(sound, "al"), id="A-law"),
        pytest.param(lambda sound: coded(sound, "gsm"), id="GSM"),
        pytest.param(lambda sound: lossy(sound, 0.03, rng()), id="3 % loss"),
        pytest.param(lambda sound: noisy(sound, 10, rng()), id="10 dB noise"),
        pytest.param(lambda sound: louder(sound, -20), id="softer"),
        pytest.param(lambda sound: louder(sound, 12), id="clipping"),
        pytest.param(lambda sound: faster(sound, 1.01), id="1 % faster"),
        pytest.param(lambda sound: faster(sound, 0.99), id="1 % slower"),
        pytest.param(
            lambda sound: noisy(lossy(coded(sound, "gsm"), 0.03, rng()), 10, rng()), id="GSM, loss and noise"
        ),
    ],
)
@pytest.mark.parametrize("text", [WARRANTY, DEBT], ids=["English", "Chinese"])
def test_search__same_recording_through_a_bad_line__is_found(text: str, harm: object) -> None:
    sound = spoken(text, MANDARIN if text is DEBT else "en-us")
    shelf = Shelf([print_of(spoken(LOAN)).kept(), print_of(sound).kept()])
    found = shelf.search(print_of(harm(sound[3001:])))  # type: ignore[operator]
    assert found
    assert found[0] == 1
    assert found[1] < MAX_BIT_ERRORS


def test_search__recording_begins_in_the_middle__is_found() -> None:
    shelf = Shelf([print_of(spoken(WARRANTY)).kept()])
    assert shelf.search(print_of(spoken(WARRANTY)[4 * RATE :]))
    assert shelf.search(print_of(joined([hush(7.3), spoken(WARRANTY)])))
    assert shelf.search(print_of(joined([spoken(LOAN), spoken(WARRANTY)])))


@pytest.mark.parametrize("voice", ["en-us", "en-gb+f4"])
def test_search__other_words_or_another_voice__is_not_found(voice: str) -> None:
    shelf = Shelf([print_of(spoken(WARRANTY)).kept()])
    assert shelf.search(print_of(spoken(LOAN))) is None
    assert shelf.search(print_of(spoken(WARRANTY, "en-gb-scotland+m3", 175))) is None
    assert bit_errors(print_of(spoken(LOAN, voice)), print_of(spoken(WARRANTY))) > MAX_BIT_ERRORS


def test_search__shared_opening_of_almost_five_seconds__is_not_found() -> None:
    one, other = (joined([spoken(OPENING), spoken(text)]) for text in (WARRANTY, LOAN))
    assert 4.5 * RATE < len(spoken(OPENING)) < 5.5 * RATE
    assert Shelf([print_of(one).kept()]).search(print_of(other)) is None


def test_search__five_seconds_of_a_campaign__are_too_few() -> None:
    sound = spoken(WARRANTY)
    part = print_of(sound[: 5 * RATE])
    assert not part.comparable
    assert Shelf([print_of(sound).kept()]).search(part) is None


@pytest.mark.parametrize("snr_db", [None, 40, 20, 10])
@pytest.mark.parametrize(
    ("hertz", "on_s", "off_s"),
    [
        pytest.param((440, 480), 2.0, 4.0, id="ringback, US"),
        pytest.param((450,), 1.0, 4.0, id="ringback, China"),
        pytest.param((400, 450), 0.4, 0.2, id="ringback, UK"),
        pytest.param((480, 620), 0.5, 0.5, id="busy"),
        pytest.param((350, 440), 1.0, 0.0, id="dial tone"),
        pytest.param((770, 1336), 0.1, 0.1, id="keys"),
        pytest.param((1100,), 0.5, 3.0, id="fax"),
        pytest.param((400, 450, 500), 0.4, 0.2, id="a chord in a cadence"),
        pytest.param((), 1.0, 0.0, id="silence"),
    ],
)
def test_search__tones_and_silence__never_match_each_other(
    hertz: tuple[float, ...], on_s: float, off_s: float, snr_db: float | None
) -> None:
    sound = tones(30, *hertz, on_s=on_s, off_s=off_s) if hertz else hush(30)
    chance = rng()
    one, other = (print_of(noisy(sound, snr_db, chance) if snr_db else sound) for _ in range(2))
    assert not (one.comparable and other.comparable and Shelf([one.kept()]).search(other))


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.39])
def test_print__hardly_any_sound__is_empty_and_matches_nothing(seconds: float) -> None:
    nothing = print_of(hush(seconds))
    assert (len(nothing.words), nothing.comparable, nothing.speech_s) == (0, False, 0.0)
    assert Shelf([]).search(nothing) is None
    assert Shelf([print_of(spoken(WARRANTY)).kept()]).search(nothing) is None
    assert Print.from_bytes(nothing.to_bytes()).to_bytes() == b""


def test_print__stored_and_read__is_the_same() -> None:
    kept = print_of(spoken(WARRANTY)).kept()
    stored = kept.to_bytes()
    assert len(stored) <= KEPT_WORDS * 33 / 8 + 1
    assert np.array_equal(Print.from_bytes(stored).words, kept.words)
    assert np.array_equal(Print.from_bytes(stored).speech, kept.speech)


@pytest.mark.parametrize("stored", [b"\0" * 2, b"\0" * 11, b"\0" * 5000])
def test_print__bytes_that_are_none__are_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match="no fingerprint"):
        Print.from_bytes(stored)


def test_search__ten_thousand_strangers__finds_the_one() -> None:
    chance = rng()
    strangers = [
        Print(chance.integers(0, 1 << 32, 60, np.uint32), np.ones(60, np.bool_)) for _ in range(10_000)
    ]
    shelf = Shelf([*strangers[:5000], print_of(spoken(LOAN)).kept(), *strangers[5000:]])
    found = shelf.search(print_of(coded(spoken(LOAN), "gsm")))
    assert found
    assert found[0] == 5000


def test_pattern__robot__is_one_long_monologue() -> None:
    robot = pattern(voiced(joined([hush(1.5), spoken(WARRANTY)])))
    assert robot.onset_s == pytest.approx(1.5, abs=0.25)
    assert robot.monologue_s > 12


def test_pattern__person_who_waits_for_an_answer__has_none() -> None:
    person = pattern(voiced(joined([spoken("Hello, is anybody there?"), hush(2), spoken("It is Anna.")])))
    assert person.monologue_s < 3
    assert 1 < person.speech_s < 4


def test_pattern__nobody_speaks__has_no_onset() -> None:
    for sound in (hush(0), hush(5), tones(5, 1100, on_s=0.5, off_s=3)):
        said = pattern(voiced(sound))
        assert (said.speech_s, said.onset_s, said.monologue_s) == (0.0, None, 0.0)
