"""The page without its defences: what each is worth, and that the campaign can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.datastructures import MutableHeaders


@dataclass(frozen=True, slots=True)
class Defences:
    """Which of a frame's defences stand."""

    sanitiser: bool = True
    policy: bool = True  # the CSP of the frame's own answer, which holds "sandbox" too
    sandbox: bool = True  # the attribute of the element in our page

    @property
    def all_stand(self) -> bool:
        return self.sanitiser and self.policy and self.sandbox


ALL_STAND: Final = Defences()


def weakened(defences: Defences, source_of: Callable[[str], str]) -> Callable[[Any], Any]:
    """ASGI around the page; *source_of* the path of a frame gives the HTML as it was sent."""
    return lambda app: _Weakened(app, defences, source_of)


class _Weakened:
    def __init__(self, app: Any, defences: Defences, source_of: Callable[[str], str]) -> None:
        self._app, self._defences, self._source_of = app, defences, source_of

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or self._defences.all_stand:
            await self._app(scope, receive, send)
            return
        start: dict[str, Any] = {}
        body = b""

        async def gather(message: Any) -> None:
            nonlocal body
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                changed = self._changed(scope["path"], start, body)
                await send(start)
                await send({"type": "http.response.body", "body": changed})

        await self._app(scope, receive, gather)

    def _changed(self, path: str, start: dict[str, Any], body: bytes) -> bytes:
        headers = MutableHeaders(raw=list(start["headers"]))
        if path.endswith(("/html", "/pictures")):
            body = self._frame(path, headers, body)
        elif path.startswith("/cases/"):
            if not self._defences.sandbox:
                body = body.replace(b"<iframe sandbox ", b"<iframe ")
            if not self._defences.policy:
                del headers["Content-Security-Policy"]
        headers["Content-Length"] = str(len(body))
        start["headers"] = headers.raw
        return body

    def _frame(self, path: str, headers: MutableHeaders, body: bytes) -> bytes:
        if not self._defences.policy:
            for name in ("Content-Security-Policy", "X-Frame-Options"):
                if name in headers:
                    del headers[name]
            before, _, rest = body.partition(b'<meta http-equiv="Content-Security-Policy"')
            body = before + rest.partition(b">")[2]
        if not self._defences.sanitiser:
            source = self._source_of(path).encode("utf-8", "replace")
            return b"<!doctype html><meta charset=utf-8><body>" + source
        return body
