"""One database, opened safely: durable settings forced, errors told in one line, migrated.

SQLite is held to WAL with synchronous=FULL on every connection, and refused otherwise: its usual
settings lose the last acknowledged commit when the power is cut (measured, F1 of the reliability
notes; https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from store.errors import StoreBusyError, StoreError
from store.schema import HEAD
from store.sealing import KeyRing

log = logging.getLogger(__name__)
ALLOWED: Final = "allowed are sqlite:///PATH and postgresql+psycopg://USER@HOST/NAME"

#: A writer that falls silent in mid-transaction is cut off by PostgreSQL after this long, so that
#: it cannot keep everybody else waiting.
SILENT_WRITER_SECONDS: Final = 60

_SQLITE_LINES: Final = {
    "SQLITE_BUSY": "is locked by another program; waited {wait:g} s",
    "SQLITE_LOCKED": "is locked by another program; waited {wait:g} s",
    "SQLITE_READONLY": "cannot be written: check the permissions of the file and its folder",
    "SQLITE_CANTOPEN": "cannot be opened: is its folder there, and may we write in it?",
    "SQLITE_NOTADB": "is not an SQLite database",
    "SQLITE_CORRUPT": "is damaged: restore it from a backup",
    "SQLITE_FULL": "cannot grow: no space is left on the disk",
    "SQLITE_IOERR": "could not be read or written: the disk reports an error",
}
_POSTGRES_LINES: Final = {
    "28": "refuses this user or password",
    "3D": "does not exist on this server",
    "42501": "does not grant this user what is needed",
    "53100": "cannot grow: no space is left on the server's disk",
    "53": "is out of resources or connections",
    "40": "gave another writer the way",
    "55P03": "is held by another writer; waited {wait:g} s",
    "57": "was stopped or is restarting",
    "08": "cannot be reached",
}
#: A table that is there while a restoration is at work, or was when it was killed.
UNFINISHED: Final = "unfinished_restore"


class Database:
    """Transactions on one database. ``writing`` takes the writer's turn from its first moment."""

    def __init__(self, engine: Engine, name: str, wait: float) -> None:
        self.engine = engine
        self.name = name
        self.wait = wait
        #: The keys, where texts are sealed (``store.unlocking``).
        self.ring: KeyRing | None = None
        self.on_writing: Callable[[Connection], None] = lambda _: None

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view; nothing done in it is kept."""
        with self.explained(), self.engine.connect() as connection:
            if self.engine.dialect.name == "postgresql":  # else a view for each statement
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: committed at the end, or undone when anything is raised."""
        with self.explained(), self.engine.connect() as connection:
            writer = connection.execution_options(fit_triage_writer=True)
            with writer.begin():
                self.on_writing(writer)
                yield writer

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what the driver raises into a ``StoreError`` of one line."""
        # "from None": the driver's own words may quote rows, and with them mail.
        try:
            yield
        except DBAPIError as error:
            kind = StoreBusyError if _gave_way(error) else StoreError
            raise kind(f"database {self.name} {self._line(error)}") from None
        except PoolTimeoutError:
            raise StoreError(f"database {self.name} has no free connection") from None
        except SQLAlchemyError as error:
            raise StoreError(f"database {self.name}: {type(error).__name__}") from None

    def _line(self, error: DBAPIError) -> str:
        cause = error.orig
        code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
        lines = _SQLITE_LINES if self.is_sqlite else _POSTGRES_LINES
        for start, line in lines.items():
            if code is not None and code.startswith(start):
                return line.format(wait=self.wait)
        if not self.is_sqlite and code is None:
            return _connection_line(str(cause))
        return f"refused: {type(cause).__name__} {code or ''}".rstrip()


def _gave_way(error: DBAPIError) -> bool:
    """Whether PostgreSQL undid our transaction in favour of another, whole as it was."""
    return getattr(error.orig, "sqlstate", None) in {"40001", "40P01"}


def _connection_line(message: str) -> str:
    # libpq gives no code for a refused connection, only the server's words.
    if "authentication failed" in message or "no password supplied" in message:
        return _POSTGRES_LINES["28"]
    if "database" in message and "does not exist" in message:
        return _POSTGRES_LINES["3D"]
    return _POSTGRES_LINES["08"]


def open_database(url: str, *, wait: float) -> Database:
    """The database at *url*, not yet looked at beyond its address.

    Raises:
        StoreError: The address is none, or names a kind of database that is not supported.

    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError(f"this is no database address; {ALLOWED}") from None
    if parsed.drivername == "sqlite":
        return _open_sqlite(parsed, wait)
    if parsed.drivername in {"postgresql", "postgresql+psycopg"}:
        return _open_postgres(parsed.set(drivername="postgresql+psycopg"), wait)
    raise StoreError(f"unknown kind of database {parsed.drivername!r}; {ALLOWED}")


def _open_sqlite(url: URL, wait: float) -> Database:
    if not url.database or url.database == ":memory:":
        raise StoreError("SQLite needs a file to keep what it is given; write sqlite:///PATH")
    path = Path(url.database)
    if not path.parent.is_dir():
        raise StoreError(f"database {path} cannot be opened: there is no folder {path.parent}")
    if path.is_dir():
        raise StoreError(f"database {path} cannot be opened: it is a folder")
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": wait})

    @event.listens_for(engine, "connect")
    def settle(connection: DBAPIConnection, _record: object) -> None:
        # Transactions are begun by us, below: the driver would begin them late and deferred, so
        # that two runs could both read before either writes.
        connection.isolation_level = None
        _settle_sqlite(connection, path, wait)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writer = connection.get_execution_options().get("fit_triage_writer")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return Database(engine, str(path), wait)


def _settle_sqlite(connection: DBAPIConnection, path: Path, wait: float) -> None:
    cursor = connection.cursor()
    wanted = {
        "busy_timeout": int(wait * 1000),
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "secure_delete": 1,
    }
    for pragma, value in wanted.items():
        _set_pragma(cursor, pragma, value, wait)
        cursor.execute(f"PRAGMA {pragma}")
        found = cursor.fetchall()
        if [*map(tuple, found)] != [(value,)]:
            # A file system without shared memory, such as a network share, cannot do WAL.
            raise StoreError(
                f"database {path} cannot be used safely: {pragma} stays {found[0][0]!r}"
            )
    cursor.close()


def _set_pragma(cursor: DBAPICursor, pragma: str, value: object, wait: float) -> None:
    # Several programs that open a new file at once all switch it to WAL, and for that alone SQLite
    # does not wait by itself.
    deadline = monotonic() + wait
    while True:
        try:
            cursor.execute(f"PRAGMA {pragma}={value}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or monotonic() > deadline:
                raise
            sleep(0.01)
        else:
            return


def _open_postgres(url: URL, wait: float) -> Database:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,  # a restarted server costs a reconnection, not a run
        isolation_level="READ COMMITTED",  # whatever the server's default: writers take turns
        connect_args={"connect_timeout": max(2, int(wait))},
    )

    @event.listens_for(engine, "connect")
    def settle(connection: DBAPIConnection, _record: object) -> None:
        settings = {
            "timezone": "UTC",
            "lock_timeout": f"{int(wait * 1000)}ms",
            "idle_in_transaction_session_timeout": f"{SILENT_WRITER_SECONDS}s",
            # Words are rare or in every mail: one plan for all of them would suit none.
            "plan_cache_mode": "force_custom_plan",
            "jit": "off",  # our questions are short; compiling one takes longer than answering it
        }
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        connection.commit()

    name = f"{url.database or url.username} at {url.host or url.query.get('host') or 'localhost'}"
    return Database(engine, name, wait)


def migrated(database: Database, *, migrate: bool) -> None:
    """Bring *database* to the schema of this version; costs one query when it is there already.

    Raises:
        StoreError: The database is newer than this program, or older and *migrate* is false.

    """
    if database.is_sqlite and migrate:
        _create_private(Path(database.name))
    elif database.is_sqlite and not Path(database.name).exists():
        raise StoreError(f"database {database.name} does not exist")
    found = revision(database)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise StoreError(
            f"database {database.name} was written by a newer version: "
            f"it has schema {found}, this version knows {HEAD}"
        )
    if not migrate:
        raise StoreError(
            f"database {database.name} has schema {found or 'none'}, this version needs {HEAD}"
        )
    _upgrade(database, found)


def refuse_unfinished(database: Database) -> None:
    """Raise StoreError where a restoration did not come to its end (PostgreSQL)."""
    if database.is_sqlite:  # there a database has its name only once it is settled
        return
    with database.reading() as connection:
        if connection.dialect.has_table(connection, UNFINISHED):
            raise StoreError(
                f"database {database.name} is being restored, or its restoration was interrupted: "
                "drop it and restore into a new one"
            )


def revision(database: Database) -> str | None:
    """The schema's revision, None for a database that has none of our tables yet."""
    with database.reading() as connection:
        if not connection.dialect.has_table(connection, "alembic_version"):
            return None
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return found


def insert_new(connection: Connection, table: Table, **values: object) -> Insert:
    """An INSERT that leaves a row with the same key as it is.

    Without *values* it takes its rows as parameters, many at once.
    """
    statement: Insert
    if connection.dialect.name == "sqlite":
        statement = sqlite.insert(table).on_conflict_do_nothing()
    else:
        from sqlalchemy.dialects import postgresql  # slow to import, and most never need it

        statement = postgresql.insert(table).on_conflict_do_nothing()
    return statement.values(**values) if values else statement


def _create_private(path: Path) -> None:
    # Health data: nobody else on the machine may read it. SQLite would follow the umask, and gives
    # its journal files the mode of the database.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"database {path} cannot be written: {error.strerror}") from None


def _upgrade(database: Database, found: str | None) -> None:
    from alembic import command  # slow to import, and rarely needed
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "store:migrations")
    with database.writing() as connection:
        if not database.is_sqlite:
            # Two programs that start at once on an empty database take turns.
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('fit-triage schema'))"))
            # Rewriting a large table takes long, and is no silence.
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    told = {"event": "migrated", "schema_before": found or "none", "schema": HEAD}
    log.info("database brought from schema %s to %s", found or "none", HEAD, extra=told)
