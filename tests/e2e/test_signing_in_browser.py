"""Coming in by a provider on another site, and what admins and leads click, in Debian's Chromium.

Only a browser can say whether the cookies survive the way to another site and back.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from services.browser import barriers
from services.openid_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    OpenIdProvider,
    running_openid_provider,
)

from review.access.door import Door, invite
from review.access.provider import Provider
from review.desk import Desk
from review.serving import review_page
from settings import Settings, SignInSettings
from store import open_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass
class Served:
    """The page at 127.0.0.1, and the provider at localhost: another site, as browsers see it."""

    home: str
    door: Door
    openid: OpenIdProvider
    browser: Browser

    def visitor(self, **options: Any) -> Page:
        context = self.browser.new_context(base_url=self.home, locale="en-GB", **options)
        context.set_default_timeout(60_000)
        return context.new_page()

    def invited(self, name: str, role: Any) -> str:
        """The path of an invitation for a new user."""
        self.door.store.accounts.add(name, role, "", by="root", now=self.door.clock())
        return f"/invitation?token={invite(self.door, name, by='root')}"


@pytest.fixture
def served(tmp_path: Path, chromium: Browser) -> Iterator[Served]:
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home, secret = f"http://127.0.0.1:{port}", tmp_path / "secret"
    secret.write_text(CLIENT_SECRET)
    with (
        running_openid_provider("localhost") as openid,
        open_store(f"sqlite:///{tmp_path / 'page.sqlite3'}") as store,
    ):
        settings = SignInSettings(
            issuer=openid.issuer, client_id=CLIENT_ID, client_secret_file=secret,
            label="Clinic ID", allow_loopback_http=True,
        )  # fmt: skip
        door = Door(store, home=home, port=port, provider=Provider(settings, home))
        page = review_page(Desk(SimpleNamespace()), Settings(), door, ["127.0.0.1"])
        config = uvicorn.Config(page, "127.0.0.1", port, log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the review page did not start"
                time.sleep(0.01)
            yield Served(home, door, openid, chromium)
        finally:
            for context in chromium.contexts:
                context.close()
            server.should_exit = True
            thread.join(30)


def test_a_way_in_by_another_site_and_links_from_there_open_the_page(served: Served) -> None:
    served.openid.set(sub="subject-of-ana", preferred_username="ana")
    page = served.visitor()

    page.goto(served.invited("ana", "lead"))
    assert barriers(page) == []
    page.get_by_role("link", name="Sign in with Clinic ID from now on").click()
    page.wait_for_url("**/queues")
    page.goto("/access-log")
    assert barriers(page) == []
    assert "signed in" in page.get_by_role("table").inner_text()

    page.goto(f"{served.openid.issuer}/.well-known/openid-configuration")  # as a chat would
    page.evaluate(f"document.body.innerHTML = '<a href=\"{served.home}/health\">a case</a>'")
    page.get_by_role("link", name="a case").click()
    page.wait_for_url(f"{served.home}/health")
    page.get_by_role("heading", name="Health", level=1).wait_for()

    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in?left=1")
    assert barriers(page) == []
    leave = page.get_by_role("link", name="Sign out of Clinic ID as well")
    assert str(leave.get_attribute("href")).startswith(f"{served.openid.issuer}/bye?")
    page.get_by_role("link", name="Sign in with Clinic ID").click()
    page.wait_for_url("**/queues")


def test_an_admin_invites_somebody_who_sets_a_password_on_their_phone(served: Served) -> None:
    admin, bo = served.visitor(), served.visitor(viewport={"width": 390, "height": 844})
    admin.goto(served.invited("root", "admin"))
    admin.get_by_label("New password").fill("correct horse battery")
    admin.get_by_label("The same again").fill("correct horse battery")
    admin.get_by_role("button", name="Set the password and sign in").click()
    admin.wait_for_url("**/health")

    admin.get_by_role("link", name="Users").click()
    admin.get_by_label("Name").fill("Bo")
    admin.get_by_role("button", name="Add and make a link").click()
    assert barriers(admin) == []
    link = admin.get_by_label("The link").input_value()
    bo.goto(link)
    bo.get_by_label("New password").fill("staple over the fence")
    bo.get_by_label("The same again").fill("staple over the fence")
    assert bo.evaluate("document.documentElement.scrollWidth <= innerWidth")
    bo.get_by_role("button", name="Set the password and sign in").click()
    bo.wait_for_url("**/queues")
    admin.goto("/users")
    admin.get_by_role("button", name="Disable bo").click()
    bo.goto("/queues")

    assert "/sign-in" in bo.url
    admin.goto("/users")
    assert admin.get_by_role("button", name="Enable bo").is_visible()
    admin.goto("/password")
    assert barriers(admin) == []
