"""What the booking platform is told, as Standard Webhooks, or as files of the same lines.

The envelope is the same bytes at every attempt; only timestamp and signatures are new. Signed by
the specification's own library (https://www.standardwebhooks.com, version 1.0.0 of the text).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from ingest.sources import SourceError
from review.outcomes import Arrived, Fate, NotNow, Refused
from store import OutboxRow

#: Both ends are ours to check: what the specification asks of a secret, in bytes.
_SECRET_BYTES: Final = range(24, 65)
#: The receiver has understood and says no to this very message: the same bytes will not fare
#: better. All other refusals may be mended (address, secret, rights, a server that is down).
_FINAL: Final = frozenset({400, 406, 409, 410, 411, 413, 414, 415, 422, 431, 451})
#: Nothing of ours is wanted now, this or the next: asking on would only add to the load.
_PAUSES: Final = frozenset({401, 403, 404, 405, 410, 429, 502, 503, 504})


class EndpointError(ValueError):
    """A signing secret is none; the message says which and what is allowed."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where webhooks go. The first secret is the current one; each signs, for rotation."""

    url: str
    secrets: tuple[str, ...] = field(repr=False)
    ca_file: str = ""
    timeout_s: float = 20

    def __post_init__(self) -> None:
        if not self.secrets:
            raise EndpointError("webhooks need a secret: give outbox.webhook_secret_files")
        for place, secret in enumerate(self.secrets, 1):
            try:
                size = len(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
            except (binascii.Error, ValueError):
                size = 0
            if size not in _SECRET_BYTES:
                raise EndpointError(
                    f"webhook secret {place} is none: whsec_ and 24 to 64 bytes in base64, as "
                    "`echo whsec_$(openssl rand -base64 32)` makes one"
                )


def webhook_id(key: str) -> str:
    """The same for every attempt, and after a database was restored; never holds a full stop."""
    return f"msg_{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def envelope(row: OutboxRow) -> dict[str, object]:
    """What is said of *row*, to whom it is sent or in whose file it stands."""
    return {
        "type": row.action,
        "timestamp": row.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": {
            **row.payload,
            "session_id": row.session_id,
            "case_id": row.case_id,
            "idempotency_key": row.key,
        },
    }


def signed_headers(
    endpoint: Endpoint, message_id: str, body: str, now: datetime
) -> Mapping[str, str]:
    """The three headers of the specification, with a signature by every secret."""
    from standardwebhooks import Webhook

    moment = now.astimezone(UTC)
    signatures = [Webhook(secret).sign(message_id, moment, body) for secret in endpoint.secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


class Webhooks:
    """Carries rows to the platform, one request each."""

    domain = ""
    most = 1

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def carry(self, rows: Sequence[OutboxRow], note: Callable[[str], None]) -> Fate:  # noqa: ARG002 - for channels with a point of no return
        [row] = rows
        return post(self._endpoint, row.key, envelope(row))

    def interrupted(self, rows: Sequence[OutboxRow]) -> Fate:  # noqa: ARG002 - the receiver knows its id
        return NotNow("interrupted", at_once=True)

    def check(self) -> None:
        """Nothing: a receiver can be tried only by a message, and its secrets were looked at."""


def post(endpoint: Endpoint, key: str, message: Mapping[str, object]) -> Fate:
    """Send *message*, signed as of now; *key* is what its receiver knows it again by."""
    body = _compact(message)
    headers = signed_headers(endpoint, webhook_id(key), body, datetime.now(UTC))
    answer = _within(endpoint.timeout_s, lambda: _post(endpoint, body.encode(), headers))
    return answer or NotNow("no answer in time", pauses=True)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _post(endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> Fate:
    import requests
    from urllib3.exceptions import HTTPError

    agent = {"Content-Type": "application/json", "User-Agent": "fit-triage"}
    try:
        with requests.post(
            endpoint.url,
            data=body,
            headers={**agent, **headers},
            auth=lambda request: request,  # or requests would look for a password in ~/.netrc
            proxies={"no_proxy": "*"} if endpoint.url.startswith("http:") else None,
            verify=endpoint.ca_file or True,
            timeout=endpoint.timeout_s,
            allow_redirects=False,  # what is said here is for the configured address alone
            stream=True,  # the status says all; a body may be endless
        ) as response:
            return fate_of(response.status_code, response.headers.get("Retry-After", ""))
    except (requests.RequestException, HTTPError, OSError) as error:
        return NotNow(_unreachable(error), pauses=True)


def fate_of(status: int, retry_after: str = "") -> Fate:
    """What an HTTP status means for a message, by the specification where that says."""
    note = f"HTTP {status}"
    if 200 <= status < 300:
        return Arrived(note)
    if status in _FINAL:
        return Refused(note, pauses=status in _PAUSES)
    wait_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0
    return NotNow(note, wait_s=wait_s, pauses=status in _PAUSES)


def _unreachable(error: BaseException) -> str:
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return "certificate not trusted"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return f"no connection ({type(error).__name__})"


def _within(seconds: float, call: Callable[[], Fate]) -> Fate | None:
    """What *call* gives, None where it takes too long: a server may drip for ever.

    requests bounds each single wait only. A call that is given up ends with its server or with us.
    """
    answers: SimpleQueue[Fate | Exception] = SimpleQueue()

    def work() -> None:
        try:
            answers.put(call())
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            answers.put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    answer = None if answers.empty() else answers.get()
    if isinstance(answer, Exception):
        raise answer
    return answer


class ExportFolder:
    """Writes what is due into one file, under its name only once it is whole and on disk.

    The name comes from what is in it: a file that was written just before a crash is written again
    under the same name, with the same bytes.
    """

    domain = ""
    most = 5_000

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.written: list[Path] = []

    def carry(self, rows: Sequence[OutboxRow], note: Callable[[str], None]) -> Fate:  # noqa: ARG002 - as above
        lines = [_compact({"id": webhook_id(row.key), **envelope(row)}) + "\n" for row in rows]
        content = "".join(lines).encode()
        digest = hashlib.sha256(content).hexdigest()[:12]
        path = self._folder / f"outbox-{rows[0].id:08}-{rows[-1].id:08}-{digest}.jsonl"
        try:
            write_whole(path, content)
        except OSError as error:
            return NotNow(f"export folder: {error.strerror}", pauses=True)
        self.written.append(path)
        return Arrived(path.name)

    def interrupted(self, rows: Sequence[OutboxRow]) -> Fate:
        # These and no others, so that a file that was written already is written as it was.
        return self.carry(rows, lambda _: None)

    def check(self) -> None:
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise SourceError(f"export folder {self._folder} cannot be written")


def write_whole(path: Path, content: bytes) -> None:
    """Write *path*, for our user alone; whoever sees it sees all of it, after a crash too."""
    part = path.with_name(f".{path.name}.part")
    handle = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
