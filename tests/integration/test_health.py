"""`health` as programs read it: described by a schema, and an exit code for schedulers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from outgoing_samples import approve, cancellation
from store_samples import NOW, SOURCE, email, key, outcome, registry_file, session
from typer.testing import CliRunner, Result

from review.commands import app
from review.desk import Desk
from store import Store, Tally, open_store

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads((ROOT / "docs/health.schema.json").read_text())


@pytest.fixture
def store(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("review.health.model_in_use", lambda _: ("0.3.0", ""))
    (tmp_path / "fit-triage.toml").write_text(
        f'database_url = "{store_url}"\n[backup]\nfolder = "{tmp_path}"\n'
        '[[sources]]\nurl = "imaps://support@clinic.example@outlook.office365.com/INBOX"\n'
        '[sources.oauth]\nflow = "client_credentials"\ntoken_url = "microsoft"\n'
        'tenant = "clinic.example"\nclient_id = "1"\nclient_secret_file = "secret"\n'
        "expires_on = 2027-06-30\n"
    )
    with open_store(store_url) as opened:
        yield opened


def typed(*words: str) -> Result:
    words = ("health", "--now", NOW.isoformat(), *words)
    return CliRunner().invoke(app, words, obj=Desk(None))  # type: ignore[arg-type]


def said(done: Result) -> dict[str, Any]:
    """The report, which is what its description says and no more."""
    report: dict[str, Any] = json.loads(done.stdout)
    Draft202012Validator(SCHEMA, format_checker=FormatChecker()).validate(report)
    assert set(report) == set(SCHEMA["properties"])
    return report


def test_a_new_database_and_a_full_one_are_reported_as_described(store: Store) -> None:
    empty = typed()
    run = store.start_run([SOURCE], NOW - timedelta(hours=1))
    with store.batch(now=NOW, run_id=run) as batch:
        batch.add(key(1), "d1", email(1, sender="canary@practice.example"), [outcome()])
        batch.quarantine(key(2), "d2", "empty")
    store.finish_run(run, Tally(2, queued=1, quarantined=1), NOW)
    store.import_registry(sessions=registry_file([session()]), now=NOW)
    approve(store, cancellation())
    full = typed()

    assert (empty.exit_code, full.exit_code) == (1, 1)
    assert {one["code"] for one in said(empty)["problems"]} == {
        "no_run_succeeds", "registry_missing", "backup_old",
    }  # fmt: skip
    report = said(full)
    assert [one["code"] for one in report["problems"]] == ["quarantine", "backup_old"]
    assert (report["unworked"], report["backlog"]) == (1, 1)
    assert report["quarantined_by_cause"] == {"empty": 1}
    assert report["last_run"]["adds_up"] is True
    assert report["sign_ins"][0]["ends_on"] == "2027-06-30"
    assert report["database_bytes"] > 0
    for word in ("canary", "@", "clinic.example"):
        assert word not in full.stdout


def test_all_is_well_is_exit_code_0(store: Store, tmp_path: Path) -> None:
    store.finish_run(store.start_run([SOURCE], NOW), Tally(), NOW)
    store.import_registry(sessions=registry_file([session()]), now=NOW)
    for ending in ("sqlite3", "sqlite3.json"):
        (tmp_path / f"fit-triage-20261122T020000Z.{ending}").touch()

    done = typed()

    report = said(done)
    assert (done.exit_code, report["healthy"], report["problems"]) == (0, True, [])
    assert report["last_backup_at"] == "2026-11-22T02:00:00+00:00"


def test_whether_the_database_answers_is_asked_without_a_word(store: Store, tmp_path: Path) -> None:
    assert store.runs() == []
    well = typed("--alive")
    (tmp_path / "fit-triage.toml").write_text('database_url = "sqlite:////no/such/place.sqlite3"\n')
    ill = typed("--alive")

    assert (well.exit_code, well.stdout) == (0, "")
    assert ill.exit_code != 0
    assert ill.stdout == ""
