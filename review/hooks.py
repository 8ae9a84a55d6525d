"""``fit-triage livechat hooks``: takes the live chat's webhooks, and nothing else.

A service of its own, so that what the outside world can reach has no page, no session and no words
of anybody in it. Whoever has no secret can make it do nothing; whoever has one can make it write
down the number of a conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ingest.livechat_hooks import (
    MAX_BYTES,
    GarbledWebhookError,
    is_genuine,
    may_be_signed,
    told_of,
)
from review.desk import UsageProblemError, store_of
from settings import SettingsError
from store import Store, StoreError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

livechat_app = typer.Typer(help="The live chat beside the runs.", no_args_is_help=True)

PATH: Final = "/hooks/livechat"
#: Intercom waits for five seconds; whoever needs longer for a body is somebody else.
_BODY_WITHIN_S: Final = 5.0
_AT_ONCE: Final = 64  # connections


@livechat_app.command()
def hooks(
    context: typer.Context,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where; a proxy with TLS stands before it.")
    ] = "127.0.0.1:8381",
) -> None:
    """Take signed webhooks of the live chat; stop it with Ctrl-C.

    Each is a note that a conversation is to be looked at: the next run does, and `watch` at once.
    """
    import uvicorn

    settings = context.obj.settings()
    host, port = _place(listen)
    if not settings.livechat.secrets():
        raise SettingsError("webhooks are signed: give livechat.webhook_secret_files")
    if settings.workspace() is None:
        raise SettingsError("webhooks tell what to fetch: give a livechat+https:// source")
    with store_of(settings) as store:
        typer.echo(f"Webhooks are taken at http://{listen}{PATH} (Ctrl-C stops it)")
        uvicorn.run(
            served(store, settings.livechat.secrets),
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=_AT_ONCE,
        )


def served(
    store: Store,
    secrets: Callable[[], Sequence[str]],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ASGIApp:
    """The service within its walls. For any host: it knows nobody by a cookie, but by signature."""
    from review.access.walls import walled

    return walled(hooks_app(store, secrets, clock), hosts=["*"])


def hooks_app(
    store: Store, secrets: Callable[[], Sequence[str]], clock: Callable[[], datetime]
) -> Starlette:
    """The service itself; *secrets* are asked for each time, for they may be changed."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response
    from starlette.routing import Route

    async def livechat(request: Request) -> Response:
        if request.method == "HEAD":  # by which the other side finds out whether we are there
            return Response()
        signature = request.headers.get("X-Hub-Signature", "")
        if not may_be_signed(signature):
            return Response(status_code=401)
        body = await _body(request)
        if isinstance(body, int):
            return Response(status_code=body)
        return Response(status_code=await run_in_threadpool(_heard, body, signature))

    def _heard(body: bytes, signature: str) -> int:
        try:
            if not is_genuine(body, signature, secrets()):
                return 401
            conversation = told_of(body)
            if conversation is not None:
                store.chat_calls.hear(conversation, clock())
        except GarbledWebhookError:
            return 400
        except (StoreError, SettingsError):
            return 503  # and it comes again
        return 200

    return Starlette(routes=[Route(PATH, livechat, methods=["HEAD", "POST"], name="livechat_hook")])


async def _body(request: Request) -> bytes | int:
    """The body, or the status of a refusal: none that is too large is read to its end."""
    stated = request.headers.get("Content-Length", "0")
    if not stated.isascii() or not stated.isdigit() or len(stated) > 12:
        return 400
    if int(stated) > MAX_BYTES:
        return 413
    from starlette.requests import ClientDisconnect

    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BYTES:
                    return 413
    except (TimeoutError, ClientDisconnect):
        return 408
    return bytes(body)


def _place(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise UsageProblemError("--listen takes HOST:PORT, such as 127.0.0.1:8381")
    return host.strip("[]"), int(port)
