"""What became of messages in Asterisk's mailboxes, on files as Asterisk 22 writes and moves them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from screener.state import MESSAGE_DAYS, Learning, State
from screener.voicemail import Mailboxes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CALLER = "+8613912345678"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Box:
    """A mailbox below a voicemail directory, and those who watch it."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.box, self.now = root, root / "default/100", NOW
        self.learning, self.state = Learning(url, 90), State(url)
        self.mailboxes = Mailboxes(str(root), self.learning, clock=self.clock)

    def clock(self) -> float:
        return self.now.timestamp()

    def message(self, number: int, identity: str = "1-00000001", folder: str = "INBOX") -> Path:
        path = self.box / folder / f"msg{number:04}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f";\n[message]\ncallerid=x\norigtime=1\nmsg_id={identity}\nduration=1\n")
        return path

    async def left(self, path: Path) -> None:
        await self.mailboxes.remember("1.1", CALLER, str(path.with_suffix("")), NOW)

    async def labels(self) -> tuple[float, float, int]:
        """Good, bad, and how many messages are still waited for."""
        facts: Any = (await self.state.observe(CALLER, "", "1", count=False)).facts
        held = len(await self.learning.messages())
        return round(facts["caller.good_calls"], 2), round(facts["caller.bad_calls"], 2), held

    async def looked(self) -> tuple[float, float, int]:
        await self.mailboxes.look()
        return await self.labels()


@pytest.fixture
async def box(tmp_path: Path, store_url: str) -> AsyncIterator[Box]:
    box = Box(tmp_path / "voicemail", store_url)
    yield box
    await box.learning.close()
    await box.state.close()


@pytest.mark.parametrize(
    ("folder", "labels"),
    [
        ("INBOX", (0, 0, 1)),
        ("Urgent", (0, 0, 1)),
        ("Old", (0.5, 0, 0)),
        ("Work", (0.5, 0, 0)),
        ("Deleted", (0, 0.5, 0)),
    ],
)
async def test_look__message_moved__teaches_by_where_it_went(
    box: Box, folder: str, labels: tuple[float, float, int]
) -> None:
    path = box.message(1)
    await box.left(path)
    (box.box / folder).mkdir(exist_ok=True)
    path.rename(box.box / folder / "msg0000.txt")
    assert await box.looked() == labels
    assert await box.looked() == labels


async def test_look__message_gone__is_believed_at_the_second_look_only(box: Box) -> None:
    path = box.message(0)
    await box.left(path)
    path.unlink()
    box.message(0, "1-00000002")  # the next one gets its name
    assert await box.looked() == (0, 0, 1)
    assert await box.looked() == (0, 0.5, 0)


async def test_look__message_between_two_folders_for_a_moment__is_not_deleted(box: Box) -> None:
    path = box.message(0)
    await box.left(path)
    text = path.read_text()
    path.unlink()
    assert await box.looked() == (0, 0, 1)
    path.write_text(text)
    assert await box.looked() == (0, 0, 1)
    path.unlink()
    assert await box.looked() == (0, 0, 1)


async def test_look__mailbox_cannot_be_seen__nothing_is_deleted_and_it_is_said_once(box: Box) -> None:
    await box.left(box.message(0))
    box.box.rename(box.root / "elsewhere")
    with capture_logs() as logs:
        for _ in range(3):
            assert await box.looked() == (0, 0, 1)
    assert [(line["log_level"], line["directory"]) for line in logs] == [("error", str(box.root))]


async def test_look__nobody_listens_for_a_month__is_given_up_without_a_label(box: Box) -> None:
    await box.left(box.message(0))
    box.now += timedelta(days=MESSAGE_DAYS)
    assert await box.looked() == (0, 0, 0)


@pytest.mark.parametrize(
    "message",
    ["/etc/passwd", "{root}/../../secret/INBOX/msg0000", "{root}/default/100/INBOX/msg0000.txt", "msg0000",
     "{root}/default/link/INBOX/msg0000", "{root}/default/100/INBOX/msg9999", "", "\0", "{root}/msg0000"],
)  # fmt: skip
async def test_remember__path_that_is_no_message_below_the_directory__is_refused(
    box: Box, tmp_path: Path, message: str
) -> None:
    box.message(0)
    secret = tmp_path / "secret/100/INBOX/msg0000.txt"
    secret.parent.mkdir(parents=True)
    secret.write_text("msg_id=1-1\n")
    (box.root / "default/link").symlink_to(tmp_path / "secret/100")
    with capture_logs() as logs:
        await box.mailboxes.remember("1.1", CALLER, message.format(root=box.root), NOW)
    assert not await box.learning.messages()
    assert [line["log_level"] for line in logs] == ["error"]


async def test_mailboxes__switched_off__look_nowhere(store_url: str) -> None:
    learning = Learning(store_url, 90)
    off = Mailboxes("", learning, clock=NOW.timestamp)
    await off.remember("1.1", CALLER, "/etc/passwd", NOW)
    await off.run()
    assert not await learning.messages()
    await learning.close()
