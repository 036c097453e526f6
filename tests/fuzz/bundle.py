"""A ZIP that calls itself evidence: problems, or that it is none; nothing outside of its own folder."""

import contextlib
import io
import tempfile
import zipfile
from pathlib import Path

from screener.errors import ScreenerError
from screener.evidence import verify


def zipped(*names: str) -> bytes:
    """A ZIP with these names, each once more where it stands twice."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100600 << 16
            archive.writestr(entry, f"{'0' * 64}  {name}\n")
    return made.getvalue()


SEEDS = [
    zipped("SHA256SUMS", "ledger.jsonl", "key.pem"),
    zipped("../x"),
    zipped("a/b", "a"),
    b"PK\5\6" + bytes(18),
]


def target(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as work:
        (bundle := Path(work) / "bundle.zip").write_bytes(raw)
        with contextlib.suppress(ScreenerError):
            assert verify(bundle), "what nobody signed is taken for whole"
        assert [one.name for one in Path(work).iterdir()] == ["bundle.zip"]
