"""The tables.

A change here needs a migration beside it; a test holds the two together.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from store.append_only import only_grows
from store.columns import CleanText, Id, JsonText, SealedJson, SealedText, UtcTime

#: The migration that brings a database to these tables. Kept by hand so that opening a database
#: that is up to date does not import Alembic; a test compares the two.
HEAD: Final = "0005"

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
    Column("codec", Text, nullable=False),  # and the id of its key, where it is sealed
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
    Column("stored", Integer),  # messages that carry its number, counted when it ended
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
    Column("subject", SealedText("messages.subject"), nullable=False),
    Column("new_text", SealedText("messages.new_text"), nullable=False),
    Column("quoted_text", SealedText("messages.quoted_text"), nullable=False),
    Column("signature", SealedText("messages.signature"), nullable=False),
    Column("details", SealedJson("messages.details"), nullable=False),  # the rest of Email
    Column("run_id", BigInteger),
    # What is searched in place of a sealed text; NULL where that is plain (store/search.py).
    Column("words", Text),
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
    Column("request", SealedJson("decisions.request"), nullable=False),
    Column("facts", SealedJson("decisions.facts"), nullable=False),
    Column("decision", SealedJson("decisions.decision"), nullable=False),
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
