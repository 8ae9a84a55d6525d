"""`users` and `review` as somebody types them; the page as a browser meets it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher
from typer.testing import CliRunner, Result

from review.access import passwords
from review.access.door import Door, come_by_invitation
from review.commands import app
from review.desk import Desk
from store import open_store

FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def plain_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    if "store_url" in request.fixturenames:
        monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", request.getfixturevalue("store_url"))
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64))


def users(*words: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, ["users", *words], obj=Desk(None), input=typed)


def test_users_are_kept_by_command_and_no_password_is_ever_an_argument(store_url: str) -> None:
    Path("secret").write_text(PASSWORD + "\n")

    assert users("add", "Ana", "lead", typed=f"{PASSWORD}\n{PASSWORD}\n").exit_code == 0
    assert users("add", "bo", "staff", "--password-file", "secret").exit_code == 0
    assert users("role", "bo", "data").exit_code == 0
    assert users("password", "bo", "--password-file", "secret").exit_code == 0
    assert users("disable", "ana").exit_code == 0

    assert users("list").stdout == "ana  lead  disabled\nbo  data  active\n"
    with open_store(store_url) as store:
        found = store.accounts.password_hash("bo")
        assert found is not None
        assert passwords.fits(found[1], PASSWORD)
        assert store.accounts.password_hash("ana") is None
    assert users("add", "cleo", "staff", "--password", PASSWORD).exit_code == 2


def test_an_invitation_is_a_link_instead_of_a_password(store_url: str) -> None:
    added = users("add", "bo", "staff", "--invite", "--at", "https://triage.example/")
    again = users("invite", "BO")

    first = added.stdout.split()[-1].removeprefix("https://triage.example/invitation?token=")
    second = again.stdout.strip().removeprefix("http://127.0.0.1:8380/invitation?token=")
    with open_store(store_url) as store:
        door = Door(store)
        assert store.accounts.password_hash("bo") is None
        assert come_by_invitation(door, first, PASSWORD) is None
        assert come_by_invitation(door, second, PASSWORD)
        assert store.accounts.password_hash("bo") is not None
    assert "no user of that name" in str(users("invite", "nobody").exception)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("add", "ana", "staff"), "there is a user of that name"),
        (("role", "nobody", "lead"), "there is no user of that name"),
        (("disable", "nobody"), "there is no user of that name"),
        (("add", "bo", "staff", "--password-file", "absent"), "cannot be read"),
        (("add", "bo", "staff", "--password-file", "short"), "12 to 1024"),
    ],
)
@pytest.mark.usefixtures("store_url")
def test_what_cannot_be_done_is_said(words: tuple[str, ...], why: str) -> None:
    Path("secret").write_text(PASSWORD)
    Path("short").write_text("hello")
    users("add", "ana", "staff", "--password-file", "secret")
    if words[:2] == ("add", "ana"):
        words = (*words, "--password-file", "secret")

    assert why in str(users(*words).exception)


def test_the_page_opens_by_its_link_on_this_machine_alone(tmp_path: Path) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    database = f"sqlite:///{tmp_path / 'page.sqlite3'}"
    process = subprocess.Popen(
        [FIT_TRIAGE, "review", "--port", str(port), "--by", "ana"],
        env={**os.environ, "FIT_TRIAGE_DATABASE_URL": database, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        link = process.stdout.readline().removeprefix("Open ").strip()
        with httpx.Client(transport=httpx.HTTPTransport(retries=8), timeout=60) as browser:
            page = browser.get(link)
            [csrf] = re.findall(r'name="csrf" value="(\w+)"', page.text)
            token = link.partition("token=")[2]
            opened = browser.post(
                f"http://127.0.0.1:{port}/enter", data={"csrf": csrf, "token": token},
                follow_redirects=True,
            )  # fmt: skip
            foreign = browser.get(f"http://127.0.0.1:{port}/queues", headers={"host": "evil.test"})
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()
        process.stdout.close()

    assert opened.status_code == 200
    assert opened.url.path == "/queues"
    assert "<bdi>ana</bdi>" in opened.text
    assert foreign.status_code == 400


@pytest.mark.parametrize("url", ["http://triage.example", "https://", "https://a.example/path"])
def test_a_team_is_served_under_https_alone(url: str) -> None:
    result = CliRunner().invoke(app, ["review", "--public-url", url], obj=Desk(None))

    assert "https://HOST" in str(result.exception)


@pytest.mark.usefixtures("store_url")
def test_a_team_is_served_only_with_users() -> None:
    words = ["review", "--public-url", "https://triage.example"]
    result = CliRunner().invoke(app, words, obj=Desk(None))

    assert "there must be users" in str(result.exception)
