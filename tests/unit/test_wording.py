"""What callers say: one row, one sentence and what is found in it by the shipped phrases."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from screener.config import load
from screener.errors import ConfigError
from screener.wording import Finding, Wording, count
from tests.bench import wording as bench

if TYPE_CHECKING:
    from pathlib import Path

MONDAY = date(2026, 3, 2)


@pytest.fixture(scope="module")
def wording() -> Wording:
    return load(environ={}).wording


def found(wording: Wording, text: str, kind: str, language: str = "", region: str = "") -> list[str]:
    language = language or ("en" if text.isascii() else "zh")
    region = region or {"en": "US"}.get(language, "CN")
    findings = wording.find(text, language=language, region=region, said_on=MONDAY)
    return [one.value or one.name for one in findings if one.kind == kind]


@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [
        ("To speak with an officer, press 1 now. Press two to repeat.", "key", ["1", "2"]),
        ("please press, 1", "key", ["1"]),
        ("press the pound key", "key", ["#"]),
        ("press 10 times", "key", []),
        ("depress 1", "key", []),
        ("了解详情请按 9", "key", ["9"]),
        ("转人工请按一号键，挂机请按＃", "key", ["1", "#"]),
        ("請按1鍵", "key", ["1"]),
        ("请按一下门铃", "key", []),
        ("Press 1 to speak to us, or to be removed from our list press 2.", "opt_out", ["2", "OPT_OUT"]),
        ("press 3 to opt out", "opt_out", ["3", "OPT_OUT"]),
        ("转人工请按1，如需退订请按9", "opt_out", ["9", "ZH_OPT_OUT"]),
        ("call us at 2-1-3-6-0-0-7-5-7-9. Thank you", "call_back", ["+12136007579"]),
        ("two one three six oh oh seven five seven nine", "call_back", ["+12136007579"]),
        ("请加微信，电话幺三八零零幺三八零零零", "call_back", ["+8613800138000"]),
        ("请回拨95588", "call_back", ["95588"]),
        ("请回拨010-95588", "call_back", ["+861095588"]),
        ("case number 0000000000", "call_back", []),
        ("a " * 2500 + "press 1", "key", []),
        ("calling from the U.S. Customs and Border Protection. The reason", "company",
         ["U.S. Customs and Border Protection", "Customs and Border Protection"]),
        ("this is Marie Dubois with Valley Recovery Services", "company", ["Valley Recovery Services"]),
        ("this is an important call", "company", []),
        ("您好，我是招联金融的工作人员", "company", ["招联金融"]),
        ("these are $1,537.35 or 999 dollars", "amount", ["1537.35 USD", "999 USD"]),
        ("up to 1.3 billion dollars", "amount", ["1300000000 USD"]),
        ("a hundred reasons, 15 people", "amount", []),
        ("欠款三千二百六十元", "amount", ["3260 CNY"]),
        ("您欠款总额1.2万", "amount", ["12000 CNY"]),
        ("一共有三千人", "amount", []),
        ("due on March 5th, 2026", "due", ["2026-03-05"]),
        ("you must pay by 5 March", "due", ["--03-05"]),
        ("before tomorrow", "due", ["2026-03-03"]),
        ("请在三月五号之前还清", "due", ["--03-05"]),
        ("最晚明天下午", "due", ["2026-03-03"]),
        ("by March 99", "due", []),
        ("A WARRANT for your arrest", "threat", ["THREAT_ARREST"]),
        ("我们会联系你的家人和单位", "threat", ["ZH_THREAT_EXPOSURE"]),
        ("明天移交法務", "threat", ["ZH_THREAT_LEGAL"]),
        ("This is an attempt to collect a debt", "collection", ["DEBT_COLLECTOR"]),
        ("您的借款已經逾期", "collection", ["ZH_COLLECTION"]),
        ("someone bought a phone and you did not authorize this order", "pretext", ["UNKNOWN_ORDER"]),
    ],
)  # fmt: skip
def test_wording__one_sentence__its_value(wording: Wording, text: str, kind: str, values: list[str]) -> None:
    assert found(wording, text, kind) == values


def test_wording__said_twice__found_once_with_the_words_around(wording: Wording) -> None:
    text = "Hello. To talk to Amazon, press 1 now. I repeat, press one."
    [key] = [
        one for one in wording.find(text, language="en", region="US", said_on=MONDAY) if one.kind == "key"
    ]
    assert key == Finding("key", "PRESS_KEY", "1", "To talk to Amazon, press 1 now")


@pytest.mark.parametrize(
    ("language", "region", "number"),
    [
        ("en", "CN", "+13176313613"),
        ("en", "US", "+13176313613"),
        ("zh", "CN", "+863176313613"),
        ("fr", "US", "+13176313613"),
    ],
)
def test_wording__number_of_two_countries__read_by_the_language(
    wording: Wording, language: str, region: str, number: str
) -> None:
    assert found(wording, "317-631-3613", "call_back", language, region) == [number]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,537.35", "1537.35"), ("三千零五", "3005"), ("一万二", "12000"), ("1.2万", "12000"), ("十", "10"),
        ("一百零五", "105"), ("二十三万五千", "235000"), ("两亿", "200000000"), ("五零零", "500"),
        ("零", "0"), ("三千五", "3500"), ("5 hundred", "500"), ("2 million", "2000000"), ("12", "12"),
    ],
)  # fmt: skip
def test_count__figures_and_chinese__number(text: str, number: str) -> None:
    assert count(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "万", "many", "人"])
def test_count__no_number__none(text: str) -> None:
    assert count(text) is None


@pytest.mark.parametrize(("group", "language", "text"), bench.said())
def test_wording__sentences_written_by_hand__a_collector_is_told_from_others(
    wording: Wording, group: str, language: str, text: str
) -> None:
    pressed = [found(wording, text, kind, language) for kind in sorted(bench.PRESSES)]
    if "got arrested" not in text:  # words are not meaning
        assert any(pressed) == group.startswith("collector")


@pytest.mark.parametrize(
    ("written", "line", "told"),
    [
        ("kind: threats\n    phrases: a\n    source: ours", 3, "kind: expected 'key'"),
        ("kind: threat\n    phrases: a*\n    source: ours", 4, "“a*” is no phrase: * has no place there"),
        ("kind: threat\n    phrases: (a|b\n    source: ours", 4, "is no phrase: missing )"),
        ("kind: threat\n    phrases: (a)?\n    source: ours", 4, "it fits on nothing said at all"),
        ("kind: threat\n    phrases: a … … … … b\n    source: ours", 4, "in too many ways"),
        (f"kind: threat\n    phrases: {'(a|b)?' * 9}\n    source: ours", 4, "in too many ways"),
        ("kind: key\n    phrases: 'press {button}'\n    source: ours", 4, "there is no {button}"),
        ("kind: key\n    phrases: '{key} or {key}'\n    source: ours", 4, "redefinition of group name"),
        ("kind: key\n    phrases: a", 2, "source: is required"),
    ],
)  # fmt: skip
def test_lexicon__pattern_that_is_wrong__refused_at_its_place(
    tmp_path: Path, written: str, line: int, told: str
) -> None:
    (tmp_path / "wording").mkdir()
    file = tmp_path / "wording" / "en.yaml"
    file.write_text(f"patterns:\n  OURS:\n    {written}\n")
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, environ={})
    [problem] = refused.value.problems
    assert problem.startswith(f"{file}:{line}:")
    assert told in problem


def test_lexicon__pair_of_three_characters__refused(tmp_path: Path) -> None:
    (tmp_path / "wording").mkdir()
    (tmp_path / "wording" / "zh.yaml").write_text("same: 請请 貸贷款\n")
    with pytest.raises(ConfigError, match=r"zh\.yaml:1:7: same:"):
        load(tmp_path, environ={})


def test_lexicon__of_the_site__laid_over_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "wording").mkdir()
    (tmp_path / "wording" / "de.yaml").write_text(
        "language: de\nregions: [DE]\ncurrencies: {Euro: EUR}\nsame: ''\n"
        "patterns:\n  DE_MAHNUNG: {kind: collection, phrases: 'letzte mahnung', source: ours}\n"
    )
    (tmp_path / "wording" / "en.yaml").write_text('patterns:\n  DEBT:\n    phrases: "never said"\n')
    mine = load(tmp_path, environ={}).wording
    assert found(mine, "Dies ist die letzte Mahnung", "collection", "de", "DE") == ["DE_MAHNUNG"]
    assert found(mine, "20 Euro", "amount", "de", "DE") == ["20 EUR"]
    assert found(mine, "an outstanding balance", "collection") == []
