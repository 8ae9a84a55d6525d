"""The users page, one's own password, and the access log, as people use them."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from review.access import log_pages, passwords
from review.access.door import Door, form_token, hashed, invite, new_secret
from review.access.guard import Guard
from review.access.pages import add_door
from review.access.walls import walled
from store import Store, open_store
from store.access_log import Access
from store.accounts import Role, Session

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PASSWORD, ANOTHER = "correct horse battery", "staple over the fence"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
HASH = CHEAP.hash(PASSWORD)


@dataclass
class House:
    store: Store
    now: datetime = NOW

    def __post_init__(self) -> None:
        self.door = Door(self.store, clock=lambda: self.now)
        app = Starlette(middleware=[Middleware(Guard, door=self.door)])
        add_door(app)
        self.app = walled(app, hosts=("testserver",))

    def add(self, name: str, role: Role, password_hash: str = HASH) -> int:
        self.store.accounts.add(name, role, password_hash, by="root", now=self.now)
        return self.number(name)

    def number(self, name: str) -> int:
        user = self.store.accounts.named(name)
        assert user is not None
        return user.id

    def visitor(self) -> TestClient:
        return TestClient(self.app, follow_redirects=False, raise_server_exceptions=False)

    def signed_in(self, name: str) -> TestClient:
        user, secret = self.store.accounts.named(name), new_secret()
        assert user is not None
        session = Session(user.id, user.name, user.role, self.now + timedelta(hours=8))
        self.store.accounts.start_session(hashed(secret), session, self.now)
        client = self.visitor()
        client.cookies.set(self.door.cookie, secret, domain="testserver.local")
        return client

    def posts(self, client: TestClient, path: str, **form: str):
        cookies = client.cookies
        name = self.door.cookie if self.door.cookie in cookies else self.door.visitor_cookie
        return client.post(path, data={"csrf": form_token(cookies[name]), **form})

    def trail(self) -> list[str]:
        with self.store._database.reading() as connection:
            rows = connection.execute(text("SELECT actor, event FROM audit ORDER BY id"))
            return [f"{row.actor}: {row.event}" for row in rows]


@pytest.fixture
def house(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    with open_store(store_url) as store:
        yield House(store)


@pytest.fixture
def one_house(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """On one database, for what has little to do with it."""
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    with open_store(f"sqlite:///{tmp_path / 'page.sqlite3'}") as store:
        yield House(store)


def said(answer) -> str:
    found = re.search(r'<p role="(?:alert|status)"[^>]*>(.*?)</p>', answer.text, re.DOTALL)
    return found[1].replace("&#39;", "'") if found else ""


def link_in(answer) -> str:
    [link] = re.findall(r'value="http://testserver(/invitation\?token=[^"]*)"', answer.text)
    return link


# Users


def test_an_admin_adds_somebody_who_chooses_their_own_password_once(house: House) -> None:
    house.add("root", "admin")
    admin, bo, thief = house.signed_in("root"), house.visitor(), house.visitor()

    added = house.posts(admin, "/users/add", name=" Bo ", role="staff")
    link = link_in(added)
    token = link.partition("token=")[2]
    page = bo.get(link)
    thief.get(link)
    chosen = {"token": token, "password": ANOTHER, "again": ANOTHER}
    came = house.posts(bo, "/invitation", **chosen)
    late = house.posts(thief, "/invitation", **chosen)

    assert "invited as <b><bdi>bo</bdi></b>" in page.text
    assert came.status_code == 303
    assert bo.get("/password").status_code == 200
    assert late.status_code == 401
    assert "Ask an admin for a new one" in late.text
    assert house.trail()[-3:] == ["root: user_added", "root: user_invited", "bo: user_password"]
    found = house.store.accounts.password_hash("bo")
    assert found
    assert passwords.fits(found[1], ANOTHER)


def test_a_link_ends_after_a_day_with_a_newer_one_and_with_its_user(house: House) -> None:
    number = house.add("bo", "staff")
    house.add("root", "admin")
    admin, visitor = house.signed_in("root"), house.visitor()
    first = link_in(house.posts(admin, f"/users/{number}/invite"))
    second = link_in(house.posts(admin, f"/users/{number}/invite"))

    statuses = [visitor.get(first).status_code, visitor.get(second).status_code]
    house.now += timedelta(hours=24)
    statuses.append(visitor.get(second).status_code)
    house.now = NOW
    house.posts(admin, f"/users/{number}/disable")
    house.posts(admin, f"/users/{number}/enable")
    statuses.append(visitor.get(second).status_code)

    assert statuses == [401, 200, 401, 401]


def test_a_new_password_by_a_link_ends_what_was_open_and_an_old_link_by_a_new_password(
    house: House,
) -> None:
    house.add("bo", "staff")
    open_already = house.signed_in("bo")
    token = invite(house.door, "bo", by="root")
    house.posts(house.signed_in("bo"), "/password", old=PASSWORD, password=ANOTHER, again=ANOTHER)
    late = house.visitor().get(f"/invitation?token={token}")
    again = house.signed_in("bo")
    token = invite(house.door, "bo", by="root")
    bo = house.visitor()
    bo.get(f"/invitation?token={token}")
    house.posts(bo, "/invitation", token=token, password=PASSWORD, again=PASSWORD)

    assert late.status_code == 401
    assert open_already.get("/password").status_code == 401
    assert again.get("/password").status_code == 401
    assert bo.get("/password").status_code == 200


def test_roles_and_standing_are_changed_with_a_row_on_the_audit_trail(house: House) -> None:
    number = house.add("bo", "staff")
    house.add("root", "admin")
    admin, bo = house.signed_in("root"), house.signed_in("bo")

    role = house.posts(admin, f"/users/{number}/role", role="lead")
    seen = bo.get("/access-log").status_code
    out = house.posts(admin, f"/users/{number}/disable")
    gone = bo.get("/access-log").status_code
    back = house.posts(admin, f"/users/{number}/enable")
    page = admin.get(back.headers["location"])

    assert [role.status_code, out.status_code, back.status_code] == [303, 303, 303]
    assert (seen, gone) == (200, 401)
    assert "Enabled again" in page.text
    assert house.trail()[-3:] == ["root: user_role", "root: user_disabled", "root: user_enabled"]


def test_the_last_admin_stays_one(house: House) -> None:
    number = house.add("root", "admin")
    other = house.add("old", "admin")
    admin = house.signed_in("root")
    house.posts(admin, f"/users/{other}/disable")

    demoted = house.posts(admin, f"/users/{number}/role", role="staff")
    disabled = house.posts(admin, f"/users/{number}/disable")

    assert demoted.status_code == disabled.status_code == 422
    assert "make another admin first" in said(demoted)
    assert house.store.accounts.named("root").role == "admin"
    house.posts(admin, f"/users/{other}/enable")
    assert house.posts(admin, f"/users/{number}/role", role="staff").status_code == 303


def test_what_cannot_be_done_with_a_user_is_said(one_house: House) -> None:
    number = one_house.add("root", "admin")
    admin = one_house.signed_in("root")

    taken = one_house.posts(admin, "/users/add", name="ROOT", role="staff")
    nameless = one_house.posts(admin, "/users/add", name="  ", role="staff")
    strange = one_house.posts(admin, "/users/add", name="bo", role="emperor")

    assert said(taken) == "Nothing was changed: there is a user of that name."
    assert said(nameless) == "Nothing was changed: a user needs a name."
    assert strange.status_code == 400
    assert one_house.posts(admin, f"/users/{number}/promote").status_code == 404
    assert one_house.posts(admin, "/users/999/disable").status_code == 404
    assert [user.name for user in one_house.store.accounts.users()] == ["root"]


def test_a_name_is_shown_as_it_is_and_never_as_markup(one_house: House) -> None:
    one_house.add("root", "admin")
    one_house.add('<img src=x onerror="alert(1)">', "staff")

    assert "<img" not in one_house.signed_in("root").get("/users").text


# A session whose role changed


def test_a_session_gets_another_id_when_its_role_changes(house: House) -> None:
    house.add("bo", "staff")
    bo, thief = house.signed_in("bo"), house.visitor()
    before = bo.cookies[house.door.cookie]
    thief.cookies.set(house.door.cookie, before, domain="testserver.local")

    house.store.accounts.set_role("bo", "lead", by="root", now=NOW)
    page = bo.get("/access-log")
    after = bo.cookies[house.door.cookie]

    assert page.status_code == 200
    assert after != before
    assert form_token(after) in page.text
    assert thief.get("/access-log").status_code == 401
    assert bo.get("/access-log").status_code == 200
    assert bo.cookies[house.door.cookie] == after


def test_it_is_not_lost_where_the_new_role_allows_less(house: House) -> None:
    house.add("bo", "lead")
    bo = house.signed_in("bo")

    house.store.accounts.set_role("bo", "staff", by="root", now=NOW)

    assert bo.get("/access-log").status_code == 403
    assert bo.get("/password").status_code == 200


# One's own password


def test_everybody_changes_their_own_password_and_is_signed_out_elsewhere(house: House) -> None:
    house.add("bo", "data")
    bo, elsewhere = house.signed_in("bo"), house.signed_in("bo")
    before = bo.cookies[house.door.cookie]

    changed = house.posts(bo, "/password", old=PASSWORD, password=ANOTHER, again=ANOTHER)
    page = bo.get(changed.headers["location"])

    assert "was changed" in page.text
    assert bo.cookies[house.door.cookie] != before
    assert elsewhere.get("/password").status_code == 401
    assert "bo: user_password" in house.trail()


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"old": "wrong"}, "not your password"),
        ({"again": "something else"}, "not the same"),
        ({"password": "short", "again": "short"}, "12 to 1024"),
        ({"password": "my name is bo here", "again": "my name is bo here"}, "name of its user"),
    ],
)
def test_a_password_stays_where_the_new_one_will_not_do(
    one_house: House, form: dict[str, str], why: str
) -> None:
    one_house.add("bo", "staff")
    bo = one_house.signed_in("bo")

    whole = {"old": PASSWORD, "password": ANOTHER, "again": ANOTHER, **form}
    refused = one_house.posts(bo, "/password", **whole)

    assert refused.status_code == 422
    assert why in said(refused)
    found = one_house.store.accounts.password_hash("bo")
    assert found
    assert passwords.fits(found[1], PASSWORD)


def test_guessing_at_a_password_from_within_is_held_up_as_at_the_door(one_house: House) -> None:
    one_house.add("bo", "staff")
    bo = one_house.signed_in("bo")
    form = {"old": "wrong", "password": ANOTHER, "again": ANOTHER}

    statuses = [one_house.posts(bo, "/password", **form).status_code for _ in range(6)]

    assert statuses == [422] * 5 + [429]


# The access log


def filled(house: House) -> TestClient:
    house.add("lea", "lead")
    record = house.store.access_log.record
    for day, who, kind, case in (
        (1, "ana", "view", 7), (2, "ana", "search", None), (3, "bo", "view", 7),
        (4, "bo", "view", 8),
    ):  # fmt: skip
        at = datetime(2026, 11, day, 23, 30, tzinfo=UTC)
        record(Access(at, who, "staff", kind, case))
    return house.signed_in("lea")


def rows_in(answer) -> list[list[str]]:
    body = answer.text.partition("<dialog")[0].partition("<tbody>")[2].partition("</tbody>")[0]
    return [
        [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", body)
    ]


def test_a_lead_reads_who_looked_at_what_and_that_is_on_the_log_too(house: House) -> None:
    lea = filled(house)

    rows = rows_in(lea.get("/access-log"))

    assert [row[1:6] for row in rows[:3]] == [
        ["lea", "lead", "access log", "", ""],
        ["bo", "staff", "view", "8", ""],
        ["bo", "staff", "view", "7", ""],
    ]
    assert rows[1][0] == "4 November 2026, 23:30:00"


@pytest.mark.parametrize(
    ("asked", "cases"),
    [
        ({"who": "ANA"}, ["", "7"]),
        ({"case": "7"}, ["7", "7"]),
        ({"kind": "search"}, [""]),
        ({"since": "2026-11-03", "until": "2026-11-03"}, ["7"]),
        ({"who": "bo", "case": "8"}, ["8"]),
        ({"who": "nobody"}, []),
    ],
)
def test_the_log_is_looked_through_by_person_case_kind_and_day(
    one_house: House, asked: dict[str, str], cases: list[str]
) -> None:
    lea = filled(one_house)

    found = one_house.posts(lea, "/access-log", **asked)

    assert [row[4] for row in rows_in(found)] == cases


def test_what_makes_no_sense_is_said_and_shows_nothing(one_house: House) -> None:
    lea = filled(one_house)

    for asked in ({"case": "x"}, {"case": "9" * 40}, {"kind": "gossip"}, {"since": "yesterday"}):
        answer = one_house.posts(lea, "/access-log", **asked)
        assert answer.status_code == 422
        assert said(answer)
        assert rows_in(answer) == []


def test_pages_of_the_log_follow_each_other_without_a_gap(
    one_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_pages, "_SHOWN", 2)
    lea = filled(one_house)
    numbers, before = [], ""

    for _ in range(3):
        answer = one_house.posts(lea, "/access-log", who="", before=before, until="2026-11-05")
        numbers += [row[6] for row in rows_in(answer)]
        found = re.search(r'name="before" value="(\d+)"', answer.text)
        before = found[1] if found else ""

    assert numbers[:4] == ["4", "3", "2", "1"]


def test_the_log_is_saved_as_csv_that_no_spreadsheet_calculates(one_house: House) -> None:
    lea = filled(one_house)
    for who in ("=1+1", "+1", "-1", "@x", "\t=1", " =cmd|'/c calc'!A1", 'a"b'):
        one_house.store.access_log.record(Access(NOW, who, "lead", "view", 9))

    saved = one_house.posts(lea, "/access-log/export", case="9")
    everything = one_house.posts(lea, "/access-log/export")

    rows = list(csv.reader(io.StringIO(saved.text)))
    assert saved.headers["content-disposition"] == 'attachment; filename="access-log.csv"'
    assert rows[0] == ["number", "at", "who", "role", "kind", "case", "message"]
    assert [row[2][:1] for row in rows[1:]] == ["a", *["'"] * 6]
    kinds = [row[4] for row in csv.reader(io.StringIO(everything.text))]
    assert kinds[1:3] == ["export", "export"]


def test_the_page_says_whether_the_seals_hold(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    lea = filled(house)
    monkeypatch.setattr(log_pages, "_CHECKED", 2)
    newest = lea.get("/access-log").text
    whole = house.posts(lea, "/access-log", check_all="1").text
    with house.store._database.writing() as connection:
        if house.store._database.is_sqlite:
            connection.execute(text("DROP TRIGGER access_log_no_update"))
        else:
            connection.execute(text("ALTER TABLE access_log DISABLE TRIGGER ALL"))
        connection.execute(text("UPDATE access_log SET who = 'bo' WHERE id = 2"))

    unseen = lea.get("/access-log").text
    found = house.posts(lea, "/access-log", check_all="1").text

    assert "The newest 2 rows are as they were written" in newest
    assert "All 6 rows are as they were written" in whole
    assert "The newest 2 rows" in unseen
    assert "Row 2 was changed, taken out or cut off." in found


# Links from elsewhere, cookies beside others, proxies


def test_a_link_from_a_chat_opens_the_page_for_who_is_signed_in(one_house: House) -> None:
    one_house.add("lea", "lead")
    lea = one_house.signed_in("lea")
    elsewhere = {"accept": "text/html", "sec-fetch-site": "cross-site"}
    cookie_held_back = one_house.visitor()  # as browsers do with SameSite=Strict

    stone = cookie_held_back.get("/access-log?x=1&y='>", headers=elsewhere)
    [there] = re.findall(r'content="0; url=([^"]*)"', stone.text)

    assert stone.status_code == 200
    there = html.unescape(there)
    assert there == "/access-log?x=1&y='%3E"
    ours = {"accept": "text/html", "sec-fetch-site": "same-origin"}
    assert lea.get(there, headers=ours).status_code == 200
    assert cookie_held_back.get(there, headers=ours).headers["location"].startswith("/sign-in")


def test_two_pages_on_one_host_do_not_sign_each_other_out(one_house: House) -> None:
    first, second = Door(one_house.store, port=8380), Door(one_house.store, port=8381)
    public = Door(one_house.store, https=True, port=8443)

    assert first.cookie != second.cookie
    assert public.cookie == "__Host-fit-triage-8443"
    assert Door(one_house.store, https=True).cookie == "__Host-fit-triage"
