"""Whatever a caller says, looking at it ends soon and gives plain values."""

from __future__ import annotations

import re
import time
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screener.config import load
from screener.wording import TEXT_BOUND, count

CONFIG = load(environ={})
WORDING = CONFIG.wording
WORDS = sorted(
    {
        word
        for lexicon in CONFIG.lexicons
        for pattern in lexicon.patterns.values()
        for word in re.findall(r"[\w'$]+", pattern.phrases)
    }
)
PIECES = [
    *WORDS,
    "1",
    "5",
    "$",
    "12,345.67",
    "三千",
    "万",
    "+1",
    "-",
    "March 5",
    "月",
    ".",
    ",",
    "。",
    "A.",
    "Ab",
]
texts = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=60).map(" ".join))


@settings(max_examples=150, deadline=None)
@given(texts, st.sampled_from(["en", "zh", "xx", ""]), st.sampled_from(["CN", "US", "ZZ"]))
def test_wording__any_text__findings_are_one_line_each(text: str, language: str, region: str) -> None:
    findings = WORDING.find(text, language=language, region=region, said_on=date(2026, 3, 2))
    for one in findings:
        assert one.value.isprintable()
        assert one.quote.isprintable()
        assert len(one.value) <= 170
        assert one.kind != "amount" or re.fullmatch(r"\d+(\.\d\d)? [A-Z]{3}", one.value)
        assert one.kind != "key" or re.fullmatch(r"[0-9*#]", one.value)
        assert one.kind != "due" or re.fullmatch(r"(\d{4}|-)-\d\d-\d\d", one.value)
    assert len({(one.kind, one.value or one.name) for one in findings}) == len(findings)


@given(st.text(alphabet="0123456789.,零一二两三百千万亿十多hundred ", max_size=30))
def test_count__any_text__a_number_or_none(text: str) -> None:
    counted = count(text)
    assert counted is None or counted >= 0


@pytest.mark.parametrize(
    "piece",
    ["1", "1 ", "1-", "a", "A", "A.", "Ab ", "Ab of ", "press ", "press the ", "three ", "三", "万", "$1",
     "1,111", "this is Ab from ", "my name is A", "account ", "debt settled ", "最后", "我是", "欠款", "联系",
     "联系家", "1月", "of the "],
)  # fmt: skip
def test_wording__as_much_as_is_looked_at_of_the_same__time_grows_no_faster_than_the_text(piece: str) -> None:
    def spent_s(length: int) -> float:
        text = (piece * length)[:length]
        best = float("inf")
        for _ in range(2):
            started = time.process_time()
            WORDING.find(text, language="en", region="US", said_on=date(2026, 3, 2))
            best = min(best, time.process_time() - started)
        return best

    # Ten times the text, not a hundred times the time; the bound has room for a busy machine.
    assert spent_s(TEXT_BOUND) < 40 * spent_s(TEXT_BOUND // 10) + 0.1
