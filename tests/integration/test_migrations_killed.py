"""A slice of the campaign on migrations (`make faults ONLY=migrations`), and that it finds bugs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faults import migrations
from faults.bench import Row
from services.postgres import Postgres

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture(scope="module")
def lane(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """As much of a lane of the campaign as a migration needs: no mail is read."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "lane").mkdir()
    with contextlib.ExitStack() as stack:
        bench = SimpleNamespace(postgres=postgres, folder=folder, log=folder / "log", at_end=stack)
        yield SimpleNamespace(number=0, folder=folder / "lane", bench=bench)


def done(lane: Any, row: Row) -> Row:
    for attempt in row.tries:
        row.add(attempt(lane))
    assert row.result.violations == [], Path(lane.bench.log).read_text()[-2000:]
    return row


def test_a_migration_that_is_killed_is_carried_on_whole_and_loses_no_row(lane: Any) -> None:
    row = done(lane, migrations.killed(4, ("0003",)))

    assert row.result.kills == 8


def test_of_several_that_migrate_at_once_each_ends_well_and_an_older_one_is_refused(
    lane: Any,
) -> None:
    done(lane, migrations.at_once(2, ("0003",)))
    done(lane, migrations.older(2))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_migration_that_stores_halves_is_found(lane: Any, kind: Any) -> None:
    trial = migrations.kill(lane, kind, "0003", 1, 2, bug="halves")

    assert "I2 a migration that was killed leaves half of itself" in trial.violations
