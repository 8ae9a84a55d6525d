"""Backups: one file that is whole, a manifest that proves it, and a safe way back.

A copy is of one moment, however much is written meanwhile: SQLite's ``VACUUM INTO``, and
``pg_dump`` on an exported snapshot. It holds people's mail and is for our user alone.

Coming back is the dangerous part, for the world went on after the copy was made. So a restored
database sends no mail again that may have left since, gives no number a second time, and lets
nobody in who was in before.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import Connection, create_engine, delete, func, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from store.access_schema import entry_links, web_sessions
from store.audit import first_broken
from store.database import UNFINISHED, Database, migrated, open_database, revision
from store.errors import StoreError
from store.keys import KeyPlace
from store.outgoing_schema import outbox
from store.schema import HEAD, audit, cases, leases, ledger, messages
from store.unlocking import key_ids, require
from store.writing import Turn

log = logging.getLogger(__name__)
Kind = Literal["sqlite", "postgresql"]
_ENDINGS: Final[Mapping[Kind, str]] = {"sqlite": "sqlite3", "postgresql": "dump"}
#: How the files of backups end.
KINDS: Final = frozenset(_ENDINGS.values())
#: Numbers go on at the next multiple: those given after the copy was made are in letters and in
#: people's heads, and must not come to name something else.
_NUMBERS_GO_ON_AT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is and holds; stands beside it as ``NAME.json``."""

    file: str
    kind: Kind
    made_at: str  # ISO, UTC
    sha256: str
    size: int  # bytes
    schema: str
    messages: int
    cases: int
    audit_rows: int
    audit_hash: str
    audit_broken_at: int | None  # the first row that was tampered with; None: none was
    keys: tuple[str, ...] = ()  # ids of those without which its texts cannot be read


@dataclass(frozen=True, slots=True)
class Restored:
    """What a database holds again; ``uncertain`` mails may have left since the copy was made."""

    manifest: Manifest
    uncertain: int


def back_up(url: str, folder: Path, now: datetime, *, wait: float = 10.0) -> tuple[Path, Manifest]:
    """Copy the database at *url* into a new file in *folder*, there once it was looked at.

    Raises:
        StoreError: It cannot be read or written, is of another version, or its copy is damaged.

    """
    database = open_database(url, wait=wait)
    kind: Kind = "sqlite" if database.is_sqlite else "postgresql"
    name = f"fit-triage-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.{_ENDINGS[kind]}"
    try:
        if (found := revision(database)) != HEAD:
            raise StoreError(
                f"database {database.name} has schema {found or 'none'}, not {HEAD} of this version"
            )
        with _becoming(folder / name) as part:
            copy = _copied_sqlite if database.is_sqlite else _dumped
            held = copy(database, part)
            digest, size = _digest(part)
            made_at = now.astimezone(UTC).isoformat()
            manifest = Manifest(name, kind, made_at, digest, size, HEAD, **held)  # type: ignore[arg-type]  # as _held names them
        with _becoming(manifest_of(folder / name)) as part:
            part.write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    finally:
        database.close()
    told = {"event": "backed_up", "bytes": size, "messages": manifest.messages}
    log.info("backed up", extra={**told, "cases": manifest.cases})
    return folder / name, manifest


def read_manifest(path: Path) -> Manifest:
    """The manifest of the backup at *path*, whose every byte is as it was written.

    Raises:
        StoreError: There is none, or the backup is not what the manifest says.

    """
    try:
        told = json.loads(manifest_of(path).read_text(encoding="utf-8"))
        manifest = Manifest(**{**told, "keys": tuple(told.get("keys", ()))})
        digest, _ = _digest(path)
    except OSError as error:
        raise StoreError(f"backup {path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise StoreError(f"{manifest_of(path)} is no manifest of a backup") from None
    if digest != manifest.sha256:
        raise StoreError(f"backup {path} is damaged: it is not the file that was written")
    return manifest


def restore(
    path: Path,
    url: str,
    by: str,
    now: datetime,
    *,
    wait: float = 10.0,
    keys: KeyPlace | None = None,
) -> Restored:
    """Bring the backup at *path* back into the database at *url*, which must hold nothing yet.

    Raises:
        StoreError: The backup is damaged or of a newer version, the database is not empty, or
            texts of it are sealed with a key that is not at *keys*.

    """
    manifest = read_manifest(path)
    require(manifest.keys, keys, f"backup {path}")
    if manifest.schema > HEAD:
        raise StoreError(
            f"backup {path} was made by a newer version: it has schema {manifest.schema}, "
            f"this version knows {HEAD}"
        )
    database = open_database(url, wait=wait)
    try:
        if database.is_sqlite != (manifest.kind == "sqlite"):
            raise StoreError(f"backup {path} is of {manifest.kind}: it goes into no other database")
        if database.is_sqlite:
            return Restored(manifest, _put_sqlite(path, database, manifest, by, now))
        _loaded(path, database)
        return Restored(manifest, _settled(database, manifest, by, now))
    finally:
        database.close()


def _settled(database: Database, manifest: Manifest, by: str, now: datetime) -> int:
    """Bring an older schema up to date, and what was loaded into a state that harms nobody."""
    migrated(database, migrate=True)
    with database.writing() as connection:
        if _held(connection)["messages"] != manifest.messages or first_broken(connection) != (
            manifest.audit_broken_at
        ):
            raise StoreError(f"database {database.name} does not hold what the backup says")
        connection.execute(update(leases).values(owner=""))
        for table in (web_sessions, entry_links):
            connection.execute(delete(table))
        turn = Turn(connection, by, now)
        # A webhook keeps its id, by which its receiver knows it; a mail has no such guard.
        open_mails = (outbox.c.channel != "platform") & outbox.c.state.in_(
            ("waiting", "held", "sending")
        )
        doubtful = connection.execute(
            update(outbox)
            .where(open_mails)
            .values(state="uncertain", note="may have left after the backup", changed_at=now)
        ).rowcount
        turn.tell("restored", None, made_at=manifest.made_at, uncertain=doubtful)
        turn.end()
        for column in (ledger.c.message_id, ledger.c.case_id):
            rounded = (column // _NUMBERS_GO_ON_AT + 1) * _NUMBERS_GO_ON_AT
            connection.execute(update(ledger).values({column: rounded}))
        if not database.is_sqlite:
            connection.execute(text(f"DROP TABLE {UNFINISHED}"))
    return doubtful


def _held(connection: Connection) -> dict[str, object]:
    count = {
        "messages": select(func.count()).select_from(messages),
        "cases": select(func.count()).select_from(cases),
        "audit_rows": select(func.count()).select_from(audit),
        "audit_hash": select(ledger.c.audit_hash),
    }
    held = {name: connection.scalar(query) for name, query in count.items()}
    return {**held, "keys": key_ids(connection)}


# --- SQLite ---------------------------------------------------------------------------------------


def _copied_sqlite(database: Database, part: Path) -> dict[str, object]:
    # Whoever reads what was erased from free pages finds none in a copy made so.
    try:
        with sqlite3.connect(database.name, timeout=database.wait) as source:
            source.execute("VACUUM INTO ?", (str(part),))
        source.close()
    except sqlite3.Error as error:
        raise StoreError(
            f"database {database.name} cannot be copied: {error.sqlite_errorname}"
        ) from None
    # Read-only and without locks: looking at the copy must not change a byte of it.
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(f"{part.absolute().as_uri()}?immutable=1", uri=True),
        poolclass=NullPool,
    )
    with engine.connect() as connection:
        if connection.scalar(text("PRAGMA integrity_check")) != "ok":
            raise StoreError(f"the copy of {database.name} is damaged; is the database?")
        return {**_held(connection), "audit_broken_at": first_broken(connection)}


def _put_sqlite(path: Path, database: Database, manifest: Manifest, by: str, now: datetime) -> int:
    """Settle a copy of *path* and give it its name only then: nobody can run on one that is not."""
    target = Path(database.name)
    # A journal left by another database would be played into this one.
    if there := [one for one in (target, *_journals(target)) if one.exists()]:
        raise StoreError(f"{there[0]} is there already: move it away, or restore to another place")
    with _becoming(target) as part:
        for left in _journals(part):  # by a restoration that was killed
            left.unlink(missing_ok=True)
        shutil.copyfile(path, part)
        copy = open_database(f"sqlite:///{part.absolute()}", wait=database.wait)
        try:
            return _settled(copy, manifest, by, now)
        finally:
            copy.close()  # the last connection brings its journal in and takes it away


def _journals(path: Path) -> list[Path]:
    return [path.with_name(path.name + ending) for ending in ("-wal", "-shm", "-journal")]


# --- PostgreSQL -----------------------------------------------------------------------------------


def _dumped(database: Database, part: Path) -> dict[str, object]:
    with database.explained(), database.engine.connect() as opened:
        connection = opened.execution_options(isolation_level="REPEATABLE READ")
        # It waits in silence while its snapshot is copied.
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        snapshot = connection.scalar(text("SELECT pg_export_snapshot()"))
        _postgres_tool(
            database,
            ["pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--file={part}"],
        )
        _postgres_tool(database, ["pg_restore", "--list", str(part)], connects=False)
        return {**_held(connection), "audit_broken_at": first_broken(connection)}


def _loaded(path: Path, database: Database) -> None:
    with database.reading() as connection:
        tables = connection.scalar(
            text(
                "SELECT count(*) FROM pg_tables "
                "WHERE schemaname = current_schema() AND tablename <> :marker"
            ),
            {"marker": UNFINISHED},
        )
    if tables:
        raise StoreError(f"database {database.name} is not empty: restore into a new one")
    # Until all is settled nobody may run on it: mail that has left would leave again.
    with database.writing() as connection:
        connection.execute(text(f"CREATE TABLE IF NOT EXISTS {UNFINISHED} ()"))
    _postgres_tool(database, ["pg_restore", "--exit-on-error", "--single-transaction", str(path)])


def _postgres_tool(database: Database, command: Sequence[str], *, connects: bool = True) -> None:
    """Run one of PostgreSQL's own programs; what it says may quote rows and is not passed on."""
    url = database.engine.url
    environment = dict(os.environ)
    if connects:
        # The password goes by the environment: everybody may read a command line.
        environment |= {"PGPASSWORD": url.password} if url.password else {}
        plain = make_url(url).set(drivername="postgresql", password=None)
        target = plain.render_as_string(hide_password=False)
        command = [*command, "--no-owner", "--no-privileges", f"--dbname={target}"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603 - our own words and paths, no shell
    except FileNotFoundError:
        raise StoreError(
            f"{command[0]} is not there: install postgresql-client of the server's version"
        ) from None
    if done.returncode:
        versions = b"version mismatch" in done.stderr
        why = "is older than the server" if versions else f"failed with {done.returncode}"
        raise StoreError(f"database {database.name}: {command[0]} {why}")


# --- files ----------------------------------------------------------------------------------------


def manifest_of(path: Path) -> Path:
    """Where the manifest of the backup at *path* is, or would be."""
    return path.with_name(f"{path.name}.json")


@contextmanager
def _becoming(path: Path) -> Iterator[Path]:
    """A file for our user alone that is under its name only once it is whole and on disk."""
    part = path.with_name(f".{path.name}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600))
        yield part
        _to_disk(part)
        os.link(part, path)  # unlike a renaming it takes nobody's place
        _to_disk(path.parent)
    except FileExistsError:
        raise StoreError(f"{path} is there already") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return digest, path.stat().st_size
