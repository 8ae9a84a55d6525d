"""What every way in ends with: a new session in the browser; and what forms of it say."""

from __future__ import annotations

from ipaddress import ip_address

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from review.access.door import Door, Held, hashed


async def inside_with(request: Request, session_id: str, answer: Response) -> Response:
    """*answer* with a new session; an old one of this browser ends."""
    door: Door = request.state.door
    if old := request.cookies.get(door.cookie):
        await run_in_threadpool(door.store.accounts.end_session, hashed(old))
    answer.set_cookie(
        door.cookie, session_id, path="/", secure=door.https, httponly=True, samesite="strict"
    )
    answer.delete_cookie(door.visitor_cookie, path="/", secure=door.https, samesite="strict")
    return answer


def held_in_words(door: Door, held: Held) -> tuple[int, str]:
    """For how many seconds, and how to say it."""
    seconds = max(1, int((held.until - door.clock()).total_seconds()) + 1)
    wait = f"{-(-seconds // 60)} min" if seconds > 60 else f"{seconds} s"
    return seconds, f"Too many attempts. Wait {wait}, then try again."


def address_of(request: Request) -> str:
    """Whence somebody comes, "" where the proxy does not say: then all would share one address."""
    door: Door = request.state.door
    address = request.client.host if request.client else ""
    try:
        is_proxy = door.https and ip_address(address).is_loopback
    except ValueError:
        return address
    return "" if is_proxy else address


def text_of(form: FormData, field: str) -> str:
    value = form.get(field)
    return value if isinstance(value, str) else ""


def base_of(request: Request) -> str:
    """The address of the page, as links to it begin; the walls let no foreign host through."""
    door: Door = request.state.door
    return door.home or f"{'https' if door.https else 'http'}://{request.headers['host']}"


def new_password_problem(door: Door, form: FormData) -> str:
    """Why what was typed twice is no new password, "" where it may be one."""
    if not door.passwords:
        return "Passwords do not open this page."
    same = text_of(form, "password") == text_of(form, "again")
    return "" if same else "The two are not the same. Nothing was changed."
