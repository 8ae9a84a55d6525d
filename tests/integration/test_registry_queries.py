"""The booking registry from the platform's own database, as `registry import` runs it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from store_samples import NOW

from store import Store, StoreError, open_store, registry_queries

FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"
BOOKINGS = """
CREATE TABLE booking (id TEXT, therapist TEXT, client TEXT, at TIMESTAMP, kind TEXT, state TEXT)
"""
FILL = "INSERT INTO booking VALUES (:id, 'T1', 'C1', :at, 'initial', :state)"
QUERY = """
SELECT id AS session_id, therapist AS therapist_id, client AS client_id, at AS starts_at,
       kind AS stage, state AS status FROM booking;
"""


@pytest.fixture
def platform(request: pytest.FixtureRequest, store_url: str, tmp_path: Path) -> str:
    """The address of a platform's database beside the store's, of the same sort."""
    if store_url.startswith("sqlite"):
        with closing(sqlite3.connect(tmp_path / "platform.sqlite3")):
            pass
        url = f"sqlite:///{tmp_path / 'platform.sqlite3'}"
    else:
        url = request.getfixturevalue("postgres").empty_database()
    change(url, BOOKINGS)
    change(url, FILL, id="HT-1", at=datetime(2026, 12, 1, 18), state="confirmed")  # noqa: DTZ001 - local
    change(url, FILL, id="HT-2", at=datetime(2026, 12, 2, 18), state="perhaps")  # noqa: DTZ001 - local
    return url


def change(url: str, statement: str, **values: object) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement), values)
    engine.dispose()


@pytest.fixture
def query(tmp_path: Path) -> Callable[[str], Path]:
    def write(words: str) -> Path:
        file = tmp_path / "sessions.sql"
        file.write_text(words, encoding="utf-8")
        return file

    return write


def load(store: Store, url: str, file: Path, *, full: bool = True):
    with registry_queries(url, {"sessions": file}) as found:
        [report] = store.import_registry(sessions=found["sessions"], now=NOW, full=full)
    return report


def test_sessions_come_from_a_query_and_bad_rows_are_named(
    store_url: str, platform: str, query: Callable[[str], Path]
) -> None:
    with open_store(store_url) as store:
        report = load(store, platform, query(QUERY))
        session = store.directory().session("HT-1")

    assert (report.new, [row.line for row in report.rejected]) == (1, [2])
    assert "perhaps" in report.rejected[0].reason
    assert session is not None
    assert session.starts_at == datetime.fromisoformat("2026-12-01T18:00+00:00")


def test_a_query_of_changes_leaves_the_rest_as_it_is(
    store_url: str, platform: str, query: Callable[[str], Path]
) -> None:
    with open_store(store_url) as store:
        load(store, platform, query(QUERY))
        change(platform, "UPDATE booking SET state = 'cancelled', id = 'HT-3' WHERE id = 'HT-2'")
        report = load(store, platform, query(QUERY.replace(";", " WHERE id = 'HT-3'")), full=False)

        assert (report.new, report.gone) == (1, 0)
        assert store.directory().session("HT-1") is not None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("SELECT id AS session_id FROM booking", "lacks therapist_id"),
        ("SELECT nothing FROM nowhere", "was refused"),
        ("DELETE FROM booking", "was refused"),
    ],
)
def test_a_query_that_does_not_do_is_refused_and_nothing_is_changed(
    store_url: str, platform: str, query: Callable[[str], Path], words: str, says: str
) -> None:
    with open_store(store_url) as store, pytest.raises(StoreError, match=says):
        load(store, platform, query(words))

    with open_store(store_url) as store:
        assert not store.directory().known
        assert load(store, platform, query(QUERY)).new == 1


def test_a_database_that_is_not_there_is_not_made(
    tmp_path: Path, query: Callable[[str], Path]
) -> None:
    missing = tmp_path / "none.sqlite3"

    with (
        pytest.raises(StoreError, match="does not exist"),
        registry_queries(f"sqlite:///{missing}", {"sessions": query(QUERY)}),
    ):
        pass

    assert not missing.exists()


def fit_triage(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    url = f"sqlite:///{folder / 'fit-triage.sqlite3'}"
    environment = {**os.environ, "FIT_TRIAGE_DATABASE_URL": url, **settings}
    return subprocess.run(
        [FIT_TRIAGE, *arguments],
        env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_configured_queries_run_without_any_option(
    platform: str, tmp_path: Path, query: Callable[[str], Path]
) -> None:
    done = fit_triage(
        tmp_path, "registry", "import", "--json",
        FIT_TRIAGE_REGISTRY__DATABASE_URL=platform,
        FIT_TRIAGE_REGISTRY__SESSIONS_QUERY=str(query(QUERY)),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["new"] == 1


def test_a_password_among_the_arguments_is_refused(
    tmp_path: Path, query: Callable[[str], Path]
) -> None:
    url = "postgresql+psycopg://reader:secret@db.example/platform"
    done = fit_triage(
        tmp_path, "registry", "import", "--sql", url, "--sessions-query", str(query(QUERY))
    )

    assert done.returncode == 2
    assert "FIT_TRIAGE_REGISTRY__DATABASE_URL" in done.stderr
    assert "secret" not in done.stderr
