"""``fit-triage review``: the staff page, on this machine or for a team behind a proxy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from review import logs
from review.desk import Desk, UsageProblemError, store_of
from review.typed import login

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from review.access.door import Door
    from settings import Settings
    from store import Store

_LOOPBACK: Final = "127.0.0.1"


def review(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8380,
    by: Annotated[str, typer.Option(help="Who is at the page; your login name if left out.")] = "",
    public_url: Annotated[
        str, typer.Option(help="The https:// address under which a proxy here serves it to a team.")
    ] = "",
) -> None:
    """Open the review page for support staff; stop it with Ctrl-C.

    It listens on this machine alone. Without users it prints a link that lets you in once.
    """
    import uvicorn
    from uvicorn.config import LOGGING_CONFIG

    from review.access.door import offer_link
    from review.access.walls import LOOPBACK

    desk: Desk = context.obj
    settings = desk.settings()
    public = _public_host(public_url)
    with store_of(settings) as store:
        at = public_url.rstrip("/") if public else f"http://{_LOOPBACK}:{port}"
        door = _door(store, settings, at)
        adds_users = bool(door.provider and door.provider.adds_unknown)
        opens = adds_users or store.accounts.has_users()
        if public and not opens:
            raise UsageProblemError("for a team there must be users: fit-triage users add")
        if opens:
            typer.echo(f"The review page is at {at}/ (Ctrl-C stops it)")
        else:
            token = offer_link(door, by or login())
            typer.echo(f"Open {at}/enter?token={token}")
            typer.echo("It works once, within ten minutes (Ctrl-C stops the page).")
        uvicorn.run(
            review_page(desk, settings, door, (*LOOPBACK, public) if public else LOOPBACK),
            host=_LOOPBACK,
            port=port,
            log_level="warning",
            log_config=None if logs.is_json() else LOGGING_CONFIG,
            access_log=False,
            server_header=False,
            proxy_headers=bool(public),  # whence people come …
            forwarded_allow_ips=_LOOPBACK,  # … as a proxy here says, whatever is in the environment
        )


def review_page(desk: Desk, settings: Settings, door: Door, hosts: Sequence[str]) -> ASGIApp:
    """The whole page as it is served: behind its guard, with its door, within its walls.

    It goes by the clock of *door*.
    """
    from starlette.middleware import Middleware

    from review.access.guard import Guard
    from review.access.pages import add_door
    from review.access.walls import walled
    from review.web.app import web_app

    guard = [Middleware(Guard, door=door, refuse=_refused)]
    app = web_app(desk, door.store, settings, guard=guard, clock=door.clock)
    add_door(app)
    return walled(app, hosts=hosts, https=door.https)


def _door(store: Store, settings: Settings, at: str) -> Door:
    """The door of the page whose address is *at*."""
    from review.access.door import Door
    from review.access.provider import Provider

    asked, parts = settings.review.sign_in, urlsplit(at)
    return Door(
        store,
        https=parts.scheme == "https",
        home=at,
        port=parts.port,
        provider=Provider(asked, at) if asked.issuer else None,
        passwords=asked.passwords,
    )


def _public_host(url: str) -> str:
    """The host's name in the address of a team's page, "" where there is none."""
    if not url:
        return ""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.path not in {"", "/"}:
        raise UsageProblemError("--public-url takes https://HOST, without a path")
    return parts.hostname


def _refused(request: Request, status: int, words: str) -> Response:
    """A refusal as a page of ours; one that shows nothing of the house to who is not inside."""
    from starlette.responses import PlainTextResponse

    from review.web.office import render

    if request.state.person is None:
        return PlainTextResponse(words, status)
    return render(request, "problem.html", status, title=f"{status}", words=words)
