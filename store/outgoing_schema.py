"""The tables of what people decide, and of what leaves the system because of it.

Apart from ``store/schema.py`` only for length; the same metadata and migrations.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
    true,
)

from store.columns import CleanText, Id, JsonText, SealedJson, SealedText, UtcTime
from store.schema import decisions, messages, metadata, sessions

# Append-only but for ``undone_at``: what a person decided about a case as it stood at ``version``.
verdicts = Table(
    "verdicts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("key", Text, nullable=False, unique=True),  # a repeated click is the same verdict
    Column("case_id", ForeignKey("cases.id"), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("new_version", Integer, nullable=False),
    Column("decision_id", ForeignKey("decisions.id"), nullable=False),  # what the person saw
    Column("new_decision_id", ForeignKey("decisions.id")),  # the person's own, where one was made
    Column("action", Text, nullable=False),
    Column("by", CleanText, nullable=False),
    Column("at", UtcTime, nullable=False, index=True),
    Column("reason", SealedText("verdicts.reason", ("key",)), nullable=False),
    Column("overrides", JsonText, nullable=False),
    Column("details", SealedJson("verdicts.details", ("key",)), nullable=False),
    Column("before", JsonText, nullable=False),  # the case's row, for taking it back
    Column("undone_at", UtcTime),
    Index(
        "ix_verdicts_overridden",
        "at",
        sqlite_where=text("overrides <> '[]'"),
        postgresql_where=text("overrides <> '[]'"),
    ),
    sqlite_autoincrement=True,
)

# Append-only: what somebody else than who decided made of an override.
second_looks = Table(
    "second_looks",
    metadata,
    Column("verdict_id", ForeignKey("verdicts.id"), primary_key=True, autoincrement=False),
    Column("by", CleanText, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("agrees", Boolean, nullable=False),
    Column("words", SealedText("second_looks.words", ("verdict_id",)), nullable=False),
)

# What a person set right, kept apart from what the model had said.
corrections = Table(
    "corrections",
    metadata,
    Column("verdict_id", ForeignKey("verdicts.id"), primary_key=True),
    Column("field", Text, primary_key=True),
    Column("before", SealedJson("corrections.before", ("verdict_id", "field")), nullable=False),
    Column("after", SealedJson("corrections.after", ("verdict_id", "field")), nullable=False),
    # Whether the two do: sealed, the database cannot compare them.
    Column("differs", Boolean, nullable=False, server_default=true()),
)

# What staff put on a case that changes nothing about it. A snooze ends with the next decision.
marks = Table(
    "marks",
    metadata,
    Column("case_id", ForeignKey("cases.id"), primary_key=True, autoincrement=False),
    Column("assignee", CleanText, nullable=False),
    Column("snoozed_until", UtcTime),
    Column("snoozed_at_decision", BigInteger),
    Index("ix_marks_assignee", "assignee", "case_id"),
)

# What is to leave the system. A row's states: waiting, held, sending, sent, dead, uncertain,
# taken_back.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("key", CleanText, nullable=False),
    Column("verdict_id", ForeignKey("verdicts.id"), nullable=False, index=True),
    Column("case_id", ForeignKey("cases.id"), nullable=False, index=True),
    Column("channel", Text, nullable=False),
    Column("action", CleanText, nullable=False),
    Column("session_id", CleanText),
    Column(
        "payload", SealedJson("outbox.payload", ("verdict_id", "channel", "action")), nullable=False
    ),
    Column("message_id", CleanText, nullable=False),  # "" until it is fixed by the first attempt
    Column("created_at", UtcTime, nullable=False),
    Column("not_before", UtcTime, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("token", BigInteger, nullable=False),  # of the lease it was last taken under
    Column("note", CleanText, nullable=False),  # how it went; codes and numbers, never content
    Column("changed_at", UtcTime, nullable=False),
    Column("held_for", BigInteger),  # the message that stopped it; a person's word empties it
    Index(
        "uq_outbox_key",
        "key",
        unique=True,
        sqlite_where=text("state <> 'taken_back'"),
        postgresql_where=text("state <> 'taken_back'"),
    ),
    # One effect on the platform for each session and action, whatever the program believes.
    Index(
        "uq_outbox_session_action",
        "session_id",
        "action",
        unique=True,
        sqlite_where=text("channel = 'platform' AND state <> 'taken_back'"),
        postgresql_where=text("channel = 'platform' AND state <> 'taken_back'"),
    ),
    Index("ix_outbox_due", "state", "channel", "due_at"),
    sqlite_autoincrement=True,
)

# By these the figures of the overview are counted.
Index("ix_messages_stored_at", messages.c.stored_at, messages.c.queue, messages.c.automatic)
Index("ix_decisions_reader_version", decisions.c.reader_version, decisions.c.decided_at)
Index("ix_sessions_status", sessions.c.status, sessions.c.starts_at)
