"""The few column types that make tables safe on every database."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Dialect,
    Integer,
    Text,
    TypeDecorator,
    literal_column,
    type_coerce,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.types import TypeEngine

if TYPE_CHECKING:
    from sqlalchemy import Column

from store.sealing import (
    MARK,
    KeyRing,
    Placed,
    UnopenedJson,
    UnopenedText,
    opened_json,
    opened_text,
    ring_of,
)


def clean(text: str) -> str:
    """*text* as every database can hold it: PostgreSQL refuses NUL, both refuse lone surrogates.

    Surrogates that form a pair become the character they stand for.
    """
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _clean_value(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _clean_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean_value(item) for item in value]
    return value


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def dump_json(value: object) -> str:
    """*value* as compact JSON that every database can hold."""
    text = _encode(value)
    if "\\u0000" in text or clean(text) is not text:
        return _encode(_clean_value(value))
    return text


class CleanText(TypeDecorator[str]):
    """Text that any database takes, whatever was in the mail."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else clean(value)


class JsonText(TypeDecorator[Any]):
    """A JSON value kept as text, the same on every database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else dump_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> object:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else json.loads(value)


class _Sealed(TypeDecorator[Any]):
    """What stands in such a column is ciphertext wherever the database has a key.

    *name* is the column's ("table.column"), *anchor* are the columns that name its row, given with
    every INSERT. Without a key it is a plain column, and costs no more than one.
    """

    impl = Text
    cache_ok = True

    def __init__(self, name: str = "", anchor: tuple[str, ...] = ("id",)) -> None:
        super().__init__()
        self.name, self.anchor = name, anchor


class SealedText(_Sealed):
    """``CleanText``, sealed where the database has a key."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        ring = ring_of(dialect)
        return _PlainText() if ring is None else _Opened(self, ring, clean, opened_text)


class SealedJson(_Sealed):
    """``JsonText``, sealed where the database has a key."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        ring = ring_of(dialect)
        return JsonText() if ring is None else _Opened(self, ring, dump_json, opened_json)


def _unmarked(text: str) -> str:
    """*text*, which must not pass for something sealed."""
    text = clean(text)
    return "\N{REPLACEMENT CHARACTER}" + text[1:] if text.startswith(MARK) else text


class _PlainText(CleanText):
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else _unmarked(value)


class _Opened(TypeDecorator[Any]):
    """A sealed column where there are keys: the database gives the row's name along with it."""

    impl = Text
    cache_ok = False  # never part of a statement: it stands behind the column's own type

    def __init__(
        self,
        of: _Sealed,
        ring: KeyRing,
        dump: Callable[[Any], str],
        opened: Callable[[KeyRing, str, str, str], Any],
    ) -> None:
        super().__init__()
        self.of, self.ring, self.dump, self.opened = of, ring, dump, opened

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        beside = cast("Column[Any]", column).table.c  # only columns are sealed
        told: ColumnElement[str] = sql_cast(beside[self.of.anchor[0]], Text)
        for name in self.of.anchor[1:]:
            told = told.concat(literal_column("'/'")).concat(sql_cast(beside[name], Text))
        told = told.concat(literal_column("':'")).concat(type_coerce(column, Text))
        return type_coerce(told, self.of)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str | None]:  # noqa: ARG002 - SQLAlchemy's signature
        return self._sealed

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:  # noqa: ARG002 - SQLAlchemy's signature
        ring, name, opened = self.ring, self.of.name, self.opened

        def process(value: str | None) -> object:
            if value is None:
                return None
            anchor, _, stored = value.partition(":")
            return opened(ring, name, anchor, stored)

        return process

    def _sealed(self, value: object) -> str | None:
        anchor = ""
        if isinstance(value, Placed):
            anchor, value = value
        if value is None:
            return None
        if isinstance(value, UnopenedText | UnopenedJson):
            return value.stored
        text = self.dump(value)
        if not self.ring.writing:
            return _unmarked(text)
        if not anchor:
            raise TypeError(f"{self.of.name} is sealed: INSERT it, or UPDATE a row named in full")
        return self.ring.seal_text(self.of.name, anchor, text)


class UtcTime(TypeDecorator[datetime]):
    """An aware time, in UTC on the way in and out.

    SQLite knows no times: there it is text of one width, which sorts as the times do.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else self.impl_instance)

    # The processors themselves rather than SQLAlchemy's usual hooks: the registry is full of
    # times, and this is three calls fewer for each.
    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        return _utc_text if dialect.name == "sqlite" else _utc

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:  # noqa: ARG002 - SQLAlchemy's signature
        return _time_of_text if dialect.name == "sqlite" else _utc


def _utc(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError("a time without its zone cannot be stored")
    try:
        return value.astimezone(UTC)
    except OverflowError:  # a Date header at the edge of the calendar
        return value.replace(tzinfo=UTC)


def _utc_text(value: datetime | None) -> str | None:
    moment = _utc(value)
    return None if moment is None else moment.isoformat(timespec="microseconds")


def _time_of_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


# SQLite makes only an INTEGER primary key the row's own number.
Id = BigInteger().with_variant(Integer, "sqlite")

#: A row as it comes back: SQLAlchemy knows its columns only at run time.
AnyRow: TypeAlias = Any
