"""Past calls under a new policy, as an administrator runs them before a change goes live."""

from __future__ import annotations

import io
import json
import random
import re
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

import screener.state
from screener import config, ledger
from screener.call import Call, Stage
from screener.cli import main
from screener.facts import Place, facts_of
from screener.ledger import Ledger, Row
from screener.number import parse
from screener.replay import Bench, CdrFile, LedgerFile, PastCall, PastDial, aside
from screener.state import CALLER_TTL_S, TRUST_TTL_S
from screener.state.learning import LEARN
from tests import cdr

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.commandline import Command

ZONE = ZoneInfo("Asia/Shanghai")
PLACE = Place("CN", ZONE, (), city=False)
MONDAY = datetime(2026, 1, 5, 10)  # noqa: DTZ001 - records hold local time
FRIEND = "13912345678"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The present configuration: as shipped."""
    return directory(tmp_path / "site", tmp_path)


def directory(path: Path, tmp_path: Path, **policy: Any) -> Path:
    path.mkdir()
    (path / "screener.yaml").write_text(json.dumps({"state_dir": str(tmp_path / "s")}))
    if policy:
        (path / "policy.yaml").write_text(json.dumps(policy))
    return path


@pytest.fixture
def run(site: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("SCREENER_CONFIG", str(site))
    return partial(command, "replay")


def sweep(first: datetime, numbers: int) -> list[list[str]]:
    """A stranger who calls one of our numbers after the other; the ids do not sort by the time."""
    return [
        cdr.record(
            first + timedelta(minutes=n),
            "17700000001",
            f"10555501{n:02d}",
            unique=f"{first:%d}.{99 - n}",
        )
        for n in range(numbers)
    ]


def test_replay__the_same_records_twice_and_from_freepbx__gives_the_same_verdicts_byte_for_byte(
    run: Command, tmp_path: Path
) -> None:
    rows = list(cdr.office(600, days=20))
    master = cdr.write(tmp_path / "Master.csv", rows)
    random.Random(2).shuffle(rows)  # the order in a file is that of the calls' ends, or none
    table = cdr.write(tmp_path / "cdr.csv", list(map(cdr.as_freepbx, rows)), cdr.FREEPBX_COLUMNS)
    found = []
    batch = tmp_path / "cdr.tsv"  # as the client of MySQL prints it: tabs, and no quotes but those of names
    batch.write_text(
        "".join("\t".join(row) + "\n" for row in [cdr.FREEPBX_COLUMNS, *map(cdr.as_freepbx, rows)])
    )
    for source, form in ((master, "cdr-csv"), (master, "auto"), (table, "freepbx"), (batch, "auto")):
        ended = run(source, "--format", form, "--json", tmp_path / "out")
        assert ended.code == 0, ended.err
        found.append((tmp_path / "out").read_bytes())
    assert len(found) == 4
    assert len(set(found)) == 1
    lines = [json.loads(line) for line in found[0].splitlines()]
    assert lines[-1]["summary"]["changed"] == len(lines) - 1 > 10
    assert lines[-1]["summary"]["skipped"] == {"outbound": sum(row[3] == "from-internal" for row in rows)}


def test_replay__a_sweep__is_counted_up_to_the_moment_of_each_call(run: Command, tmp_path: Path) -> None:
    rows = sweep(MONDAY, 5) + sweep(MONDAY + timedelta(days=30), 2)
    master = cdr.write(tmp_path / "Master.csv", rows[::-1])
    ended = run(master, "--json", tmp_path / "out")
    *changes, summary = map(json.loads, (tmp_path / "out").read_text().splitlines())
    assert [(one["did"], one["new"]["action"]) for one in changes] == [
        ("1055550102", "challenge"),
        ("1055550103", "voicemail"),
        ("1055550104", "voicemail"),
    ]
    rules = {symbol: now for symbol, _, now in summary["summary"]["rules"]}
    assert rules["DID_FANOUT"] == 1
    assert rules["NEW_CALLER"] == 7, "after eight days of silence a caller is new again"
    assert "DID_FANOUT(+4) SHORT_RINGS(+4)" in ended.out


def test_replay__calls_teach_trust__from_their_end_on(run: Command, site: Path, tmp_path: Path) -> None:
    (site / "rules").mkdir()
    (site / "rules/collection.yaml").write_text(
        "enabled: true\nrules: {COLLECTOR_AT_NIGHT: {enabled: false}}\n"
    )
    friend, clinic, silent = "17700000001", "17700000002", "17700000003"
    minute, day = timedelta(minutes=1), timedelta(days=1)
    calls = [
        (MONDAY, friend, 600), (MONDAY + 5 * minute, friend, 0), (MONDAY + 11 * minute, friend, 0),
        (MONDAY + 40 * day, friend, 0), (MONDAY + 110 * day, friend, 0),
        (MONDAY, silent, 30), (MONDAY + day, silent, 0),
        (MONDAY, clinic, 0), (MONDAY + 2 * day, clinic, 0), (MONDAY + 15 * day, clinic, 0),
    ]  # fmt: skip
    rows = [
        cdr.record(at, number, talk_s=talk_s, unique=str(n)) for n, (at, number, talk_s) in enumerate(calls)
    ]
    out = cdr.record(MONDAY + day, "201", clinic, context="from-internal", unique="out")
    ended = run(cdr.write(tmp_path / "Master.csv", [*rows, out]), "--json", tmp_path / "out")
    *changes, summary = map(json.loads, (tmp_path / "out").read_text().splitlines())
    challenged = {one["id"] for one in changes if one["new"]["action"] == "challenge"}
    assert challenged == {"0", "1", "4", "5", "6", "7", "9"}, ended.out
    assert summary["summary"]["skipped"] == {"outbound": 1}


def test_replay__a_ledger__knows_whom_we_dialled_and_who_passed(site: Path, tmp_path: Path) -> None:
    at = MONDAY.replace(tzinfo=ZONE)
    path = recorded(site, tmp_path / "l.db", FRIEND, talk_s=90)
    with Ledger.open(path) as writer:
        writer.append(Row("0.1", "end", at, {"challenge": "passed"}))
        body = {"number": "02161230000", "channel": "PJSIP/201-1", "answered": True, "talk_s": 70}
        writer.append(Row("9.9", "dialled", at, body))
        writer.append(Row("9.8", "dialled", at, {"number": 7, "channel": None, "talk_s": "x"}))
        hits = [{"symbol": "PLAYS_ON"}, {"symbol": "DEAD_AIR", "shadow": True}, 7]
        for verdict in ({"hits": hits}, {"hits": 7}, 7):
            writer.append(Row("0.1", "challenge", at, {"verdict": verdict}))
    call, dialled, odd = LedgerFile(path).calls(None)
    assert isinstance(call, PastCall)
    assert (call.answered, call.talk_s, call.challenge) == (True, 90, "passed")
    assert call.symbols == {"PLAYS_ON"}
    assert dialled == PastDial("02161230000", at, answered=True, talk_s=70)
    assert odd == PastDial("", at, answered=False, talk_s=0)
    assert [one.call_id for one in ledger.calls(path)] == ["0.1"], "a call of ours is no call from outside"


def test_replay__the_time_a_caller_is_remembered__is_that_of_the_script() -> None:
    script = (Path(screener.state.__file__).parent / "observe.lua").read_text()
    assert re.search(r"REGULAR_TTL_S = 3, (\d+)", script)[1] == str(CALLER_TTL_S)  # type: ignore[index]
    assert f", {TRUST_TTL_S}\n" in script
    assert f"TTL_S = {TRUST_TTL_S}\n" in LEARN


@pytest.mark.parametrize(
    ("talk_s", "app", "threshold", "code", "words"),
    [
        (61, "Dial", {"voicemail": 4}, 3, "refused: 1 answered"),
        (61, "Dial", {"voicemail": "off", "reject": 8}, 3, "BLOCKS AN ANSWERED CALL"),
        (60, "Dial", {"voicemail": 4}, 0, "1 changed"),
        (61, "VoiceMail", {"voicemail": 4}, 0, "1 changed"),
        (61, "Dial", {"challenge": 2}, 0, "0 changed"),
    ],
)
def test_replay__a_change_that_blocks_who_was_talked_to__is_refused(
    run: Command,
    tmp_path: Path,
    talk_s: int,
    app: str,
    threshold: dict[str, Any],
    code: int,
    words: str,
) -> None:
    withheld = cdr.record(MONDAY, "", talk_s=talk_s, last_app=app)
    master = cdr.write(tmp_path / "Master.csv", [withheld])
    actions = {"challenge": 4, "voicemail": 8, **threshold}
    if threshold.get("voicemail") == 4:
        actions["challenge"] = 3
    candidate = directory(tmp_path / "new", tmp_path, actions=actions)
    if threshold.get("reject"):
        rules = {"rules": {"WITHHELD": {"score": 9}}, "max_score": 9}
        (candidate / "rules").mkdir()
        (candidate / "rules/identity.yaml").write_text(json.dumps(rules))
    ended = run(master, "--against", candidate, "--limit", 0 if code else 1)
    assert (ended.code, words in ended.out) == (code, True), ended.out + ended.err


def test_replay__answered_calls_that_would_be_challenged__are_a_warning(run: Command, tmp_path: Path) -> None:
    master = cdr.write(tmp_path / "Master.csv", [cdr.record(MONDAY, "", talk_s=61)])
    ended = run(master)
    assert ended.code == 0
    assert "warning: 1 answered calls" in ended.out
    assert "allow 0 → challenge 4: WITHHELD(+4) (was: was not screened)" in ended.out


def test_replay__several_records_of_one_call__are_one_call() -> None:
    rings = [cdr.record(MONDAY + timedelta(seconds=n), unique="7.1") for n in range(3)]
    answered = cdr.record(MONDAY + timedelta(seconds=9), unique="7.1", talk_s=90)
    found = _file([*rings, answered])
    (call,) = found.calls(None)
    assert isinstance(call, PastCall)
    assert (call.call.at, call.answered, call.talk_s) == (MONDAY.replace(tzinfo=ZONE), True, 90)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "inbound"),
        ({"context": "from-trunk-sip-carrier"}, "inbound"),
        ({"context": "office", "did": "201"}, "internal"),
        ({"context": "office", "did": "13800138000"}, "outbound"),
        ({"context": "office", "channel": "PJSIP/other-00000001"}, "inbound"),
        ({"channel": "Local/201@from-trunk-0001;2"}, "internal"),
    ],
)
def test_cdr__from_inside_or_outside__is_told_by_context_did_and_trunk(
    change: dict[str, Any], kind: str
) -> None:
    found = _file([cdr.record(MONDAY, **change)], trunks=frozenset(["PJSIP/other"]))
    assert found.total(None) == (kind == "inbound")
    assert found.skipped[kind] == (kind != "inbound")


def test_replay__no_call_from_outside__names_the_contexts_there_are(run: Command, tmp_path: Path) -> None:
    master = cdr.write(tmp_path / "Master.csv", [cdr.record(MONDAY, context="\x1bcarrier")] * 2)
    ended = run(master)
    assert "--inbound-context. There are: carrier (2)" in ended.out.replace("\\x1b", "")
    assert "1 verdicts" in run(master, "--inbound-context", "*carrier").out


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a,b,c", "has 3 cells"),
        (cdr.line(cdr.record(MONDAY)).replace("2026-01-05", "0000-00-00"), "is not a time"),
        (cdr.line(cdr.record(MONDAY)).replace("2026-01-05", "9999-12-31"), "is not a time"),
        (cdr.line(cdr.record(MONDAY)).replace('"0","NO', '"-1","NO'), "billsec '-1'"),
        (cdr.line(cdr.record(MONDAY)).replace('"0","NO', f'"{"9" * 400}","NO'), "billsec '999"),
        ('"' + cdr.line(cdr.record(MONDAY)).replace('"', ""), "has 1 cells"),
        ("x" * 100_000, "has 1 cells"),
        ("\0\0,\0", "has 2 cells"),
    ],
)
def test_cdr__a_bad_row_between_good_ones__is_reported_with_its_line_and_skipped(
    line: str, reason: str
) -> None:
    text = (
        cdr.line(cdr.record(MONDAY, unique="1"))
        + line.rstrip("\n")
        + "\n"
        + cdr.line(cdr.record(MONDAY, unique="2"))
    )
    said: list[tuple[int, str]] = []
    found = CdrFile(Path("Master.csv"), ZONE)
    found.read(io.BytesIO(text.encode()), lambda number, text: said.append((number, text)))
    assert found.total(None) == 2
    assert [number for number, _ in said] == [2]
    assert reason in said[0][1]


@pytest.mark.parametrize(
    ("content", "options", "code", "words"),
    [
        (b"", (), 0, "0 verdicts"),
        (b"\n\n", (), 0, "0 verdicts"),
        ((",".join(cdr.FREEPBX_COLUMNS) + "\n").encode(), ("--format", "freepbx"), 0, "0 verdicts"),
        (b"%PDF-1.7\n\xff\xfe\n", (), 2, "no line of it is a call detail record"),
        (b"SQLite format 3\0 and no more", (), 6, "ledger"),
        (b"a,b\n", ("--format", "freepbx"), 2, "first line must name the columns"),
        (b"", ("--format", "ledger"), 6, "not a ledger"),
        (b"", ("--timezone", "Mars/Base"), 2, "no time zone"),
        (b"", ("--against", "/no/such"), 2, "/no/such:1:1"),
        (b"", ("--last", "3 weeks"), 2, "30d"),
    ],
)
def test_replay__what_is_no_source__is_told_plainly(
    run: Command, tmp_path: Path, content: bytes, options: tuple[str, ...], code: int, words: str
) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    ended = run(source, *options)
    assert ended.code == code
    assert words in ended.out + ended.err


def test_replay__a_hostile_caller__prints_nothing_that_a_terminal_obeys(run: Command, tmp_path: Path) -> None:
    hostile = '\x1b[31m"[red]\u202e\r=cmd()'
    rows = [cdr.record(MONDAY, hostile, hostile, name=hostile, unique=hostile)]
    ended = run(cdr.write(tmp_path / "Master.csv", rows), "--json", tmp_path / "out")
    assert ended.code == 0
    assert (ended.out + ended.err).replace("\n", "").isprintable()
    assert (tmp_path / "out").read_text().replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("clid", "name"),
    [
        ('"Bob" <139>', "Bob"),
        ("  Bob  <139> ", "Bob"),
        ('" a <b> " <139>', " a <b> "),
        ('"" <139>', ""),
        ("139", ""),
        ("x" + " " * 15_000 + "x", ""),
        ('"' + "x" * 15_000 + '" <139>', "x" * 15_000),
    ],
)
def test_cdr__any_clid__gives_its_name_at_once(tmp_path: Path, clid: str, name: str) -> None:
    row = cdr.record(MONDAY)
    row[4] = clid
    source = CdrFile(tmp_path / "Master.csv", ZONE)
    source.read(io.BytesIO(cdr.line(row).encode()), lambda *_: None)
    (past,) = source.calls(None)
    assert isinstance(past, PastCall)
    assert past.call.name == name


def test_replay__json_where_nothing_can_be_written__is_told_and_is_no_difference(
    run: Command, tmp_path: Path
) -> None:
    master = cdr.write(tmp_path / "Master.csv", [cdr.record(MONDAY)])
    ended = run(master, "--json", tmp_path / "nowhere/out")
    assert ended.code == 2
    assert "--json" in ended.err
    assert "cannot be written" in ended.err


def test_replay__lists_of_today__count_unless_told_otherwise(
    run: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["screener", "list", "add", "block", f"+86{FRIEND}", "--reason", "noise"]
    )
    main_ended = _code()
    assert main_ended == 0, capsys.readouterr().err
    master = cdr.write(tmp_path / "Master.csv", [cdr.record(MONDAY)])
    assert "allow 0 → voicemail 0: BLOCKLISTED(+0)" in run(master).out
    assert "0 changed" in run(master, "--no-lists").out


def test_replay__trunk_of_another_country__its_callers_are_read_in_that_country(
    run: Command, tmp_path: Path
) -> None:
    rows = [
        cdr.record(MONDAY + timedelta(minutes=n), "0118617712345678", unique=f"{n}.1", channel=channel)
        for n, channel in enumerate(("PJSIP/us-00000001", "PJSIP/carrier-00000002"))
    ]
    master = cdr.write(tmp_path / "Master.csv", rows)
    candidate = directory(tmp_path / "new", tmp_path, actions={"challenge": 3})
    settings = {"state_dir": str(tmp_path / "s"), "trunks": {"PJSIP/us": {"region": "US"}}}
    (candidate / "screener.yaml").write_text(json.dumps(settings))
    ended = run(master, "--against", candidate, "--json", tmp_path / "out")
    assert ended.code == 0, ended.err
    [change, _] = map(json.loads, (tmp_path / "out").read_text().splitlines())
    assert (change["id"], change["caller"]) == ("0.1", "+8617712345678")
    assert "FOREIGN_TRUNK(+3)" in ended.out


def test_replay__the_last_days_only__knows_the_calls_before_them(run: Command, tmp_path: Path) -> None:
    now = datetime.now(ZONE).replace(microsecond=0, tzinfo=None)
    rows = [cdr.record(now - timedelta(hours=hour)) for hour in (30, 1)]
    stranger = cdr.record(now - timedelta(hours=1), "13887654321")
    master = cdr.write(tmp_path / "Master.csv", [*rows, stranger])
    ended = run(master, "--last", "2h", "--json", tmp_path / "out")
    summary = json.loads((tmp_path / "out").read_text().splitlines()[-1])["summary"]
    assert (ended.code, summary["calls"]) == (0, 2)
    assert ["NEW_CALLER", 0, 1] in summary["rules"]


OBSERVED = {
    "list.allow": False, "list.block": False, "feed.asked": 0, "feed.count": 0, "feed.weight": 0.0,
    "feed.max_votes": 0, "caller.calls_1m": 1, "caller.calls_1h": 7, "caller.calls_1d": 3,
    "caller.calls_7d": 7, "caller.dids_1h": 7, "caller.first_seen_days": 3.5, "caller.is_new": False,
}  # fmt: skip


def recorded(
    site: Path,
    path: Path,
    *numbers: str,
    talk_s: int = 0,
    change: Callable[[dict[str, Any]], object] = bool,
) -> Path:
    """A ledger as the service writes it, of calls that were judged by the policy of a site."""
    loaded = config.load(site)
    with Ledger.open(path) as writer:
        for n, number in enumerate(numbers):
            at = MONDAY.replace(tzinfo=ZONE) + timedelta(minutes=n)
            call = Call(f"{n}.1", "PJSIP/carrier-1", Stage.SETUP, at, number=number, did="1055550100")
            facts = facts_of(call, parse(number, "CN"), OBSERVED, PLACE)
            body = {
                "call": {
                    "number": number,
                    "did": call.did,
                    "channel": call.channel,
                    "name": "",
                    "trunk": call.trunk,
                },
                "facts": facts,
                "verdict": loaded.policy.judge(facts).as_dict(),
            }
            change(body)
            writer.append(Row(call.id, "setup", at, body))
            if talk_s:
                writer.append(Row(call.id, "end", at, {"disposition": "answered", "talk_s": talk_s}))
    return path


def test_replay__our_ledger_under_the_same_policy__gives_every_verdict_again(
    run: Command, site: Path, tmp_path: Path
) -> None:
    source = recorded(site, tmp_path / "s" / "ledger.db", FRIEND, "anonymous", "95588", "\x1b[31m\udcff")
    ended = run()
    assert ended.code == 0, ended.out
    assert "4 verdicts" in ended.out
    assert "0 changed, 0 by the score alone" in ended.out
    assert "0 changed" in run(source).out
    assert [rows[0].call_id for rows in ledger.oldest_first(source)] == ["0.1", "1.1", "2.1", "3.1"]


def test_replay__a_ledger_verdict_that_its_own_policy_would_not_give__is_an_error(
    run: Command, site: Path, tmp_path: Path
) -> None:
    def forge(body: dict[str, Any]) -> None:
        body["verdict"]["hits"][0]["because"] = "something else"

    ended = run(recorded(site, tmp_path / "forged.db", "anonymous", change=forge))
    assert ended.code == 1
    assert (
        "error: 1 verdicts of the ledger are not given again by the same policy, the first in 0.1"
        in ended.out
    )


def test_replay__a_ledger_under_another_policy__takes_what_the_store_knew_from_the_row(
    run: Command, site: Path, tmp_path: Path
) -> None:
    source = recorded(site, tmp_path / "old.db", FRIEND, talk_s=75)
    candidate = directory(tmp_path / "new", tmp_path, actions={"challenge": 3, "voicemail": 4})
    ended = run(source, "--against", candidate)
    assert ended.code == 3
    assert "answered, 75 s: challenge 4 → voicemail 4: DID_FANOUT(+4) (was: DID_FANOUT" in ended.out


def test_replay__calls_that_were_not_screened_and_damaged_rows__are_judged_or_counted(
    run: Command, tmp_path: Path
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with Ledger.open(tmp_path / "l.db") as writer:
        writer.append(Row("1", "end", at, {"missed": "away", "number": "anonymous", "did": "1"}))
        writer.append(Row("2", "setup", at, {"call": 1}))
        writer.append(Row("3", "recording", at, {"path": "x"}))
    ended = run(tmp_path / "l.db")
    assert ended.code == 0
    assert "withheld to 1: allow 0 → challenge 4" in ended.out
    assert "not replayed: 1 damaged or foreign rows" in ended.out
    assert "not replayed: 1 calls without a question" in ended.out


def test_replay__a_challenge_that_would_not_be_asked__is_not_judged(
    run: Command, site: Path, tmp_path: Path
) -> None:
    source = recorded(site, tmp_path / "old.db", FRIEND)
    with Ledger.open(source) as writer:
        body = {"call": {"challenge": "failed"}, "facts": {}, "verdict": {"action": "voicemail"}}
        writer.append(Row("0.1", "challenge", datetime(2026, 1, 6, tzinfo=UTC), body))
    candidate = directory(tmp_path / "new", tmp_path, actions={"challenge": "off"})
    assert "1 challenges would not be asked" in run(source, "--against", candidate).out
    assert "0 challenges would not be asked" in run(source).out


def test_aside__the_same_batch__gives_what_the_bench_gives() -> None:
    loaded = config.load(None, environ={})
    found = _file(list(cdr.office(300))).calls(None)
    calls = [call for call in found if isinstance(call, PastCall)]
    batch = [
        (call, parse(call.call.number, "CN"), {"caller.dids_1h": n % 12}) for n, call in enumerate(calls)
    ]
    judged = Bench(loaded.policy, None, PLACE).judge(batch)
    with aside(loaded.document, None, PLACE) as judge:
        assert judge(batch)() == judged
    assert judged[1].changed > 20


def _file(rows: list[list[str]], **house: Any) -> CdrFile:
    found = CdrFile(Path("Master.csv"), ZONE, **house)
    found.read(io.BytesIO("".join(map(cdr.line, rows)).encode()), lambda *_: None)
    return found


def _code() -> int:
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_past_call__of_a_record__leaves_out_what_a_record_cannot_tell() -> None:
    (call,) = _file([cdr.record(MONDAY)]).calls(None)
    assert isinstance(call, PastCall)
    assert call.unknown == {"call.diverted"}
