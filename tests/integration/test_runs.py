"""`runs`: what became of what was fetched, and that a figure that is wrong shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from store_samples import NOW, SOURCE, email, key, outcome
from typer.testing import CliRunner, Result

from review.commands import app
from review.desk import Desk
from review.problems import problems
from settings import Settings
from store import Store, Tally, open_store


@pytest.fixture
def store(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", store_url)
    with open_store(store_url) as opened:
        yield opened


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, ["runs", *words], obj=Desk(None))  # type: ignore[arg-type]


def a_run(store: Store, uid: int, tally: Tally, days: float = 0) -> int:
    """A run that stores one message, whatever it says that it did."""
    began = NOW + timedelta(days=days)
    run = store.start_run([SOURCE], began)
    with store.batch(now=began, run_id=run) as batch:
        batch.add(key(uid), f"d{uid}", email(uid), [outcome()])
    store.finish_run(run, tally, began + timedelta(seconds=4))
    return run


def codes(store: Store, days: float = 0) -> set[str]:
    now = NOW + timedelta(days=days)
    found = problems(store.counts(), Settings(), now, refused="", last_backup=None)
    return {problem.code for problem in found}


def test_each_run_says_what_it_did_and_what_is_stored_of_it(store: Store) -> None:
    first = a_run(store, 1, Tally(3, queued=1, quarantined=1, already_known=1, vanished=2))
    at_work = store.start_run([SOURCE], NOW)

    done, shown = typed("--json"), typed()

    newest, oldest = map(json.loads, done.stdout.splitlines())
    assert (done.exit_code, shown.exit_code) == (0, 0)
    assert (newest["run_id"], newest["finished_at"], newest["seconds"]) == (at_work, None, None)
    assert (oldest["run_id"], oldest["seconds"], oldest["stored"]) == (first, 4.0, 1)
    assert oldest["fetched"] == 3 == oldest["queued"] + oldest["quarantined"] + 1
    assert (oldest["vanished"], oldest["adds_up"], oldest["sources"]) == (2, True, 1)
    assert SOURCE not in done.stdout + shown.stdout
    assert "unfinished" in shown.stdout


def test_a_run_that_counts_other_than_it_stores_shows_and_is_a_problem_for_a_day(
    store: Store,
) -> None:
    a_run(store, 1, Tally(1, queued=1))
    assert "does_not_add_up" not in codes(store)
    lost = a_run(store, 2, Tally(2, queued=2), days=1)  # it says two, and stored one
    wrong = a_run(store, 3, Tally(4, queued=1), days=1)  # three are nowhere

    done = typed("--json")

    told = {run["run_id"]: run["adds_up"] for run in map(json.loads, done.stdout.splitlines())}
    assert done.exit_code == 1
    assert [number for number, adds_up in told.items() if not adds_up] == [wrong, lost]
    assert "does_not_add_up" in codes(store, days=1)
    a_run(store, 4, Tally(1, queued=1), days=1.5)
    assert "does_not_add_up" in codes(store, days=1.5)  # a good one after it mends nothing
    a_run(store, 5, Tally(1, queued=1), days=2.1)
    assert "does_not_add_up" not in codes(store, days=2.1)


def test_a_run_of_an_older_version_that_nobody_counted_adds_up(store: Store) -> None:
    a_run(store, 1, Tally(2, queued=2))
    with store._database.writing() as connection:
        connection.execute(text("UPDATE runs SET stored = NULL"))

    assert typed().exit_code == 0
    assert "does_not_add_up" not in codes(store)


def test_cases_count_as_untouched_until_somebody_acts_and_again_after_the_next_mail(
    store: Store,
) -> None:
    from outgoing_samples import approve

    a_run(store, 1, Tally(1, queued=1))
    before = store.counts()
    approve(store)  # another case, which somebody decided about
    after = store.counts()
    late = problems(after, Settings(), NOW + timedelta(days=4), refused="", last_backup=None)

    assert (before.unworked, before.oldest_unworked_at) == (1, NOW)
    assert (after.unworked, after.oldest_unworked_at) == (1, NOW)
    assert "nobody_works" in {problem.code for problem in late}
    assert "nobody_works" not in codes(store, days=2)
