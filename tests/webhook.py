"""A target of notifications on the loopback, that answers as a test wants."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Self


class Target:
    """A web hook; `answers` are the status codes that it gives one after the other, then 200."""

    def __init__(self) -> None:
        self.taken: Queue[dict[str, str]] = Queue()
        self.answers: list[int] = []
        self.open = threading.Event()
        self.open.set()
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                target.open.wait(10)
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                code = target.answers.pop(0) if target.answers else 200
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()
                target.taken.put(body | {"code": str(code)})

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://somebody:secret@127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self.server.shutdown()
        self.server.server_close()
