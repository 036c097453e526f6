"""What holds for any message, whoever wrote it."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from screener import config
from screener.call import Call, Stage
from screener.messages import kept
from screener.number import parse
from screener.verdict import Action
from screener.wording import facts_of_message

AT = datetime(2026, 3, 4, 12, tzinfo=UTC)
SHIPPED = config.load(None, environ={})
WORDING = SHIPPED.wording
BITS = (
    "您的欠款",
    "1537.35元",
    "起诉",
    "法院",
    "12月5日前还款",
    "https://",
    "x.cn/",
    "拘留",
    "(",
    "\0",
    "\u202e",
    "9" * 30,
)
texts = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(BITS), max_size=40).map("".join))


def line(text: bytes, sender: str) -> bytes:
    fields = {"Id": "m1", "Asked": "1", "Status": "held", "Missed": "away", "From": quote(sender, safe="")}
    fields["Text"] = base64.b64encode(text).decode()
    return ",".join(f"{key}: {value}" for key, value in fields.items()).encode()


@given(st.binary(max_size=1023), st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_message__any_bytes_and_sender__come_through_and_forge_no_field(text: bytes, sender: str) -> None:
    message, end = kept(line(text, sender)) or (None, None)
    assert message
    assert (message.text, message.number) == (text.decode("utf-8", "replace"), sender)
    assert (message.id, message.to, end) == ("m1", "", {"status": "held", "missed": "away"})


@given(st.binary(max_size=300))
def test_kept__any_line__read_or_passed_over(spoilt: bytes) -> None:
    kept(spoilt)
    kept(line(spoilt, "x") + b"," + spoilt)


@given(texts, st.sampled_from(["+8613912345678", "95588", "CMB", "", "anonymous", "\ud800"]))
def test_message__any_text__facts_are_of_their_types_and_nobody_is_challenged(text: str, sender: str) -> None:
    found = WORDING.find(text, language="", region="CN", said_on=date(2026, 3, 4))
    caller = parse(sender, "CN")
    facts = facts_of_message(sender, caller.kind.value, text, found)
    assert all(value >= 0 for value in facts.values() if isinstance(value, int))
    known = {"call.stage": Stage.MESSAGE.value, "caller.kind": caller.kind.value, **facts}
    verdict = SHIPPED.policy.judge(known)
    assert verdict.action in {Action.ALLOW, Action.VOICEMAIL}
    held = {"MESSAGE_PRESSURE"} <= {hit.symbol for hit in verdict.hits}
    assert (verdict.action is Action.VOICEMAIL) is held
    assert not held or not Call("m1", "", Stage.MESSAGE, AT).text
