"""Signing in by a team's OpenID provider: a real one, in a process of its own, over HTTP."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from argon2 import PasswordHasher
from services.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIdProvider
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from review.access import passwords
from review.access.door import Door, invite
from review.access.guard import Guard
from review.access.pages import add_door
from review.access.provider import PROBLEMS, Provider
from review.access.walls import walled
from settings import SignInSettings
from store import Store, open_store

PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
_ADDRESSES = itertools.count(1)


@dataclass
class House:
    """A review page that trusts the provider, and the people at it."""

    store: Store
    openid: OpenIdProvider
    folder: Path
    told: dict[str, object] = field(default_factory=dict)  # of the settings
    now: datetime | None = None

    def __post_init__(self) -> None:
        secret = self.folder / "secret"
        secret.write_text(f"{CLIENT_SECRET}\n")
        settings = SignInSettings.model_validate(
            {
                "issuer": self.openid.issuer, "client_id": CLIENT_ID, "client_secret_file": secret,
                "label": "Clinic ID", "allow_loopback_http": True, "timeout": 5, **self.told,
            }
        )  # fmt: skip

        def clock() -> datetime:
            return self.now or datetime.now(UTC)

        provider = Provider(settings, "http://testserver", clock)
        self.door = Door(self.store, clock=clock, provider=provider, passwords=settings.passwords)
        app = Starlette(middleware=[Middleware(Guard, door=self.door)])
        add_door(app)
        self.app = walled(app, hosts=("testserver",))

    def client(self, address: str = "") -> TestClient:
        """A browser, somewhere else than any other."""
        return TestClient(
            self.app, client=(address or f"10.0.0.{next(_ADDRESSES)}", 1),
            follow_redirects=False, raise_server_exceptions=False,
        )  # fmt: skip

    def leaves(self, client: TestClient, **query: str) -> str:
        """The address that the provider sends somebody back to who left for it."""
        left = client.get("/sign-in/provider", params=query)
        assert left.status_code == 303, left.text
        return self.openid.visited(left.headers["location"])

    def comes(self, client: TestClient, *errs: str, **query: str):
        """Leave, and come back with what the provider says, which errs in *errs*."""
        self.openid.set(*errs)
        return client.get(self.leaves(client, **query))

    def add(self, name: str, role: str, subject: str = "") -> None:
        known = (self.openid.issuer, subject) if subject else None
        self.store.accounts.add(
            name, role, CHEAP.hash(PASSWORD), by="root", now=datetime.now(UTC), identity=known
        )

    def is_in(self, client: TestClient) -> bool:
        return client.get("/password").status_code == 200

    def log(self) -> list[tuple[str, str]]:
        return [(row.who, row.kind) for _, row in reversed(self.store.access_log.read())]

    def trail(self) -> list[str]:
        from sqlalchemy import text

        with self.store._database.reading() as connection:
            rows = connection.execute(text("SELECT actor, event FROM audit ORDER BY id"))
            return [f"{row.actor}: {row.event}" for row in rows]


@pytest.fixture
def house(
    store_url: str, tmp_path: Path, openid_provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[House]:
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    with open_store(store_url) as store:
        yield House(store, openid_provider, tmp_path)


@pytest.fixture
def one_house(
    tmp_path: Path, openid_provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[House]:
    """On one database, for what has little to do with it."""
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    with open_store(f"sqlite:///{tmp_path / 'page.sqlite3'}") as store:
        yield House(store, openid_provider, tmp_path)


def with_settings(house: House, **told: object) -> House:
    return House(house.store, house.openid, house.folder, told)


def said(answer) -> str:
    found = re.search(r'<p role="alert"[^>]*>([^<]*)</p>', answer.text)
    return found[1].replace("&#39;", "'") if found else ""


# Coming in


def test_a_user_signs_in_by_the_provider_to_the_page_they_asked_for(house: House) -> None:
    house.add("ana", "staff", "subject-of-ana")
    client = house.client()

    page = client.get("/sign-in?next=/cases/7")
    came = house.comes(client, next="/cases/7")

    assert "Sign in with Clinic ID" in page.text
    assert "/sign-in/provider?next=/cases/7" in page.text
    assert came.status_code == 200
    assert 'content="0; url=/cases/7"' in came.text
    assert house.is_in(client)
    assert house.log() == [("ana", "signed_in")]


def test_the_session_comes_by_a_page_of_ours_for_strict_cookies_survive_no_redirect(
    one_house: House,
) -> None:
    one_house.add("ana", "staff", "subject-of-ana")
    client = one_house.client()

    left = client.get("/sign-in/provider").headers["set-cookie"].lower()
    came = one_house.comes(client)
    cookies = came.headers.get_list("set-cookie")

    assert "samesite=lax" in left
    assert "httponly" in left
    assert "max-age=600" in left
    [session] = [one.lower() for one in cookies if one.startswith("fit-triage=")]
    assert "samesite=strict" in session
    assert "httponly" in session
    assert any(one.startswith("fit-triage-leaving=") and "Max-Age=0" in one for one in cookies)


def test_what_goes_to_the_provider_tells_nothing_that_helps_to_come_back(one_house: House) -> None:
    client = one_house.client()

    address = client.get("/sign-in/provider").headers["location"]

    asked = {name: value[0] for name, value in parse_qs(urlsplit(address).query).items()}
    [secret] = parse_qs(client.cookies["fit-triage-leaving"].strip('"'))["secret"]
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == "http://testserver/sign-in/answer"
    assert asked["scope"] == "openid profile"
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    assert secret not in address
    assert CLIENT_SECRET not in address


@pytest.mark.parametrize("there", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_nobody_is_sent_on_to_a_foreign_address(one_house: House, there: str) -> None:
    one_house.add("ana", "staff", "subject-of-ana")

    came = one_house.comes(one_house.client(), next=there)

    assert "evil" not in came.text
    assert 'content="0; url=/"' in came.text


# What is not believed


#: What the provider, or somebody in its place, may do wrong; and the problem that we name.
WRONG = {
    "wrong_state": "not_ours",
    "wrong_iss": "token",
    "no_iss": "token",
    "denied": "refused_there",
    "wrong_nonce": "token",
    "no_nonce_claim": "token",
    "wrong_audience": "token",
    "no_aud_claim": "token",
    "wrong_party": "token",
    "wrong_issuer": "token",
    "no_iss_claim": "token",
    "no_sub_claim": "token",
    "expired": "token",
    "no_exp_claim": "token",
    "far_future": "token",
    "wrong_at_hash": "token",
    "alg_none": "token",
    "hmac_with_public_key": "token",
    "hmac_with_client_secret": "token",
    "foreign_key": "token",
    "own_key_in_header": "token",
    "changed_afterwards": "token",
    "no_id_token": "token",
    "redirected": "unreachable",
}


def test_a_forged_or_wrong_answer_lets_nobody_in(
    one_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    one_house.add("ana", "staff", "subject-of-ana")
    one_house.add("bo", "lead", "subject-of-bo")

    for err, code in WRONG.items():
        client = one_house.client()
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            came = one_house.comes(client, err)

        assert came.status_code in {401, 503}, err
        assert PROBLEMS[code] in said(came), err
        assert not one_house.is_in(client), err
        assert f"provider: {code}" in caplog.text
        for told in ("canary", "subject-of", "Ana", CLIENT_SECRET, "eyJ"):
            assert told not in caplog.text
    assert one_house.log() == [("", "sign_in_refused")] * len(WRONG)


def test_clocks_may_differ_by_a_minute(one_house: House) -> None:
    one_house.add("ana", "staff", "subject-of-ana")

    for err in ("slow_clock", "fast_clock"):
        client = one_house.client()
        one_house.comes(client, err)
        assert one_house.is_in(client), err


def test_an_answer_opens_the_page_once_and_only_in_the_browser_that_left(house: House) -> None:
    house.add("ana", "staff", "subject-of-ana")
    house.openid.set("codes_stay_good")
    ana, thief = house.client(), house.client()
    back = house.leaves(ana)
    cookies = dict(ana.cookies)

    stolen = thief.get(back)
    first = ana.get(back)
    replaying = house.client()
    replaying.cookies.update(cookies)
    again = replaying.get(back)

    assert PROBLEMS["not_ours"] in said(stolen)
    assert first.status_code == 200
    assert PROBLEMS["used"] in said(again)
    assert not house.is_in(replaying)
    assert not house.is_in(thief)


def test_one_address_that_keeps_coming_back_with_nothing_is_held(one_house: House) -> None:
    one_house.add("ana", "staff", "subject-of-ana")
    clients = [one_house.client("10.1.1.1") for _ in range(21)]

    answers = [said(one_house.comes(client, "wrong_state")) for client in clients]

    assert answers == [PROBLEMS["not_ours"]] * 20 + [PROBLEMS["held"]]
    elsewhere = one_house.client()
    one_house.comes(elsewhere)
    assert one_house.is_in(elsewhere)


def test_signing_in_again_by_the_provider_ends_the_session_before(one_house: House) -> None:
    one_house.add("ana", "staff", "subject-of-ana")
    client, thief = one_house.client(), one_house.client()
    one_house.comes(client)
    thief.cookies.set("fit-triage", client.cookies["fit-triage"])
    assert one_house.is_in(thief)
    back = one_house.leaves(client)
    client.cookies.delete("fit-triage")  # as browsers hold it back when another site sends them

    client.get(back)

    assert one_house.is_in(client)
    assert not one_house.is_in(thief)


def test_a_code_of_another_sign_in_is_worth_nothing(one_house: House) -> None:
    one_house.add("ana", "staff", "subject-of-ana")
    ana, thief = one_house.client(), one_house.client()
    code = parse_qs(urlsplit(one_house.leaves(ana)).query)["code"][0]
    back = one_house.leaves(thief)

    came = thief.get(re.sub(r"code=[^&]*", f"code={code}", back))

    assert PROBLEMS["code_refused"] in said(came)
    assert not one_house.is_in(thief)


def test_a_wrong_client_secret_is_said_to_be_one(one_house: House) -> None:
    (one_house.folder / "secret").write_text("of last year")

    came = one_house.comes(one_house.client())

    assert came.status_code == 503
    assert "client_secret_file" in said(came)


def test_the_provider_may_change_its_keys_at_any_time(one_house: House) -> None:
    one_house.add("ana", "staff", "subject-of-ana")
    one_house.now = datetime.now(UTC)
    first, second = one_house.client(), one_house.client()
    one_house.comes(first)

    one_house.now += timedelta(seconds=20)
    one_house.comes(second, "rotated")

    assert one_house.is_in(second)


# Who somebody is


def test_nobody_is_known_by_a_name_or_an_address_alone(house: House) -> None:
    house.add("ana", "lead")
    house.openid.set(
        sub="a-stranger", preferred_username="ana", email="ana@clinic.example", groups=["leads"]
    )

    came = house.comes(house.client())

    assert PROBLEMS["unknown"] in said(came)


def test_the_same_subject_of_another_provider_is_somebody_else(house: House) -> None:
    now = datetime.now(UTC)
    other = ("https://other.example", "subject-of-ana")
    house.store.accounts.add("ana", "lead", "", by="root", now=now, identity=other)

    assert PROBLEMS["unknown"] in said(house.comes(house.client()))


def test_a_disabled_user_stays_out(house: House) -> None:
    house.add("ana", "staff", "subject-of-ana")
    house.add("bo", "staff")
    house.store.accounts.disable("ana", by="root", now=datetime.now(UTC))
    client = house.client()

    assert PROBLEMS["disabled"] in said(house.comes(client))
    assert not house.is_in(client)


def test_an_invitation_joins_a_user_and_an_account_of_the_provider(house: House) -> None:
    house.add("anastasia", "staff")
    token = invite(house.door, "anastasia", by="root")
    client, later = house.client(), house.client()

    page = client.get("/invitation", params={"token": token})
    came = house.comes(client, invitation=token)
    house.comes(later)
    second = house.comes(house.client(), invitation=token)

    assert "anastasia" in page.text
    assert "Sign in with Clinic ID from now on" in page.text
    assert came.status_code == 200
    assert house.is_in(client)
    assert house.is_in(later)
    assert PROBLEMS["invitation"] in said(second)
    assert "anastasia: user_identity" in house.trail()


def test_an_account_of_the_provider_belongs_to_one_user(house: House) -> None:
    house.add("ana", "staff", "subject-of-ana")
    house.add("bo", "lead")
    token = invite(house.door, "bo", by="root")

    came = house.comes(house.client(), invitation=token)

    assert PROBLEMS["taken"] in said(came)
    assert house.store.accounts.named("bo").subject is None


# Roles by groups

BY_GROUPS = {"roles": {"leads": "lead", "support": "staff"}, "unknown": "add"}


def test_who_is_unknown_is_added_with_the_role_of_their_group_where_that_is_wanted(
    house: House,
) -> None:
    house = with_settings(house, **BY_GROUPS)
    client = house.client()

    came = house.comes(client)

    assert came.status_code == 200
    user = house.store.accounts.named("ana")
    assert (user.role, user.subject, user.has_password) == ("lead", "subject-of-ana", False)
    assert house.is_in(client)
    assert house.trail() == ["sign-in service: user_added"]


def test_another_group_is_another_role_at_the_next_sign_in_and_none_is_no_way_in(
    house: House,
) -> None:
    house = with_settings(house, **BY_GROUPS)
    house.comes(house.client())
    house.openid.set(sub="subject-of-ana", preferred_username="Ana", groups=["support", "other"])
    house.comes(house.client())
    role_now = house.store.accounts.named("ana").role
    house.openid.set(sub="subject-of-ana", preferred_username="Ana", groups=["other"])

    came = house.comes(house.client())

    assert role_now == "staff"
    assert PROBLEMS["no_role"] in said(came)


def test_names_and_groups_are_asked_for_where_the_token_holds_none(
    one_house: House,
) -> None:
    one_house = with_settings(one_house, **BY_GROUPS)
    client = one_house.client()

    one_house.comes(client, "by_userinfo")
    other = one_house.comes(one_house.client(), "by_userinfo", "other_userinfo")

    assert one_house.is_in(client)
    assert one_house.store.accounts.named("ana").role == "lead"
    assert PROBLEMS["token"] in said(other)


def test_a_name_that_is_taken_by_somebody_with_a_password_is_not_taken_over(house: House) -> None:
    house.add("ana", "admin")
    house = with_settings(house, **BY_GROUPS)

    came = house.comes(house.client())

    assert PROBLEMS["name_taken"] in said(came)
    assert house.store.accounts.named("ana").role == "admin"


def test_who_has_no_name_at_the_provider_needs_an_invitation(one_house: House) -> None:
    one_house = with_settings(one_house, **BY_GROUPS)
    one_house.openid.set(sub="subject-of-ana", groups=["leads"])

    assert PROBLEMS["no_name"] in said(one_house.comes(one_house.client()))


# Passwords beside it


def by_password(client: TestClient):
    page = client.get("/sign-in")
    [csrf] = re.findall(r'name="csrf" value="(\w+)"', page.text) or [""]
    form = {"name": "ana", "password": PASSWORD, "csrf": csrf}
    return client.post("/sign-in", data=form)


def test_with_the_provider_down_the_page_says_so_and_passwords_still_open_it(
    one_house: House,
) -> None:
    one_house.add("ana", "staff", "subject-of-ana")
    one_house = with_settings(one_house, issuer="http://127.0.0.1:9")
    client = one_house.client()

    page = client.get("/sign-in/provider")

    assert page.status_code == 503
    assert PROBLEMS["unreachable"] in said(page)
    assert "Passwords still open this page." in said(page)
    assert by_password(client).status_code == 303
    assert one_house.is_in(client)


@pytest.mark.parametrize(("err", "code"), [("issuer", "misconfigured"), ("broken", "unreachable")])
def test_a_provider_that_is_not_what_the_settings_say_is_not_asked(
    one_house: House, err: str, code: str
) -> None:
    one_house.add("ana", "staff", "subject-of-ana")
    one_house.openid.set(err)

    assert PROBLEMS[code] in said(one_house.client().get("/sign-in/provider"))


def test_passwords_can_be_switched_off(one_house: House) -> None:
    one_house.add("ana", "staff", "subject-of-ana")
    one_house = with_settings(one_house, passwords=False)
    client = one_house.client()

    refused = by_password(client)
    page = client.get("/sign-in")

    assert 'type="password"' not in page.text
    assert refused.status_code in {403, 419}
    assert not one_house.is_in(client)
    one_house.comes(client)
    assert "everybody signs in by the sign-in service" in client.get("/password").text


# Out again


def test_signing_out_ends_the_session_here_and_offers_to_end_it_there(one_house: House) -> None:
    one_house.add("ana", "staff", "subject-of-ana")
    client = one_house.client()
    one_house.comes(client)
    [csrf] = set(re.findall(r'name="csrf" value="(\w+)"', client.get("/password").text))

    left = client.post("/sign-out", data={"csrf": csrf})
    page = client.get(left.headers["location"])

    assert not one_house.is_in(client)
    [there] = re.findall(r'href="(http://127[^"]*)"', page.text)
    asked = parse_qs(urlsplit(there.replace("&amp;", "&")).query)
    assert there.startswith(f"{one_house.openid.issuer}/bye?")
    assert asked == {"client_id": [CLIENT_ID], "post_logout_redirect_uri": ["http://testserver/"]}


def test_a_provider_without_such_a_page_is_not_offered(one_house: House) -> None:
    one_house.openid.set("no_sign_out")

    assert "as well" not in one_house.client().get("/sign-in?left=1").text
