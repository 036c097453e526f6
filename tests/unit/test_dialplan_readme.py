"""The contract is written down once for people, once for each program: all three say the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from screener import call, dialplan, mirror
from screener.call import Call, Dialled, Ending, Stage
from screener.codes import Code, Step
from screener.delivering import Delivered, Question
from screener.headers import CONTRACT_VERSION
from screener.talking import STARTS, STOPS, TALK_EVENT, Talks
from screener.verdict import Action

FOLDER = dialplan.shipped_dir()
README = (FOLDER / "README.md").read_text("utf-8")
CONF = {path.name: path.read_text("utf-8") for path in sorted(FOLDER.rglob("*.conf"))}
PLAN = re.sub(r"^\s*;.*$", "", "\n".join(CONF.values()), flags=re.MULTILINE)
[FIELDS] = re.findall(r"Set\(LOCAL\(fields\)=(.*)\)$", PLAN, re.MULTILINE)
"""What a ScreenerMessage has in common with a line that is kept for the screener."""
AMONG_SCREENERS = {
    call.LEADER_VARIABLE, call.STANDBY_VARIABLE, call.UNFILED_VARIABLE, call.KEPT_VARIABLE,
}  # fmt: skip
"""Globals by which several screeners speak with each other; the dialplan does not look at them."""
FROM_ASTERISK = {"Uniqueid", "Channel"}
OURS = {
    "stage", "SCREENER_DEADLINE_MS", "asked", "CALLERID(num-pres)", "SCREENER_CHALLENGE", "SCREENER_ACTION",
    "SCREENER_MISSED", "SCREENER_DELAY_MS", "DIALSTATUS", "ANSWEREDTIME", "CDR(duration,f)", "CDR(billsec,f)",
    'IF($["${CHANNEL(hangupsource)}" = "${CHANNEL(name)}"]?caller:)',
    "CDR(disposition)", "HANGUPCAUSE",
    "SCREENER_CALL", "SCREENER_DELIVER_MS", "SCREENER_MAILBOX", "SCREENER_UNRECORDED", "STRFTIME(,,%s%6q)",
    "VMSTATUS", "SCREENER_NOTICE_AT", "SCREENER_LEG", "ARG1", "step", "list", "SCREENER_CODE_DEADLINE_MS",
    "SCREENER_MESSAGE_DEADLINE_MS", "id", "status", "URIENCODE(${ARG2})", "URIENCODE(${ARG3})",
    "BASE64_ENCODE(${MESSAGE(body)})",
}  # fmt: skip
"""What no stranger can write, and therefore need not be encoded."""


def test_exec_if__in_whatever_file__is_not_there() -> None:
    """Of `ExecIf(0?Set(x=a):System(id))` Asterisk runs what stands behind the colon, whoever wrote it."""
    assert not re.findall(r".*ExecIf.*", PLAN)


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the table under a heading, by their first cell."""
    [section] = re.findall(rf"^##+ {re.escape(heading)}$(.*?)(?=^##|\Z)", README, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^\| (.*) \|$", section, re.MULTILINE)
    rows = [[cell.strip() for cell in line.split(" |")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in rows[2:]}


def sent(event: str) -> dict[str, str]:
    """The headers of a UserEvent in the dialplan and their values."""
    [line] = re.findall(rf"UserEvent\({event},(.*)\)$", PLAN, re.MULTILINE)
    line = line.replace("${fields}", FIELDS)
    headers, depth, start = [], 0, 0
    for at, char in enumerate(line):
        depth += (char in "({") - (char in ")}")
        if char == "," and not depth:
            headers.append(line[start:at])
            start = at + 1
    return dict(header.split(": ", 1) for header in (*headers, line[start:]))


class Listener(Mapping[str, object]):
    """An event that remembers what was read from it."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values_, self.read = values, set[str]()

    def __getitem__(self, key: str) -> object:
        self.read.add(key)
        return self.values_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


ASK: tuple[str, str, Callable[..., Any]] = (call.ASK_EVENT, "ScreenerAsk: a question", Call.from_event)
END: tuple[str, str, Callable[..., Any]] = (call.END_EVENT, "ScreenerEnd: a call is over", Ending.from_event)
CODE: tuple[str, str, Callable[..., Any]] = (call.CODE_EVENT, "ScreenerCode: a star code", Code.from_event)
MESSAGE: tuple[str, str, Callable[..., Any]] = (
    call.MESSAGE_EVENT,
    "ScreenerMessage: a SIP MESSAGE",
    Call.from_message,
)
OURS_OUT: tuple[str, str, Callable[..., Any]] = (
    call.DIALLED_EVENT,
    "ScreenerDialled: we called somebody",
    Dialled.from_event,
)
TALK: tuple[str, str, Callable[..., Any]] = (
    TALK_EVENT,
    "ScreenerTalk: a leg or a prompt begins or ends",
    lambda event, at: Talks().receive(event, at.timestamp()),
)


DELIVER: tuple[str, str, Callable[..., Any]] = (
    call.DELIVER_EVENT,
    "ScreenerDeliver: a recording waits for its mailbox",
    lambda event, _: Question.from_event(event),
)
DELIVERED: tuple[str, str, Callable[..., Any]] = (
    call.DELIVERED_EVENT,
    "ScreenerDelivered: what became of it",
    lambda event, _: Delivered.from_event(event),
)


@pytest.mark.parametrize(
    ("event", "heading", "reader"), [ASK, END, CODE, MESSAGE, OURS_OUT, TALK, DELIVER, DELIVERED]
)
def test_event__fields_sent_read_and_documented__are_the_same(
    event: str, heading: str, reader: Callable[..., Any]
) -> None:
    listener = Listener(
        {"Version": "1", "Uniqueid": "1", "Channel": "x-1", "Stage": "setup", "Asked": "1", "Deadline": "1"}
        | {"Id": "m1", "Step": "do", "List": "block", "Call": "2"}
    )
    reader(listener, datetime(2025, 3, 1, tzinfo=UTC))
    listener.read.discard("Event")
    assert heading.startswith(f"{event}:")
    assert set(table(heading)) == listener.read
    assert sent(event).keys() | (FROM_ASTERISK & listener.read) == listener.read
    assert sent(event)["Version"] == CONTRACT_VERSION
    assert f"Version `{CONTRACT_VERSION}`" in README


@pytest.mark.parametrize(
    "event",
    [
        one[0]
        for one in (ASK, END, CODE, OURS_OUT, TALK, DELIVER, DELIVERED, MESSAGE, [call.MESSAGE_END_EVENT])
    ],
)
def test_event__what_a_stranger_can_write__is_cut_without_parentheses_and_encoded(event: str) -> None:
    for header, value in sent(event).items():
        if header == "Version":
            continue
        if value.startswith("${URIENCODE(${REPLACE(") and header != "Recording":
            assert re.fullmatch(r"\$\{URIENCODE\(\$\{REPLACE\([A-Z_()a-z1]+:0:\d+,\(\)\)\}\)\}", value), (
                header
            )
        elif header != "Recording":
            assert value.removeprefix("${").removesuffix("}") in OURS, header


def test_variables__in_the_dialplan_and_documented__are_the_same() -> None:
    answers = {call.VERDICT_VARIABLE.format(stage=stage) for stage in (Stage.SETUP, Stage.CHALLENGE)}
    answers |= {call.CODE_VARIABLE.format(step=step) for step in Step}
    used = set(re.findall(r"SCREENER_[A-Z_]+", PLAN)) - {"SCREENER_VERDICT_", "SCREENER_CODE_"}
    assert "SCREENER_VERDICT_${stage}" in PLAN
    assert "SCREENER_CODE_${step}" in PLAN
    assert used | answers | AMONG_SCREENERS == table("Variables").keys() | table("Options").keys()
    assert not table("Variables").keys() & table("Options").keys()
    assert call.HEARTBEAT_VARIABLE in table("Variables")


def test_variables__set_by_the_screener__are_those_of_the_contract() -> None:
    by_screener = {name for name, (setter, _) in table("Variables").items() if setter == "screener"}
    assert by_screener == {
        call.HEARTBEAT_VARIABLE,
        call.MIRROR_VARIABLE,
        call.MIRROR_VARIABLE + "_",
        *(call.VERDICT_VARIABLE.format(stage=stage) for stage in (Stage.SETUP, Stage.CHALLENGE)),
        call.MESSAGE_VARIABLE,
        *(call.CODE_VARIABLE.format(step=step) for step in Step),
        call.DELIVERS_VARIABLE,
        call.OWED_VARIABLE,
        *call.MAILBOX_VARIABLES,
        *AMONG_SCREENERS,
    }
    set_by_dialplan = set(re.findall(r"(?:Set|Read|,av)\((?:GLOBAL\()?(SCREENER_[A-Z_]+)", PLAN))
    assert call.MIRRORED_VARIABLE in set_by_dialplan
    assert set_by_dialplan - {
        call.HEARTBEAT_VARIABLE,
        call.MIRROR_VARIABLE,
        call.OWED_VARIABLE,
        "SCREENER_VERDICT_",
        "SCREENER_CODE_",
    } == {name for name, (setter, _) in table("Variables").items() if setter == "dialplan"}


def test_options__defaults_and_documented_defaults__are_the_same() -> None:
    files = CONF["screener.conf"] + CONF["codes.conf"] + CONF["messages.conf"]
    sections = "".join(re.findall(r"^\[globals\]$(.*?)^\[", files, re.MULTILINE | re.DOTALL))
    defaults = dict(re.findall(r"^(SCREENER_\w+)=([^;\n]*?) *(?:;.*)?$", sections, re.MULTILINE))
    assert defaults == {name: default.strip("`") for name, (default, _) in table("Options").items()}
    assert len(defaults) > 5


def test_options__every_use__is_of_an_option_or_a_variable_that_was_set() -> None:
    for name in table("Options"):
        assert f"${{{name}}}" in PLAN, name


def test_mirror__keys_and_bounds_documented_and_written__are_the_same() -> None:
    keys = table("The mirror of the lists")
    assert set(keys) == {"screener/nXXX", "screener/pLENGTH-X", "screener/lengths", "screener/version"}
    assert "${DB(screener/n${number:-3})}" in PLAN
    assert "${DB(screener/p${length}-${form:-1})}" in PLAN
    assert f"${{number:0:{mirror.LONGEST}}}" in PLAN
    assert (mirror.TAIL, f"`_{mirror.SLOTS - 1}`" in README) == (len("XXX"), True)
    assert f"Up to {mirror.MAX_ENTRIES:,} entries" in README


def test_wake_up_key__dialplan_and_contract__agree() -> None:
    assert re.search(rf"^exten => {call.WAKE_DIGIT},1,", CONF["screener.conf"], re.MULTILINE)
    assert f'"${{SCREENER_KEY}}" = "{call.WAKE_DIGIT}"' in CONF["challenge.conf"]
    assert f"presses the key `{call.WAKE_DIGIT}`" in README


def test_account__documented_name__is_that_of_the_manager_conf() -> None:
    assert re.search(r"^\[screener\]$", CONF["manager.conf"], re.MULTILINE)
    assert table("Options")["SCREENER_USER"][0] == "`screener`"
    [pattern] = re.findall(r"^eventfilter = (.*)$", CONF["manager.conf"], re.MULTILINE)
    passes = re.compile(pattern, re.DOTALL).search  # as POSIX has it: a point is any character
    for event in (call.ASK_EVENT, call.END_EVENT, call.CODE_EVENT, call.DIALLED_EVENT, TALK_EVENT):
        assert passes(f"Event: UserEvent\r\nPrivilege: user,all\r\nUserEvent: {event}\r\n")
    for event in (STARTS, STOPS):
        assert passes(f"Event: {event}\r\nPrivilege: call,all\r\n")
    forged = "\r\n\r\nEvent: UserEvent\r\nUserEvent: ScreenerDialled"
    assert not passes(f"Event: Newchannel\r\nPrivilege: call,all\r\nCallerIDName: {forged}\r\n")


def test_actions__documented_and_existing__are_the_same() -> None:
    assert {path.stem for path in (FOLDER / "actions").glob("*.conf")} == set(Action)
    named = re.findall(r"`(\w+)`", table("ScreenerEnd: a call is over")["Action"][0])
    assert named == [str(action) for action in Action]


def test_lines_to_copy__in_every_page_and_file__filter_the_called_number() -> None:
    root = FOLDER.parent
    pages = [*root.glob("*.md"), *root.glob("docs/*.md"), *FOLDER.rglob("*.md"), *FOLDER.rglob("*.conf")]
    lines = [line for page in pages for line in page.read_text("utf-8").splitlines() if ",s,1(${" in line]
    assert len([line for line in lines if "EXTEN" in line]) >= 7
    assert not [line for line in lines if re.search(r"1\(\$\{EXTEN", line)]
    assert sum(dialplan.LINE in line for line in lines) == 4
