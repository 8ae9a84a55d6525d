"""Quarantine and health as the people see them who keep the program running."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from guard_standing_in import Guard, Person
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from store_samples import SOURCE, email, key, outcome, raw_message, registry_file, session
from typer.testing import CliRunner

from ingest.sources import SourceError
from review.access.walls import walled
from review.commands import app as commands
from review.desk import Desk
from review.health import health_of
from review.lights import lights
from review.terminal import CAUSES
from review.web import upkeep
from review.web.app import web_app
from settings import Settings, SourceSettings
from settings.sections import OAuthSettings
from store import Store, Tally, open_store
from triage.records import Email

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECRET = "Patience Ogunbanjo"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Four messages in quarantine: two for one cause, one lost, one of weeks ago."""
    with open_store(store_url) as opened:
        raws = [raw_message(n, text=f"{SECRET} {n}") for n in (1, 2, 3)]
        opened.keep_raw(raws)
        with opened.batch(now=NOW - timedelta(days=20)) as batch:
            batch.quarantine(raws[2].key, raws[2].digest, "too_deep")
        with opened.batch(now=NOW) as batch:
            for raw in raws[:2]:
                batch.quarantine(raw.key, raw.digest, "parser_failed")
            batch.quarantine(key(9), "", "oversize")
        yield opened


class Keeper:
    """Somebody at the page whose engine reads what *reads* names, and nothing else."""

    def __init__(self, store: Store, role: str = "staff", reads: tuple[int, ...] = ()) -> None:
        self.store, self.reads, self.asked = store, reads, []
        self.fails = False
        app = web_app(
            Desk(SimpleNamespace(retry=self._retry)),  # type: ignore[arg-type]
            store,
            Settings(),
            guard=[Middleware(Guard, person=Person("kim", role))],
            clock=lambda: NOW,
        )
        self.client = TestClient(walled(app, hosts=["testserver"]), follow_redirects=False)

    def _retry(self, _: object, store: Store, chosen: list[Any], now: datetime) -> Tally:
        self.asked += [one.id for one in chosen]
        for one in chosen:
            with store.batch(now=now, actor="retry") as batch:
                if one.id in self.reads:
                    mail: Email = email(one.id)
                    batch.add(one.key, one.digest, mail, [outcome()])
                else:
                    batch.quarantine(one.key, one.digest, one.cause)
        if self.fails:
            raise SourceError("imaps://support@mail.example: cannot be reached")
        return Tally()

    def see(self, address: str = "/quarantine") -> str:
        answer = self.client.get(address)
        assert answer.status_code == 200, answer.text
        return answer.text

    def retries(self, **form: str) -> str:
        token = re.search(r'name="csrf" value="([^"]+)"', self.see())
        assert token
        answer = self.client.post("/quarantine/retry", data={"csrf": token[1], **form})
        assert answer.status_code == 200, answer.text
        return answer.text


def test_one_sees_what_a_message_is_and_none_of_its_words(store: Store) -> None:
    page = Keeper(store).see()

    assert SECRET not in page
    assert SOURCE in page
    assert "INBOX" in page
    assert f"{len(raw_message(1, text=f'{SECRET} 1').content)} B" in page
    assert "not had" in page  # what was too large to be fetched
    assert CAUSES["parser_failed"] in page
    assert "max_message_bytes" in page  # what helps


def test_after_a_retry_it_is_said_what_became_of_each(store: Store) -> None:
    keeper = Keeper(store, reads=(2,))

    page = keeper.retries(cause="parser_failed")

    assert keeper.asked == [2, 3]
    assert "✓ Number 2: read; it went to Cancellations" in page
    assert '<a href="/cases/1">case #1</a>' in page
    assert "✗ Number 3: still not read: parser_failed, tried 2 times" in page


def test_messages_are_retried_by_one_by_cause_and_up_to_a_day(store: Store) -> None:
    keeper = Keeper(store)

    keeper.retries(id="3")
    keeper.retries(until="2026-11-10")
    keeper.retries(cause="parser_failed", until="2026-11-22")
    gone = keeper.retries(id="77")

    assert keeper.asked == [3, 1, 2, 3]
    assert "Nothing there fits any more." in gone


def test_filters_show_what_fits_and_what_makes_no_sense_is_refused(store: Store) -> None:
    keeper = Keeper(store)

    assert keeper.see("/quarantine?cause=parser_failed").count("<tr data-item>") == 2
    assert keeper.see("/quarantine?until=2026-11-10").count("<tr data-item>") == 1
    assert "None fits." in keeper.see("/quarantine?cause=nonsense")
    for address in ("/quarantine?until=yesterday", "/quarantine?until=9999-12-31"):
        assert keeper.client.get(address).status_code == 400


def test_many_are_read_again_in_portions_that_one_can_wait_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_RETRIED", 1)
    keeper = Keeper(store, reads=(2, 3))

    first = keeper.retries(cause="parser_failed")
    second = keeper.retries(cause="parser_failed")

    assert "1 more fit as well" in first
    assert "more fit" not in second
    assert keeper.asked == [2, 3]


def test_a_mailbox_that_cannot_be_asked_is_told_with_what_was_done(store: Store) -> None:
    keeper = Keeper(store, reads=(2,))
    keeper.fails = True

    page = keeper.retries(cause="parser_failed")

    assert "A mailbox could not be asked" in page
    assert "✓ Number 2" in page


def test_the_original_goes_to_whoever_may_read_mail_and_is_on_record(store: Store) -> None:
    keeper = Keeper(store)

    answer = keeper.client.get("/quarantine/2/original")

    assert SECRET in answer.text
    assert 'filename="quarantine-2.eml"' in answer.headers["content-disposition"]
    assert answer.headers["content-type"] == "application/octet-stream"
    assert keeper.client.get("/quarantine/4/original").status_code == 410
    assert keeper.client.get("/quarantine/44/original").status_code == 404
    told = audit_of(store)
    assert [(e["event"], e["actor"], json.loads(e["detail"])) for e in told] == [
        ("quarantine_taken", "kim", {"quarantine_id": 2})
    ]
    assert store.first_broken_audit_row() is None


def audit_of(store: Store) -> list[Any]:
    from sqlalchemy import select

    from store.schema import audit

    with store._database.reading() as connection:
        query = select(audit).where(audit.c.event == "quarantine_taken")
        return [row._mapping for row in connection.execute(query)]


def test_whoever_keeps_the_program_running_is_offered_no_original(store: Store) -> None:
    page = Keeper(store, "admin").see()

    assert "Retry all" in page
    assert "/original" not in page


def test_every_cause_that_has_its_own_help_is_a_cause() -> None:
    assert {*upkeep._HELPS} <= {*CAUSES}


# --- health ---------------------------------------------------------------------------------------


def test_health_says_in_words_and_signs_what_stands_how(store: Store) -> None:
    run = store.start_run([SOURCE, "maildir:/old"], NOW - timedelta(hours=2))
    store.finish_run(run, Tally(1, 1), NOW - timedelta(hours=2), "failed")

    page = Keeper(store).see("/health")

    rows = dict(re.findall(r'<th scope="row">.*?</span> ([^<]+)</th><td>(.*?)</td>', page))
    assert rows["Last good run"] == "<strong>wrong</strong>: none yet"
    assert rows["Last run"] == "<strong>wants a look</strong>: ended as: failed"
    assert rows[f"Mailbox {SOURCE}"] == "failed"
    assert rows["Quarantined"] == "<strong>wants a look</strong>: 4"
    assert rows["Booking registry"] == "<strong>wrong</strong>: never imported"
    assert rows["Outbox"] == "<strong>well</strong>: 0 on the way, none stuck"
    assert rows["Model"].startswith("<strong>well</strong>: ")
    assert {"✓", "!", "✗"} <= {*re.findall(r'class="sign" aria-hidden="true">(.)<', page)}


def test_the_page_for_programs_says_what_the_command_says(
    store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", store_url)

    typed = CliRunner().invoke(
        commands, ["health", "--now", NOW.isoformat()], obj=Desk(SimpleNamespace())
    )  # type: ignore[arg-type]
    shown = Keeper(store).client.get("/health.json").json()

    said = json.loads(typed.stdout)
    assert typed.exit_code == 1  # something needs a person
    # PostgreSQL's own upkeep writes between the two looks, so the size alone may differ.
    assert shown.pop("database_bytes") > 0
    assert said.pop("database_bytes") > 0
    assert shown == said


@pytest.mark.parametrize("broken", ["", "run", "late", "registry", "model"])
def test_a_line_is_not_well_exactly_where_an_issue_is_told(
    store: Store, broken: str, tmp_path: Path
) -> None:
    with store.batch(now=NOW, actor="retry") as batch:
        for one in store.quarantined():
            batch.vanished(one.key) if not one.digest else batch.add(
                one.key, one.digest, email(one.id), [outcome()]
            )
    ran = NOW - (timedelta(days=2) if broken == "late" else timedelta(hours=1))
    store.finish_run(store.start_run([SOURCE], ran), Tally(), ran)
    if broken == "run":
        store.finish_run(store.start_run([SOURCE], ran), Tally(), ran, "failed")
    if broken != "registry":
        store.import_registry(sessions=registry_file([session()]), now=NOW)
    model = ("rules-only", "its hash differs") if broken == "model" else ("1", "")

    for days in (None, 3, 100, -1):
        settings = settings_with(days, tmp_path)
        report = health_of(store.counts(), settings, NOW, model=model)
        shown = lights(store.counts(), store.runs(), settings, NOW, model)

        amiss = [one for one in shown if one.level in ("warn", "bad")]
        assert len(amiss) == len(report["issues"])
        assert bool(amiss) is (bool(broken) or days in (3, -1))


def settings_with(token_days: int | None, folder: Path) -> Settings:
    """A mailbox whose client secret ends in so many days, or one with a password."""
    if token_days is None:
        return Settings()
    oauth = OAuthSettings(
        token_url="microsoft", tenant="t", client_id="c", flow="client_credentials",
        client_secret_file=folder / "secret",
        expires_on=NOW.date() + timedelta(days=token_days),
    )  # fmt: skip
    return Settings(sources=(SourceSettings(url=f"{SOURCE}/INBOX", oauth=oauth),))
