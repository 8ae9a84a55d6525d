"""`erase`, `purge` and `subject-access` as somebody types them."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from privacy_samples import HERS, HIS, ask, count, facts, filled, imported, take
from store_samples import DECISION, NOW, email, key, outcome, raw_message
from typer.testing import CliRunner, Result

from review.commands import app
from review.desk import Desk
from store import Outcome, Store, open_store
from store.retention import KINDS, purge
from store.schema import messages, quarantine, raws
from triage.records import Finding, Span

AGES_LATER = datetime.now(UTC) + timedelta(days=4000)

#: Where nothing differs between the databases.
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.fixture
def store(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", store_url)
    with open_store(store_url) as opened:
        yield opened


def fit_triage(*words: str) -> Result:
    return CliRunner().invoke(app, words, obj=Desk(None))  # type: ignore[arg-type]  # no engine is needed


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_erase_says_what_would_go_erases_and_writes_a_report(store: Store, tmp_path: Path) -> None:
    filled(store)
    released = tmp_path / "models" / "v9"
    released.mkdir(parents=True)
    rows = {"rows": [{"cases": [1]}, {"cases": [2]}], "left_out": {}}
    (released / "staff_rows.json").write_text(json.dumps(rows))
    wish = ("erase", "--client", "C1", "--reason", "request", "--models", "models")

    trial = fit_triage(*wish, "--dry-run")
    assert store.case(1) is not None
    done = fit_triage(*wish, "--json")

    assert (trial.exception, done.exception) == (None, None)
    assert "1 messages would go" in trial.stdout
    path = Path(json.loads(done.stdout)["report"])
    report = json.loads(path.read_text())
    assert mode(path) == 0o600
    assert report["gone"]["messages"] == 1
    assert report["models"] == {"v9": 1}
    assert [one["action"] for one in report["left_before"]] == []
    assert report["files_washed"] is True
    assert "zq" not in path.read_text().lower()
    assert store.case(1) is None
    assert store.erasures.made()[0].washed_at is not None


@on_sqlite
def test_erase_again_finishes_what_was_stopped_and_writes_the_report(
    store: Store, tmp_path: Path
) -> None:
    filled(store)
    store.erasures.erase("client", "C1", by="boss", reason="request", now=NOW)  # and killed

    fit_triage("erase", "--client", "C1", "--reason", "request")

    report = json.loads((tmp_path / "fit-triage-erasure-000001.json").read_text())
    assert report["gone"]["messages"] == 1
    assert store.erasures.made()[0].washed_at is not None


@on_sqlite
@pytest.mark.parametrize(
    "words",
    [
        ("erase", "--reason", "request"),
        ("erase", "--client", "C1", "--therapist", "T1", "--reason", "request"),
        ("erase", "--client", "C1", "--reason", "because"),
        ("erase", "--client", "C1", "--reason", "request", "--to", "nowhere"),
        ("subject-access", "--to", "."),
    ],
)
def test_wrong_use_is_refused(store: Store, words: tuple[str, ...]) -> None:
    imported(store)

    assert fit_triage(*words).exit_code != 0
    assert store.directory().client("C1") is not None


@on_sqlite
def test_nothing_is_purged_unless_it_is_set(store: Store) -> None:
    filled(store)

    done = fit_triage("purge", "--now", AGES_LATER.isoformat())

    assert "nothing is set" in done.stdout
    assert count(store, messages) == 2


def test_purge_deletes_what_is_due_and_keeps_the_rest(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store)  # case 1 is done, case 2 is open; a mail is in quarantine
    for kind in KINDS:
        monkeypatch.setenv(f"FIT_TRIAGE_RETENTION__{kind.upper()}_DAYS", "200")

    early = fit_triage("purge", "--now", (NOW + timedelta(days=100)).isoformat(), "--json")
    trial = fit_triage("purge", "--now", AGES_LATER.isoformat(), "--json", "--dry-run")
    done = fit_triage("purge", "--now", AGES_LATER.isoformat(), "--json")
    again = fit_triage("purge", "--now", AGES_LATER.isoformat(), "--json")

    def due(said: Result) -> dict[str, int]:
        return {one["kind"]: one["due"] for one in json.loads(said.stdout)["purged"]}

    wanted = {"raw": 1, "closed": 1, "general": 0, "quarantine": 1, "bulks": 1, "runs": 0}
    assert due(early) == dict.fromkeys(wanted, 0)
    assert due(trial) == due(done) == wanted
    assert due(again) == dict.fromkeys(wanted, 0)
    assert store.first_broken_audit_row() is None


@on_sqlite
def test_of_a_closed_case_the_words_go_and_the_codes_stay(store: Store) -> None:
    filled(store)

    [*_] = purge(store.erasures.database, {"closed": 200}, "purge", AGES_LATER)

    story = store.case(1)
    assert story is not None
    assert story.messages[0].email.new_text == ""
    assert story.case.request.kind == "cancellation"
    assert story.case.request.client_ref is None
    assert story.case.decision.draft is None
    other = store.case(2)
    assert other is not None
    assert other.messages[0].email.new_text == "Ned is fine."
    assert [one for one in store.verdicts(case_id=1) if one.verdict.reason] == []


def test_general_mail_goes_whole_and_does_not_come_back(store: Store) -> None:
    case = take(store, 1, email(1), outcome(queue="general", state="noted"), content="other")
    take(store, 2, email(2), outcome(queue="general", state="check"), content="unsure")

    [done] = purge(store.erasures.database, {"general": 30}, "purge", AGES_LATER)

    again = raw_message(1, text="other", uidvalidity=9)
    store.keep_raw([again])
    assert done.gone == {"cases": 1, "decisions": 1, "messages": 1, "raws": 1}
    assert store.case(case) is None
    assert count(store, messages) == count(store, raws) == 1


@on_sqlite
def test_quarantine_that_was_kept_long_enough_goes(store: Store) -> None:
    raw = raw_message(1)
    store.keep_raw([raw])
    with store.batch(now=NOW) as batch:
        batch.quarantine(raw.key, raw.digest, "too_large")
        batch.quarantine(key(9), "", "too_large")  # whose bytes were never had

    [done] = purge(store.erasures.database, {"quarantine": 30}, "purge", AGES_LATER)

    assert done.count == 2
    assert count(store, quarantine) == count(store, raws) == 0


@on_sqlite
def test_a_person_is_given_what_is_held_on_them(store: Store, tmp_path: Path) -> None:
    filled(store)

    done = fit_triage("subject-access", "--client", "C1", "--to", ".", "--by", "boss", "--json")

    told = json.loads(done.stdout)
    folder = Path(told["folder"])
    held = json.loads((folder / "held.json").read_text())
    assert (told["cases"], told["mails"], told["to_review"]) == (1, 1, [])
    assert mode(tmp_path / folder) == 0o700
    assert {mode(one) for one in folder.rglob("*") if one.is_file()} == {0o600}
    assert (folder / "mails" / "000001.eml").read_bytes().endswith(b"zqraw")
    assert "zqnew is not well" in (folder / "mails" / "000001.txt").read_text()
    assert held["registry"]["client"][0]["last_name"] == "Zqmayfield"
    assert held["cases"][0]["verdicts"][0]["reason"] == "zqverdict"
    assert "anna" not in (folder / "held.json").read_text()
    assert "zqpayload" in (folder / "held.txt").read_text()
    assert [one.kind for _, one in store.access_log.read(case_id=1)] == ["export"]


@on_sqlite
def test_what_is_about_somebody_else_is_cut_and_named_for_review(store: Store) -> None:
    imported(store)
    said = "HT-100001 is off, she is unwell. HT-100002 is off, he is away."
    hers = Finding("x", "y", Span("new_text", 0, 9, "HT-100001"), "rule:x", 0.9)
    other = Finding("x", "y", Span("new_text", 33, 42, "HT-100002"), "rule:x", 0.9)
    take(
        store,
        1,
        email(1, new_text=said, subject="Two"),
        Outcome(ask(HERS, findings=(hers,)), facts(HERS), DECISION),
        Outcome(ask(HIS, findings=(other,)), facts(HIS), DECISION, ask=1),
    )

    done = fit_triage("subject-access", "--client", "C1", "--to", ".", "--json")

    told = json.loads(done.stdout)
    text = (Path(told["folder"]) / "mails" / "000001.txt").read_text()
    assert told["to_review"] == [1]
    assert "she is unwell." in text
    assert "he is away" not in text
    assert not (Path(told["folder"]) / "mails" / "000001.eml").exists()
