"""Who may see and do what on the review page, on both databases."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from review.access import passwords
from review.access.door import (
    FREE_ADDRESS,
    FREE_PAIR,
    Door,
    Held,
    come_by_link,
    come_by_password,
    offer_link,
)
from review.access.guard import Guard, csrf_token, person_of
from review.access.pages import add_door
from review.access.rights import MAY, ROLES, needs
from review.access.walls import walled
from store import Store, StoreError, open_store
from store.access_log import Access
from store.accounts import Role

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
HASH = CHEAP.hash(PASSWORD)
PAGE = {"accept": "text/html"}

#: A page for each right, and one that changes something for each.
STUBS = {
    "sign_in": needs("enter"),
    "enter": needs("enter"),
    "sign_out": needs("be_here"),
    "help": needs("be_here"),
    "case": needs("see_cases", records="view"),
    "find": needs("see_cases", records="search"),
    "act": needs("act"),
    "figures": needs("see_overview", records="overview"),
    "quarantine": needs("see_quarantine"),
    "retry": needs("retry_quarantine"),
    "health": needs("see_health"),
    "rows": needs("see_pseudonymised"),
    "export": needs("export_pseudonymised", records="export"),
    "log": needs("read_access_log", records="access_log"),
    "users": needs("manage_users"),
    "poll": needs("be_here", by_itself=True),
}
PATHS = {
    "case": "/cases/{case:int}", "sign_in": "/sign-in", "enter": "/enter", "sign_out": "/sign-out",
}  # fmt: skip


async def stub(request: Request) -> Response:
    form = await request.form()
    return PlainTextResponse(f"{person_of(request).name} {form.get('words', '')}")


async def token(request: Request) -> Response:
    return PlainTextResponse(csrf_token(request))


async def crash(_: Request) -> Response:
    raise RuntimeError


@dataclass
class House:
    """An application behind its door, and the clock."""

    store: Store
    now: datetime = NOW
    https: bool = False
    sent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.door = Door(self.store, https=self.https, clock=lambda: self.now)
        both = ["GET", "POST"]
        own = {name for name, entry in STUBS.items() if entry.right == "enter"} | {"sign_out"}
        routes = [
            Route(PATHS.get(name, f"/{name}"), stub, methods=both, name=name)
            for name in STUBS
            if name not in own
        ]
        routes += [
            Route("/token", token, name="token"),
            Route("/crash", crash, name="crash"),
            Route("/forgotten", stub, methods=both, name="forgotten"),
        ]
        table = {**STUBS, "token": needs("be_here"), "crash": needs("be_here")}
        app = Starlette(routes=routes, middleware=[Middleware(Guard, door=self.door, table=table)])
        add_door(app)
        self.app = walled(app, hosts=("testserver",), https=self.https)

    def client(self, address: str = "10.0.0.1") -> TestClient:
        scheme = "https" if self.https else "http"
        return TestClient(
            self.app, base_url=f"{scheme}://testserver", client=(address, 1),
            follow_redirects=False, raise_server_exceptions=False,
        )  # fmt: skip

    def add(self, name: str, role: Role) -> None:
        self.store.accounts.add(name, role, HASH, by="root", now=self.now)

    def signed_in(self, name: str, address: str = "10.0.0.1") -> TestClient:
        client = self.client(address)
        assert sign_in(client, name).status_code == 303
        return client

    def log(self) -> list[tuple[str, str, int | None]]:
        rows = self.store.access_log.read()
        return [(row.who, row.kind, row.case_id) for _, row in reversed(rows)]


def sign_in(client: TestClient, name: str, password: str = PASSWORD, **more: str):
    page = client.get("/sign-in")
    [csrf] = re.findall(r'name="csrf" value="(\w+)"', page.text)
    data = {"name": name, "password": password, "csrf": csrf, **more}
    return client.post("/sign-in", data=data)


def csrf_of(client: TestClient) -> str:
    return client.get("/token").text


@pytest.fixture
def house(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    monkeypatch.setattr(passwords, "NOBODYS", CHEAP.hash("nobody's"))
    with open_store(store_url) as store:
        yield House(store)


# The one-time link


def entered(client: TestClient, link_token: str) -> Response:
    page = client.get("/enter", params={"token": link_token})
    [csrf] = re.findall(r'name="csrf" value="(\w+)"', page.text)
    return client.post("/enter", data={"token": link_token, "csrf": csrf})


def test_a_link_opens_the_page_once_without_any_set_up(house: House) -> None:
    link_token = offer_link(house.door, "ana")
    ana, second = house.client(), house.client()

    assert entered(ana, link_token).status_code == 303
    assert ana.get("/cases/7").text == "ana "
    assert entered(second, link_token).status_code == 401
    assert second.get("/cases/7").status_code == 401


def test_looking_at_a_link_does_not_use_it_up(house: House) -> None:
    link_token = offer_link(house.door, "ana")

    house.client().get("/enter", params={"token": link_token})

    assert entered(house.client(), link_token).status_code == 303


def test_a_link_ends_after_its_minutes_and_when_a_new_one_is_made(house: House) -> None:
    first = offer_link(house.door, "ana")
    second = offer_link(house.door, "ana")

    assert entered(house.client(), first).status_code == 401
    house.now += timedelta(minutes=10)
    assert entered(house.client(), second).status_code == 401


def test_with_the_first_user_links_and_those_who_came_by_one_are_out(house: House) -> None:
    ana = house.client()
    entered(ana, offer_link(house.door, "ana"))
    unused = offer_link(house.door, "ana")
    bo = house.client()
    entered(bo, offer_link(house.door, "bo"))

    house.add("cleo", "lead")

    assert ana.get("/help").status_code == 401
    assert bo.get("/help").status_code == 401
    assert entered(house.client(), unused).status_code == 401


# Passwords and sessions


def test_somebody_signs_in_to_the_page_they_asked_for_and_out_again(house: House) -> None:
    house.add("Ana", "staff")
    client = house.client()
    asked = client.get("/cases/7", headers=PAGE)
    came = sign_in(client, "ANA ", next="/cases/7")
    cookies = dict(client.cookies)

    assert asked.headers["location"] == "/sign-in?next=/cases/7"
    assert came.headers["location"] == "/cases/7"
    assert client.get("/cases/7").text == "ana "
    left = client.post("/sign-out", data={"csrf": csrf_of(client)})
    assert left.status_code == 303
    replayed = house.client()
    replayed.cookies.update(cookies)
    assert replayed.get("/help").status_code == 401


@pytest.mark.parametrize("there", ["//evil.example", "https://evil.example", "/\\evil", "/a\r\nb"])
def test_signing_in_leads_to_no_foreign_page(house: House, there: str) -> None:
    house.add("ana", "staff")

    assert sign_in(house.client(), "ana", next=there).headers["location"] == "/"


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(house: House) -> None:
    house.add("ana", "staff")
    secure = House(house.store, https=True)

    plain_cookies = sign_in(house.client(), "ana").headers.get_list("set-cookie")
    secure_cookies = sign_in(secure.client(), "ana").headers.get_list("set-cookie")

    assert all("HttpOnly" in one or "Max-Age=0" in one for one in plain_cookies)
    assert all("samesite=strict" in one.lower() for one in plain_cookies + secure_cookies)
    assert any(one.startswith("__Host-fit-triage=") for one in secure_cookies)
    assert all("Secure" in one for one in secure_cookies)


def test_a_session_id_planted_before_signing_in_is_worth_nothing(house: House) -> None:
    house.add("ana", "staff")
    client = house.client()
    client.cookies.set("fit-triage", "planted")
    sign_in(client, "ana")

    thief = house.client()
    thief.cookies.set("fit-triage", "planted")
    assert thief.get("/help").status_code == 401


def test_a_session_ends_when_nobody_uses_it_and_after_a_working_day(house: House) -> None:
    house.add("ana", "staff")
    idle, busy = house.signed_in("ana"), house.signed_in("ana")

    for _ in range(36):
        house.now += timedelta(minutes=20)
        last = busy.get("/help").status_code
        idle.get("/poll")  # the page asks by itself

    assert idle.get("/help").status_code == 401
    assert last == 401
    assert house.now == NOW + timedelta(hours=12)


def test_a_new_password_or_being_disabled_ends_every_session(house: House) -> None:
    for name in ("ana", "bo", "cleo"):
        house.add(name, "staff")
    ana, bo, cleo = (house.signed_in(name) for name in ("ana", "bo", "cleo"))

    house.store.accounts.set_password("ana", HASH, by="root", now=NOW)
    house.store.accounts.disable("bo", by="root", now=NOW)

    statuses = [client.get("/help").status_code for client in (ana, bo, cleo)]
    assert statuses == [401, 401, 200]
    assert sign_in(house.client(), "bo").status_code == 401


def test_another_role_counts_from_the_next_click(house: House) -> None:
    house.add("ana", "staff")
    ana = house.signed_in("ana")

    house.store.accounts.set_role("ana", "admin", by="root", now=NOW)

    assert ana.get("/cases/7").status_code == 403
    assert ana.get("/users").status_code == 200


def test_the_database_holds_nothing_that_opens_a_door(house: House) -> None:
    house.add("ana", "staff")
    ana = house.signed_in("ana")
    secrets = [PASSWORD, *ana.cookies.values()]

    with house.store._database.reading() as connection:
        tables = ("users", "web_sessions", "entry_links", "sign_in_failures", "access_log")
        held = str([connection.execute(text(f"SELECT * FROM {t}")).all() for t in tables])

    assert "$argon2id$" in held
    assert not [secret for secret in secrets if secret in held]


# Guessing


def test_guessing_is_held_up_ever_longer_and_a_right_guess_then_helps_nobody(house: House) -> None:
    house.add("ana", "staff")
    client = house.client()
    waits = []

    for _ in range(FREE_PAIR):
        assert sign_in(client, "ana", "wrong").status_code == 401
    for _ in range(6):
        held = sign_in(client, "ana")  # the right one, while held
        waits.append(int(held.headers["retry-after"]))
        house.now += timedelta(seconds=waits[-1])
        assert sign_in(client, "ana", "wrong").status_code == 401

    assert held.status_code == 429
    assert [round(wait, -1) for wait in waits] == [30, 60, 120, 240, 480, 900]
    house.now += timedelta(minutes=15)
    assert sign_in(client, "ana").status_code == 303


def test_who_knows_their_password_gets_in_from_elsewhere_while_a_guesser_is_held(
    house: House,
) -> None:
    house.add("ana", "staff")
    guesser = house.client("10.6.6.6")
    for _ in range(FREE_PAIR + 1):
        answer = sign_in(guesser, "ana", "wrong")

    assert answer.status_code == 429
    assert sign_in(house.client(), "ana").status_code == 303


def test_a_browser_in_which_somebody_signed_in_before_is_held_by_nobody_elses_failures(
    house: House,
) -> None:
    house.add("ana", "staff")
    ana = house.signed_in("ana")
    ana.cookies.delete("fit-triage")
    for i in range(FREE_ADDRESS):  # the whole office
        sign_in(house.client(), f"name{i}", "wrong")

    assert sign_in(house.client(), "ana").status_code == 429
    assert sign_in(ana, "ana").status_code == 303
    ana.cookies.delete("fit-triage")
    for _ in range(FREE_PAIR):
        assert sign_in(ana, "ana", "wrong").status_code == 401
    assert sign_in(ana, "ana").status_code == 429


def test_a_known_browser_is_worth_nothing_for_another_name_or_after_a_new_password(
    house: House,
) -> None:
    for name in ("ana", "bo"):
        house.add(name, "staff")
    ana = house.signed_in("ana")
    for _ in range(FREE_PAIR):
        sign_in(house.client(), "bo", "wrong")
        sign_in(house.client(), "ana", "wrong")
    ana.cookies.delete("fit-triage")

    as_bo = sign_in(ana, "bo").status_code
    house.store.accounts.set_password("ana", CHEAP.hash(PASSWORD), by="root", now=NOW)
    as_ana = sign_in(ana, "ana").status_code

    assert (as_bo, as_ana) == (429, 429)


def test_a_proxy_that_tells_no_addresses_does_not_make_one_person_of_all(house: House) -> None:
    house.add("ana", "staff")
    behind = House(house.store, https=True)
    for i in range(30):
        assert sign_in(behind.client("127.0.0.1"), f"name{i}", "wrong").status_code == 401

    assert sign_in(behind.client("127.0.0.1"), "ana").status_code == 303


def test_one_address_that_tries_many_names_is_held(house: House) -> None:
    house.add("ana", "staff")
    client = house.client("2001:db8::1")
    statuses = [sign_in(client, f"name{i}", "wrong").status_code for i in range(21)]
    neighbour = house.client("2001:db8::2")

    assert statuses == [401] * 20 + [429]
    assert sign_in(neighbour, "other", "wrong").status_code == 429
    assert sign_in(house.client(), "other", "wrong").status_code == 401


def test_one_name_tried_from_many_addresses_is_held(house: House) -> None:
    house.add("ana", "staff")
    statuses = [sign_in(house.client(f"10.1.{i}.1"), "ana", "wrong").status_code for i in range(51)]

    assert statuses == [401] * 50 + [429]


def test_nobody_learns_who_has_an_account(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.add("ana", "staff")
    house.add("bo", "staff")
    house.store.accounts.disable("bo", by="root", now=NOW)
    checked = []
    fits = passwords.fits
    monkeypatch.setattr(passwords, "fits", lambda h, p: checked.append(h[:9]) or fits(h, p))

    told = []
    for name in ("ana", "bo", "nobody"):
        client = house.client(f"10.2.0.{len(told)}")
        answers = [sign_in(client, name, "wrong") for _ in range(FREE_PAIR + 1)]
        shown = [re.sub(r'value="\w*"', "", answer.text) for answer in answers]
        told.append((shown, [answer.status_code for answer in answers]))

    assert told[0] == told[1] == told[2]
    assert checked == ["$argon2id"] * 3 * FREE_PAIR


def test_easy_passwords_are_refused_and_accents_may_be_typed_either_way() -> None:
    for easy in ("short", "ana's long password", "aaaaaaaaaaaabbb", "x" * 2000):
        with pytest.raises(passwords.PasswordRefusedError):
            passwords.password_hash(easy, "ana")
    assert passwords.fits(
        CHEAP.hash("caf\u00e9 caf\u00e9 caf\u00e9"), "cafe\u0301 " * 2 + "cafe\u0301"
    )


# Every route, every role


def test_every_route_opens_to_its_roles_alone_and_changes_nothing_without_its_token(
    house: House,
) -> None:
    people: dict[Role | None, TestClient] = {None: house.client()}
    for role in ROLES:
        house.add(f"{role}-person", role)
        people[role] = house.signed_in(f"{role}-person")
    tokens = {role: csrf_of(client) for role, client in people.items()}
    tried = 0

    for (name, entry), (role, client) in itertools.product(STUBS.items(), people.items()):
        if name in {"sign_in", "enter", "sign_out"}:
            continue
        path = PATHS.get(name, f"/{name}").replace("{case:int}", "7")
        may = role is not None and entry.right in MAY[role]
        refused = 401 if role is None else 403

        seen = client.get(path).status_code
        without = client.post(path, data={"words": "x"}).status_code
        foreign = client.post(path, data={"csrf": tokens["lead"][::-1]}).status_code
        crossed = client.post(
            path, data={"csrf": tokens[role]}, headers={"sec-fetch-site": "cross-site"}
        ).status_code
        by_form = client.post(path, data={"csrf": tokens[role], "words": "x"})
        by_header = client.post(path, headers={"x-csrf-token": tokens[role]}).status_code

        assert seen == by_form.status_code == by_header == (200 if may else refused), (name, role)
        assert without == foreign == crossed == (419 if may else refused), (name, role)
        assert not may or by_form.text == f"{role}-person x"
        tried += 1
    assert tried == (len(STUBS) - 3) * 5


def test_a_route_that_nobody_declared_is_closed_to_everybody(house: House) -> None:
    house.add("ana", "lead")
    ana = house.signed_in("ana")

    assert ana.get("/forgotten").status_code == 404
    assert ana.get("/nowhere").status_code == 404
    assert ana.delete("/help").status_code == 405


def test_signing_in_and_out_need_their_tokens_as_well(house: House) -> None:
    house.add("ana", "staff")
    ana = house.signed_in("ana")
    form = {"name": "ana", "password": PASSWORD}

    assert house.client().post("/sign-in", data=form).status_code == 419
    assert house.client().post("/enter", data={"token": "x"}).status_code == 419
    assert ana.post("/sign-out").status_code == 419
    assert ana.get("/help").status_code == 200


def test_a_body_beyond_any_form_is_refused(house: House) -> None:
    house.add("ana", "staff")
    ana = house.signed_in("ana")
    data = {"csrf": csrf_of(ana), "words": "x" * (1 << 20)}

    assert ana.post("/act", data=data).status_code == 413


def test_data_and_admin_see_no_words_of_people() -> None:
    assert not MAY["data"] & {"see_cases", "act", "see_overview"}
    assert not MAY["admin"] & {"see_cases", "act", "see_pseudonymised", "export_pseudonymised"}
    assert "manage_users" not in MAY["lead"]


# What every answer says


def test_every_answer_has_its_security_headers_even_an_error(house: House) -> None:
    house.add("ana", "staff")
    ana = house.signed_in("ana")
    paths = ("/help", "/nowhere", "/users", "/crash", "/sign-in")

    answers = [ana.get(path) for path in paths] + [house.client().get("/help")]
    answers.append(ana.get("/help", headers={"host": "evil.example"}))

    assert [a.status_code for a in answers] == [200, 404, 403, 500, 200, 401, 400]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-inline" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "permissions-policy" in answer.headers
        assert "strict-transport-security" not in answer.headers


def test_over_https_browsers_are_told_to_stay_there(house: House) -> None:
    answer = House(house.store, https=True).client().get("/sign-in")

    assert "max-age=" in answer.headers["strict-transport-security"]


# The access log


def test_every_view_search_and_export_is_on_record_before_it_is_seen(house: House) -> None:
    house.add("lea", "lead")
    lea = house.signed_in("lea")
    house.add("dan", "data")
    dan = house.signed_in("dan")

    lea.get("/cases/7")
    lea.get("/find")
    lea.get("/help")
    dan.get("/export")
    dan.get("/cases/8")

    assert house.log() == [
        ("lea", "signed_in", None),
        ("dan", "signed_in", None),
        ("lea", "view", 7),
        ("lea", "search", None),
        ("dan", "export", None),
        ("dan", "refused", 8),
    ]
    assert [row.who for _, row in house.store.access_log.read(case_id=7)] == ["lea"]


def test_what_cannot_be_recorded_is_not_shown(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.add("ana", "staff")
    ana = house.signed_in("ana")

    def full(_: object, _access: Access) -> None:
        raise StoreError("no space is left")

    monkeypatch.setattr("store.access_log.AccessLog.record", full)

    assert ana.get("/cases/7").status_code == 503


def test_the_database_refuses_to_change_or_delete_the_log(house: House) -> None:
    log = house.store.access_log
    for case in (7, 8, 9):
        log.record(Access(NOW, "ana", "staff", "view", case))

    for statement in ("UPDATE access_log SET who = 'bo'", "DELETE FROM access_log"):
        with pytest.raises(StoreError), house.store._database.writing() as connection:
            connection.execute(text(statement))

    assert len(log.read()) == 3
    assert log.first_broken() is None


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE access_log SET who = 'bo' WHERE id = 2", 2),
        ("UPDATE access_log SET case_id = NULL WHERE id = 1", 1),
        ("DELETE FROM access_log WHERE id = 2", 2),
        ("DELETE FROM access_log WHERE id = 3", 3),
    ],
)
def test_whoever_gets_past_that_is_found_out(house: House, statement: str, broken: int) -> None:
    log = house.store.access_log
    for case in (7, 8, 9):
        log.record(Access(NOW, "ana", "staff", "view", case))

    with house.store._database.writing() as connection:
        if house.store._database.is_sqlite:
            connection.execute(text("DROP TRIGGER access_log_no_update"))
            connection.execute(text("DROP TRIGGER access_log_no_delete"))
        else:
            connection.execute(text("DROP TRIGGER access_log_no_change ON access_log"))
        connection.execute(text(statement))

    assert log.first_broken() == broken


def test_changes_of_accounts_are_on_the_audit_trail(house: House) -> None:
    house.add("ana", "staff")
    house.store.accounts.set_role("ana", "lead", by="root", now=NOW)

    with house.store._database.reading() as connection:
        rows = connection.execute(text("SELECT actor, event, detail FROM audit ORDER BY id")).all()

    assert [(row.actor, row.event) for row in rows] == [
        ("root", "user_added"),
        ("root", "user_role"),
    ]
    assert "ana" not in str([row.detail for row in rows])
    assert house.store.first_broken_audit_row() is None


# All at once


def at_once(work: Callable[[], object], times: int = 24) -> list[object]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda _: work(), range(times)))


def test_guesses_sent_all_at_once_are_held_like_those_one_after_another(house: House) -> None:
    house.add("ana", "staff")

    results = at_once(lambda: come_by_password(house.door, "ana", "wrong", "10.0.0.1"))

    assert results.count(None) == FREE_PAIR
    assert all(isinstance(result, Held) for result in results if result is not None)


def test_a_link_followed_many_times_at_once_opens_one_session(house: House) -> None:
    link_token = offer_link(house.door, "ana")

    results = at_once(lambda: come_by_link(house.door, link_token))

    assert len([result for result in results if result]) == 1


def test_what_many_people_see_at_once_is_all_on_record_in_one_chain(house: House) -> None:
    log = house.store.access_log

    at_once(lambda: log.record(Access(NOW, "ana", "staff", "view", 7)))

    assert len(log.read()) == 24
    assert log.first_broken() is None
