"""The tables, and the few column types that make them safe on every database.

A change here needs a migration beside it; a test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

from store.append_only import only_grows

#: The migration that brings a database to these tables. Kept by hand so that opening a database
#: that is up to date does not import Alembic; a test compares the two.
HEAD: Final = "0005"


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

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# One row: its holder may add rows. Ids and the audit chain go on from here, a writer at a time.
ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("message_id", BigInteger, nullable=False),
    Column("case_id", BigInteger, nullable=False),
    Column("decision_id", BigInteger, nullable=False),
    Column("quarantine_id", BigInteger, nullable=False),
    Column("audit_id", BigInteger, nullable=False),
    Column("audit_hash", Text, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", CleanText, primary_key=True),
    Column("owner", CleanText, nullable=False),  # "" when released
    Column("token", BigInteger, nullable=False),
    Column("signed", Boolean, nullable=False),  # whether the holder's death would be noticed
    Column("expires_at", UtcTime, nullable=False),
)

raws = Table(
    "raws",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("received_at", UtcTime, nullable=False),
    Column("kept_at", UtcTime, nullable=False),
    Column("size", Integer, nullable=False),  # bytes as served
    Column("codec", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

# The folder's cursor as well; NULL until the first batch.
folders = Table(
    "folders",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", CleanText, nullable=False),
    Column("folder", CleanText, nullable=False),
    Column("uidvalidity", BigInteger),
    Column("uid", BigInteger),
    Column("since", UtcTime),
    UniqueConstraint("source", "folder"),
)

# Every place in a mailbox that is behind us. What was there is told by the digest.
places = Table(
    "places",
    metadata,
    Column("folder_id", ForeignKey("folders.id"), primary_key=True),
    Column("uidvalidity", BigInteger, primary_key=True, autoincrement=False),
    Column("uid", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),  # "" where no bytes were ever had
    Column("outcome", Text, nullable=False),  # stored, known, quarantined, vanished, …
    Column("run_id", BigInteger),
    Index("ix_places_digest", "digest"),
    sqlite_with_rowid=False,
)

runs = Table(
    "runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("status", CleanText, nullable=False),
    Column("sources", JsonText, nullable=False),
    Column("fetched", Integer, nullable=False, server_default="0"),
    Column("queued", Integer, nullable=False, server_default="0"),
    Column("general", Integer, nullable=False, server_default="0"),
    Column("quarantined", Integer, nullable=False, server_default="0"),
    Column("already_known", Integer, nullable=False, server_default="0"),
    Column("vanished", Integer, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)

messages = Table(
    "messages",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("message_id", CleanText, nullable=False, index=True),
    Column("sender", CleanText, nullable=False),
    Column("authenticated", Boolean, nullable=False),
    Column("sent_at", UtcTime, nullable=False),
    Column("stored_at", UtcTime, nullable=False),
    Column("queue", Text, nullable=False),  # the most pressing of its requests'
    Column("automatic", CleanText, nullable=False),
    Column("channel", Text, nullable=False),
    Column("subject", CleanText, nullable=False),
    Column("new_text", CleanText, nullable=False),
    Column("quoted_text", CleanText, nullable=False),
    Column("signature", CleanText, nullable=False),
    Column("details", JsonText, nullable=False),  # the rest of Email
    Column("run_id", BigInteger),
)

cases = Table(
    "cases",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("queue", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("blockers", Text, nullable=False),  # ";code;code;" so that LIKE finds one
    Column("kind", Text, nullable=False),
    Column("session_id", CleanText, nullable=False, index=True),
    Column("therapist_id", CleanText, nullable=False, index=True),
    Column("client_id", CleanText, nullable=False, index=True),
    Column("sender", CleanText, nullable=False, index=True),  # who opened it
    Column("authenticated", Boolean, nullable=False),  # whether that sender was vouched for
    Column("sender_authenticated", Boolean, nullable=False),  # the same of the latest message
    Column("safeguarding", Boolean, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("deadline", UtcTime),
    Column("guarantee", Text, nullable=False),
    Column("opened_at", UtcTime, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
    Column("version", Integer, nullable=False),  # raised by every change
    Column("decision_id", BigInteger, nullable=False),  # the latest
    Column("confidence", Float),  # that the kind is right, by the latest decision
    Index("ix_cases_state", "state", "id"),
)

# Append-only: what was understood and decided, message by message.
decisions = Table(
    "decisions",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("case_id", ForeignKey("cases.id"), nullable=False, index=True),
    Column("message_id", ForeignKey("messages.id"), index=True),
    Column("decided_at", UtcTime, nullable=False),
    Column("reader_version", CleanText, nullable=False),
    Column("request", JsonText, nullable=False),
    Column("facts", JsonText, nullable=False),
    Column("decision", JsonText, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("digest", Text, unique=True),  # NULL where no bytes were ever had
    Column("folder_id", ForeignKey("folders.id"), nullable=False),
    Column("uidvalidity", BigInteger, nullable=False),
    Column("uid", BigInteger, nullable=False),
    Column("cause", CleanText, nullable=False, index=True),
    Column("detail", CleanText, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("quarantined_at", UtcTime, nullable=False),
    Column("tried_at", UtcTime, nullable=False),
    Index(
        "uq_quarantine_place",
        "folder_id",
        "uidvalidity",
        "uid",
        unique=True,
        sqlite_where=text("digest IS NULL"),
        postgresql_where=text("digest IS NULL"),
    ),
)

# Append-only, each row sealed with the one before it; outlives what it tells of.
audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("actor", CleanText, nullable=False),
    Column("event", Text, nullable=False),
    Column("case_id", BigInteger, index=True),
    Column("message_id", BigInteger, index=True),
    Column("detail", CleanText, nullable=False),  # JSON as hashed: codes, ids and counts only
    Column("hash", Text, nullable=False),
)

only_grows(audit)

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", CleanText, primary_key=True),
    Column("therapist_id", CleanText, nullable=False, index=True),
    Column("client_id", CleanText, nullable=False, index=True),
    Column("starts_at", UtcTime, nullable=False),
    Column("stage", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("gone_at", UtcTime),
)

session_history = Table(
    "session_history",
    metadata,
    Column("id", Id, primary_key=True),
    Column("session_id", CleanText, nullable=False, index=True),
    Column("status", Text, nullable=False),  # or "gone"
    Column("starts_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
)

therapists = Table(
    "therapists",
    metadata,
    Column("therapist_id", CleanText, primary_key=True),
    Column("name", CleanText, nullable=False),
    Column("open_to_new", Boolean, nullable=False),
    Column("lists", JsonText, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("gone_at", UtcTime),
)

therapist_addresses = Table(
    "therapist_addresses",
    metadata,
    Column("address", CleanText, primary_key=True),
    Column("therapist_id", CleanText, primary_key=True, index=True),
)

clients = Table(
    "clients",
    metadata,
    Column("client_id", CleanText, primary_key=True),
    Column("first_name", CleanText, nullable=False),
    Column("last_name", CleanText, nullable=False),
    Column("email", CleanText, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("gone_at", UtcTime),
)

registry_imports = Table(
    "registry_imports",
    metadata,
    Column("id", Id, primary_key=True),
    Column("imported_at", UtcTime, nullable=False),
    Column("kind", Text, nullable=False),
    Column("new", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("unchanged", Integer, nullable=False),
    Column("gone", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    sqlite_autoincrement=True,
)
