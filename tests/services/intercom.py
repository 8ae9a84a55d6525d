"""A live chat's REST API on 127.0.0.1, as Intercom's published description has it.

Every request is checked against the description before it is answered, and every answer before it
leaves; what does not fit is kept in ``breaches`` and fails the test. The server can be told to be
busy, to fail, to hang up or to cut its answers short.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from jsonschema import Draft4Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

SPEC = Path(__file__).parents[3] / "shared" / "livechat" / "intercom-2.15-conversations.yaml"
TOKEN = "tok_" + "a" * 32
ADMIN = {"type": "admin", "id": "991267459", "name": "Priya", "email": "priya@platform.example"}
Trouble = Literal["hang_up", "cut", "garbage"]


@dataclass
class Workspace:
    """``answers`` are given in turn before the true ones: HTTP statuses or troubles."""

    port: int
    conversations: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: list[int | Trouble] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)  # conversations that give HTTP 500
    unlisted: set[str] = field(default_factory=set)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    per_page: int = 150
    reset_after_s: int = 1
    remaining: int = 100
    identity_verification: bool = True
    posts_lost: int = 0  # replies that are posted and whose answer is then lost
    replies: list[Any] = field(default_factory=list)
    on_search: Callable[[], object] = lambda: None  # after a page was given
    on_reply: Callable[[], object] = lambda: None  # before the answer to a reply

    @property
    def url(self) -> str:
        return f"livechat+http://127.0.0.1:{self.port}"

    def put(self, *conversations: dict[str, Any]) -> None:
        for one in conversations:
            self.conversations[one["id"]] = one

    def asked(self, path: str) -> int:
        return sum(asked == path for _, asked, _ in self.requests)


@contextlib.contextmanager
def workspace() -> Iterator[Workspace]:
    """Serve until the ``with`` ends; skips where the description is not there."""
    if not SPEC.exists():
        pytest.skip("the API's description is not beside the repository (../shared/livechat)")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        http.daemon_threads = True
        served = Workspace(http.server_port)
        http.workspace = served  # type: ignore[attr-defined]
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield served
        finally:
            http.shutdown()
            thread.join(10)
    assert served.breaches == []


@cache
def _registry() -> Registry:
    spec = _as_json_schema(yaml.safe_load(SPEC.read_text(encoding="utf-8")))
    return Registry().with_resource("urn:spec", Resource(contents=spec, specification=DRAFT4))


def _as_json_schema(value: Any) -> Any:
    """OpenAPI 3.0's ``nullable`` as JSON Schema says it; its examples are not read."""
    if isinstance(value, list):
        return [_as_json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {k: _as_json_schema(v) for k, v in value.items() if k not in {"example", "examples"}}
    if made.get("nullable") is True:
        made.pop("nullable")
        return {"anyOf": [{"type": "null"}, made]}
    return made


@cache
def validator(name: str) -> Draft4Validator:
    """Of one schema of the description."""
    return Draft4Validator({"$ref": f"urn:spec#/components/schemas/{name}"}, registry=_registry())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def served(self) -> Workspace:
        return self.server.workspace  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        self._serve(json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0))))

    def _serve(self, body: Any) -> None:
        served = self.served
        served.requests.append((self.command, self.path, body))
        if self.headers.get("Intercom-Version") != "2.15":
            served.breaches.append(f"{self.path}: no version")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._error(401, "unauthorized")
            return
        trouble = served.answers.pop(0) if served.answers else 0
        if trouble == "hang_up":
            self.close_connection = True
        elif isinstance(trouble, int) and trouble:
            self._error(trouble, "rate_limit_exceeded" if trouble == 429 else "server_error")
        else:
            self._answer(body, trouble)

    def _answer(self, body: Any, trouble: Any) -> None:
        path = self.path.strip("/").split("/")
        if path == ["me"]:
            self._send(200, "admin_with_app", self._me(), trouble)
        elif path == ["conversations", "search"]:
            self._check("search_request", body)
            self._send(200, "conversation_list", self._found(body), trouble)
            self.served.on_search()
        elif len(path) == 3 and path[2] == "reply":
            self._reply(path[1], body, trouble)
        else:
            self._conversation(path[-1], trouble)

    def _me(self) -> dict[str, Any]:
        verifies = self.served.identity_verification
        app = {
            "type": "app", "id_code": "abc", "name": "Help", "created_at": 1_700_000_000,
            "secure": True, "identity_verification": verifies, "timezone": "Europe/London",
            "region": "EU",
        }  # fmt: skip
        return {**ADMIN, "email_verified": True, "app": app, "has_inbox_seat": True}

    def _found(self, body: Any) -> dict[str, Any]:
        query, pages = body["query"], body.get("pagination", {})
        fits = [
            {name: value for name, value in one.items() if name != "conversation_parts"}
            for number, one in self.served.conversations.items()
            if one["updated_at"] > query["value"] and number not in self.served.unlisted
        ]
        first = int(pages.get("starting_after") or 0)
        size = min(pages["per_page"], self.served.per_page)
        more = first + size < len(fits)
        following = {"per_page": size, "starting_after": str(first + size)} if more else None
        return {
            "type": "conversation.list",
            "conversations": fits[first : first + size],
            "total_count": len(fits),
            "pages": {
                "type": "pages", "page": first // size + 1, "per_page": size,
                "total_pages": -(-len(fits) // size), "next": following,
            },
        }  # fmt: skip

    def _conversation(self, number: str, trouble: Any) -> None:
        if number in self.served.broken:
            self._error(500, "server_error")
        elif number not in self.served.conversations:
            self._error(404, "not_found")
        else:
            self._send(200, "conversation", self.served.conversations[number], trouble)

    def _reply(self, number: str, body: Any, trouble: Any) -> None:
        self._check("admin_reply_conversation_request", body)
        self._check("reply_conversation_request", body)
        if number not in self.served.conversations:
            self._error(404, "not_found")
            return
        one = self.served.conversations[number]
        parts = one["conversation_parts"]["conversation_parts"]
        author = {**ADMIN, "id": body["admin_id"]}
        now = int(time.time())
        said = "".join(f"<p>{escape(p)}</p>" for p in body["body"].split("\n\n"))
        parts.append(a_part(f"9{len(parts)}", said.replace("\n", "<br>"), author=author, at=now))
        one["conversation_parts"]["total_count"], one["updated_at"] = len(parts), now
        self.served.replies.append(body)
        self.served.on_reply()
        if self.served.posts_lost:
            self.served.posts_lost -= 1
            self.close_connection = True
            return
        self._send(200, "conversation", one, trouble)

    def _check(self, schema: str, value: Any) -> None:
        errors = [error.message for error in validator(schema).iter_errors(value)]
        self.served.breaches += [f"{self.path} as {schema}: {error}" for error in errors]

    def _error(self, status: int, code: str) -> None:
        value = {"type": "error.list", "request_id": None, "errors": [{"code": code}]}
        self._send(status, "error", value, 0)

    def _send(self, status: int, schema: str, value: Any, trouble: Any) -> None:
        self._check(schema, value)
        content = b"<html>busy" if trouble == "garbage" else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-RateLimit-Limit", "100")
        self.send_header(
            "X-RateLimit-Remaining", str(0 if status == 429 else self.served.remaining)
        )
        self.send_header("X-RateLimit-Reset", str(int(time.time()) + self.served.reset_after_s))
        self.end_headers()
        if trouble == "cut":
            self.close_connection = True
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


# --- conversations as the API gives them ----------------------------------------------------------

THERAPIST = {"type": "user", "id": "6762f1261bb69f9f2193bba7", "name": "Marian Oldroyd",
             "email": "marian@oldroyd.example"}  # fmt: skip
MORNING = 1_772_442_000  # 2 March 2026, 09:00 UTC


def a_part(
    number: str,
    body: str | None,
    *,
    author: dict[str, Any] = THERAPIST,
    at: int = MORNING,
    **others: Any,
) -> dict[str, Any]:
    """One part: what *author* wrote at *at*, seconds since 1970."""
    return {
        "type": "conversation_part", "id": number, "part_type": "comment", "body": body,
        "created_at": at, "updated_at": at, "notified_at": at, "assigned_to": None,
        "author": author, "attachments": [], "external_id": None, "redacted": False,
        "email_message_metadata": None, "metadata": {}, "state": "open", "tags": [],
        "event_details": None, "app_package_code": None, **others,
    }  # fmt: skip


def a_conversation(
    number: str,
    body: str,
    *parts: dict[str, Any],
    author: dict[str, Any] = THERAPIST,
    at: int = MORNING,
    **others: Any,
) -> dict[str, Any]:
    """A conversation that *author* began with *body*, and what came after."""
    updated_at = max([at, *(part["created_at"] for part in parts)])
    source = {
        "type": "conversation", "id": f"40{number}", "delivered_as": "customer_initiated",
        "subject": "", "body": body, "author": author, "attachments": [], "url": None,
        "redacted": False,
    }  # fmt: skip
    contacts = [{"type": "contact", "id": author["id"], "external_id": "T-1"}]
    return {
        "type": "conversation", "id": number, "title": None, "created_at": at,
        "updated_at": updated_at, "waiting_since": None, "snoozed_until": None,
        "source": source | others.pop("source", {}),
        "contacts": {"type": "contact.list", "contacts": contacts},
        "first_contact_reply": None, "admin_assignee_id": None, "team_assignee_id": None,
        "open": True, "state": "open", "read": False, "priority": "not_priority",
        "conversation_parts": {
            "type": "conversation_part.list", "conversation_parts": list(parts),
            "total_count": len(parts),
        },
        **others,
    }  # fmt: skip
