"""The pages of the door: signing in by password or provider, links, invitations, signing out."""

from __future__ import annotations

import logging
from functools import partial
from typing import Final
from urllib.parse import parse_qs, urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from review.access import log_pages, people
from review.access.arriving import (
    address_of,
    held_in_words,
    inside_with,
    new_password_problem,
    text_of,
)
from review.access.door import (
    LEAVING_LASTS,
    Door,
    Held,
    come_by_invitation,
    come_by_link,
    come_by_password,
    come_by_provider,
    hashed,
    known_browser,
    new_secret,
)
from review.access.guard import inside, onwards, person_of
from review.access.passwords import PasswordRefusedError
from review.access.provider import PROBLEMS, ProviderError
from review.web.office import render
from store.access_log import Access

log = logging.getLogger(__name__)

#: Seconds; signing in begins them anew.
_KNOWN_FOR: Final = 180 * 24 * 3600
_WRONG: Final = "Name or password is not right."
_USED_UP: Final = (
    "This link has been used, or its time is over. Start `fit-triage review` again for a new one."
)
_NO_USERS: Final = (
    "Nobody has a user here yet. Open the link that `fit-triage review` printed when it was "
    "started; it opens the page once. For a team, add users by `fit-triage users add`."
)


def add_door(app: Starlette) -> None:
    """Give *app* the routes by which people come in and leave; ``Guard`` must stand before it."""
    both = ["GET", "POST"]
    app.router.routes.extend(
        [
            Route("/sign-in", _sign_in, methods=both, name="sign_in"),
            Route("/sign-in/provider", _to_provider, name="provider"),
            Route("/sign-in/answer", _from_provider, name="answer"),
            Route("/enter", _enter, methods=both, name="enter"),
            Route("/invitation", _invitation, methods=both, name="invitation"),
            Route("/sign-out", _sign_out, methods=["POST"], name="sign_out"),
            *people.routes(),
            *log_pages.routes(),
        ]
    )


# By password


async def _sign_in(request: Request) -> Response:
    door: Door = request.state.door
    if request.method != "POST":
        return await run_in_threadpool(_sign_in_page, request)
    form = await request.form()
    there = inside(text_of(form, "next"))
    if not door.passwords:
        return _door_page(request, 403, problem="Passwords do not open this page.", next=there)
    return await _by_password(request, form, there)


async def _by_password(request: Request, form: FormData, there: str) -> Response:
    door: Door = request.state.door
    name, password = text_of(form, "name"), text_of(form, "password")
    known = request.cookies.get(door.known_cookie, "")
    came = partial(come_by_password, door, name, password, address_of(request), known)
    result = await run_in_threadpool(came)
    if isinstance(result, Held):
        seconds, problem = held_in_words(door, result)
        answer = _door_page(request, 429, problem=problem, next=there)
        answer.headers["Retry-After"] = str(seconds)
        return answer
    if result is None:
        return _door_page(request, 401, problem=_WRONG, next=there)
    answer = RedirectResponse(there, 303)
    answer.set_cookie(
        door.known_cookie, await run_in_threadpool(known_browser, door, name),
        max_age=_KNOWN_FOR, path="/", secure=door.https, httponly=True, samesite="strict",
    )  # fmt: skip
    return await inside_with(request, result, answer)


def _sign_in_page(request: Request) -> Response:
    door: Door = request.state.door
    there = inside(request.query_params.get("next", ""))
    has_users = door.store.accounts.has_users()
    if not has_users and not (door.provider and door.provider.adds_unknown):
        return render(request, "door.html", title="Not signed in", form="", words=_NO_USERS)
    leave_at = ""
    if request.query_params.get("left") and door.provider:
        leave_at = _leave_at(door)
    return _door_page(request, next=there, leave_at=leave_at)


def _door_page(
    request: Request, status: int = 200, *, problem: str = "", next: str = "/", leave_at: str = ""  # noqa: A002 - the form's field
) -> Response:  # fmt: skip
    door: Door = request.state.door
    return render(
        request,
        "door.html",
        status,
        title="Sign in",
        form="sign_in",
        problem=problem,
        next=next,
        passwords=door.passwords,
        provider=door.provider.label if door.provider else "",
        leave_at=leave_at,
    )


# By the team's provider


async def _to_provider(request: Request) -> Response:
    """Off to the provider; nothing is kept here, so that anybody may ask as often as they like."""
    door: Door = request.state.door
    if door.provider is None:
        return RedirectResponse("/sign-in", 303)
    secret, asked = new_secret(), request.query_params
    there = inside(asked.get("next", ""))
    try:
        address = await run_in_threadpool(door.provider.address, secret)
    except ProviderError as error:
        return _not_let_in(request, error, there)
    answer = RedirectResponse(address, 303)
    # The session of now, if any, will not be sent along when another site sends the browser back.
    old = hashed(request.cookies[door.cookie]) if door.cookie in request.cookies else ""
    invitation = asked.get("invitation", "")[:100]
    carried = {"secret": secret, "next": there, "invitation": invitation, "old": old}
    answer.set_cookie(
        door.leaving_cookie, urlencode(carried), max_age=int(LEAVING_LASTS.total_seconds()),
        path="/", secure=door.https, httponly=True,
        samesite="lax",  # it is another site that sends the browser back
    )  # fmt: skip
    return answer


async def _from_provider(request: Request) -> Response:
    door: Door = request.state.door
    carried = parse_qs(request.cookies.get(door.leaving_cookie, ""))
    secret, there, invitation, old = (
        carried.get(name, [""])[0] for name in ("secret", "next", "invitation", "old")
    )
    try:
        told, address = dict(request.query_params), address_of(request)
        came = partial(come_by_provider, door, secret, told, address, invitation)
        session_id = await run_in_threadpool(came)
    except ProviderError as error:
        answer = _not_let_in(request, error, inside(there))
    else:
        await run_in_threadpool(door.store.accounts.end_session, old)
        answer = await inside_with(request, session_id, onwards(there))
    answer.delete_cookie(
        door.leaving_cookie, path="/", secure=door.https, httponly=True, samesite="lax"
    )
    return answer


def _not_let_in(request: Request, error: ProviderError, there: str) -> Response:
    told = {"event": "sign_in_refused", "refusal": error.code}
    log.warning("nobody was signed in by the provider: %s", error, extra=told)
    status = 503 if error.code in {"unreachable", "misconfigured", "client_refused"} else 401
    problem = PROBLEMS[error.code]
    if status == 503 and request.state.door.passwords:
        problem += " Passwords still open this page."
    return _door_page(request, status, problem=problem, next=there)


def _leave_at(door: Door) -> str:
    """Where to sign out of the provider as well, "" where that cannot be said."""
    try:
        found = door.provider.sign_out_address() if door.provider else None
    except ProviderError:
        return ""
    return found or ""


# By a link


async def _enter(request: Request) -> Response:
    # Opening a link changes nothing: programs that look ahead at links would use it up.
    if request.method != "POST":
        token = request.query_params.get("token", "")
        return render(request, "door.html", title="Open the review page", form="link", token=token)
    token = text_of(await request.form(), "token")
    session_id = await run_in_threadpool(come_by_link, request.state.door, token)
    if session_id is None:
        return render(request, "door.html", 401, title="Not opened", form="", words=_USED_UP)
    return await inside_with(request, session_id, RedirectResponse("/", 303))


async def _invitation(request: Request) -> Response:
    if request.method != "POST":
        token = request.query_params.get("token", "")
        return await run_in_threadpool(_invitation_page, request, token)
    form = await request.form()
    token = text_of(form, "token")
    came = partial(_taken, request.state.door, token, text_of(form, "password"))
    problem = new_password_problem(request.state.door, form)
    session_id, problem = ("", problem) if problem else await run_in_threadpool(came)
    if not session_id:
        return await run_in_threadpool(_invitation_page, request, token, problem)
    return await inside_with(request, session_id, RedirectResponse("/", 303))


def _taken(door: Door, token: str, password: str) -> tuple[str, str]:
    """A session's id, or the problem; neither where the link is over."""
    try:
        return come_by_invitation(door, token, password) or "", ""
    except PasswordRefusedError as error:
        return "", f"Choose another one: {error}."


def _invitation_page(request: Request, token: str, problem: str = "") -> Response:
    door: Door = request.state.door
    name = door.store.accounts.invitations.whose(hashed(token), door.clock())
    if name is None:
        words = PROBLEMS["invitation"]
        return render(request, "door.html", 401, title="Not opened", form="", words=words)
    return render(
        request,
        "door.html",
        422 if problem else 200,
        title="Your way in",
        form="invitation",
        problem=problem,
        name=name,
        token=token,
        passwords=door.passwords,
        provider=door.provider.label if door.provider else "",
    )


# In and out


async def _sign_out(request: Request) -> Response:
    door: Door = request.state.door
    person = person_of(request)
    await run_in_threadpool(door.store.accounts.end_session, hashed(request.cookies[door.cookie]))
    left = Access(door.clock(), person.name, person.role, "signed_out")
    await run_in_threadpool(door.store.access_log.record, left)
    answer = RedirectResponse("/sign-in?left=1" if door.provider else "/sign-in", 303)
    answer.delete_cookie(door.cookie, path="/", secure=door.https, samesite="strict")
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer
