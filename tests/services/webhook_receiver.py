"""A receiver of Standard Webhooks on 127.0.0.1, as the booking platform would run one.

It checks signatures by itself, with the standard library alone, knows messages again by their id,
and can be told to fail, to be slow, or to hang up. What it was sent is there to be looked at.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Trouble = Literal["", "hang_up", "answer_lost", "slow", "drip"]
TOLERANCE_S = 300


@dataclass
class Receiver:
    """``statuses`` are answered in turn before 200; ``effects`` are the messages by their id."""

    port: int
    secret: bytes = b"k" * 32
    statuses: list[int] = field(default_factory=list)
    retry_after: str = ""
    trouble: Trouble = ""
    delay_s: float = 0
    effects: dict[str, dict[str, Any]] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)  # every request, refused ones too
    headers: list[dict[str, str]] = field(default_factory=list)
    forged: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    @property
    def shared_secret(self) -> str:
        return f"whsec_{base64.b64encode(self.secret).decode()}"

    def is_genuine(self, headers: dict[str, str], body: bytes) -> bool:
        """By the text of the specification, version 1.0.0."""
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(self.secret, signed, hashlib.sha256).digest()
        expected = f"v1,{base64.b64encode(digest).decode()}"
        in_time = abs(time.time() - int(headers["webhook-timestamp"])) < TOLERANCE_S
        given = headers["webhook-signature"].split(" ")
        return in_time and any(hmac.compare_digest(one, expected) for one in given)


@contextlib.contextmanager
def webhook_receiver() -> Iterator[Receiver]:
    """Serve until the ``with`` ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        http.daemon_threads = True
        receiver = Receiver(http.server_port)
        http.receiver = receiver  # type: ignore[attr-defined]
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.trouble = ""
            http.shutdown()
            thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver: Receiver = self.server.receiver  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        receiver.bodies.append(body)
        receiver.headers.append(headers)
        trouble = receiver.trouble
        if trouble == "hang_up":
            self.close_connection = True
            return
        status = receiver.statuses.pop(0) if receiver.statuses else 200
        if not receiver.is_genuine(headers, body):
            receiver.forged += 1
            status = 401
        if 200 <= status < 300:
            receiver.effects[headers["webhook-id"]] = json.loads(body)
        if trouble == "answer_lost":
            return
        if trouble == "drip":
            self._drip(receiver)
            return
        time.sleep(receiver.delay_s if trouble == "slow" else 0)
        with contextlib.suppress(OSError):
            self._answer(receiver, status)

    def _answer(self, receiver: Receiver, status: int) -> None:
        self.send_response(status)
        if receiver.retry_after:
            self.send_header("Retry-After", receiver.retry_after)
        if 300 <= status < 400:
            self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _drip(self, receiver: Receiver) -> None:
        with contextlib.suppress(OSError):
            while receiver.trouble == "drip":
                self.wfile.write(b"H")
                time.sleep(0.05)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass
