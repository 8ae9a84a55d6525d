"""The page for exports: an archive for those who may, on record, and words of what is missing."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient
from store_samples import NOW, email, outcome, raw_message

from review.access.door import Door, form_token, hashed, new_secret
from review.desk import Desk
from review.serving import review_page
from settings import Settings
from store import Store, Tally, open_store
from store.accounts import Session

ROWS = {"recipient": "research", "what": ["messages"], "format": "jsonl", "days": "7"}


@pytest.fixture
def store(tmp_path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/mail.sqlite3") as store:
        raw = raw_message(1)
        with store.batch(now=NOW) as memory:
            message = email(1, new_text="Cancel HT-204518. Sarah M knows.")
            memory.add(raw.key, raw.digest, message, [outcome()], reader_version="rules-1")
        yield store


class Visitor:
    def __init__(self, store: Store, role: str) -> None:
        self.door = Door(store, clock=lambda: NOW)
        engine = SimpleNamespace(retry=lambda *_: Tally())
        page = review_page(Desk(engine), Settings(), self.door, ["testserver"])
        self.client = TestClient(page, follow_redirects=False)
        store.accounts.add(role, role, "", by="root", now=NOW)
        self.secret, user = new_secret(), store.accounts.named(role)
        session = Session(user.id, role, role, NOW.replace(hour=20))
        store.accounts.start_session(hashed(self.secret), session, NOW)
        self.client.cookies.set(self.door.cookie, self.secret)

    def post(self, path: str, **form: object):
        return self.client.post(path, data={"csrf": form_token(self.secret), **form})


def held(answer) -> tuple[dict, dict]:
    """The manifest and the only row of an archive."""
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = {
            name.rpartition("/")[2]: archive.read(name).decode() for name in archive.namelist()
        }
    return json.loads(files["manifest.json"]), json.loads(files["messages.jsonl"])


def test_rows_come_as_an_archive_and_are_on_record_with_who_and_why(store: Store) -> None:
    visitor = Visitor(store, "lead")

    answer = visitor.post("/exports", **ROWS, reason="fit study")

    manifest, row = held(answer)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["cache-control"] == "no-store"
    assert "text" not in row
    assert (manifest["made_by"], manifest["reason"]) == ("lead", "fit study")
    [export] = store.exports.made()
    assert export.wish.role == "lead"
    assert export.files[0].rows == 1
    assert "handed out" in visitor.client.get("/exports").text
    assert store.first_broken_audit_row() is None


def test_text_is_for_the_role_data_and_asks_what_for(store: Store) -> None:
    visitor = Visitor(store, "data")

    without = visitor.post("/exports/text", **ROWS)
    answer = visitor.post("/exports/text", **ROWS, reason="labelling")
    as_lead = Visitor(store, "lead").post("/exports/text", **ROWS, reason="labelling")

    assert without.status_code == 422
    assert "for a reason that is put on record" in without.text
    assert held(answer)[1]["text"] == "Cancel [SESSION1]. [NAME1] knows."
    assert as_lead.status_code == 403
    assert len(store.exports.made()) == 1


@pytest.mark.parametrize(
    "form",
    [
        {"recipient": " "}, {"what": []}, {"format": "xls"}, {"days": "0"}, {"days": "x"},
        {"since": "yesterday"}, {"recipient": "x" * 501},
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_said_and_nothing_exported(
    store: Store, form: dict[str, object]
) -> None:
    answer = Visitor(store, "data").post("/exports", **{**ROWS, **form})

    assert answer.status_code == 422
    assert "Nothing was exported" in answer.text
    assert store.exports.made() == []
