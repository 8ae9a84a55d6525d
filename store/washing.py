"""Leaving no trace in the database's own files of rows that are gone.

What a database deletes it first only forgets: the bytes stay in its log, in free pages, in the
index and in its statistics. May be done again and again, and stopped anywhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from time import monotonic, sleep

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from store.contents import columns_with
from store.database import Database
from store.errors import StoreError
from store.search import forget_replaced_words


def wash(database: Database) -> list[str]:
    """Rewrite what held words of people; what could not be done, in words for operations."""
    if database.is_sqlite:
        return list(_wash_sqlite(database))
    return list(_wash_postgres(database))


def _wash_sqlite(database: Database) -> Iterator[str]:
    with database.writing() as connection:
        forget_replaced_words(connection)
    database.engine.dispose()  # connections of ours that rest would keep the log in use
    try:
        raw = sqlite3.connect(database.name, timeout=database.wait, isolation_level=None)
        try:
            raw.execute("PRAGMA secure_delete=1")
            raw.execute("PRAGMA synchronous=FULL")
            raw.execute("VACUUM")
            if not _emptied(raw, database.wait):
                yield "others are reading: the write-ahead log could not be emptied; do it again"
        finally:
            raw.close()
    except sqlite3.Error as error:
        raise StoreError(f"database {database.name}: {error.sqlite_errorname}") from None


def _emptied(raw: sqlite3.Connection, wait: float) -> bool:
    deadline = monotonic() + wait
    while True:
        [(busy, _, _)] = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if not busy or monotonic() > deadline:
            return not busy
        sleep(0.05)


def _wash_postgres(database: Database) -> Iterator[str]:
    with database.explained(), database.engine.connect() as opened:
        connection = opened.execution_options(isolation_level="AUTOCOMMIT")
        held = {t.name for kind in _OF_PEOPLE for t in columns_with(kind)}  # type: ignore[arg-type]  # kinds all
        tables = sorted({*held, "case_texts", "bulk_steps", "places"})
        not_ours = set(connection.scalars(text(_NOT_OURS), {"names": tables}))
        if not_ours:
            yield "only the owner of the tables can rewrite them: run it as that role"
        for name in tables:
            if name not in not_ours:
                connection.exec_driver_sql(f'VACUUM (FULL, ANALYZE) "{name}"')
        # Samples of columns are in the statistics, which the last line made anew. Who does not own
        # the database is passed over there without an error.
        if connection.scalar(text(_OURS)):
            connection.exec_driver_sql("VACUUM FULL pg_catalog.pg_statistic")
        else:
            yield "only the owner of the database can rewrite its statistics: run it as that role"
        yield from _tried(connection, "CHECKPOINT", "a checkpoint")


_OF_PEOPLE = ("words", "raw", "derived", "person")
_NOT_OURS = """
SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename = ANY(:names)
AND NOT pg_has_role(tableowner, 'USAGE')
"""


_OURS = """
SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()
"""


def _tried(connection: Connection, statement: str, what: str) -> Iterator[str]:
    """Do it, or say that this role may not."""
    try:
        connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":
            raise
        yield f"this role may not rewrite or ask for {what}; the server will in its own time"
