"""What is set right on the review page, on its way to the data team and into the next model."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from casework.scenarios import email_from, office, registry, request_from, wording
from guard_standing_in import Guard, Person
from predictions_made import small_corpus
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from store_samples import registry_file
from typer.testing import CliRunner

from models.feedback import collect
from review.access.walls import walled
from review.commands import app as commands
from review.desk import Desk
from review.learning import stored_cases
from review.web.app import web_app
from settings import Settings
from store import Store, open_store
from triage.conversation import Rules, hear
from triage.matter import Thresholds
from triage.records import MessageKey, RawMessage

NOW = datetime(2025, 11, 4, 10, tzinfo=UTC)
READER = "2025.11.1"
MAIL = {"ask": "complete cancellation", "but": {"notification_evidence": "I told her on Monday."}}


@pytest.fixture
def store(store_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    """One mail, read by the model of ``READER``."""
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", store_url)
    monkeypatch.chdir(tmp_path)
    known = registry(known=True)

    def row(value: Any) -> dict[str, Any]:
        fields = {name: getattr(value, name) for name in value.__slots__}
        return {**fields, "open_to_new": "yes" if fields.get("open_to_new") else "no"}

    with open_store(store_url) as opened:
        opened.import_registry(
            therapists=registry_file(map(row, known.therapists)),
            clients=registry_file(map(row, known.clients)),
            sessions=registry_file(map(row, known.sessions)),
            now=NOW,
        )
        email = email_from({"now": NOW.replace(tzinfo=None)}, MAIL, 1)
        email = replace(email, new_text="I told her on Monday. Evenings no longer work.")
        digest = hashlib.sha256(b"1").hexdigest()
        key = MessageKey("maildir:x", "", 1, 1)
        opened.keep_raw([RawMessage(key, NOW, digest, b"1")])
        with opened.batch(now=NOW) as memory:
            rules = Rules(NOW, office(), Thresholds(), wording())
            heard = hear(email, [request_from(MAIL)], memory, rules)
            memory.add(key, digest, email, heard, reader_version=READER)
        yield opened


def at_the_page(store: Store, name: str, action: str, **fields: str) -> None:
    """*name* opens the case and posts its form, as a browser would."""
    guard = [Middleware(Guard, person=Person(name, "staff"))]
    desk = Desk(SimpleNamespace())  # type: ignore[arg-type]
    app = web_app(desk, store, Settings(), guard=guard, clock=lambda: NOW)
    client = TestClient(walled(app, hosts=["testserver"]), follow_redirects=False)
    page = client.get("/cases/1").text
    found = {n: re.search(rf'name="{n}" value="([^"]*)"', page) for n in ("csrf", "version")}
    form = {n: match[1] for n, match in found.items() if match}
    form |= {n.replace("__", ":"): value for n, value in fields.items()}
    answer = client.post(f"/cases/1/{action}", data=form)
    assert answer.status_code in (200, 303), answer.text


def set_right_and_approved(store: Store) -> None:
    right = {"field": "fit_reasons", "value__fit_reasons": "availability"}
    at_the_page(store, "anna", "correct", **right)
    at_the_page(store, "ben", "approve")


def test_a_correction_on_the_page_becomes_a_row_that_says_who_when_and_whose_reading(
    store: Store,
) -> None:
    set_right_and_approved(store)

    (row,) = collect(stored_cases(store)).rows

    assert row.example.requests[0].fit_reasons == ("availability",)
    assert row.corrected == ("fit_reasons",)
    assert row.version == READER  # not "person", though a person's word lay under the approval
    assert row.at == NOW.isoformat()
    told = json.dumps(row.provenance())
    assert "anna" not in told
    assert "ben" not in told.replace("number", "")


def test_what_was_taken_back_on_the_page_is_not_learned(store: Store) -> None:
    set_right_and_approved(store)
    at_the_page(store, "ben", "undo")

    (row,) = collect(stored_cases(store)).rows

    assert (row.by, row.corrected) == ("anna", ("fit_reasons",))


def test_the_data_team_sees_what_was_read_beside_what_it_was_set_to(
    store: Store, tmp_path: Path
) -> None:
    read = request_from(MAIL).fit_reasons
    set_right_and_approved(store)

    done = CliRunner().invoke(
        commands, ["models", "frame", str(tmp_path / "cases.parquet")], obj=Desk(engine=None)
    )  # type: ignore[arg-type]

    assert done.exit_code == 0, done.output
    (row,) = pd.read_parquet(tmp_path / "cases.parquet").to_dict("records")
    assert row["version"] == READER
    assert row["read.fit_reasons"] == ";".join(sorted(read)) != "availability"
    assert row["corrected.fit_reasons"] == "availability"
    assert (row["verdicts"], row["verdict"], row["corrected"]) == (2, "approve", "fit_reasons")
    assert row["judged_on"] == "2025-11-04"
    assert row["by"] not in ("", "ben")


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)  # training takes its time
def test_a_model_trained_with_verdicts_has_learned_the_row_and_says_whence(
    store: Store, tmp_path: Path
) -> None:
    set_right_and_approved(store)
    small_corpus(tmp_path / "corpus", lines=30)
    out = tmp_path / "taught"

    words = ["models", "train", "--with-verdicts", "--corpus", str(tmp_path / "corpus")]
    done = CliRunner().invoke(commands, [*words, "--out", str(out)], obj=Desk(engine=None))  # type: ignore[arg-type]

    assert done.exit_code == 0, done.output
    assert "1 messages settled by staff" in done.output
    [row] = json.loads((out / "staff_rows.json").read_text("utf-8"))["rows"]
    assert (row["version"], row["cases"], row["corrected"]) == (READER, [1], ["fit_reasons"])
    assert row["at"] == NOW.isoformat()
    assert row["by"] not in ("anna", "ben")
