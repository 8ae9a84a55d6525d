"""The users page, for admins; and the page on which everybody changes their own password."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from review.access.arriving import (
    address_of,
    base_of,
    held_in_words,
    inside_with,
    new_password_problem,
    text_of,
)
from review.access.door import Door, Held, change_password, invite
from review.access.guard import person_of
from review.access.passwords import PasswordRefusedError
from review.web.office import render
from store import RefusedError
from store.accounts import ROLES, Role

#: Shown above the list after a change; a code in the address, so that reloading changes nothing.
_DONE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "role": "The role was changed. It counts from their next click on.",
        "disable": "Disabled, and signed out everywhere. What they did stays under their name.",
        "enable": "Enabled again.",
    }
)


def routes() -> list[Route]:
    return [
        Route("/users", _users, name="users"),
        Route("/users/add", _add, methods=["POST"], name="user_add"),
        Route("/users/{user:int}/{change}", _change, methods=["POST"], name="user_change"),
        Route("/password", _password, methods=["GET", "POST"], name="password"),
    ]


# Users


def _users(request: Request) -> Response:
    """Everybody who may or might sign in."""
    return _page(request, done=_DONE.get(request.query_params.get("done", ""), ""))


def _page(
    request: Request, status: int = 200, *, done: str = "", problem: str = "", name: str = "",
    link: str = "",
) -> Response:  # fmt: skip
    door: Door = request.state.door
    return render(
        request,
        "users.html",
        status,
        title="Users",
        users=door.store.accounts.users(),
        roles=ROLES,
        by_groups=bool(door.provider and door.provider.gives_roles),
        done=done,
        problem=problem,
        invited=name,
        link=link,
    )


async def _add(request: Request) -> Response:
    form = await request.form()
    return await run_in_threadpool(_added, request, text_of(form, "name"), _role(form))


def _added(request: Request, name: str, role: Role) -> Response:
    door: Door = request.state.door
    by = person_of(request).name
    try:
        door.store.accounts.add(name, role, "", by=by, now=door.clock())
    except RefusedError as error:
        return _page(request, 422, problem=_in_words(error))
    return _invited(request, name.strip().casefold())


async def _change(request: Request) -> Response:
    change = _CHANGES.get(request.path_params["change"])
    if change is None:
        raise HTTPException(404)
    form = await request.form()
    return await run_in_threadpool(_changed, request, change, form)


def _changed(
    request: Request, change: Callable[[Request, str, FormData], Response], form: FormData
) -> Response:
    door: Door = request.state.door
    user = door.store.accounts.numbered(request.path_params["user"])
    if user is None:
        raise HTTPException(404, "There is no such user.")
    try:
        return change(request, user.name, form)
    except RefusedError as error:
        return _page(request, 422, problem=_in_words(error))


def _give_role(request: Request, name: str, form: FormData) -> Response:
    door: Door = request.state.door
    door.store.accounts.set_role(
        name, _role(form), by=person_of(request).name, now=door.clock(), keeps_admin=True
    )
    return _back("role")


def _disable(request: Request, name: str, _: FormData) -> Response:
    door: Door = request.state.door
    by = person_of(request).name
    door.store.accounts.disable(name, by=by, now=door.clock(), keeps_admin=True)
    return _back("disable")


def _enable(request: Request, name: str, _: FormData) -> Response:
    door: Door = request.state.door
    door.store.accounts.enable(name, by=person_of(request).name, now=door.clock())
    return _back("enable")


def _invite(request: Request, name: str, _: FormData) -> Response:
    return _invited(request, name)


def _invited(request: Request, name: str) -> Response:
    token = invite(request.state.door, name, by=person_of(request).name)
    return _page(request, name=name, link=f"{base_of(request)}/invitation?token={token}")


_CHANGES: Final[Mapping[str, Callable[[Request, str, FormData], Response]]] = MappingProxyType(
    {"role": _give_role, "disable": _disable, "enable": _enable, "invite": _invite}
)


def _back(done: str) -> Response:
    return RedirectResponse(f"/users?done={done}", 303)


def _role(form: FormData) -> Role:
    given = text_of(form, "role")
    role = next((role for role in ROLES if role == given), None)
    if role is None:
        raise HTTPException(400, "Say which role.")
    return role


def _in_words(error: RefusedError) -> str:
    words = str(error).partition(";")[0] if "users list" in str(error) else str(error)
    return f"Nothing was changed: {words}."


# One's own password


async def _password(request: Request) -> Response:
    if request.method != "POST":
        return await run_in_threadpool(_own_password_page, request)
    form = await request.form()
    problem = new_password_problem(request.state.door, form)
    session_id, status, problem = (
        ("", 422, problem) if problem else await run_in_threadpool(_changed_password, request, form)
    )
    if not session_id:
        return await run_in_threadpool(_own_password_page, request, status, problem)
    return await inside_with(request, session_id, RedirectResponse("/password?done=1", 303))


def _changed_password(request: Request, form: FormData) -> tuple[str, int, str]:
    """A new session's id; or "" with the status and words of what was wrong."""
    door, name = request.state.door, person_of(request).name
    old, new = text_of(form, "old"), text_of(form, "password")
    try:
        result = change_password(door, name, old, new, address_of(request))
    except PasswordRefusedError as error:
        return "", 422, f"Choose another one: {error}."
    if isinstance(result, Held):
        return "", 429, held_in_words(door, result)[1]
    return result or "", 422, "That is not your password. Nothing was changed."


def _own_password_page(request: Request, status: int = 200, problem: str = "") -> Response:
    door: Door = request.state.door
    user = door.store.accounts.named(person_of(request).name)
    return render(
        request,
        "password.html",
        status,
        title="Your password",
        has_password=bool(door.passwords and user and user.has_password),
        is_user=user is not None,
        passwords=door.passwords,
        name=person_of(request).name,
        problem=problem,
        done=bool(request.query_params.get("done")) and not problem,
    )
