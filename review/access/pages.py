"""The pages of the door: signing in, the one-time link, signing out."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from review.access.door import Door, Held, come_by_link, come_by_password, hashed
from review.access.guard import csrf_token, person_of
from store.access_log import Access

_WRONG: Final = "Name or password is not right."
_USED_UP: Final = (
    "This link has been used, or its time is over. Start `fit-triage review` again for a new one."
)
_NO_USERS: Final = (
    "Nobody has a password here yet. Open the link that `fit-triage review` printed when it was "
    "started; it opens the page once. For a team, add users by `fit-triage users add`."
)


def add_door(app: Starlette) -> None:
    """Give *app* the routes by which people come in and leave; ``Guard`` must stand before it."""
    app.router.routes.extend(
        [
            Route("/sign-in", _sign_in, methods=["GET", "POST"], name="sign_in"),
            Route("/enter", _enter, methods=["GET", "POST"], name="enter"),
            Route("/sign-out", _sign_out, methods=["POST"], name="sign_out"),
        ]
    )


async def _sign_in(request: Request) -> Response:
    door: Door = request.state.door
    if request.method != "POST":
        there = _inside(request.query_params.get("next", ""))
        if await run_in_threadpool(door.store.accounts.has_users):
            return _page(request, "Sign in", form="password", next=there)
        return _page(request, "Not signed in", words=_NO_USERS)
    form = await request.form()
    there = _inside(_text(form, "next"))
    address = request.client.host if request.client else ""
    came = partial(come_by_password, door, _text(form, "name"), _text(form, "password"), address)
    result = await run_in_threadpool(came)
    if isinstance(result, Held):
        return _held(request, result, there)
    if result is None:
        return _page(request, "Sign in", 401, form="password", next=there, problem=_WRONG)
    return await _inside_with(request, result, there)


def _held(request: Request, held: Held, there: str) -> Response:
    door: Door = request.state.door
    seconds = max(1, int((held.until - door.clock()).total_seconds()) + 1)
    minutes = f"{-(-seconds // 60)} min" if seconds > 60 else f"{seconds} s"
    problem = f"Too many attempts. Wait {minutes}, then try again."
    answer = _page(request, "Sign in", 429, form="password", next=there, problem=problem)
    answer.headers["Retry-After"] = str(seconds)
    return answer


async def _enter(request: Request) -> Response:
    # Opening a link changes nothing: programs that look ahead at links would use it up.
    if request.method != "POST":
        token = request.query_params.get("token", "")
        return _page(request, "Open the review page", form="link", token=token)
    token = _text(await request.form(), "token")
    session_id = await run_in_threadpool(come_by_link, request.state.door, token)
    if session_id is None:
        return _page(request, "Not opened", 401, words=_USED_UP)
    return await _inside_with(request, session_id, "/")


async def _inside_with(request: Request, session_id: str, there: str) -> Response:
    """To the page, with a new session; an old one of this browser ends."""
    door: Door = request.state.door
    if old := request.cookies.get(door.cookie):
        await run_in_threadpool(door.store.accounts.end_session, hashed(old))
    answer = RedirectResponse(there, 303)
    answer.set_cookie(
        door.cookie, session_id, path="/", secure=door.https, httponly=True, samesite="strict"
    )
    answer.delete_cookie(door.visitor_cookie, path="/", secure=door.https, samesite="strict")
    return answer


async def _sign_out(request: Request) -> Response:
    door: Door = request.state.door
    person = person_of(request)
    await run_in_threadpool(door.store.accounts.end_session, hashed(request.cookies[door.cookie]))
    left = Access(door.clock(), person.name, person.role, "signed_out")
    await run_in_threadpool(door.store.access_log.record, left)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(door.cookie, path="/", secure=door.https, samesite="strict")
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


def _inside(path: str) -> str:
    """*path* where it leads to a page of ours, else the start."""
    is_ours = path.startswith("/") and not path.startswith("//") and path.isprintable()
    return path if is_ours and "\\" not in path else "/"


def _text(form: FormData, field: str) -> str:
    value = form.get(field)
    return value if isinstance(value, str) else ""


def _page(request: Request, title: str, status: int = 200, **values: str) -> HTMLResponse:
    blank = {"form": "", "problem": "", "words": "", "token": "", "next": "/"}
    shown = {**blank, **values, "title": title, "csrf": csrf_token(request)}
    return HTMLResponse(_template().render(shown), status)


@lru_cache(maxsize=1)
def _template() -> Template:
    folder = Path(__file__).parent / "templates"
    made = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)
    return made.get_template("door.html")
