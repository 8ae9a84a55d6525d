"""The backups that there are: how old the newest is, how many are kept, whether one comes back."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.engine import make_url

from store.backups import KINDS, Restored, manifest_of, restore
from store.database import open_database
from store.errors import StoreError
from store.keys import KeyPlace

log = logging.getLogger(__name__)
#: Made on the server for a trial, and taken away after it.
TRIAL: Final = "fit_triage_trial_of_a_backup"
#: What a backup that was killed has left is looked at no more after so long.
_LEFT_OVER: Final = timedelta(days=1)


def last_backup(folder: Path) -> datetime | None:
    """When the newest backup in *folder* was made, by its name; None where there is none."""
    return max((_made_at(path) for path in backups_in(folder)), default=None)


def backups_in(folder: Path) -> list[Path]:
    """The backups in *folder* that are whole, the oldest first."""
    return [path for path in _copies(folder) if manifest_of(path).exists()]


def thin_out(folder: Path, keep: int, now: datetime) -> list[Path]:
    """Delete all but the *keep* newest backups; those deleted.

    What killed backups have left goes as well once it is a day old: it holds people's mail.
    """
    surplus = backups_in(folder)[:-keep]
    for path in surplus:
        path.unlink(missing_ok=True)  # first, so that no copy is ever there that nobody vouches for
        manifest_of(path).unlink(missing_ok=True)
        log.info("a backup is deleted", extra={"event": "backup_deleted"})
    old = (now - _LEFT_OVER).timestamp()
    parts = folder.glob(".fit-triage-*.part")
    whole = {*backups_in(folder)}
    for path in (*parts, *(copy for copy in _copies(folder) if copy not in whole)):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < old:
                path.unlink()
    return surplus


def try_out(path: Path, url: str, now: datetime, *, keys: KeyPlace | None = None) -> Restored:
    """Bring the backup at *path* back into a place of its own, and throw that away.

    For SQLite that is beside the backup; for PostgreSQL a new database on the server at *url*,
    whose user must be allowed to make one.

    Raises:
        StoreError: It does not come back; or there is no room, or no right, to try.

    """
    with _somewhere(path, url) as place:
        return restore(path, place, "trial", now, keys=keys)


@contextmanager
def _somewhere(path: Path, url: str) -> Iterator[str]:
    if url.startswith("sqlite"):
        try:
            folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=".trial-")
        except OSError as error:
            raise StoreError(f"{path.parent} cannot be written: {error.strerror}") from None
        with folder as name:
            yield f"sqlite:///{name}/trial.sqlite3"
        return
    _on_server(url, f'DROP DATABASE IF EXISTS "{TRIAL}"', f'CREATE DATABASE "{TRIAL}"')
    try:
        yield make_url(url).set(database=TRIAL).render_as_string(hide_password=False)
    finally:
        _on_server(url, f'DROP DATABASE IF EXISTS "{TRIAL}"')


def _on_server(url: str, *statements: str) -> None:
    database = open_database(url, wait=10)
    try:
        with database.explained(), database.engine.connect() as opened:
            connection = opened.execution_options(isolation_level="AUTOCOMMIT")
            for statement in statements:
                connection.execute(text(statement))
    finally:
        database.close()


def _copies(folder: Path) -> list[Path]:
    found = folder.glob("fit-triage-*") if folder.is_dir() else ()
    return sorted(path for path in found if path.suffix[1:] in KINDS and _is_dated(path))


def _is_dated(path: Path) -> bool:
    try:
        _made_at(path)
    except ValueError:
        return False
    return True


def _made_at(path: Path) -> datetime:
    return datetime.strptime(f"{path.stem[:-1]}+0000", "fit-triage-%Y%m%dT%H%M%S%z").astimezone(UTC)
