"""Somebody who is at the review page already, for tests of what is behind the door.

As ``review.access.guard`` does, it puts ``request.state.person`` and ``request.state.csrf`` and
refuses an unsafe request without the token.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    role: str


class Guard:
    def __init__(self, app: ASGIApp, person: Person) -> None:
        self._app, self._person = app, person
        self._token = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {}).update(person=self._person, csrf=self._token)
        if scope["method"] in _SAFE:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        given = str((await request.form()).get("csrf", ""))
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            refused = PlainTextResponse("The form has expired: load the page again.", 403)
            await refused(scope, receive, send)
            return

        async def replayed() -> dict[str, object]:
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replayed, send)
