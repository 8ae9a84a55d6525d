"""What a browser does behind its window: scripts, requests, windows, posts; told by mail."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.browser import installed_chromium

from hostile.canary import DOMAIN, Canary, Contact

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Request

_HIT: Final = re.compile(r"HIT-(\d+)")
_HOST: Final = re.compile(rf"c(\d+)\.{re.escape(DOMAIN)}")
#: What the pages ask their own server for, and no other path or method.
_OURS: Final = re.compile(
    r"GET /(?:cases/\d+(?:/messages/\d+/html)?|static/[\w.-]+|keys|queues|quarantine|presence)"
    r"|POST /(?:cases/\d+/(?:messages/\d+/pictures|presence)|search)|GET /favicon\.ico"
)


@dataclass
class Seen:
    """What came about, as lines that name the mail by its number."""

    scripts: set[str] = field(default_factory=set)
    requests: set[str] = field(default_factory=set)
    windows: set[str] = field(default_factory=set)  # and downloads, and pages that went elsewhere
    pictures: int = 0  # from outside, where they had been asked for

    def all(self) -> list[str]:
        told = {"script": self.scripts, "request": self.requests, "window": self.windows}
        return [f"{what}: {line}" for what, lines in told.items() for line in sorted(lines)]

    def numbers(self) -> set[int]:
        """The mails that did something."""
        found = (_HIT.search(line) or _HOST.search(line) for line in self.all())
        return {int(match[1]) for match in found if match}


@dataclass
class Watched:
    """A browser whose every way out leads to the canary."""

    canary: Canary
    allows_pictures: bool = False
    seen: Seen = field(default_factory=Seen)

    def watch(self, context: BrowserContext, address: str) -> None:
        context.set_default_timeout(30_000)
        context.on("console", lambda message: self._console(message.text))
        context.on("request", lambda request: self._request(request, address))
        context.on("page", self._opened)

    def _console(self, text: str) -> None:
        if _HIT.search(text) and "Content Security Policy" not in text:
            self.seen.scripts.add(text[:80])

    def _request(self, request: Request, address: str) -> None:
        url = request.url
        if url.startswith((f"{address}/", "data:", "about:", "blob:")):
            return
        if self.allows_pictures and request.resource_type == "image" and url.startswith("https:"):
            self.seen.pictures += 1
            return
        self.seen.requests.add(f"{request.resource_type} {url[:80]}")

    def _opened(self, page: Page) -> None:
        page.on("dialog", self._dialog)
        page.on("download", lambda got: self.seen.windows.add(f"download {got.url[:80]}"))
        page.on("pageerror", lambda error: self._console(str(error)))
        page.on("popup", lambda popup: self.seen.windows.add(f"window {popup.url[:80]}"))

    def _dialog(self, dialog: Any) -> None:
        self.seen.scripts.add(f"dialog {dialog.type}")
        dialog.dismiss()

    def contacts(self) -> list[str]:
        """Who reached the canary though they must not, or told it more than they must."""
        told = []
        for one in filter(Contact.is_ours, self.canary.contacts):
            asked = one.head.partition("\r\n")[0][:60]
            if not (self.allows_pictures and one.is_tls):
                told.append(f"c{one.number}.{DOMAIN} reached: {asked or 'a connection alone'}")
            told += [f"c{one.number}.{DOMAIN} was told {line[:80]}" for line in one.tells()]
        return told


class Asked:
    """ASGI around the page: which methods and paths it was asked for."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, app: Any) -> Any:
        async def asked(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.lines.append(f"{scope['method']} {scope['path']}")
            await app(scope, receive, send)

        return asked

    def others(self) -> list[str]:
        """What none of our pages asks for."""
        return [line for line in self.lines if not _OURS.fullmatch(line)]


@contextlib.contextmanager
def watched(
    canary: Canary, address: str, secret: str, *, allows_pictures: bool = False
) -> Iterator[tuple[Watched, BrowserContext]]:
    """Debian's Chromium, signed in at *address* by *secret*.

    At the end its own log of the network is looked through as well. It has a profile of its own, as
    staff have: windows without one open no connections ahead of requests. A name that is only
    looked up (dns-prefetch) is not seen: all names are known to lie at the canary.
    """
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        log = Path(folder) / "net.json"
        options = [
            "--disable-dev-shm-usage", "--disable-gpu", "--ignore-certificate-errors",
            f"--host-resolver-rules=MAP * 127.0.0.1:{canary.port},EXCLUDE 127.0.0.1",
            f"--log-net-log={log}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
        ]  # fmt: skip
        found = Watched(canary, allows_pictures)
        context = playwright.chromium.launch_persistent_context(
            Path(folder) / "profile", executable_path=installed_chromium(), args=options,
            base_url=address, locale="en-GB",
        )  # fmt: skip
        try:
            context.add_cookies([{"name": "fit-triage", "value": secret, "url": address}])
            found.watch(context, address)
            yield found, context
        finally:
            context.close()
        if not allows_pictures:  # names looked up ahead of any connection are in no other place
            hosts = set(_HOST.findall(log.read_text("utf-8", "replace")))
            found.seen.requests |= {f"c{number}.{DOMAIN} in the network's log" for number in hosts}
