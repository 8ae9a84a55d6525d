"""The tables of who has a case open, and of what was done to many cases at once.

Apart from ``store/schema.py`` only for length; the same metadata and migrations.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text

from store.columns import CleanText, SealedJson, SealedText, UtcTime
from store.schema import metadata

# One row for each open page of a case, forgotten within a minute or so: no foreign keys.
presence = Table(
    "presence",
    metadata,
    Column("visit", Text, primary_key=True),
    Column("case_id", BigInteger, nullable=False, index=True),
    Column("who", CleanText, nullable=False),
    Column("writing", Text, nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Index("ix_presence_seen_at", "seen_at"),
)

# What a person asked for many cases at once. The token is the form's: posted twice, done once.
bulks = Table(
    "bulks",
    metadata,
    Column("token", Text, primary_key=True),
    Column("by", CleanText, nullable=False),
    Column("at", UtcTime, nullable=False, index=True),
    Column("action", Text, nullable=False),
    Column("reason", SealedText("bulks.reason", ("token",)), nullable=False),
    Column("details", SealedJson("bulks.details", ("token",)), nullable=False),
)

# What became of each of its cases; ``outcome`` is "" until then, and is written once. Numbers of
# cases only: what is erased later is no longer there.
bulk_steps = Table(
    "bulk_steps",
    metadata,
    Column("token", ForeignKey("bulks.token"), primary_key=True),
    Column("case_id", BigInteger, primary_key=True, autoincrement=False),
    Column("position", Integer, nullable=False),
    Column("version", Integer, nullable=False),  # what the person looked at
    Column("outcome", Text, nullable=False),
    Column("rule", Text, nullable=False),
    # lines for the person
    Column("told", SealedJson("bulk_steps.told", ("token", "case_id")), nullable=False),
    Column("new_version", Integer),
    Column("undo_until", UtcTime),  # None: nothing leaves
    Column("undone", CleanText, nullable=False),  # "", "undone", or why it could not be
)
