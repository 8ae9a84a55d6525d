"""The guard: nobody passes without their right, nothing changes without a token.

It stands before the application and knows its routes. What is not in the table is closed; what is
to be recorded is on disk before the page is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Final
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from review.access.door import Door, form_token, hashed, new_secret, token_fits
from review.access.rights import TABLE, Needs, Person
from store import StoreError
from store.access_log import Access, Looked
from store.accounts import Role

_NUMBERS_END: Final = 1 << 63
SAFE: Final = frozenset({"GET", "HEAD"})
#: Forms are words; nothing is uploaded.
LARGEST_BODY: Final = 1 << 20

#: What a refused request is told; never what is behind the door.
REFUSALS: Final[Mapping[int, str]] = {
    401: "Sign in first.",
    403: "Your role does not allow this.",
    404: "There is no such page.",
    405: "This page cannot be asked in this way.",
    413: "That is too much for a form.",
    415: "Nothing can be uploaded here.",
    419: "The form has expired, and nothing was changed: go back and load the page again.",
    503: "The database cannot be used just now. Nothing was changed; try again in a moment.",
}

Refuse = Callable[[Request, int, str], Response]


def _plainly(_: Request, status: int, words: str) -> Response:
    return PlainTextResponse(words, status)


@dataclass(frozen=True, slots=True)
class _Visit:
    """A request as the guard sees it."""

    request: Request
    needs: Needs
    path: Mapping[str, Any]  # the route's parameters
    person: Person | None
    secret: str  # what the form token is made from
    is_new: bool  # whether the browser does not have it yet


class Guard:
    """Starlette middleware: puts ``person``, ``csrf`` and ``door`` on ``request.state``.

    Refused requests get 401 (or the sign-in page), 403, 404, 405, 413, 415 or 419, in the words of
    *refuse*; 503 where the database cannot be asked, for what cannot be recorded is not shown.
    """

    def __init__(
        self,
        app: ASGIApp,
        door: Door,
        table: Mapping[str, Needs] = TABLE,
        refuse: Refuse = _plainly,
    ) -> None:
        self._app, self._door, self._table, self._refuse = app, door, table, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        scope.setdefault("state", {}).update(person=None, csrf="", door=self._door)
        try:
            found = _declared(scope["app"].routes, scope, self._table)
            if isinstance(found, int):
                await self._no(request, found, send)
                return
            visit = await self._who(request, *found)
            send = self._with_cookies(visit, send)
            body, refused = await self._checked(visit)
            if refused is not None:
                await self._no(request, refused, send)
                return
            await self._record(visit, visit.needs.records)
        except StoreError:
            await self._no(request, 503, send)
        except ClientDisconnect:
            return
        else:
            await self._app(scope, _replayed(body, receive), send)

    async def _who(self, request: Request, needs: Needs, path: Mapping[str, Any]) -> _Visit:
        door, person, found = self._door, None, None
        secret = request.cookies.get(door.cookie, "")
        if secret:
            found = await run_in_threadpool(
                door.store.accounts.session,
                hashed(secret),
                door.clock(),
                door.idle,
                is_use=not needs.by_itself,
            )
            person = Person(found.name, found.role) if found else None
        is_new = False
        if found and found.has_new_role and request.method == "GET" and not needs.by_itself:
            secret, is_new = await self._renewed(secret, found.role)
        if person is None:
            known = request.cookies.get(door.visitor_cookie, "")
            secret, is_new = known or new_secret(), not known
        request.state.person, request.state.csrf = person, form_token(secret)
        return _Visit(request, needs, path, person, secret, is_new)

    async def _renewed(self, secret: str, role: Role) -> tuple[str, bool]:
        """Another id for a session whose role has changed: what knew the old one knows no more."""
        newer, renew = new_secret(), self._door.store.accounts.renew_session
        if await run_in_threadpool(renew, hashed(secret), hashed(newer), role):
            return newer, True
        return secret, False

    async def _checked(self, visit: _Visit) -> tuple[bytes | None, int | None]:
        """The body, where it had to be read, and the status of a refusal."""
        if visit.needs.right != "enter":
            if visit.person is None:
                return None, 401
            if not visit.person.may(visit.needs.right):
                await self._record(visit, "refused")
                return None, 403
        if visit.request.method in SAFE:
            return None, None
        return await _token_checked(visit, "https" if self._door.https else "http")

    async def _record(self, visit: _Visit, kind: Looked | None) -> None:
        if kind is None or visit.person is None:
            return
        person, path = visit.person, visit.path
        access = Access(
            self._door.clock(), person.name, person.role, kind, path.get("case"),
            path.get("message"),
        )  # fmt: skip
        await run_in_threadpool(self._door.store.access_log.record, access)

    async def _no(self, request: Request, status: int, send: Send) -> None:
        asks_for_a_page = "text/html" in request.headers.get("accept", "")
        answer: Response
        if status == 401 and request.method == "GET" and asks_for_a_page:
            answer = _to_the_door(request)
        else:
            answer = self._refuse(request, status, REFUSALS[status])
        await answer(request.scope, request.receive, send)

    def _with_cookies(self, visit: _Visit, send: Send) -> Send:
        """Give the browser what forms' tokens are made from: a visitor's, or a renewed session."""
        by_visitor = visit.person is None
        shows_a_form = visit.needs.right == "enter" and "/static/" not in visit.request.url.path
        if not visit.is_new or (by_visitor and not shows_a_form):
            return send
        name = self._door.visitor_cookie if by_visitor else self._door.cookie

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                set_cookie(message, name, visit.secret, self._door)
            await send(message)

        return sending


def _to_the_door(request: Request) -> Response:
    """To the sign-in page; but who follows a link from elsewhere may be signed in.

    The session's cookie is not sent with a request that another site began, nor with a redirect of
    it. A request that our own page begins brings it.
    """
    path = quote(request.url.path, safe="/")
    if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
        query = f"?{request.url.query}" if request.url.query else ""
        return onwards(f"{path}{query}")
    return RedirectResponse(f"/sign-in?next={path}", 303)


def onwards(there: str) -> Response:
    """A page that leads to *there* at once, as a page of ours and not as a redirect."""
    address = escape(inside(there))
    return HTMLResponse(
        '<!doctype html><html lang="en-GB"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="0; url={address}"><title>fit-triage</title></head>'
        f'<body><p><a href="{address}">Go on to fit-triage</a></p></body></html>'
    )


def inside(path: str) -> str:
    """*path* where it leads to a page of ours, else the start."""
    is_ours = path.startswith("/") and not path.startswith("//") and path.isprintable()
    return path if is_ours and "\\" not in path else "/"


def csrf_token(request: Request) -> str:
    """What a form carries in its field ``csrf``, or a script in the header ``X-CSRF-Token``."""
    return str(request.state.csrf)


def person_of(request: Request) -> Person:
    """Who is signed in; for routes that the guard opens to nobody else."""
    person: Person | None = request.state.person
    if person is None:
        raise HTTPException(401)
    return person


def set_cookie(message: Message, name: str, value: str, door: Door) -> None:
    """Add a cookie to the start of an answer; an empty *value* takes it away."""
    carrier = Response()
    carrier.set_cookie(
        name, value, max_age=None if value else 0,
        path="/", secure=door.https, httponly=True, samesite="strict",
    )  # fmt: skip
    MutableHeaders(scope=message).append("set-cookie", carrier.headers["set-cookie"])


def _declared(
    routes: Iterable[BaseRoute], scope: Scope, table: Mapping[str, Needs]
) -> tuple[Needs, Mapping[str, Any]] | int:
    """What the route of a request needs, and its parameters; or why there is none."""
    status = 404
    for route in routes:
        match, child = route.matches(scope)
        if match is Match.FULL:
            needs = table.get(getattr(route, "name", ""))
            path = child.get("path_params", {})
            return (needs, path) if needs and _can_be_stored(path) else 404
        if match is Match.PARTIAL:
            status = 405
    return status


def _can_be_stored(path: Mapping[str, Any]) -> bool:
    """Whether a database may hold what an address names; nothing is behind any other."""
    return all(
        value < _NUMBERS_END if isinstance(value, int) else "\0" not in str(value)
        for value in path.values()
    )


async def _token_checked(visit: _Visit, scheme: str) -> tuple[bytes | None, int | None]:
    request = visit.request
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return None, 419
    origin = request.headers.get("origin", "null")  # "null" where no referrer is told
    if origin not in {"null", f"{scheme}://{request.headers.get('host')}"}:
        return None, 419
    if visit.is_new:
        return None, 419
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        return None, 415
    body = await _body(request)
    if body is None:
        return None, 413
    given = request.headers.get("x-csrf-token") or await _field(request.scope, body)
    return body, None if token_fits(visit.secret, given) else 419


async def _body(request: Request) -> bytes | None:
    """The whole body, None where it is larger than any form of ours."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            return None
    return body


async def _field(scope: Scope, body: bytes) -> str:
    """The token that a form carries, "" where the body is no form."""
    try:
        async with Request(dict(scope), _replayed(body, _nothing_more)).form() as form:
            return str(form.get("csrf", ""))
    except (HTTPException, MultiPartException, ValueError):
        return ""


async def _nothing_more() -> Message:
    return {"type": "http.disconnect"}


def _replayed(body: bytes | None, receive: Receive) -> Receive:
    """What the application is to read: the body again, where it was read already."""
    if body is None:
        return receive
    left = [body]

    async def replay() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return replay
