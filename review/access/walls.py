"""The walls: for which hosts we answer, and what every answer tells the browser.

Around the whole application, so that an error page has them as well. OWASP ASVS 5.0, 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "frame-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'"
)
#: A page may be stricter about these, and only a mail in its frame is otherwise.
_UNLESS_SAID: Final = {
    "Content-Security-Policy": CSP,
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HSTS: Final = "max-age=31536000"

#: With a port of any number; protects against names that are pointed at this machine from outside.
LOOPBACK: Final = ("127.0.0.1", "localhost")


def walled(app: ASGIApp, *, hosts: Sequence[str] = LOOPBACK, https: bool = False) -> ASGIApp:
    """*app* as it may be served: foreign hosts refused, every answer with its headers."""
    return _Headers(TrustedHostMiddleware(app, hosts, www_redirect=False), https=https)


class _Headers:
    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app, self._https = app, https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _UNLESS_SAID.items():
                    headers.setdefault(name, value)
                headers.update(_ALWAYS)
                if self._https:
                    headers["Strict-Transport-Security"] = _HSTS
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
