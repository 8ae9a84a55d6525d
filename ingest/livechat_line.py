"""Requests to a live chat's REST API: its version, its limits, its failures.

Source: Intercom API 2.15; rate limits as ``X-RateLimit-Limit``, ``-Remaining`` and ``-Reset`` (Unix
time) tell them. Errors name hosts and codes, never what was said.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Self
from urllib.parse import urlsplit

from ingest import livechat
from ingest.sources import Access, LoginRefusedError, SourceError

if TYPE_CHECKING:
    import requests

VERSION: Final = "2.15"
_ATTEMPTS: Final = 5
_LONGEST_WAIT_S: Final = 60.0  # a run holds its mailbox, and others wait for it
_TRANSIENT: Final = frozenset({408, 500, 502, 503, 504})
_FINAL: Final = frozenset({400, 409, 410, 413, 415, 422})
_BYTES_PER_SECOND: Final = 64 * 1024
_BLOCK: Final = 64 * 1024


class NotThereError(SourceError):
    """What was asked for does not exist, or no longer."""


class TooLargeError(SourceError):
    """An answer is larger than allowed; ``size`` is what is known of it, in bytes."""

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size


class NotWantedError(SourceError):
    """The other side has understood what was asked and does not do it."""


class UncertainError(SourceError):
    """A request that must not be repeated may have been carried out: nobody can tell."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class _Cut:
    """No answer to go by. ``sent``: the request may have been carried out all the same."""

    why: str
    sent: bool


class Line:
    """A connection to one workspace; use within ``with``."""

    def __init__(self, base: str, access: Access) -> None:
        self.host = urlsplit(base).netloc
        self._base = base
        self._access = access
        self._session: requests.Session | None = None
        self._free_at = 0.0  # no request before; by the clock of the wall, as the server tells it

    def __enter__(self) -> Self:
        import requests

        self._session = requests.Session()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def get(self, path: str) -> Mapping[str, Any]:
        return self._asked("GET", path, None, repeatable=True)

    def search(self, path: str, query: Mapping[str, Any]) -> Mapping[str, Any]:
        """As ``get``, for a question that is posted and changes nothing."""
        return self._asked("POST", path, query, repeatable=True)

    def post(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Post once: repeated only where the server has surely done nothing.

        Raises ``UncertainError`` where that cannot be known.
        """
        return self._asked("POST", path, body, repeatable=False)

    def _asked(
        self,
        method: Literal["GET", "POST"],
        path: str,
        body: Mapping[str, Any] | None,
        *,
        repeatable: bool,
    ) -> Mapping[str, Any]:
        why = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._pause(attempt)
            self._wait_for_room()
            answer = self._once(method, path, body)
            outcome = answer if isinstance(answer, _Cut) else self._judged(answer)
            if not isinstance(outcome, _Cut):
                return outcome
            if outcome.sent and not repeatable:
                raise UncertainError(f"live chat at {self.host}: {outcome.why}; it may be done")
            why = outcome.why
        raise SourceError(f"live chat at {self.host}: {why}, {_ATTEMPTS} times")

    def _judged(self, answer: _Answer) -> Mapping[str, Any] | _Cut:
        """The JSON object of an answer, or why to ask again; raises for a refusal."""
        self._note_limits(answer)
        if answer.status == 429:
            return _Cut("too many requests", sent=False)
        if answer.status in _TRANSIENT:
            return _Cut(f"HTTP {answer.status}", sent=True)
        try:
            value = livechat.loads(answer.content)
        except ValueError:
            value = None
        if answer.status == 200:
            is_whole = isinstance(value, Mapping)
            return value if is_whole else _Cut("an answer that is cut or no JSON", sent=True)
        code = _code(value)
        said = f"live chat at {self.host}: HTTP {answer.status}{code and f' ({code})'}"
        if answer.status == 401:
            raise LoginRefusedError(f"{said}: the token is refused")
        if answer.status == 404:
            raise NotThereError(said)
        if 300 <= answer.status < 400:
            raise SourceError(f"{said}: it sends us elsewhere; correct the source's host")
        if answer.status in _FINAL:
            raise NotWantedError(said)
        raise SourceError(said)

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> _Answer | _Cut:
        import requests
        from urllib3.exceptions import HTTPError, NewConnectionError

        if self._session is None:
            raise SourceError("a live chat is used within `with`")
        try:
            with self._session.request(
                method,
                self._base + path,
                json=body,
                headers={
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "Intercom-Version": VERSION,
                    "User-Agent": "fit-triage",
                },
                auth=self._signed,
                proxies={"no_proxy": "*"} if self._base.startswith("http:") else None,
                verify=self._access.ca_file or True,
                timeout=self._access.timeout_s,
                allow_redirects=False,  # the token is for the configured host alone
                stream=True,
            ) as response:
                return _Answer(response.status_code, response.headers, self._read(response))
        except (requests.RequestException, HTTPError, OSError) as error:
            unsent = isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError)
            reason = getattr(error.args[0], "reason", None) if error.args else None
            return _Cut(_why(error), not (unsent or isinstance(reason, NewConnectionError)))

    def _signed(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Given as ``auth``, or requests would look for a password in ~/.netrc."""
        request.headers["Authorization"] = f"Bearer {self._access.password}"
        return request

    def _read(self, response: requests.Response) -> bytes:
        """The body, bounded in bytes and in time: requests bounds each single wait alone."""
        import requests

        most, until = self._access.max_message_bytes, time.monotonic() + self._access.timeout_s
        content = bytearray()
        while part := response.raw.read1(_BLOCK):
            content += part
            if len(content) > most:
                raise TooLargeError(f"live chat at {self.host}: an answer is too large", most + 1)
            if time.monotonic() > until + len(content) / _BYTES_PER_SECOND:
                raise requests.Timeout
        return bytes(content)

    def _note_limits(self, answer: _Answer) -> None:
        """When the server lets us ask again; it is told with every answer."""
        headers = answer.headers
        after, reset = headers.get("Retry-After", ""), headers.get("X-RateLimit-Reset", "")
        if answer.status == 429 and re.fullmatch(r"\d{1,6}", after):
            self._free_at = time.time() + int(after)
            return
        is_spent = answer.status == 429 or headers.get("X-RateLimit-Remaining") == "0"
        if is_spent and re.fullmatch(r"\d{1,11}", reset):
            self._free_at = float(reset)

    def _wait_for_room(self) -> None:
        wait_s = self._free_at - time.time()
        if wait_s > _LONGEST_WAIT_S:
            raise SourceError(f"live chat at {self.host}: no requests for another {wait_s:.0f} s")
        if wait_s > 0:
            # Others wait for the same moment: not all of them are to ask in the same instant.
            time.sleep(wait_s + random.uniform(0, 0.25))  # noqa: S311 - no secret

    def _pause(self, attempt: int) -> None:
        longest = min(self._access.backoff_s * 2 ** (attempt - 1), _LONGEST_WAIT_S)
        time.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - no secret


def _code(value: object) -> str:
    """The code of an error; its message is not shown, for it may name people."""
    errors = livechat.listed(value, "errors")
    code = errors[0].get("code") if errors and isinstance(errors[0], Mapping) else None
    return code if isinstance(code, str) and re.fullmatch(r"[a-z_]{3,40}", code) else ""


def _why(error: BaseException) -> str:
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return f"no answer ({type(error).__name__})"
