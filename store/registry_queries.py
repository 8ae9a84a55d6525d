"""The booking registry straight from the platform's database: one SELECT for each table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, CursorResult, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from store.errors import StoreError
from store.registry import COLUMNS, Kind, RegistryFile

_ROWS_AT_ONCE = 5_000


@contextmanager
def registry_queries(
    url: str, queries: Mapping[Kind, Path]
) -> Iterator[Mapping[Kind, RegistryFile]]:
    """The rows of each query, its columns checked at once; read them before the ``with`` ends.

    A query is one SELECT that names its columns as a registry file does; lists may be arrays or
    text separated by ``;``. The database is only read: where it can be told so, it is. The line of
    a row is its number in the answer.

    Raises:
        StoreError: The database, a query, or its columns cannot be used. Never holds the address.

    """
    with ExitStack() as stack:
        connection = _connect(stack, _address(url))
        yield {kind: _answer(stack, connection, kind, path) for kind, path in queries.items()}


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError:
        raise StoreError("the platform's database has no address that can be used") from None
    file = address.database or ""
    if address.get_backend_name() == "sqlite" and not Path(file).is_file():
        # SQLite would make an empty one.
        raise StoreError(f"the platform's database {file} does not exist")
    return address


def _connect(stack: ExitStack, address: URL) -> Connection:
    try:
        engine = create_engine(address, poolclass=NullPool)
        stack.callback(engine.dispose)
        connection = stack.enter_context(engine.connect())
        if address.get_backend_name() == "postgresql":
            return connection.execution_options(postgresql_readonly=True, stream_results=True)
        if address.get_backend_name() == "sqlite":
            connection.execute(text("PRAGMA query_only = ON"))
    except (SQLAlchemyError, NoSuchModuleError, ImportError) as error:
        raise StoreError(
            f"the platform's database cannot be opened: {type(error).__name__}"
        ) from None
    return connection


def _answer(stack: ExitStack, connection: Connection, kind: Kind, path: Path) -> RegistryFile:
    try:
        query = path.read_text(encoding="utf-8").strip().rstrip(";")
    except (OSError, UnicodeError):
        raise StoreError(f"query file {path} cannot be read") from None
    try:
        answer = connection.execute(text(query))
    except SQLAlchemyError as error:
        cause = type(getattr(error, "orig", None) or error).__name__
        raise StoreError(f"the query in {path} was refused: {cause}") from None
    stack.callback(answer.close)
    found = set(answer.keys()) if answer.returns_rows else set()
    missing = [name for name in COLUMNS[kind] if name not in found]
    if missing:
        raise StoreError(
            f"the query in {path} lacks {', '.join(missing)}; "
            f"{kind} needs the columns {', '.join(COLUMNS[kind])}"
        )
    return RegistryFile(path.name, _rows(answer, path))


def _rows(answer: CursorResult[Any], path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    number = 0
    try:
        for part in answer.yield_per(_ROWS_AT_ONCE).mappings().partitions():
            for row in part:
                number += 1
                yield number, dict(row)
    except SQLAlchemyError as error:
        cause = type(getattr(error, "orig", None) or error).__name__
        raise StoreError(f"the query in {path} broke off after row {number}: {cause}") from None
