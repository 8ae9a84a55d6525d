"""`backup` keeps as many as it is told, and `restore --trial` shows that one comes back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from services.postgres import Postgres
from sqlalchemy import create_engine, text
from store_samples import NOW, email, key, outcome
from typer.testing import CliRunner, Result

from review.commands import app
from review.desk import Desk
from store import Store, StoreError, open_store
from store.backups import back_up
from store.backups_kept import TRIAL, backups_in, last_backup, thin_out, try_out


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened, opened.batch(now=NOW) as batch:
        batch.add(key(1), "d1", email(1), [outcome()])
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store_url: str) -> Path:
    made = tmp_path / "backups"
    made.mkdir()
    monkeypatch.chdir(tmp_path)
    settings = f'database_url = "{store_url}"\n[backup]\nfolder = "{made}"\nkeep = 2\n'
    (tmp_path / "fit-triage.toml").write_text(settings)
    return made


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, [*words], obj=Desk(None))  # type: ignore[arg-type]


@pytest.mark.usefixtures("store")
def test_the_newest_are_kept_and_what_a_killed_one_left_goes_after_a_day(
    folder: Path, store_url: str
) -> None:
    made = [back_up(store_url, folder, NOW + timedelta(days=n))[0] for n in range(4)]
    (folder / "fit-triage-notes.txt").write_text("not ours")
    alone = folder / made[0].name.replace("20261122", "20261101")  # killed before its manifest
    part = folder / f".{made[0].name}.part"
    for left in (alone, part):
        left.write_text("mail")
    soon, later = NOW + timedelta(days=4), NOW + timedelta(days=9)
    for left in (alone, part):
        os.utime(left, (soon.timestamp(), soon.timestamp()))

    assert backups_in(folder) == made
    assert last_backup(folder) == NOW + timedelta(days=3)
    assert thin_out(folder, 2, soon) == made[:2]
    assert (alone.exists(), part.exists()) == (True, True)
    assert thin_out(folder, 2, later) == []

    left = {path.name for path in folder.iterdir()}
    assert left == {one.name for one in made[2:]} | {f"{one.name}.json" for one in made[2:]} | {
        "fit-triage-notes.txt"
    }


@pytest.mark.usefixtures("store")
def test_what_is_kept_comes_back_and_a_trial_leaves_nothing_behind(
    folder: Path, store_url: str, request: pytest.FixtureRequest
) -> None:
    first = typed("backup", "--json")
    tried = typed("restore", "--trial")

    assert (first.exit_code, tried.exit_code) == (0, 0), first.output + tried.output
    assert json.loads(first.stdout)["messages"] == 1
    assert "comes back whole: 1 messages, 1 cases" in tried.stdout
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    if store_url.startswith("postgres"):
        postgres: Postgres = request.getfixturevalue("postgres")
        assert TRIAL not in databases(postgres.url("postgres"))


def databases(url: str) -> list[Any]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = list(connection.execute(text("SELECT datname FROM pg_database")).scalars())
    engine.dispose()
    return found


@pytest.mark.usefixtures("store")
def test_a_damaged_backup_fails_its_trial(folder: Path, store_url: str) -> None:
    path, _ = back_up(store_url, folder, NOW)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 16)

    with pytest.raises(StoreError, match="is damaged"):
        try_out(path, store_url, NOW)


def test_without_a_folder_or_a_backup_the_commands_say_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    said = [
        str(typed(*words).exception) for words in (["backup"], ["restore"], ["restore", "--trial"])
    ]

    assert "backup.folder" in said[0]
    assert "a file that `fit-triage backup` wrote" in said[1]
    assert "there is no backup" in said[2]
