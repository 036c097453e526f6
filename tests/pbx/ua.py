"""A small SIP telephone with ears, for tests: it calls, rings, speaks, listens and presses keys.

SIPp places the load; it cannot hear which key a voice asks for, send malformed bytes on
purpose, or tell a test at once what happened, so this does. UDP on loopback, G.711 µ-law.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import re
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

FRAME = 160
SILENCE = b"\xff" * FRAME
_ids = itertools.count(1)


def _header(message: bytes, name: bytes) -> bytes:
    match = re.search(rb"^" + name + rb"\s*:\s*(.*?)\r?$", message, re.IGNORECASE | re.MULTILINE)
    return match[1] if match else b""


class _Rtp(asyncio.DatagramProtocol):
    """One leg of sound: sends a frame each 20 ms, keeps what it hears and which keys were pressed."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.pressed: set[str] = set()
        self.last_heard = 0.0
        self.peer: tuple[str, int] | None = None
        self.queue: list[bytes] = []
        self.keys: list[str] = []
        self.played = asyncio.Event()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]
        self.sender = asyncio.create_task(self._send())

    def datagram_received(self, data: bytes, _addr: tuple[str, int]) -> None:
        if len(data) > 12 and data[1] & 0x7F == 0:
            self.heard += data[12:]
        elif len(data) > 12 and data[1] & 0x7F == 101:
            self.pressed.add("0123456789*#ABCD"[data[12] & 0x0F])

    async def _send(self) -> None:
        seq, stamp, ssrc = random.randrange(1 << 15), 0, random.randrange(1 << 31)
        due = time.monotonic()
        while True:
            due += 0.02
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self.peer is None:
                continue
            if self.keys:
                event = "0123456789*#ABCD".index(self.keys.pop(0))
                for step in range(1, 9):
                    seq, last = (seq + 1) & 0xFFFF, step >= 6
                    head = struct.pack("!BBHII", 0x80, 101 | (0x80 if step == 1 else 0), seq, stamp, ssrc)
                    body = struct.pack("!BBH", event, 10 | (0x80 if last else 0), min(step, 6) * FRAME)
                    self.transport.sendto(head + body, self.peer)
                    await asyncio.sleep(0.02)
                stamp += 8 * FRAME
                due = time.monotonic()
                continue
            frame = self.queue.pop(0) if self.queue else SILENCE
            if not self.queue:
                self.played.set()
            seq, stamp = (seq + 1) & 0xFFFF, stamp + FRAME
            self.transport.sendto(struct.pack("!BBHII", 0x80, 0, seq, stamp, ssrc) + frame, self.peer)

    def close(self) -> None:
        self.sender.cancel()
        self.transport.close()


@dataclass(eq=False)
class Dialog:
    """One call seen from one telephone. `status` is the last SIP status (200 once answered)."""

    agent: UserAgent
    call_id: bytes
    rtp: _Rtp
    number: str = ""
    headers: bytes = b""
    status: int = 0
    incoming: bool = False
    began: float = field(default_factory=time.monotonic)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)
    """Our answer has reached Asterisk."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    ringing: asyncio.Event = field(default_factory=asyncio.Event)
    answered_at: float = 0.0
    heard_to: int = 0
    """Where the last sound that `hear` found ends: when it is found late, the next one is there as well."""
    _request: bytes = b""
    _remote: bytes = b""
    _cseq: int = 1
    _leaving: bool = False

    async def say(self, sound: bytes, within: float = 60) -> None:
        """Speak µ-law samples and return when they have been spoken."""
        self.rtp.played.clear()
        self.rtp.queue += [sound[i : i + FRAME].ljust(FRAME, b"\xff") for i in range(0, len(sound), FRAME)]
        await asyncio.wait_for(self.rtp.played.wait(), within)

    def press(self, key: str) -> None:
        """Press one key (RFC 4733)."""
        self.rtp.keys.append(key)

    async def hear(self, sounds: dict[str, bytes], within: float = 20, after: int = 0) -> str:
        """Listen until one of `sounds` (µ-law, a telling piece of each) is heard, and name the first."""
        async with asyncio.timeout(within):
            while True:
                heard = bytes(self.rtp.heard[after:])
                found = [(at, name) for name, piece in sounds.items() if (at := heard.find(piece)) >= 0]
                if found:
                    at, name = min(found)
                    self.heard_to = max(self.heard_to, after + at + len(sounds[name]))
                    return name
                if self.ended.is_set():
                    msg = f"the call ended before any of {list(sounds)} was heard"
                    raise AssertionError(msg)
                await asyncio.sleep(0.02)

    def rename(self, number: bytes) -> None:
        """Assert another number in mid-call (UPDATE), as it is to stand in the URI."""
        self._cseq += 1
        update = self.agent.in_dialog(self, b"UPDATE", self._cseq).partition(b"\r\nContent-Length")[0]
        asserted = b"\r\nContact: <sip:ua@127.0.0.1:%d>\r\nP-Asserted-Identity: <sip:%s@127.0.0.1>\r\n"
        self.agent.send(update + asserted % (self.agent.port, number) + b"Content-Length: 0\r\n\r\n")

    def hangup(self) -> None:
        """BYE when answered, CANCEL when it still rings."""
        if self.ended.is_set():
            return
        self._leaving = True
        if self.answered.is_set():
            self._cseq += 1
            self.agent.send(self.agent.in_dialog(self, b"BYE", self._cseq), self.number)
            self._finish()
        else:
            cancel = re.sub(rb"^INVITE ", b"CANCEL ", self._request.split(b"\r\n\r\n")[0] + b"\r\n\r\n")
            cancel = re.sub(rb"CSeq: (\d+) INVITE", rb"CSeq: \1 CANCEL", cancel)
            cancel = re.sub(rb"Content-Length: \d+", b"Content-Length: 0", cancel)
            self.agent.send(re.sub(rb"Content-Type: [^\r]+\r\n", b"", cancel), self.number)

    def _finish(self) -> None:
        self.rtp.peer = None
        self.rtp.close()
        self.ended.set()
        self.ringing.set()


class UserAgent(asyncio.DatagramProtocol):
    """A telephone on one UDP port of the loopback.

    `answer_after` seconds after it rings it answers incoming calls; None lets them ring.
    """

    def __init__(self, pbx_port: int, answer_after: float | None = 0.0) -> None:
        self.pbx = ("127.0.0.1", pbx_port)
        self.answer_after = answer_after
        self.dialogs: dict[bytes, Dialog] = {}
        self.incoming: asyncio.Queue[Dialog] = asyncio.Queue()
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self.statuses: dict[bytes, asyncio.Future[int]] = {}
        self.replies: dict[bytes, bytes] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, pbx_port: int, port: int = 0, answer_after: float | None = 0.0) -> UserAgent:
        loop = asyncio.get_running_loop()
        _, agent = await loop.create_datagram_endpoint(
            lambda: cls(pbx_port, answer_after), local_addr=("127.0.0.1", port)
        )
        return agent

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def close(self) -> None:
        for dialog in self.dialogs.values():
            dialog.hangup()
            if not dialog.ended.is_set():
                dialog._finish()
        for task in self.tasks:
            task.cancel()
        self.transport.close()

    def send(self, message: bytes, _why: str = "") -> None:
        self.transport.sendto(message, self.pbx)

    async def _new_rtp(self) -> _Rtp:
        loop = asyncio.get_running_loop()
        _, rtp = await loop.create_datagram_endpoint(_Rtp, local_addr=("127.0.0.1", 0))
        return rtp

    def _sdp(self, rtp: _Rtp) -> bytes:
        return (
            b"v=0\r\no=ua 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            b"m=audio %d RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
            b"a=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n" % rtp.port
        )

    async def call(
        self,
        to: str,
        number: str | bytes = "+4930123456",
        name: str | bytes = b"",
        headers: str | bytes = b"",
        sender: bytes | None = None,
        agent: str | bytes = b"test",
    ) -> Dialog:
        """Send an INVITE; `sender` replaces the whole From URI and display name, byte for byte."""
        number, name, headers, agent = (
            value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
            for value in (number, name, headers, agent)
        )
        rtp = await self._new_rtp()
        call_id = b"%d.%d@127.0.0.1" % (next(_ids), random.randrange(1 << 40))
        display = b'"%s" ' % name if name else b""
        sender = sender if sender is not None else display + b"<sip:%s@127.0.0.1:%d>" % (number, self.port)
        if headers and not headers.endswith(b"\r\n"):
            headers += b"\r\n"
        body = self._sdp(rtp)
        request = (
            b"INVITE sip:%s@127.0.0.1:%d SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%s\r\n"
            b"Max-Forwards: 70\r\nFrom: %s;tag=%s\r\nTo: <sip:%s@127.0.0.1:%d>\r\nCall-ID: %s\r\n"
            b"CSeq: 1 INVITE\r\nContact: <sip:ua@127.0.0.1:%d>\r\nUser-Agent: %s\r\n%s"
            b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n"
        ) % (
            *(to.encode(), self.pbx[1], self.port, call_id.replace(b"@", b"-"), sender, call_id[:8]),
            *(to.encode(), self.pbx[1], call_id, self.port, agent, headers, len(body)),
        )
        dialog = Dialog(self, call_id, rtp, to, _request=request + body)
        self.dialogs[call_id] = dialog
        self._spawn(self._invite(dialog))
        return dialog

    async def message(
        self,
        to: str,
        body: bytes,
        number: str | bytes = "+4930123456",
        sender: bytes | None = None,
    ) -> int:
        """Send a SIP MESSAGE; the status that it was answered with. 200 and 202 mean taken, not read.

        Again and again until then, as telephones do: an Asterisk with much to do passes over what is new.
        """
        number = number.encode() if isinstance(number, str) else number
        sender = sender if sender is not None else b"<sip:%s@127.0.0.1:%d>" % (number, self.port)
        call_id = b"%d.%d@127.0.0.1" % (next(_ids), random.randrange(1 << 40))
        status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.statuses[call_id] = status
        request = (
            b"MESSAGE sip:%s@127.0.0.1:%d SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%s\r\n"
            b"Max-Forwards: 70\r\nFrom: %s;tag=%s\r\nTo: <sip:%s@127.0.0.1:%d>\r\n"
            b"Call-ID: %s\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain;charset=UTF-8\r\n"
            b"Content-Length: %d\r\n\r\n%s"
            % (
                *(to.encode(), self.pbx[1], self.port, call_id.replace(b"@", b"-"), sender),
                *(call_id[:8], to.encode(), self.pbx[1], call_id, len(body), body),
            )
        )
        pause = 0.5
        try:
            async with asyncio.timeout(5):
                while not status.done():
                    self.send(request)
                    await asyncio.wait([status], timeout=pause)
                    pause *= 2
            return status.result()
        finally:
            status.cancel()

    async def _invite(self, dialog: Dialog) -> None:
        pause = 0.5
        while dialog.status == 0 and not dialog.ended.is_set() and pause < 20:
            self.send(dialog._request)
            await asyncio.sleep(pause)
            pause *= 2

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def in_dialog(self, dialog: Dialog, method: bytes, cseq: int) -> bytes:
        """A request inside an established dialog, in the direction from this telephone."""
        invite, other = dialog._request, dialog._remote
        ours, theirs = (b"To", b"From") if dialog.incoming else (b"From", b"To")
        target = re.search(rb"<([^>]+)>", _header(other or invite, b"Contact") or b"<sip:x@127.0.0.1>")
        return (
            b"%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%d\r\nMax-Forwards: 70\r\n"
            b"From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContent-Length: 0\r\n\r\n"
        ) % (
            *(method, target[1] if target else b"sip:x", self.port, random.randrange(1 << 60)),
            *(_header(other, ours), _header(other, theirs), dialog.call_id, cseq, method),
        )

    def datagram_received(self, data: bytes, _addr: tuple[str, int]) -> None:
        call_id = _header(data, b"Call-ID")
        if data.startswith(b"SIP/2.0 "):
            dialog = self.dialogs.get(call_id)
            if dialog and b"INVITE" in _header(data, b"CSeq"):
                self._response(dialog, data)
            if (status := self.statuses.get(call_id)) and not status.done():
                status.set_result(int(data[8:11]))
            return
        method = data.split(b" ", 1)[0]
        if method == b"INVITE":
            if call_id not in self.dialogs:
                self._spawn(self._ring(data, call_id))
            return
        if method == b"ACK":
            self._acknowledged(call_id)
            return
        dialog = self.dialogs.get(call_id)
        self._reply(data, 200, b"OK")
        if method == b"MESSAGE":
            self.messages.put_nowait(data)
        if dialog and method in (b"BYE", b"CANCEL") and not dialog.ended.is_set():
            if method == b"CANCEL":
                self._reply(dialog._request, 487, b"Request Terminated")
            dialog._finish()

    def _acknowledged(self, call_id: bytes) -> None:
        if dialog := self.dialogs.get(call_id):
            dialog.acknowledged.set()

    def _response(self, dialog: Dialog, data: bytes) -> None:
        status = int(data[8:11])
        if dialog.ended.is_set() and status < 300:
            return
        dialog.status = status
        if status in (180, 183):
            dialog.ringing.set()
        elif 200 <= status < 300:
            dialog._remote = data
            self.send(self.in_dialog(dialog, b"ACK", 1))
            if not dialog.answered.is_set():
                dialog.answered_at = time.monotonic()
                self._hear(dialog, data)
                dialog.answered.set()
                if dialog._leaving:
                    dialog.hangup()
        elif status >= 300:
            ack = dialog._request.split(b"\r\n\r\n")[0] + b"\r\n\r\n"
            ack = re.sub(rb"^INVITE ", b"ACK ", ack)
            ack = re.sub(rb"CSeq: (\d+) INVITE", rb"CSeq: \1 ACK", ack)
            ack = re.sub(
                rb"^To: .*?\r$", lambda _: b"To: " + _header(data, b"To") + b"\r", ack, flags=re.MULTILINE
            )
            self.send(re.sub(rb"Content-Length: \d+", b"Content-Length: 0", ack))
            if not dialog.ended.is_set():
                dialog._finish()

    def _hear(self, dialog: Dialog, message: bytes) -> None:
        port = re.search(rb"m=audio (\d+)", message)
        if port:
            dialog.rtp.peer = ("127.0.0.1", int(port[1]))

    def _reply(self, request: bytes, status: int, phrase: bytes, body: bytes = b"", tag: bytes = b"") -> None:
        vias = b"".join(
            b"Via: " + via + b"\r\n" for via in re.findall(rb"^Via: (.*?)\r$", request, re.MULTILINE)
        )
        to = _header(request, b"To")
        if b"tag=" not in to:
            to += b";tag=" + (tag or b"ua")
        kind = b"Content-Type: application/sdp\r\n" if body else b""
        self.send(
            b"SIP/2.0 %d %s\r\n%sFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\n"
            b"Contact: <sip:ua@127.0.0.1:%d>\r\n%sContent-Length: %d\r\n\r\n%s"
            % (
                *(status, phrase, vias, _header(request, b"From"), to, _header(request, b"Call-ID")),
                *(_header(request, b"CSeq"), self.port, kind, len(body), body),
            )
        )

    async def _ring(self, request: bytes, call_id: bytes) -> None:
        dialog = Dialog(self, call_id, await self._new_rtp(), incoming=True, _request=request)
        caller = re.search(rb"sip:([^@>]+)@", _header(request, b"From"))
        dialog.number = caller[1].decode("utf-8", "surrogateescape") if caller else ""
        dialog.headers = request
        tagged = re.sub(rb"^(To: .*?)\r$", rb"\1;tag=ua\r", request, flags=re.MULTILINE)
        dialog._remote = tagged
        self.dialogs[call_id] = dialog
        self._reply(request, 180, b"Ringing")
        dialog.ringing.set()
        self.incoming.put_nowait(dialog)
        if self.answer_after is None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(dialog.ended.wait(), self.answer_after)
        if not dialog.ended.is_set():
            dialog.status = 200
            self._hear(dialog, request)
            self._reply(request, 200, b"OK", self._sdp(dialog.rtp))
            dialog.answered_at = time.monotonic()
            dialog.answered.set()
