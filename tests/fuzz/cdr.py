"""Call records for a replay, out of another machine: calls, skipped lines, or that it is no such file."""

import contextlib
import io
from datetime import UTC
from pathlib import Path

from screener.errors import SourceUnreadable
from screener.replay.cdr import CdrFile

LINE = b'"","+861","100","from-trunk","""a"" <1>","PJSIP/t-1","PJSIP/p-1","Dial","x",'
SEEDS = [
    LINE + b'"2026-01-01 00:00:00","2026-01-01 00:00:01","2026-01-01 00:00:02",2,1,"ANSWERED","3","1.1",""\n',
    b"calldate,clid,src,dst,dcontext,channel,duration,billsec,disposition,uniqueid,did\n2026-01-01,,1,2,x,y,1,1,,1.1,2\n",
    LINE * 3 + b"\x00\xff\n", b'"' * 50,
]  # fmt: skip


def target(raw: bytes) -> None:
    with contextlib.suppress(SourceUnreadable):
        (file := CdrFile(Path("Master.csv"), UTC)).read(io.BytesIO(raw), lambda _line, _why: None)
        assert len(list(file.calls(None))) >= file.total(None)
