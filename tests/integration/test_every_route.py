"""Every route of the page as it is served, for everybody who might come.

The routes are those of the application itself: one that is added without its line in ``TABLE``,
or a line without its route, fails here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from review.access.door import Door, form_token, hashed, new_secret
from review.access.guard import REFUSALS
from review.access.rights import MAY, ROLES, TABLE
from review.desk import Desk
from review.hooks import hooks_app
from review.serving import review_page
from settings import Settings
from store import Store, Tally, open_store
from store.accounts import Role, Session

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECRET = "client-secret"
CASE, MESSAGE = 7, 8
#: What stands for the parts of an address; any other word is "x".
PARTS = {"case": str(CASE), "message": str(MESSAGE), "action": "dismiss", "change": "role"}


@dataclass(frozen=True)
class Asked:
    """A route in one of the ways in which it may be asked for."""

    name: str
    method: str
    path: str
    parts: frozenset[str]

    @property
    def right(self) -> str:
        return TABLE[self.name].right


@dataclass
class Page:
    """The page as ``fit-triage review`` serves it, and sessions for people at it."""

    store: Store

    def __post_init__(self) -> None:
        self.door = Door(self.store, clock=lambda: NOW)
        engine = SimpleNamespace(retry=lambda *_: Tally())
        page = review_page(Desk(engine), Settings(), self.door, ["testserver"])
        self.app = self._inside(page)
        self.client = TestClient(page, follow_redirects=False, raise_server_exceptions=False)
        for role in ROLES:
            self.store.accounts.add(f"{role}-person", role, "", by="root", now=NOW)

    def _inside(self, page: Any) -> Starlette:
        while not isinstance(page, Starlette):
            page = getattr(page, "_app", None) or page.app
        return page

    def asked(self) -> Iterator[Asked]:
        for route in self.app.routes:
            if isinstance(route, Mount):
                yield Asked(route.name, "GET", f"{route.path}/app.css", frozenset())
                continue
            assert isinstance(route, Route)
            parts = {
                name: PARTS.get(name, "7" if type(kind).__name__.startswith("Int") else "x")
                for name, kind in route.param_convertors.items()
            }
            path = str(route.url_path_for(route.name, **parts))
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield Asked(route.name, method, path, frozenset(parts))

    def secret(self, role: Role, *, began: datetime = NOW, lasts: float = 8) -> str:
        """A new session of the person who has *role*; at least as fresh as any other."""
        secret = new_secret()
        user = self.store.accounts.named(f"{role}-person")
        ends_at = began + timedelta(hours=lasts)
        session = Session(user.id, user.name, role, ends_at)
        self.store.accounts.start_session(hashed(secret), session, began)
        return secret

    def ask(self, asked: Asked, secret: str = "", token: str | None = None, **headers: str):
        """The answer to who holds the session *secret*; a form has its token unless told."""
        self.client.cookies.clear()
        if secret:
            self.client.cookies.set(self.door.cookie, secret)
        if asked.method == "GET":
            return self.client.get(asked.path, headers=headers)
        given = form_token(secret) if token is None else token
        return self.client.post(asked.path, data={"csrf": given}, headers=headers)

    def left(self) -> list[tuple[str, str, int | None, int | None]]:
        """What came to the access log since it was asked last, and that is all forgotten."""
        rows = [row for number, row in self.store.access_log.read(limit=9) if number > self._seen]
        self._seen += len(rows)
        return [(row.who, row.kind, row.case_id, row.message_id) for row in reversed(rows)]

    _seen = 0


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    file = tmp_path_factory.mktemp("page") / "page.sqlite3"
    with open_store(f"sqlite:///{file}") as store:
        page = Page(store)
        with page.client:  # one event loop for all that is asked
            yield page


def is_refused(answer: Any, status: int) -> bool:
    """Whether it was the guard that refused, and so."""
    return answer.status_code == status and REFUSALS[status] in answer.text


def is_let_in(answer: Any) -> bool:
    """Whether the page itself answered, whatever it says of a form without its fields."""
    return answer.status_code < 500 and not any(
        is_refused(answer, status) for status in (401, 403, 405, 413, 419)
    )


def recorded(asked: Asked, role: Role, kind: str | None) -> list[tuple[Any, ...]]:
    if kind is None:
        return []
    case = CASE if "case" in asked.parts else None
    message = MESSAGE if "message" in asked.parts else None
    return [(f"{role}-person", kind, case, message)]


def test_every_route_has_its_line_and_every_line_its_route(page: Page) -> None:
    names = [route.name for route in page.app.routes]
    machines = [route.name for route in signed_service(page.store).routes]

    assert set(names) | set(machines) == set(TABLE)
    assert len([*names, *machines]) == len({*names, *machines})


def signed_service(store: Store) -> Starlette:
    """What machines alone may ask, each request signed."""
    return hooks_app(store, lambda: [SECRET], lambda: NOW)


def test_what_only_a_signed_machine_may_ask_is_on_no_page_and_for_no_role(page: Page) -> None:
    alone = {name for name, entry in TABLE.items() if entry.right == "ring"}

    assert alone == {route.name for route in signed_service(page.store).routes}
    assert not [role for role in ROLES if "ring" in MAY[role]]
    for route in signed_service(page.store).routes:
        path = str(page.app.url_path_for("sign_in")).replace("/sign-in", route.path)
        for role in ROLES:
            asked = Asked(route.name, "POST", path, frozenset())
            assert is_refused(page.ask(asked, page.secret(role)), 404)


@pytest.mark.parametrize("role", ["", *ROLES])
def test_no_session_and_no_token_stand_in_for_a_machines_signature(page: Page, role: Role) -> None:
    client = TestClient(signed_service(page.store), raise_server_exceptions=False)
    secret = page.secret(role) if role else ""
    body = b'{"topic": "conversation.user.replied", "data": {"item": {"id": "501"}}}'
    right = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    wrong = hmac.new(b"another", body, hashlib.sha1).hexdigest()
    before = dict(page.store.chat_calls.waiting())

    for route in signed_service(page.store).routes:
        client.cookies.set(page.door.cookie, secret)
        form = {"csrf": form_token(secret)}
        answers = [
            client.post(route.path, data=form),
            client.post(route.path, data=form, headers={"X-CSRF-Token": form_token(secret)}),
            client.post(route.path, content=body),
            client.post(route.path, content=body, headers={"X-Hub-Signature": f"sha1={wrong}"}),
            client.post(
                route.path, content=body + b" ", headers={"X-Hub-Signature": f"sha1={right}"}
            ),
            client.post(route.path, content=body, headers={"X-Hub-Signature": right}),
        ]

        assert [answer.status_code for answer in answers] == [401] * len(answers)
        assert client.get(route.path).status_code == 405
        assert not any(answer.headers.get("set-cookie") for answer in answers)
    assert page.store.chat_calls.waiting() == before


def test_whatever_shows_the_words_of_people_is_recorded() -> None:
    unrecorded = {name for name, entry in TABLE.items() if not entry.records}

    assert not [name for name in unrecorded if TABLE[name].right == "see_cases"]
    assert not [name for name in unrecorded if TABLE[name].right == "read_access_log"]
    assert not [name for name in unrecorded if TABLE[name].right.startswith("export")]


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_let_in_where_it_may_and_leaves_the_row_that_the_table_says(
    page: Page, role: Role
) -> None:
    secret = page.secret(role)

    for asked in page.asked():
        page.left()

        answer = page.ask(asked, secret)

        rows = [row for row in page.left() if row[1] not in {"signed_out", "sign_in_refused"}]
        if asked.right in MAY[role]:
            assert is_let_in(answer), (asked, answer.status_code)
            assert rows == recorded(asked, role, TABLE[asked.name].records), asked
        else:
            assert is_refused(answer, 403), (asked, answer.status_code)
            assert rows == recorded(asked, role, "refused"), asked
        if asked.name == "sign_out":
            secret = page.secret(role)


def test_who_is_not_signed_in_finds_the_door_and_nothing_else(page: Page) -> None:
    for asked in page.asked():
        page.left()

        answer = page.ask(asked)
        in_a_browser = page.ask(asked, accept="text/html")

        if asked.right != "enter":
            assert is_refused(answer, 401), asked
            assert page.left() == []
            if asked.method == "GET":
                assert in_a_browser.headers["location"].startswith("/sign-in?next=/"), asked
            else:
                assert is_refused(in_a_browser, 401), asked
        elif asked.method == "POST":
            assert is_refused(answer, 419), asked
        else:
            assert answer.status_code in {200, 303, 401}, asked


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("how", ["disabled", "idle", "over", "signed out", "made up"])
def test_a_session_that_has_ended_opens_nothing(page: Page, role: Role, how: str) -> None:
    accounts = page.store.accounts
    secrets = {
        "idle": page.secret(role, began=NOW - page.door.idle),
        "over": page.secret(role, began=NOW - timedelta(hours=9)),
        "signed out": page.secret(role),
        "disabled": page.secret(role),
        "made up": new_secret(),
    }
    accounts.end_session(hashed(secrets["signed out"]))
    if how == "disabled":
        accounts.disable(f"{role}-person", by="root", now=NOW)

    for asked in page.asked():
        if asked.right != "enter":
            assert is_refused(page.ask(asked, secrets[how]), 401), asked

    if how == "disabled":
        accounts.enable(f"{role}-person", by="root", now=NOW)


@pytest.mark.parametrize("role", ROLES)
def test_nothing_changes_without_the_token_of_the_session_or_from_another_site(
    page: Page, role: Role
) -> None:
    unsafe = [a for a in page.asked() if a.method != "GET" and a.right in MAY[role]]
    assert unsafe

    own, other = page.secret(role), page.secret(role)
    page.left()

    for asked in unsafe:
        wrong = [
            page.ask(asked, own, token=""),
            page.ask(asked, own, token="0" * 64),
            page.ask(asked, own, token=form_token(other)),
            page.ask(asked, own, token=own),
            page.ask(asked, own, **{"Sec-Fetch-Site": "cross-site"}),
            page.ask(asked, own, **{"Sec-Fetch-Site": "same-site"}),
            page.ask(asked, own, origin="https://evil.example"),
            page.ask(asked, own, origin="https://testserver"),  # ours is http
            page.ask(asked, own, origin="http://testserver.evil.example"),
            page.ask(asked, own, token="", **{"X-CSRF-Token": form_token(other)}),
        ]

        assert [is_refused(answer, 419) for answer in wrong] == [True] * len(wrong), asked
        assert page.left() == []


def test_no_route_changes_anything_by_being_looked_at(page: Page) -> None:
    for asked in page.asked():
        if asked.method != "GET":
            twin = Asked(asked.name, "GET", asked.path, asked.parts)
            seen = [a for a in page.asked() if a.path == asked.path and a.method == "GET"]
            status = page.ask(twin, page.secret("lead")).status_code
            assert seen or status in {404, 405}, asked


def test_everybody_starts_where_they_may_be(page: Page) -> None:
    start = Asked("_start", "GET", "/", frozenset())

    leads_to = {role: page.ask(start, page.secret(role)).headers["location"] for role in ROLES}

    for role, there in leads_to.items():
        [asked] = [a for a in page.asked() if (a.path, a.method) == (there, "GET")]
        assert is_let_in(page.ask(asked, page.secret(role)))
