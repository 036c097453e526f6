"""The least client that could answer: allow, always, by the same pattern. The yardstick of the bench.

    python -m tests.bench.bare PORT USER SECRET

Raw bytes on one asyncio connection: login, a heartbeat a second, and for each question the
verdict and the wake-up key in one write. It knows nothing, keeps nothing and survives nothing.
"""

from __future__ import annotations

import asyncio
import sys
import time

ANSWER = (
    b"Action: Setvar\r\nChannel: %s\r\nVariable: SCREENER_VERDICT_setup\r\nValue: allow:0\r\n\r\n"
    b"Action: PlayDTMF\r\nChannel: %s\r\nDigit: D\r\nDuration: 1\r\nReceive: true\r\n\r\n"
)


class Bare(asyncio.Protocol):
    """Finds the channel in each question and answers."""

    def __init__(self, user: str, secret: str) -> None:
        self.login = f"Action: Login\r\nUsername: {user}\r\nSecret: {secret}\r\nEvents: on\r\n\r\n".encode()
        self.buffer = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        transport.write(self.login)
        self.beat()

    def beat(self) -> None:
        self.transport.write(
            b"Action: Setvar\r\nVariable: GLOBAL(SCREENER_HEARTBEAT)\r\nValue: %d\r\n\r\n" % time.time()
        )
        asyncio.get_running_loop().call_later(1, self.beat)

    def data_received(self, data: bytes) -> None:
        *messages, self.buffer = (self.buffer + data).split(b"\r\n\r\n")
        for message in messages:
            if b"UserEvent: ScreenerAsk" in message:
                channel = message.split(b"\r\nChannel: ", 1)[1].split(b"\r\n", 1)[0]
                self.transport.write(ANSWER % (channel, channel))


async def main(port: int, user: str, secret: str) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: Bare(user, secret), "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
