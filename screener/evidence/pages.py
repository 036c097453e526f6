"""The dossier written down: for a browser, for a complaint, for a spreadsheet, for programs.

All that is shown was said by strangers: it is escaped, no page has a script, and none may load anything but
the sounds beside it.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from screener.evidence.words import PLACES, README, WORDS, Language

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

STYLE: Final = (
    "body{font:15px/1.5 sans-serif;max-width:75em;margin:2em auto;padding:0 1em;overflow-wrap:anywhere}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #bbb;padding:.3em .5em;text-align:left;"
    "vertical-align:top}"
    # Times and numbers that were called are not to be broken in the middle.
    ".timeline td:nth-child(2),.timeline td:nth-child(5){overflow-wrap:break-word}"
    "audio{height:2em;max-width:16em;display:block}small{color:#555}"
    "@media print{audio{display:none}}"
)
_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# A page opened from a folder has no origin, so 'self' alone would not let its sounds be heard everywhere.
POLICY: Final = (
    f"default-src 'none'; media-src 'self' file:; style-src 'sha256-{_DIGEST}'; base-uri 'none'; "
    "form-action 'none'"
)
FORMULA: Final = tuple("=+-@|%＝＋－＠")
# Where cells are parted by semicolons, as in Germany, quotes within a line count for nothing.
PARTED: Final = re.compile(rf'([;\t\r\n])(?=[\s"]*[{re.escape("".join(FORMULA))}])')
COLUMNS: Final = (
    "n", "at", "at_utc", "kind", "number", "name", "called", "verdict", "reasons", "ended", "talk_s", "robot",
    "text", "found", "incidents", "files",
)  # fmt: skip


def pages(
    data: Mapping[str, Any], lang: Language, *, blanked: bool, faults: Sequence[str]
) -> dict[str, bytes]:
    """The written files of a bundle by their names; `lang` is that of index.html, summaries have both.

    `faults` is what the reader is to know of the files: changed since they were filed, or missing.
    """
    told = "".join(f"\nAttention 注意: {one}" for one in faults)
    told += "\n" if told else ""
    made = {
        "README.txt": "\n\n".join(README[one].format(title=_title(data, one), faults=told) for one in README),
        "index.html": _index(data, WORDS[lang], lang, blanked=blanked),
        "timeline.csv": "\ufeff" + _csv(data),
        "calls.json": json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True) + "\n",
    }
    made |= {f"summary.{one}.html": _summary(data, WORDS[one], one, blanked=blanked) for one in WORDS}
    return {name: text.encode("utf-8", "backslashreplace") for name, text in made.items()}


def safe_cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = "" if value is None else PARTED.sub(r"\1'", str(value))
    return f"'{text}" if text[:1].isspace() or text.startswith(FORMULA) else text


def _csv(data: Mapping[str, Any]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    broken = _broken(data)
    for entry in data["entries"]:
        values = entry | {
            "reasons": " ".join(entry.get("reasons", ())),
            "found": "; ".join(f"{one['kind']}: {one['value'] or one['quote']}" for one in entry["wording"]),
            "incidents": "; ".join(broken.get(entry["n"], ())),
            "files": " ".join(one["file"] for one in entry["files"]),
        }
        writer.writerow([safe_cell(values.get(name)) for name in COLUMNS])
    return out.getvalue()


def _broken(data: Mapping[str, Any]) -> dict[int, list[str]]:
    """Which rules each entry helps to prove broken."""
    broken: dict[int, list[str]] = {}
    for one in data["incidents"]:
        for place in one["proof"]:
            broken.setdefault(place, []).append(f"{one['pack']} {one['rule']}")
    return broken


def _title(data: Mapping[str, Any], lang: Language) -> str:
    return WORDS[lang]["title"].format(case=data["case"], name=data["name"] or WORDS[lang]["unnamed"])


def _page(data: Mapping[str, Any], lang: Language, parts: Iterable[str]) -> str:
    title = escape(_title(data, lang))
    return (
        f'<!doctype html>\n<html lang="{lang}"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _index(data: Mapping[str, Any], words: Mapping[str, str], lang: Language, *, blanked: bool) -> str:
    heads = ("", "time", "kind", "number", "called", "ended", "said", "files")
    rows = "\n".join(_row(entry, words, _broken(data)) for entry in data["entries"])
    head = "".join(f"<th>{escape(words[one]) if one else ''}</th>" for one in heads)
    links = " · ".join(f'<a href="summary.{one}.html">{escape(WORDS[one]["print"])}</a>' for one in WORDS)
    return _page(
        data,
        lang,
        [
            *_head(data, words, blanked=blanked),
            f"<p>{links}</p>",
            *_incidents(data, words),
            f"<h2>{escape(words['timeline'])}</h2><table class='timeline'><tr>{head}</tr>\n{rows}</table>",
        ],
    )


def _row(entry: Mapping[str, Any], words: Mapping[str, str], broken: Mapping[int, list[str]]) -> str:
    kind = words[entry["kind"]] + (f", {words['robot']}" if entry["robot"] else "")
    said = [
        entry["text"],
        *(
            f"{words.get(one['kind'], one['kind'])}: {one['value'] or one['quote']}"
            for one in entry["wording"]
        ),
    ]
    ended = " ".join(words.get(one, one) for one in (entry.get("verdict"), entry.get("ended")) if one)
    talk = f" {entry['talk_s']} s" if entry.get("talk_s") else ""
    cells = [
        f'<a id="n{entry["n"]}">{entry["n"]}</a>',
        escape(entry["at"]),
        escape(kind),
        escape(
            " ".join(
                filter(
                    None,
                    (entry["number"] or words["withheld"] * (entry["kind"] == "call"), entry.get("name")),
                )
            )
        ),
        escape(entry.get("called", "")),
        escape(ended + talk)
        + "".join(f"<br><small>{escape(one)}</small>" for one in broken.get(entry["n"], ())),
        "<br>".join(escape(one) for one in said if one) + _withdrawn(entry, words),
        "".join(map(_file, entry["files"])),
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _withdrawn(entry: Mapping[str, Any], words: Mapping[str, str]) -> str:
    gone = entry.get("withdrawn")
    return f"<br><small>{escape(words['withdrawn_by'].format(**gone))}</small>" if gone else ""


def _file(one: Mapping[str, Any]) -> str:
    address, shown = escape(quote(one["file"])), escape(one.get("name") or one["file"].rpartition("/")[2])
    player = (
        f'<audio controls preload="none" src="{address}"></audio>' if one["file"].endswith(".wav") else ""
    )
    return f'{player}<a href="{address}">{shown}</a><br>'


def _head(data: Mapping[str, Any], words: Mapping[str, str], *, blanked: bool) -> list[str]:
    told = [words["confirmed" if data["confirmed"] else "suggested"]] + [words["blanked"]] * blanked
    counted = Counter(dict.fromkeys(("call", "message", "visit", "letter"), 0))
    counted.update(one["kind"] for one in data["entries"])
    times = [one["at"] for one in data["entries"]] or ["–"]
    facts = [
        (words["numbers"], ", ".join(data["numbers"]) or "–"),
        (words["often"], words["counts"].format(**counted)),
        ("", words["when"].format(first=times[0], last=times[-1])),
    ]
    return [f"<p>{escape(' '.join(told))}</p>", _table(facts)]


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return (
        "<table>"
        + "".join(f"<tr><th>{escape(a)}</th><td>{escape(b)}</td></tr>" for a, b in rows)
        + "</table>"
    )


def _incidents(data: Mapping[str, Any], words: Mapping[str, str]) -> list[str]:
    made = [f"<h2>{escape(words['incidents'])}</h2>"]
    if not data["incidents"]:
        made.append(f"<p>{escape(words['no_incidents' if data['packs'] else 'no_packs'])}</p>")
    for one in data["incidents"]:
        marks = [words["undecided"]] * (not one["decided"]) + [words["soft"]] * one["soft"]
        source = one["source"] + (f"; {words['unless']} {one['unless']}" if one["unless"] else "")
        proof = ", ".join(f'<a href="index.html#n{n}">{n}</a>' for n in one["proof"])
        title = f"{one['at']} {one['pack']} {one['rule']}" + (f" ({', '.join(marks)})" if marks else "")
        made.append(
            f"<p><b>{escape(title)}</b><br>{escape(one['because'])}<br>{escape(one['clause'])}<br>"
            f"<small>{escape(source)}<br>"
            f"{escape(words['proof'])} {proof}</small></p>"
        )
    return made


def _summary(data: Mapping[str, Any], words: Mapping[str, str], lang: Language, *, blanked: bool) -> str:
    claims = [
        (
            words[one["kind"]],
            f"{one['value']} “{one['quote']}” ({words['entries']}: {', '.join(map(str, one['in']))})",
        )
        for one in data["claims"]
    ]
    return _page(
        data,
        lang,
        [
            *_head(data, words, blanked=blanked),
            f"<h2>{escape(words['who'])}</h2>{_table(claims)}<p><small>{escape(words['heard'])}</small></p>",
            *_incidents(data, words),
            f"<h2>{escape(words['where'])}</h2>{_table(PLACES[lang])}<p>{escape(words['ask'])}</p>",
        ],
    )
