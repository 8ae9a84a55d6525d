"""The few column types that make tables safe on every database."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Text, TypeDecorator
from sqlalchemy.types import TypeEngine


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
