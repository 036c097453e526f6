"""The door to Asterisk, against a scripted peer on a real socket: every trap of the AMI library is closed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panoramisk import Manager
from structlog.testing import capture_logs

from screener import ami as door
from screener.ami import Account, Ami
from screener.ami.wire import MESSAGE_BYTES, Connection, Wire, action
from screener.call import Call, Stage
from screener.errors import AmiError, AmiLoginRefused, UnsafeValue
from screener.verdict import Action, Verdict
from tests.ami_peer import BANNER, WITHIN_S, Line, Peer, becomes_true, message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

SECRET = "a-secret-of-the-tests"  # noqa: S105
REFUSED = "Response: Error\r\nMessage: Authentication failed"
STOPPING = "Response: Error\r\nMessage: Asterisk is shutting down"
VOICEMAIL = Verdict(Action.VOICEMAIL, 8.5)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses; the deadline stays long enough for a loaded machine."""
    monkeypatch.setattr(door, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(door, "PAUSE_S", (0.01, 0.05))


def account(peer: Peer, **other: Any) -> Account:
    return replace(Account("127.0.0.1", peer.port, "screener", SECRET), **other)


class Client:
    """Our side, running; `events` holds what came, `task` ends when `run` gives up."""

    def __init__(self, ami: Ami) -> None:
        self.ami, self.events = ami, asyncio.Queue[Any]()
        self.task = asyncio.create_task(ami.run(self.take))

    def take(self, event: Mapping[str, object]) -> None:
        if event.get("Name") == "bad":
            raise RuntimeError(event)
        self.events.put_nowait(event)

    async def ready(self) -> None:
        await asyncio.wait_for(self.ami.ready.wait(), WITHIN_S)

    async def event(self) -> Mapping[str, Any]:
        return dict(await asyncio.wait_for(self.events.get(), WITHIN_S))

    async def failure(self) -> BaseException | None:
        await asyncio.wait({self.task}, timeout=WITHIN_S)
        return self.task.exception()


@contextlib.asynccontextmanager
async def client(ami: Ami, *, ready: bool = True) -> AsyncIterator[Client]:
    one = Client(ami)
    try:
        if ready:
            await one.ready()
        yield one
    finally:
        one.task.cancel()
        await asyncio.wait({one.task})


@contextlib.asynccontextmanager
async def connected(**script: Any) -> AsyncIterator[tuple[Peer, Client]]:
    async with Peer.open(**script) as peer, client(Ami(account(peer))) as one:
        yield peer, one


def question(peer: Peer, *, asked_ago_s: float = 0.0, channel: str = "PJSIP/trunk-00000001") -> Call:
    return Call(
        id="1700000000.1",
        channel=channel,
        stage=Stage.SETUP,
        at=datetime(2025, 3, 1, tzinfo=UTC),
        asked=peer.now - asked_ago_s,
        deadline_ms=60_000,
    )


# ---------------------------------------------------------------- the verdict


async def test_decide__in_time__sets_the_verdict_and_wakes_the_wait_in_one_write() -> None:
    async with connected() as (peer, one):
        assert await one.ami.decide(question(peer), VOICEMAIL) == "sent"
        [verdict], [wake] = peer.sent("Setvar"), peer.sent("PlayDTMF")
        assert (verdict["Variable"], verdict["Value"]) == ("SCREENER_VERDICT_setup", "voicemail:8.5:")
        assert (wake["Digit"], wake["Receive"], wake["Duration"]) == ("D", "true", "1")
        assert verdict["Channel"] == wake["Channel"] == "PJSIP/trunk-00000001"
        names = [one["Action"] for one in peer.line.actions if "Channel" in one]
        assert names == ["Setvar", "PlayDTMF"]


async def test_decide__late__sends_nothing() -> None:
    async with connected() as (peer, one):
        assert await one.ami.decide(question(peer, asked_ago_s=60.5), VOICEMAIL) == "late"
        assert not peer.sent("Setvar")
        assert not peer.sent("PlayDTMF")


@pytest.mark.parametrize("skew_s", [3600.0, -3600.0])
async def test_decide__clock_of_asterisk_is_an_hour_off__lateness_and_heartbeat_are_in_its_time(
    skew_s: float,
) -> None:
    async with Peer.open() as peer:
        peer.skew_s = skew_s
        async with client(Ami(account(peer))) as one:
            assert peer.beats()[0] == pytest.approx(peer.now, abs=30)
            assert await one.ami.decide(question(peer), VOICEMAIL) == "sent"
            assert await one.ami.decide(question(peer, asked_ago_s=61.0), VOICEMAIL) == "late"


async def test_decide__caller_hung_up__is_gone() -> None:
    def no_channel(asked: dict[str, str]) -> str:
        gone = "Channel" in asked
        return "Response: Error\r\nMessage: No such channel" if gone else "Response: Success"

    async with connected(Setvar=no_channel, PlayDTMF=no_channel) as (peer, one):
        assert await one.ami.decide(question(peer), VOICEMAIL) == "gone"
        assert not one.task.done()


async def test_decide__event_with_the_actions_own_id__is_not_taken_for_the_response() -> None:
    def misleading(asked: dict[str, str]) -> str:
        event = message(Event="Newexten", ActionID=asked["ActionID"]).decode()
        return (event if "Channel" in asked else "") + (
            "Response: Error" if "Channel" in asked else "Response: Success"
        )

    async with connected(Setvar=misleading) as (peer, one):
        assert await one.ami.decide(question(peer), VOICEMAIL) == "gone"


async def test_decide__asterisk_never_answers__is_gone_at_the_deadline_and_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def only_heartbeats(asked: dict[str, str]) -> str | None:
        return None if "Channel" in asked else "Response: Success"

    async with connected(Setvar=only_heartbeats, PlayDTMF=None) as (peer, one):
        monkeypatch.setattr(door, "ACTION_S", 0.2)
        async with asyncio.timeout(WITHIN_S):
            assert await one.ami.decide(question(peer), VOICEMAIL) == "gone"
            with pytest.raises(AmiError, match=r"did not answer Setvar within 0\.2 s"):
                await one.ami.act("Setvar", Channel="x", Variable="y", Value="z")
        # Between two heartbeats nothing may be left in the table of answers awaited.
        protocol = one.ami._manager.protocol  # type: ignore[union-attr]
        await peer.until(lambda: all(item["Action"] == "Ping" for item in protocol.responses.values()))
        assert not any("Channel" in item for item in protocol.responses.values())


async def test_decide__never_connected__is_gone_at_once() -> None:
    ami = Ami(Account("127.0.0.1", 9, "screener", SECRET))
    with pytest.raises(AmiError, match="not connected"):
        await ami.act("Ping")
    assert await ami.decide(question(Peer()), VOICEMAIL) == "gone"


async def test_decide__many_at_once_answered_in_any_order__each_gets_its_own_answer() -> None:
    held: list[bytes] = []

    async with connected() as (peer, one):

        def hold(asked: dict[str, str]) -> str | None:
            if "Channel" not in asked:
                return "Response: Success"
            known = asked["Channel"].endswith(("0", "2", "4", "6", "8"))
            result = "Success" if known else "Error"
            held.append(
                message(Response=result, Message="DTMF successfully queued", ActionID=asked["ActionID"])
            )
            if len(held) == 200:
                peer.line.send(b"".join(reversed(held)))
            return None

        peer.script |= {"Setvar": hold, "PlayDTMF": hold}
        calls = [question(peer, channel=f"PJSIP/trunk-{number:08}") for number in range(100)]
        async with asyncio.timeout(WITHIN_S):
            reached = await asyncio.gather(*(one.ami.decide(call, VOICEMAIL) for call in calls))
        assert reached == ["sent", "gone"] * 50


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("evil", ["\r\n", "\n", "\r", "\0", "\x1b", "\x7f", "\t", "\udcff"])
async def test_action__control_character_in_a_value__is_refused_and_nothing_is_sent(evil: str) -> None:
    async with connected() as (peer, one):
        with pytest.raises(UnsafeValue, match="value of Value holds a control character"):
            await one.ami.act("Setvar", Variable="x", Value=f"a{evil}Action: Originate")
        assert await one.ami.decide(question(peer, channel=f"PJSIP/x{evil}-1"), VOICEMAIL) == "gone"
        await one.ami.act("Setvar", Variable="x", Value="fence")
        assert [sent["Value"] for sent in peer.sent("Setvar")] == ["fence"]
        assert not one.ami._manager.protocol.responses.keys() - peer_ids(peer)  # type: ignore[union-attr]


def peer_ids(peer: Peer) -> set[str]:
    return {sent["ActionID"] for line in peer.lines for sent in line.actions}


@given(st.text(max_size=40))
def test_action__any_text__is_either_refused_or_one_header(text: str) -> None:
    async def built() -> str:
        return str(action("Setvar", Variable="x", Value=text))

    try:
        sent = asyncio.run(built()).encode()
    except UnsafeValue:
        return
    assert sent.count(b"\r\n") == 5
    assert b"Value: " + text.encode() + b"\r\n" in sent


async def test_run__account_with_a_line_break__is_an_error_that_keeps_the_secret() -> None:
    broken = {"secret": "sec\nret"}
    async with Peer.open() as peer, client(Ami(account(peer, **broken)), ready=False) as one:
        error = await one.failure()
        assert isinstance(error, UnsafeValue)
        assert "ret" not in str(error).replace("Secret", "")
        assert not peer.line.actions


# ---------------------------------------------------------------- what comes in


async def test_event__character_split_over_two_packets__arrives_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "HEARTBEAT_S", 60.0)  # no answer to a ping between the halves
    async with connected() as (peer, one):
        raw = message(Event="UserEvent", UserEvent="X", Name="催收公司")
        at = raw.index("收".encode()) + 1
        peer.line.send(raw[:at])
        protocol = one.ami._manager.protocol  # type: ignore[union-attr]
        await becomes_true(lambda: len(protocol._buffer) == at)
        peer.line.send(raw[at:])
        assert (await one.event())["Name"] == "催收公司"


async def fed(chunks: list[bytes]) -> list[dict[str, Any]]:
    """What the client makes of a stream that arrives in these pieces."""
    seen: list[dict[str, Any]] = []
    manager = Connection(lambda event: seen.append(dict(event)))
    protocol = Wire(manager)
    protocol.connection_made(asyncio.Transport())
    for chunk in chunks:
        protocol.data_received(chunk)
    return seen


@settings(max_examples=40)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12), min_size=1, max_size=5),
    st.lists(st.integers(0, 400), max_size=12),
)
def test_stream__split_at_any_bytes__gives_the_same_messages(names: list[str], cuts: list[int]) -> None:
    stream = BANNER + b"".join(
        message(Event="Newchannel", Name="dropped")
        + message(Event="UserEvent", UserEvent="X", Name=f"<{name}>")
        for name in names
    )
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in itertools.pairwise(edges)]
    split, whole, single = asyncio.run(all_of(pieces, [stream], [bytes([byte]) for byte in stream]))
    assert split == whole == single
    assert [one["Name"] for one in whole] == [f"<{name}>" for name in names]


async def all_of(*streams: list[bytes]) -> list[list[dict[str, Any]]]:
    return [await fed(chunks) for chunks in streams]


async def test_event__callback_raises__the_connection_and_later_events_live_on() -> None:
    async with connected() as (peer, one):
        with capture_logs() as logs:
            for name in ("bad", "good"):
                peer.line.send(message(Event="UserEvent", UserEvent="X", Name=name))
            assert (await one.event())["Name"] == "good"
        errors = [entry["event"] for entry in logs if entry["log_level"] == "error"]
        assert errors == ["an event could not be handled"]
        assert len(peer.lines) == 1


async def test_event__not_a_user_event__is_dropped() -> None:
    async with connected() as (peer, one):
        for name in ("Newchannel", "Hangup", "FullyBooted", "Shutdown", "UserEventful"):
            peer.line.send(message(Event=name, Name="dropped"))
        peer.line.send(message(Event="UserEvent", UserEvent="X", Name="kept"))
        assert (await one.event())["Name"] == "kept"
        assert len(peer.lines) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        bytes(range(256)) * 8,
        b"\r\n\r\n\r\n\r\n",
        b"Event: UserEvent\r\nEvent: UserEvent\r\nEvent: UserEvent",
        b"Response: Success\r\nResponse: Error\r\nActionID: unknown",
        b"Response: Follows\r\n",
        b"Response: Success\r\nActionID: nobody's",
        b"\xff\xfe\xc3(: \xff",
        b": \r\n: ",
    ],
)
async def test_stream__garbage__costs_nothing(garbage: bytes) -> None:
    async with connected() as (peer, one):
        peer.line.send(garbage + b"\r\n\r\n" + message(Event="UserEvent", UserEvent="X", Name="kept"))
        while (await one.event()).get("Name") != "kept":
            pass
        assert await one.ami.decide(question(peer), VOICEMAIL) == "sent"
        assert len(peer.lines) == 1


async def test_stream__a_megabyte_without_an_end__is_cut_off_and_reconnected() -> None:
    async with connected() as (peer, one):
        with capture_logs() as logs:
            peer.line.send(b"Event: UserEvent\r\nName: " + b"x" * (MESSAGE_BYTES + 4096))
            await peer.connected(2)
            await asyncio.wait_for(peer.lines[0].closed.wait(), WITHIN_S)
        assert "message without an end" in str(logs)
        await peer.until(lambda: len(peer.lines) > 1 and peer.beats())
        await one.ready()


@pytest.mark.parametrize("stamp", ["nonsense", "nan", "inf", "", "1\r\nTimestamp: 2"])
async def test_ping__answer_without_a_time__is_tried_again_on_a_new_connection(stamp: str) -> None:
    answer = f"Response: Success\r\nTimestamp: {stamp}"
    async with Peer.open(Ping=answer) as peer, client(Ami(account(peer)), ready=False) as one:
        await peer.connected(3)
        assert not one.task.done()
        del peer.script["Ping"]
        await one.ready()


# ---------------------------------------------------------------- login


async def test_run__first_login_refused__is_a_clear_error_without_the_secret() -> None:
    async with Peer.open(Login=REFUSED) as peer, client(Ami(account(peer)), ready=False) as one:
        error = await one.failure()
        assert isinstance(error, AmiLoginRefused)
        assert "'screener'" in str(error)
        assert "Authentication failed" in str(error)
        assert "manager.conf" in str(error)
        assert SECRET not in str(error)
        assert len(peer.lines) == 1


async def test_run__refused_after_a_good_connection__keeps_trying() -> None:
    async with connected() as (peer, one):
        peer.script["Login"] = REFUSED
        with capture_logs() as logs:
            peer.line.cut()
            await peer.connected(3)
        assert "refuses the account now" in str(logs)
        assert not one.ami.ready.is_set()
        del peer.script["Login"]
        await one.ready()


async def test_run__account_may_not_set_variables__is_a_clear_error() -> None:
    denied = "Response: Error\r\nMessage: Permission denied"
    async with Peer.open(Setvar=denied) as peer, client(Ami(account(peer)), ready=False) as one:
        error = await one.failure()
        assert isinstance(error, AmiLoginRefused)
        assert "write = call" in str(error)
        assert not one.ami.ready.is_set()


@pytest.mark.parametrize("name", ["Login", "Ping", "Setvar"])
async def test_run__asterisk_is_shutting_down__is_no_refusal(name: str) -> None:
    script: dict[str, Any] = {name: STOPPING}
    async with Peer.open(**script) as peer, client(Ami(account(peer)), ready=False) as one:
        await peer.connected(3)
        assert not one.task.done()
        del peer.script[name]
        await one.ready()


# ---------------------------------------------------------------- reconnecting


async def test_run__asterisk_away__tries_again_after_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "PAUSE_S", (0.02, 10.0))
    async with Peer.open() as peer:

        async def shut(line: Line) -> None:
            line.cut()

        peer.greet = shut
        async with client(Ami(account(peer)), ready=False):
            await peer.connected(6)
            gaps = [later.at - line.at for line, later in itertools.pairwise(peer.lines[:6])]
        assert all(gap >= 0.8 * 0.02 * 2**nth for nth, gap in enumerate(gaps)), gaps


async def test_run__pauses_have_grown__a_good_connection_makes_them_short_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "PAUSE_S", (0.01, 60.0))
    async with Peer.open(Login=STOPPING) as peer, client(Ami(account(peer)), ready=False) as one:
        await peer.connected(8)  # the next pause is 1.3 s long, the one after it 2.6 s
        del peer.script["Login"]
        for _ in range(6):
            await one.ready()
            count = len(peer.lines)
            peer.line.cut()
            # Left to grow, the sixth pause would be longer than the patience of this test.
            await peer.connected(count + 1)
            await peer.until(lambda: peer.line.actions)


async def test_run__asterisk_away_for_long__pauses_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "PAUSE_S", (0.02, 0.04))
    async with Peer.open(Login=STOPPING) as peer, client(Ami(account(peer)), ready=False):
        await peer.connected(12)  # unbounded they would add up to 40 s


async def test_run__peer_falls_silent__is_noticed_and_reconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "ACTION_S", 0.3)
    async with connected() as (peer, one):
        silent = peer.line

        def only_on_new_line(_: dict[str, str]) -> str | None:
            return f"Response: Success\r\nTimestamp: {peer.now}" if peer.line is not silent else None

        peer.script["Ping"] = only_on_new_line
        await peer.connected(2)
        await peer.until(lambda: peer.line.actions)
        assert silent.closed.is_set()
        await one.ready()


async def test_run__connected__only_our_own_pings_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HEARTBEAT_S", 60.0)
    monkeypatch.setitem(Manager.defaults, "ping_delay", 0)
    async with connected() as (peer, one):
        for _ in range(5):
            await one.ami.act("Setvar", Variable="x", Value="fence")
        assert len(peer.sent("Ping")) == 1


async def test_run__peer_accepts_and_says_nothing__is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "ACTION_S", 0.1)
    async with Peer.open(Login=None) as peer, client(Ami(account(peer)), ready=False) as one:
        await peer.connected(2)
        assert not one.task.done()


async def test_run__connection_drops_with_an_action_in_flight__is_never_sent_again() -> None:
    def cut(asked: dict[str, str]) -> str | None:
        if "Channel" in asked:
            peer.line.cut()
            return None
        return "Response: Success"

    async with connected(Setvar=cut, PlayDTMF=None) as (peer, one):
        assert await one.ami.decide(question(peer), VOICEMAIL) == "gone"
        await peer.connected(2)
        # Asterisk says this when it is ready; panoramisk would send again what waits.
        peer.line.send(message(Event="FullyBooted", Status="Fully Booted"))
        await one.ready()
        await one.ami.act("Setvar", Variable="x", Value="fence")
        assert [(sent["Value"]) for sent in peer.sent("Setvar")] == ["voicemail:8.5:", "fence"]
        assert len(peer.sent("PlayDTMF")) <= 1


async def test_run__lost_connection__nobody_is_told_that_calls_are_screened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "HEARTBEAT_S", 60.0)  # noticed by the line's end, not by the next beat
    async with connected() as (peer, one):
        monkeypatch.setattr(door, "PAUSE_S", (60.0, 60.0))
        peer.line.cut()
        await becomes_true(lambda: not one.ami.ready.is_set())
        with pytest.raises(AmiError, match="not connected"):
            await one.ami.act("Setvar", Variable="x", Value="y")
        assert await one.ami.decide(question(peer), VOICEMAIL) == "gone"


async def test_run__cancelled__leaves_and_does_not_come_back() -> None:
    async with Peer.open() as peer:
        async with client(Ami(account(peer))):
            pass
        await asyncio.wait_for(peer.line.closed.wait(), WITHIN_S)
        # A second client as a fence: ten of the first one's pauses long.
        async with client(Ami(account(peer))):
            await peer.until(lambda: len(peer.beats()) > 10)
        assert len(peer.lines) == 2


async def test_run__cancelled_while_reconnecting__does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "PAUSE_S", (0.2, 0.2))
    async with Peer.open(Login=STOPPING) as peer:
        async with client(Ami(account(peer)), ready=False):
            await peer.connected(2)
        peer.script.clear()
        async with client(Ami(account(peer))):
            await peer.until(lambda: len(peer.beats()) > 8)
        assert len(peer.lines) == 3


async def test_say_goodbye__the_dialplan__is_told_not_to_ask_and_still_gets_answers() -> None:
    async with connected() as (peer, one):
        await one.ami.say_goodbye()
        await peer.until(lambda: peer.beats()[-2:] == [0, 0])  # and no later beat takes it back
        assert await one.ami.decide(question(peer), VOICEMAIL) == "sent"


async def test_say_goodbye__then_the_line_is_lost__does_not_take_the_calls_from_another_screener() -> None:
    async with connected() as (peer, one):
        await one.ami.say_goodbye()
        peer.line.cut()
        await peer.connected(2)
        await becomes_true(lambda: one.ami.standing_by)
        for _ in range(3):
            done = len(peer.line.actions)
            await peer.until(lambda done=done: len(peer.line.actions) > done)  # type: ignore[misc]
        assert not one.ami.ready.is_set()


async def test_say_goodbye__while_the_last_answers_are_awaited__calls_are_asked_about_as_before() -> None:
    looks = itertools.count()

    def beside_another(asked: dict[str, str]) -> str:
        name = asked["Variable"]
        mark = f"other:{next(looks)}:+" if name == "GLOBAL(SCREENER_STANDBY)" else peer._value(name)
        return f"Response: Success\r\nValue: {mark}"

    async with connected() as (peer, one):
        peer.script["Getvar"] = beside_another
        await becomes_true(lambda: one.ami._leading and one.ami._leading.lease.heir())
        peer.line.send(message(Event="UserEvent", UserEvent="ScreenerAsk", Uniqueid="1.1"))
        await one.event()
        await one.ami.say_goodbye()
        assert peer.globals["GLOBAL(SCREENER_LEADER)"].startswith("other:next:")
        assert 0 not in peer.beats()


async def test_decide__back_and_not_yet_leading__leaves_the_question_to_who_leads_now() -> None:
    async with connected() as (peer, one):
        peer.script["Login"] = None  # as long as it takes
        peer.line.cut()
        await peer.connected(2)
        await peer.until(lambda: peer.line.actions)
        decided = asyncio.create_task(one.ami.decide(question(peer), VOICEMAIL))
        await asyncio.wait({decided}, timeout=0.2)
        assert decided.done()
        assert decided.result() == "gone"
        assert not peer.sent("Setvar")


# ---------------------------------------------------------------- another one that answers, too


@pytest.mark.parametrize(
    ("beats", "told"),
    [(["1", "2"], True), (["1"], False), (["0", "0"], False), (["", ""], False)],
    ids=["another beats", "the last beat of one that left", "a call was late", "globals were cleared"],
)
async def test_heartbeat__not_ours_stands_there__one_that_beats_beside_us_is_told(
    *, beats: list[str], told: bool
) -> None:
    async with connected() as (peer, one):
        await peer.until(lambda: len(peer.beats()) > 1)
        with capture_logs() as logs:
            for beat in [*beats, *beats]:
                peer.globals["GLOBAL(SCREENER_HEARTBEAT)"] = beat
                done = len(peer.beats())
                await peer.until(lambda done=done: len(peer.beats()) > done)  # type: ignore[misc]
                if len(beats) == 1:
                    break
        errors = [line["event"].partition(":")[0] for line in logs if line["log_level"] == "error"]
        assert errors == ["another screener answers the calls of this Asterisk, too"] * told
        assert (one.ami.rivals.age_s is not None) == told


# ---------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make a self-signed certificate and its key, in one file."""

    def make(name: str) -> Path:
        path = tmp_path_factory.mktemp("tls") / "pem"
        subject = f"IP:{name}" if name[0].isdigit() else f"DNS:{name}"
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]
        options = ["-days", "2", "-subj", "/CN=pbx", "-addext", f"subjectAltName={subject}"]
        files = ["-keyout", f"{path}.key", "-out", f"{path}.crt"]
        subprocess.run([*command, *options, *files], check=True, capture_output=True)
        path.write_bytes(path.with_suffix(".key").read_bytes() + path.with_suffix(".crt").read_bytes())
        return path

    return make


def server_context(pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@pytest.mark.parametrize(("name", "server_name"), [("127.0.0.1", ""), ("pbx.example", "pbx.example")])
async def test_tls__certificate_of_the_ca_file__connects(
    certificate: Callable[[str], Path], name: str, server_name: str
) -> None:
    pem = certificate(name)
    async with Peer.open(tls=server_context(pem)) as peer:
        ours = ssl.create_default_context(cafile=str(pem))
        async with client(Ami(account(peer), ours, server_name)) as one:
            assert await one.ami.decide(question(peer), VOICEMAIL) == "sent"


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_tls__wrong_certificate__is_refused_and_tried_again(
    certificate: Callable[[str], Path], wrong: str
) -> None:
    pem = certificate("pbx.example" if wrong == "name" else "127.0.0.1")
    trusted = pem if wrong == "name" else certificate("127.0.0.1")
    async with Peer.open(tls=server_context(pem)) as peer:
        ours = ssl.create_default_context(cafile=str(trusted))
        with capture_logs() as logs:
            async with client(Ami(account(peer), ours), ready=False) as one:
                await becomes_true(
                    lambda: len([line for line in logs if "no connection" in line["event"]]) > 1
                )
                assert not one.task.done()
        assert "CERTIFICATE_VERIFY_FAILED" in str(logs)
        assert not any(line.actions for line in peer.lines)


async def test_tls__peer_speaks_plain_text__the_secret_is_never_sent() -> None:
    heard = bytearray()

    async def listen(line: Line) -> None:
        line.send(BANNER)
        while chunk := await line.reader.read(4096):
            heard.extend(chunk)

    async with Peer.open() as peer:
        peer.greet = listen
        async with client(Ami(account(peer), ssl.create_default_context()), ready=False) as one:
            await peer.connected(3)
            assert not one.task.done()
    assert heard
    assert b"Action" not in heard
    assert SECRET.encode() not in heard
