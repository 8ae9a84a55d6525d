"""The tables of who may come in, and of what they looked at.

Apart from ``store/schema.py`` only for length; the same metadata and migrations. What opens a
door (session, link) is kept as its hash alone: a copy of the database opens nothing.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
)

from store.append_only import only_grows
from store.columns import CleanText, Id, UtcTime
from store.schema import metadata

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", CleanText, nullable=False, unique=True),  # as typed, in lower case
    Column("role", Text, nullable=False),
    # argon2's own notation, with its settings; "" for whoever has no password (yet)
    Column("password_hash", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("password_at", UtcTime, nullable=False),
    Column("disabled_at", UtcTime),
    # Who they are for an OpenID provider: only the two together name somebody.
    Column("issuer", Text),
    Column("subject", CleanText),
    Index("uq_users_issuer_subject", "issuer", "subject", unique=True),
    sqlite_autoincrement=True,
)

web_sessions = Table(
    "web_sessions",
    metadata,
    Column("id_hash", Text, primary_key=True),
    Column("user_id", ForeignKey("users.id"), index=True),  # NULL: came in by a one-time link
    Column("name", CleanText, nullable=False),
    Column("role", Text, nullable=False),  # counts for a link alone; a user's is that of the user
    Column("started_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
)

entry_links = Table(
    "entry_links",
    metadata,
    Column("id_hash", Text, primary_key=True),
    Column("name", CleanText, nullable=False),
    Column("role", Text, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
    Column("used_at", UtcTime),
)

# By which a user sets a password, or names themselves to the provider: once, and not for long.
invitations = Table(
    "invitations",
    metadata,
    Column("id_hash", Text, primary_key=True),
    Column("user_id", ForeignKey("users.id"), nullable=False, unique=True),  # the newest counts
    Column("made_by", CleanText, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
)

# Answers of the provider that were used, until they would be too late anyway.
spent_answers = Table(
    "spent_answers",
    metadata,
    Column("state_hash", Text, primary_key=True),
    Column("ends_at", UtcTime, nullable=False),
)

# How often signing in failed lately, by a short hash of what was typed or whence it came.
sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("key", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", UtcTime, nullable=False),
    Index("ix_sign_in_failures_last_at", "last_at"),
)

# Append-only by triggers, each row sealed with the one before it. Ids and codes, never content.
access_log = Table(
    "access_log",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("who", CleanText, nullable=False),
    Column("role", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("case_id", BigInteger, index=True),
    Column("message_id", BigInteger),
    Column("hash", Text, nullable=False),
    Index("ix_access_log_who", "who", "id"),
    Index("ix_access_log_kind", "kind", "id"),
    Index("ix_access_log_at", "at"),
)

# One row: whoever holds it writes the next row of the log, and rows cut off its end show.
access_log_end = Table(
    "access_log_end",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("entry_id", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)

only_grows(access_log)
