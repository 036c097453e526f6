"""scripts/audit: the real pip-audit against a database of our own on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PINNED = f"one==1.0 --hash=sha256:{'0' * 64}\ntwo==2.0 --hash=sha256:{'0' * 64}\n"
KNOWN = {
    "id": "TEST-1",
    "summary": "a hole",
    "affected": [
        {
            "package": {"name": "two", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1"}]}],
        }
    ],
}


@contextmanager
def database(vulnerable: str, silent: threading.Event | None = None) -> Iterator[str]:
    """Its address; the package with that name has a known vulnerability. With `silent` it waits for that."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if silent:
                silent.wait(30)
            answer: dict[str, Any] = {"vulns": [KNOWN]} if asked["package"]["name"] == vulnerable else {}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        if silent:
            silent.set()
        server.shutdown()
        server.server_close()


def audited(url: str, folder: Path, **more: str) -> tuple[int, str]:
    """The exit status of the script, and what it said."""
    file = folder / "requirements.txt"
    file.write_text(PINNED)
    service = {"PIP_AUDIT_VULNERABILITY_SERVICE": "osv", "PIP_AUDIT_OSV_URL": url, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [ROOT / "scripts/audit", file], env=os.environ | service | more, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_audit__package_with_a_known_vulnerability__fails_and_names_it(tmp_path: Path) -> None:
    with database("two") as url:
        assert audited(url, tmp_path) == (1, "two 2.0: TEST-1, mended in 2.1\n")


def test_audit__nothing_known__is_good_and_says_of_how_many(tmp_path: Path) -> None:
    with database("") as url:
        status, said = audited(url, tmp_path)
    assert (status, said[:10]) == (0, "2 of 2 pac")


def test_audit__database_out_of_reach__is_not_taken_for_good(tmp_path: Path) -> None:
    with database("") as url:
        pass
    status, said = audited(url, tmp_path)
    assert (status, said[:48]) == (3, "the database of vulnerabilities could not be ask")


def test_audit__database_that_hangs__is_given_up_in_time(tmp_path: Path) -> None:
    with database("two", threading.Event()) as url:
        status, said = audited(url, tmp_path, SCREENER_AUDIT_S="2")
    assert (status, said) == (3, "the database of vulnerabilities did not answer within 2 s\n")
