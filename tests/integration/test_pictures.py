"""Formatted mail: its own pictures are shown, those from outside on a click that is on record."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaigns.stage import NOW, SENDER, keep, set_up
from starlette.testclient import TestClient

from review.access.door import Door, form_token, hashed, new_secret
from review.desk import Desk
from review.serving import review_page
from review.web.sanitised import sanitised
from settings import Settings
from store import Store, open_store
from store.accounts import Session

GIF = base64.b64decode("R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=")
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
HTML = (
    "<p>Please <b>cancel</b>.</p><img src='cid:logo@x' alt='our logo'><img src='CID:drawing'>"
    "<img src='https://outside.example/seen.gif?who=1' alt='seen'>"
)


def mail(html: str) -> bytes:
    def part(kind: str, name: str, content: bytes) -> str:
        written = base64.encodebytes(content).decode()
        return (
            f"--b\nContent-Type: {kind}\nContent-ID: <{name}>\n"
            f"Content-Transfer-Encoding: base64\n\n{written}\n"
        )

    text = (
        f"From: Marian Oldroyd <{SENDER}>\nSubject: x\nMIME-Version: 1.0\n"
        "Content-Type: multipart/related; boundary=b\n\n--b\nContent-Type: multipart/alternative; "
        "boundary=c\n\n--c\nContent-Type: text/plain\n\nPlease cancel.\n--c\n"
        f"Content-Type: text/html\n\n{html}\n--c--\n"
        + part("image/png", "logo@x", GIF)
        + part("image/gif", "drawing", SVG)
        + "--b--\n"
    )
    return text.replace("\n", "\r\n").encode()


class Reader:
    """Somebody at the page."""

    def __init__(self, store: Store) -> None:
        self.store, door = store, Door(store, clock=lambda: NOW)
        app = review_page(Desk(None), Settings(), door, ["testserver"])  # type: ignore[arg-type]
        secret = new_secret()
        door.store.accounts.start_session(
            hashed(secret), Session(None, "anna", "staff", NOW + door.longest), NOW
        )
        self.csrf = form_token(secret)
        self.client = TestClient(app, cookies={door.cookie: secret}, follow_redirects=False)

    def frame(self) -> str:
        return self.client.get("/cases/1/messages/1/html").text


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with open_store(f"sqlite:///{tmp_path / 'x.sqlite3'}") as store:
        set_up(store, 2)
        keep(store, [(0, mail(HTML)), (1, mail("<div>" * 90_000 + "deep"))])
        yield Reader(store)


def test_pictures_that_came_along_are_shown_and_nothing_from_outside(reader: Reader) -> None:
    shown = reader.frame()

    assert f"data:image/gif;base64,{base64.b64encode(GIF).decode()}" in shown
    assert "outside.example" not in shown
    assert "svg" not in shown
    assert "cid:" not in shown.lower()


def test_pictures_from_outside_come_on_a_click_and_it_is_on_record(reader: Reader) -> None:
    address = "/cases/1/messages/1/pictures"

    by_link = reader.client.get(address)
    without_token = reader.client.post(address)
    clicked = reader.client.post(address, data={"csrf": reader.csrf})

    assert (by_link.status_code, without_token.status_code) == (405, 419)
    assert 'src="https://outside.example/seen.gif?who=1"' in clicked.text
    policy = clicked.headers["content-security-policy"]
    assert "img-src https: data:" in policy
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert clicked.headers["referrer-policy"] == "no-referrer"
    [row] = [row for _, row in reader.store.access_log.read(kinds=["pictures"])]
    assert (row.who, row.case_id, row.message_id) == ("anna", 1, 1)
    assert "outside.example" not in reader.frame()


@pytest.mark.parametrize(
    "address",
    [
        "http://outside.example/x.gif", "//outside.example/x.gif", "https://localhost/x",
        "https://192.168.0.1/x", "https://[::1]/x", "https://2130706433/x", "https://a@b.example/",
        "https:\\\\outside.example/x", "https://outside.example/x y", "ftp://outside.example/x",
        "javascript:alert(1)", "data:image/svg+xml;base64,PHN2Zz4=", "data:text/html,x",
        "cid:nobody", "/static/app.js", "x.gif", "https://outside.example:99999999/",
    ],
)  # fmt: skip
def test_only_a_public_name_by_https_is_ever_asked_for_a_picture(address: str) -> None:
    assert "src" not in sanitised(f'<img src="{address}" alt="x">', outside=True)


def test_html_that_takes_too_long_is_not_shown_and_holds_nobody_up(reader: Reader) -> None:
    shown = reader.client.get("/cases/2/messages/2/html")

    assert shown.status_code == 200
    assert "too long to be shown" in shown.text
    assert len(shown.content) < 10_000


def test_what_takes_more_time_than_there_is_is_given_up(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.downloads._HTML_CPU_SECONDS", 0.05)
    monkeypatch.setattr("review.web.cases.body_of", _for_ever)

    assert "takes too long to be made safe" in reader.frame()


def _for_ever(_form: object, *, outside: bool) -> str:
    while True:
        outside = not outside
