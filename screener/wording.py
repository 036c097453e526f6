"""What a caller says, found by written phrases: keys to press, amounts, threats. Pure.

The phrases are data (`config/wording/*.yaml`), tried on the transcript of a call whatever its language.
They find words, not truth: "your order of 999 dollars" is what was said, and by whom is another matter.

A caller cannot make one run long by what he says: a phrase has no repetition but `…`, at most three, each of
at most 40 characters within a sentence; so the time grows with the text, and that is bounded.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from screener import number
from screener.policy import Symbol, Text, Written
from screener.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

TEXT_BOUND = 5_000
"""Characters of a transcript that are looked at; three minutes of fast speech have 3,500."""
QUOTED_BEFORE, QUOTED_AFTER = 60, 100
GAPS_BOUND, OPTIONS_BOUND = 3, 8

Kind = Literal[
    "key", "opt_out", "call_back", "company", "amount", "due", "threat", "collection", "pretext"
]  # fmt: skip

_ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DIGITS = {
    word: str(digit) for words in (_ENGLISH, "零一二三四五六七八九") for digit, word in enumerate(words)
}
_DIGITS |= {"oh": "0", "〇": "0", "幺": "1", "两": "2", "star": "*", "pound": "#", "hash": "#"}
_UNITS = {"十": 10, "百": 100, "千": 1000, "hundred": 100, "thousand": 1000}
_LARGE = {"万": 10**4, "亿": 10**8, "million": 10**6, "billion": 10**9}
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_DAYS = {"today": 0, "tonight": 0, "tomorrow": 1, "今天": 0, "今日": 0, "今晚": 0, "明天": 1, "后天": 2}

_KEY = rf"[0-9*#]|(?:{'|'.join(_DIGITS)})(?![下次])"  # 按一下 is to press once, not a key
_SAID_DIGIT = rf"(?:[0-9]|{'|'.join(word for word, digit in _DIGITS.items() if digit.isdigit())})"
_COUNT = (
    r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,3}|[0-9]{1,9})(?:\.[0-9]{1,4})?"
    r"(?: ?(?:hundred|thousand|million|billion|[十百千万亿]{1,2}))?"
    r"|[零〇一二两三四五六七八九十百千万亿]{1,14}"
)
_ZH_DAY = r"(?:[0-9]{1,2}|[一二三四五六七八九十]{1,3})"
_DATES = (
    rf"{_MONTH} (?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<year>[0-9]{{4}}))?",
    rf"(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)? (?:of )?{_MONTH}(?:,? (?P<year>[0-9]{{4}}))?",
    rf"(?:(?P<year>[0-9]{{4}})年)?(?P<month>{_ZH_DAY})月(?P<day>{_ZH_DAY})[日号]?",
)
_UNNAMED = re.compile(r"\?P<\w+>")
_ANY_DATE = "|".join([*_DAYS, *(_UNNAMED.sub("?:", one) for one in _DATES)])
_WORD = r"(?:(?:[A-Z]\.){2,4}|[A-Z0-9](?:[A-Za-z0-9&'-]|\.(?=[A-Za-z])){0,24})"
_SLOTS = {
    "key": _KEY,
    "number": rf"\+?{_SAID_DIGIT}(?:[ .()-]{{0,2}}{_SAID_DIGIT}){{6,14}}",
    "code": r"[0-9]{3,6}",
    "sum": _COUNT,
    "date": _ANY_DATE,
    # Its capitals tell where a name ends; speech recognition writes them.
    "name": rf"(?-i:{_WORD}(?: (?:(?:of|and|the|for) )?{_WORD}){{0,5}})",
}
_TOKEN = re.compile(
    r"(?P<slot>\{[a-z]+\})|(?P<mark>[()|?…\[\] ])|(?P<word>[^(){}|?…\[\]*+\\^.\s]+)|(?P<bad>.)"
)
_MARKS = {"(": "(?:", "[": "(?P<value>", "]": ")", "…": "[^.?!。]{0,40}?", " ": "[ ,-]{1,2}"}
_LINK = re.compile(
    r"(?:https?://|www\.)\S|(?<![\w@.-])[a-z0-9-]{1,40}\.(?:com|cn|net|cc|top|xyz|me|ly|tk)/", re.IGNORECASE
)
_COUNTED: dict[str, Kind] = {
    "message.amounts": "amount", "message.dates": "due", "message.debts": "collection",
    "message.threats": "threat", "message.pretexts": "pretext",
}  # fmt: skip
_CJK = "\u3400-\u9fff"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was said. `name` is the pattern's, `quote` the words around it, for people.

    `value` is the key (`1`), the number to call (E.164, or a short code's digits), the name, the amount with
    its currency (`1537.35 USD`), the date (ISO 8601; `--03-05` where no year was said) or empty.
    """

    kind: Kind
    name: str
    value: str
    quote: str


def _phrases(text: str) -> str:
    for line in filter(None, map(str.strip, text.splitlines())):
        try:
            _compiled(line, "")
        except (ValueError, re.error) as error:
            told = {"phrase": printable(line, 60), "why": str(error)}
            raise PydanticCustomError("phrase", "“{phrase}” is no phrase: {why}", told) from None
    return text


def _pairs(text: str) -> str:
    if {len(one) for one in text.split()} - {2}:
        raise PydanticCustomError("pairs", "expected pairs of characters, with a space between two pairs")
    return text


class Pattern(Written):
    """Phrases of one meaning, one on each line."""

    kind: Kind
    phrases: Annotated[Text, AfterValidator(_phrases)]
    source: Text


class Lexicon(Written):
    """The contents of `wording/LANGUAGE.yaml`."""

    language: Text = Field(description="The language of the phrases, as speech recognition calls it.")
    regions: tuple[str, ...] = Field(description="Where it is spoken; in the first its numbers are read.")
    currencies: dict[str, str] = Field(description="What is said of money, and the ISO 4217 code meant.")
    same: Annotated[str, AfterValidator(_pairs)] = Field(
        description="Pairs of characters; the first is read as the second."
    )
    patterns: dict[Symbol, Pattern] = Field(description="What is looked for, by its name.")


class Wording:
    """The phrases of all languages, compiled; about 50 ms."""

    def __init__(self, lexicons: Iterable[Lexicon]) -> None:
        self._lexicons = tuple(lexicons)
        currencies = [pair for one in self._lexicons for pair in one.currencies.items()]
        self._currencies = {word.lower(): code for word, code in currencies}
        money = "|".join(re.escape(word) for word in sorted(self._currencies, key=len, reverse=True))
        amount = rf"(?:{money}) ?(?:{_COUNT})|(?:{_COUNT})多? ?(?:{money})"
        self._money = re.compile(money, re.IGNORECASE)
        pairs = [pair for one in self._lexicons for pair in one.same.split()]
        self._same = str.maketrans({pair[0]: pair[1] for pair in pairs})
        self._patterns = [
            (pattern.kind, name, lexicon, _compiled(line.strip(), amount))
            for lexicon in self._lexicons
            for name, pattern in lexicon.patterns.items()
            for line in pattern.phrases.splitlines()
            if line.strip()
        ]

    def find(self, text: str, *, language: str, region: str, said_on: date) -> tuple[Finding, ...]:
        """What is said in a transcript, each thing once, in the order of the patterns.

        `language` of the text and `region` (ISO 3166) of the line decide how numbers are read; `said_on` is
        the day of the call where it arrived.
        """
        plain = self._plain(text)
        regions = self._regions(language, region)
        found: dict[tuple[str, str], Finding] = {}
        for kind, name, lexicon, phrase in self._patterns:
            for match in phrase.finditer(plain):
                value = self._value(match, lexicon, regions, said_on)
                if value is not None:
                    one = Finding(kind, name, value, _quote(plain, match))
                    found.setdefault((kind, value or name), one)
        return tuple(found.values())

    def _plain(self, text: str) -> str:
        """One form for what is written in many: wide letters, spaces, traditional characters."""
        cut = " ".join(unicodedata.normalize("NFKC", text[:TEXT_BOUND])[:TEXT_BOUND].split())
        cut = re.sub(rf"(?<=[{_CJK}]) (?=[{_CJK}])", ",", cut)
        return re.sub(rf"(?<=[{_CJK}]) | (?=[{_CJK}])", "", cut).translate(self._same)

    def _regions(self, language: str, region: str) -> tuple[str, ...]:
        spoken = next((one.regions for one in self._lexicons if one.language == language), ())
        return (region, *spoken[:1]) if region in spoken else (*spoken[:1], region)

    def _value(
        self, match: re.Match[str], lexicon: Lexicon, regions: tuple[str, ...], said_on: date
    ) -> str | None:
        """What stands in the slot of a phrase; None where that makes no sense, so nothing was found."""
        slot, said = next(((name, text) for name, text in match.groupdict().items() if text), ("", ""))
        if slot == "key":
            return _DIGITS.get(said.lower(), said)
        if slot in {"number", "code"}:
            return _number(said, regions)
        if slot in {"amount", "sum"}:
            unit = self._money.search(said)
            usual = next(iter(lexicon.currencies.values()), "")
            counted = count(self._money.sub("", said))
            if counted is None:
                return None
            currency = self._currencies[unit[0].lower()] if unit else usual
            return f"{counted:.{2 if counted % 1 else 0}f} {currency}"
        return _date(said, said_on) if slot == "date" else said


def facts_of_message(sender: str, kind: str, text: str, found: Iterable[Finding]) -> dict[str, str | int]:
    """The facts `message.*`; `sender` is the user part of its address, `kind` that of it as a number."""
    kinds = [one.kind for one in found]
    facts: dict[str, str | int] = {name: kinds.count(of) for name, of in _COUNTED.items()}
    facts["message.sender"] = "alphanumeric" if kind == "invalid" and any(map(str.isalpha, sender)) else kind
    return facts | {"message.chars": len(text), "message.links": len(_LINK.findall(text[:TEXT_BOUND]))}


def count(said: str) -> Decimal | None:
    """A number in figures, Chinese, or mixed (`1,500`, `1.2万`, `三千零五`, `一万二`); None if it is none."""
    total, section, last, unit, counts = Decimal(0), Decimal(0), Decimal(0), 1, False
    for token in re.findall(r"[0-9][0-9,]*(?:\.[0-9]+)?|[a-z]+|\S", said.lower().replace("多", "")):
        counts = counts or token not in _LARGE
        if token[0].isdigit() and token.isascii():
            last, unit = Decimal(token.replace(",", "")), 1
        elif _DIGITS.get(token, "").isdigit():
            last, unit = last * 10 + int(_DIGITS[token]), 1 if _DIGITS[token] == "0" else unit
        elif token in _UNITS:
            section, last, unit = section + (last or 1) * _UNITS[token], Decimal(0), _UNITS[token]
        elif token in _LARGE:
            total = (total + section + last) * _LARGE[token]
            section, last, unit = Decimal(0), Decimal(0), _LARGE[token]
        else:
            return None
    # 一万二 is 12,000: a last digit without a unit counts tenths of the unit before it.
    counted = total + section + last * (unit // 10 if unit > 10 and last < 10 else 1)  # noqa: PLR2004
    return counted if counts else None


@lru_cache(maxsize=512)
def _compiled(phrase: str, amount: str) -> re.Pattern[str]:
    """Compile a phrase; raises ValueError or re.error when it is none, or could be read in too many ways."""
    slots, out, before = {**_SLOTS, "amount": amount or _COUNT}, "", ""
    if phrase.count("…") > GAPS_BOUND or phrase.count("?") > OPTIONS_BOUND:
        raise ValueError("it can be read in too many ways; write it as several")
    for token in _TOKEN.finditer(phrase):
        part, slot = token[0], (token["slot"] or "")[1:-1]
        if token["bad"] or (part == "?" and before not in {")", "word"}):
            raise ValueError(f"{part} has no place there")
        if slot and slot not in slots:
            raise ValueError(f"there is no {part}; there are {', '.join(sorted(slots))}")
        if slot:
            out += f"({'?:' if slot == 'name' else f'?P<{slot}>'}{slots[slot]})"
        else:
            out += re.escape(part) if token["word"] else _MARKS.get(part, part)
        before = "word" if token["word"] else part
    made = re.compile(rf"(?<![A-Za-z0-9])(?:{out})(?![A-Za-z0-9])", re.IGNORECASE)
    if made.fullmatch(""):
        raise ValueError("it fits on nothing said at all")
    return made


def _number(said: str, regions: tuple[str, ...]) -> str | None:
    digits = re.sub(_SAID_DIGIT, lambda one: _DIGITS.get(one[0], one[0]), said.lower())
    read = (number.parse(digits, region) for region in regions)
    return next((one.key for one in read if one.valid), None)


def _date(said: str, said_on: date) -> str | None:
    if (days := _DAYS.get(said.lower())) is not None:
        return said_on.fromordinal(said_on.toordinal() + days).isoformat()
    read = next(filter(None, (re.fullmatch(one, said, re.IGNORECASE) for one in _DATES)))
    name = read["month"].lower()
    month = _MONTHS.index(name) + 1 if name in _MONTHS else count(name)
    day = count(read["day"])
    if not (month and day and month <= 12 and day <= 31):  # noqa: PLR2004
        return None
    return f"{read['year'] or '-'}-{int(month):02}-{int(day):02}"


def _quote(text: str, match: re.Match[str]) -> str:
    """The sentence around it, cut to a line."""
    before = re.split(r"[.?!](?=\s)|。", text[max(0, match.start() - QUOTED_BEFORE) : match.start()])[-1]
    after = re.split(r"[.?!](?=\s|$)|。", text[match.end() : match.end() + QUOTED_AFTER])[0]
    return printable((before + match[0] + after).strip(), 2 * (QUOTED_BEFORE + QUOTED_AFTER))
