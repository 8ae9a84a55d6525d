"""What operations learn of the registry: its age in `check` and `health`, sessions left so."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from store_samples import registry_file
from typer.testing import CliRunner

from review.commands import app
from review.desk import Desk
from review.health import checks, health_of, lost_unconfirmed
from settings import read_settings
from store import Store, open_store

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", f"sqlite:///{tmp_path / 'x.sqlite3'}")
    with open_store(f"sqlite:///{tmp_path / 'x.sqlite3'}") as opened:
        yield opened


def therapist(number: int) -> dict[str, str]:
    lists = dict.fromkeys(("approaches", "issues", "experience", "languages", "places"), "")
    who = {"therapist_id": f"T{number}", "name": f"Therapist {number}", "delegates": ""}
    return {**who, "emails": f"t{number}@x.example", **lists, "open_to_new": "no"}


def session(number: int, owner: int, days_ago: int, status: str = "unconfirmed") -> dict[str, str]:
    starts = (NOW - timedelta(days=days_ago)).isoformat()
    who = {"session_id": f"HT-{number:06}", "therapist_id": f"T{owner}", "client_id": "C1"}
    return {**who, "starts_at": starts, "stage": "initial", "status": status}


def imported(store: Store, sessions: list[dict[str, str]], at: datetime) -> None:
    client = {"client_id": "C1", "first_name": "Ann", "last_name": "Lee", "email": ""}
    store.import_registry(
        therapists=registry_file([therapist(n) for n in range(1, 5)]),
        clients=registry_file([client]),
        sessions=registry_file(sessions),
        now=at,
    )


def typed(*arguments: str) -> Any:
    done = CliRunner().invoke(app, arguments, obj=Desk(SimpleNamespace()))  # type: ignore[arg-type]
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def said_by_check() -> str:
    return dict(checks(read_settings()))["registry"]


def test_check_says_that_no_registry_was_ever_imported(store: Store) -> None:
    assert store.counts().registry_imported_at is None
    assert "never imported" in said_by_check()
    assert "FAIL  registry  never imported" in typed("check").stdout


def test_check_says_when_the_registry_is_out_of_date_and_is_content_when_it_is_not(
    store: Store,
) -> None:
    now = datetime.now(UTC)
    imported(store, [session(1, 1, 1)], now - timedelta(days=4))
    assert said_by_check() == "The booking registry is 4 days old"
    assert typed("check").exit_code == 1

    imported(store, [session(1, 1, 1)], now)

    assert said_by_check() == ""
    assert "ok    registry" in typed("check").stdout


def test_how_old_is_too_old_is_a_setting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    imported(store, [session(1, 1, 1)], datetime.now(UTC) - timedelta(days=4))
    monkeypatch.setenv("FIT_TRIAGE_REGISTRY__STALE_HOURS", "200")

    assert said_by_check() == ""


def test_therapists_imported_today_do_not_make_old_sessions_new(store: Store) -> None:
    imported(store, [session(1, 1, 1)], NOW - timedelta(days=4))
    store.import_registry(therapists=registry_file([therapist(1)]), now=NOW, full=False)

    report = health_of(store.counts(), read_settings(), NOW)

    assert any("4 days old" in issue for issue in report["issues"])


def test_health_tells_of_a_registry_out_of_date_and_is_silent_in_time(store: Store) -> None:
    imported(store, [session(1, 1, 1)], NOW - timedelta(hours=37))
    settings = read_settings()

    late = health_of(store.counts(), settings, NOW)
    in_time = health_of(store.counts(), settings, NOW - timedelta(hours=2))

    assert [issue for issue in late["issues"] if "registry" in issue] == [
        "The booking registry is more than a day old; see `fit-triage registry import`"
    ]
    assert not [issue for issue in in_time["issues"] if "registry" in issue]
    assert late["sessions_imported_at"] == (NOW - timedelta(hours=37)).isoformat()


LOST = [
    *(session(10 + n, 1, 5 + n) for n in range(4)),  # at the pause
    *(session(20 + n, 2, 5 + n) for n in range(2)),  # at the warning
    session(30, 3, 5),  # below it
    session(31, 3, 6, "held"),
    session(32, 3, 200),  # longer ago than the window
    session(33, 3, -3),  # still to come
]


def test_unconfirmed_sessions_are_listed_by_therapist_the_worst_first(store: Store) -> None:
    imported(store, LOST, NOW)

    plain = typed("registry", "unconfirmed", "--now", NOW.isoformat())
    told = typed("registry", "unconfirmed", "--now", NOW.isoformat(), "--json")

    lines = plain.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["T1", "T2"]
    assert "Therapist 1: 4 sessions of this therapist were left unconfirmed in 90 days" in lines[0]
    assert "the profile may be paused (at 4)" in lines[0]
    assert "Tell them in time" in lines[1]
    rows = [json.loads(line) for line in told.stdout.splitlines()]
    assert [(r["therapist_id"], r["unconfirmed"], r["level"]) for r in rows] == [
        ("T1", 4, "pause"), ("T2", 2, "warn"), ("T3", 1, ""),
    ]  # fmt: skip


def test_nobody_is_listed_where_nothing_was_left(store: Store) -> None:
    imported(store, [session(1, 1, 5, "held")], NOW)

    assert typed("registry", "unconfirmed", "--now", NOW.isoformat()).stdout == ""


def test_health_counts_those_warned_and_those_near_a_pause(store: Store) -> None:
    imported(store, LOST, NOW)

    report = json.loads(typed("health", "--now", NOW.isoformat()).stdout)

    assert report["unconfirmed"] == {"warned": 1, "at_pause": 1}
    assert lost_unconfirmed({}, read_settings()) == {"warned": 0, "at_pause": 0}
