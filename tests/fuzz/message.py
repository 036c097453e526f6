"""A SIP message, as the dialplan kept it and as wording reads it: understood, or passed over."""

import base64
from datetime import date

from screener import config
from screener.messages import kept

SEEDS = [
    "您的欠款1537.35元 12月5日前还款 https://x.cn/ 起诉".encode(),
    b"Id: m1,Asked: 1,Status: held,Missed: away,Trunk: PJSIP/t,Did: 100,From: sip%3A1@h,To: x,Text: aGk=",
    b"USD 9,999,999.99 by 31/02/2026 call +1 202 555 0100 now", b"Asked: 99999999999999999999999,Id: 1",
]  # fmt: skip
WORDING = config.load(None, environ={}).wording


def target(raw: bytes) -> None:
    kept(raw)
    line = (
        b"Id: m1,Asked: 1,Status: held,Missed: away,Trunk: x,Did: 1,From: 1,To: 2,Text: "
        + base64.b64encode(raw)
    )
    found = kept(line)
    assert found
    assert found[0].text == raw.decode("utf-8", "replace")
    WORDING.find(found[0].text, language="", region="CN", said_on=date(2026, 3, 4))
